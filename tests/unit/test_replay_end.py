"""The end of a replay: its last figures are fetched once before its process is gone, if they are fetched at all."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from urllib.request import urlopen

import pytest

from newsmill.cli.replay.run import await_last_scrape
from newsmill.metrics import ReplayMetrics, serve_metrics


@pytest.fixture
def metrics() -> ReplayMetrics:
    return ReplayMetrics("july", 100)


@pytest.fixture
def fetch(metrics: ReplayMetrics) -> Callable[[], str]:
    port = serve_metrics(metrics, "127.0.0.1", 0, lambda: True)

    def get() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    return get


def test_it_waits_for_a_fetch_of_the_final_figures(
    metrics: ReplayMetrics, fetch: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 'news_replay_remaining_records{run="july"} 100.0' in fetch()
    metrics.advance(0, 1_780_000_000_000)
    metrics.compared({"changed": 3})
    fetched: list[str] = []
    waiting = threading.Thread(target=await_last_scrape, args=(metrics.scrapes, 20))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive(), "nobody has come since"
    fetched.append(fetch())
    waiting.join(5)
    assert not waiting.is_alive()
    assert 'news_replay_remaining_records{run="july"} 0.0' in fetched[0]
    assert 'news_replay_differences{kind="changed",run="july"} 3.0' in fetched[0]
    told = " ".join(capsys.readouterr().out.split())
    assert "waiting until Prometheus has fetched the final figures" in told
    assert "has not come" not in told


def test_it_does_not_wait_where_nobody_ever_came(
    metrics: ReplayMetrics, fetch: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    await_last_scrape(metrics.scrapes)
    assert time.monotonic() - began < 1
    assert capsys.readouterr().out == ""


def test_it_waits_no_longer_than_it_says(
    metrics: ReplayMetrics, fetch: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    fetch()
    await_last_scrape(metrics.scrapes, 0.1)
    assert "Prometheus has not come" in capsys.readouterr().out


def test_an_interrupt_ends_the_wait(metrics: ReplayMetrics, fetch: Callable[[], str]) -> None:
    fetch()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    await_last_scrape(metrics.scrapes, 20)
    assert time.monotonic() - began < 5
