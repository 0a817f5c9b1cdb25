"""The commands that bring articles in and show what comes out: topics, ingest, tail, demo."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import Mill

BODY = "The ferry between Northport and Eastfield runs again after a winter of repairs to its engines. " * 4


def _article(number: int, **fields: str) -> dict[str, str]:
    return {"url": f"https://news.example/{number}", "title": f"Ferry {number}", "body": f"{BODY}{number}", **fields}


@pytest.mark.timeout(60)
def test_topics(mill: Mill) -> None:
    """Created already: nothing happens; a missing one is a difference, and is created."""
    assert mill.call("topics", "create").returncode == 0
    assert mill.call("topics", "check").returncode == 0
    rows = [json.loads(line) for line in mill.call("topics", "list", "--json").stdout.splitlines()]
    assert {row["topic"] for row in rows} == {mill.name(short) for short in mill.topics}
    mill.env["NEWSMILL_PARTITIONS"] = "6"
    checked = mill.call("topics", "check")
    assert checked.returncode == 1
    assert f"{mill.name('raw')}: partitions 4, should be 6" in checked.stdout
    assert mill.name("prepared") not in checked.stdout


@pytest.mark.timeout(90)
def test_ingest_files_of_every_kind(mill: Mill, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    lines = [json.dumps(_article(1)), "{broken", json.dumps(_article(2)), json.dumps({"url": 3, "body": "x"})]
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "b.json").write_text(json.dumps([_article(3), _article(4)]))
    (folder / "c.html").write_text("<html><body><p>" + BODY + "</p></body></html>")
    (folder / "d.txt").write_bytes("청람대교가 다시 열렸다. 시는 월요일부터 통행을 허용한다고 밝혔다.".encode("cp949"))
    (folder / "e.xyz").write_text("?")
    result = mill.call("ingest", str(folder), "--source", "Tidewater Times")
    assert result.returncode == 1
    assert "6 published, 2 refused, 1 skipped" in result.stdout
    assert "a.jsonl:2:" in result.stderr
    assert "a.jsonl:4:" in result.stderr
    assert "Traceback" not in result.stderr
    raw = [record.json for record in mill.read("raw")]
    assert {article["url"] for article in raw} >= {"https://news.example/1", "file:c.html", "file:d.txt"}
    korean = next(article for article in raw if article["url"] == "file:d.txt")
    assert korean["body"].startswith("청람대교가")
    assert korean["source"] == "Tidewater Times"
    piped = mill.call("ingest", "-", stdin=json.dumps(_article(9)) + "\n")
    assert piped.returncode == 0, piped.stderr
    assert len(mill.read("raw")) == 7


@pytest.mark.timeout(60)
def test_ingest_into_an_archive(mill: Mill, tmp_path: Path) -> None:
    """Archives keep the time of fetching as Kafka time, and live's raw topic stays empty."""
    file = tmp_path / "old.jsonl"
    file.write_text(json.dumps(_article(1, fetched_at="2024-05-06T07:08:09Z")))
    assert mill.call("ingest", str(file), "--archive", "spring").returncode == 0
    assert mill.read("raw") == []
    shown = mill.call("tail", "news.archive.spring.v1", "--from-beginning", "--exit-at-end", "--json")
    (record,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert record["timestamp"] == 1_714_979_289_000
    assert record["value"]["url"] == "https://news.example/1"


@pytest.mark.timeout(60)
def test_ingest_of_nothing(mill: Mill) -> None:
    result = mill.call("ingest", "no-such-file.jsonl")
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["newsmill: no-such-file.jsonl: no such file or folder"]


def _hear_interrupts() -> None:
    """A test run in the background ignores SIGINT, and its children inherit that; a person's shell does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.timeout(90)
def test_tail(mill: Mill) -> None:
    """From the beginning to the end; a limit; new events as they come; a topic that is not there."""
    mill.publish("raw", [(b"k", json.dumps(_article(n)).encode()) for n in range(5)])
    shown = mill.call("tail", "news.raw.v1", "--from-beginning", "--exit-at-end", "--json")
    assert [json.loads(line)["value"]["url"] for line in shown.stdout.splitlines()] == [
        f"https://news.example/{n}" for n in range(5)
    ]
    assert len(mill.call("tail", "news.raw.v1", "--from-beginning", "--limit", "2", "--json").stdout.splitlines()) == 2
    assert mill.call("tail", "news.raw.v1", "--exit-at-end").stdout == ""
    missing = mill.call("tail", "news.nothing.v1", "--exit-at-end")
    assert missing.returncode == 1
    assert mill.name("enriched") in missing.stderr

    follow = subprocess.Popen(
        [sys.executable, "-m", "newsmill.cli", "tail", "news.raw.v1", "--from-beginning", "--json"],
        env=mill.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hear_interrupts,
    )  # fmt: skip
    assert follow.stdout is not None
    try:
        for _ in range(5):
            follow.stdout.readline()
        mill.publish("raw", [(b"k", json.dumps(_article(77)).encode())])
        assert json.loads(follow.stdout.readline())["value"]["title"] == "Ferry 77"
        follow.send_signal(signal.SIGINT)
        assert follow.wait(timeout=15) == 0
    finally:
        follow.kill()
        follow.communicate()


@pytest.mark.timeout(170)
def test_demo_on_a_given_broker(mill: Mill) -> None:
    """The demo accounts for every record, on topics of its own, and leaves no process behind."""
    before = time.monotonic()
    result = mill.call("demo", timeout=160)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert "every article accounted for" in result.stdout
    rows = dict(re.findall(r"^ *([a-z][a-z -]+?) {2,}(\d+)", result.stdout, re.M))
    assert int(rows["articles in"]) == 80
    parts = ("original", "update", "revision", "repeat", "stale", "duplicate", "dead letter")
    assert sum(int(rows[name]) for name in parts) == 80
    assert int(rows["enriched events"]) == int(rows["original"]) + int(rows["update"]) + int(rows["revision"])
    assert mill.read("raw") == []
    assert time.monotonic() - before < 160
