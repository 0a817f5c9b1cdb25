"""Log lines and the metrics endpoint."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator

import orjson
import pytest

from newsmill.errors import ConfigError
from newsmill.logs import configure_logs
from newsmill.metrics import Metrics, serve_metrics
from newsmill.settings import Settings


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(), "worker-3")
    logging.getLogger("newsmill.test").info("offset %d", 7)
    line = orjson.loads(capsys.readouterr().err)
    assert line["message"] == "offset 7"
    assert line["process"] == "worker-3"
    assert line["level"] == "info"
    assert line["time"].endswith("+00:00")


def test_a_complaint_is_repeated_five_times_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="plain"), "w")
    for number in range(100):
        logging.getLogger("newsmill.test").warning("cannot reach %d", number)
    logging.getLogger("newsmill.test").warning("something else")
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 6
    assert "something else" in shown[-1]


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_endpoint() -> None:
    """Health, readiness as it is at the moment, metrics; another server cannot take the port."""
    state = {"ready": False}
    metrics = Metrics()
    port = serve_metrics(metrics, "127.0.0.1", 0, lambda: state["ready"])
    assert _get(port, "/healthz")[0] == 200
    assert _get(port, "/readyz")[0] == 503
    state["ready"] = True
    assert _get(port, "/readyz")[0] == 200
    assert _get(port, "/nothing")[0] == 404
    metrics.batch("dedupe", {"original": 3, "duplicate": 1}, {}, 0.002, 0.01, [], 1_780_000_000_000)
    text = _get(port, "/metrics")[1]
    assert 'news_stage_events_total{mode="live",stage="dedupe"} 4.0' in text
    assert 'news_stage_results_total{mode="live",outcome="duplicate",stage="dedupe"} 1.0' in text
    assert 'news_stage_duration_seconds_count{mode="live",stage="dedupe"} 4.0' in text
    assert 'news_stage_duration_seconds_sum{mode="live",stage="dedupe"} 0.002' in text
    with pytest.raises(ConfigError, match="--metrics-port"):
        serve_metrics(Metrics(), "127.0.0.1", port, lambda: True)
