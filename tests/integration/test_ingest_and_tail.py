"""The commands that bring articles in and show what comes out: topics, ingest, tail, demo."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import Mill

from newsmill import kafka
from newsmill.topic_admin import create_topics
from newsmill.topics import archive_topic

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KOREAN = "청람대교가 월요일에 다시 열렸다. 시는 통행을 허용한다고 밝혔다. " * 4
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


@pytest.mark.timeout(90)
def test_ingest_into_an_archive(mill: Mill, tmp_path: Path) -> None:
    """Kafka's time is the time of fetching, else of publication, never now; live's raw topic stays empty."""
    articles = [
        _article(1, fetched_at="2024-05-06T07:08:09Z"),
        _article(2, fetched_at="1999-01-01T00:00:00.250Z", published_at="1998-12-31T00:00:00Z"),
        _article(3, fetched_at="9999-01-01T00:00:00Z", published_at="2011-11-11T11:11:11Z"),
        _article(4),
        _article(5, fetched_at="tomorrow", published_at="1969-07-20T00:00:00Z"),
    ]
    file = tmp_path / "old.jsonl.zst"
    file.write_bytes(zstd.compress("\n".join(map(json.dumps, articles)).encode()))
    result = mill.call("ingest", str(file), "--archive", "spring")
    assert result.returncode == 1
    assert f"{file}:4: no time for the archive: fetched_at is missing" in result.stderr
    assert f"{file}:5: no time for the archive: fetched_at cannot be read" in result.stderr
    assert result.stdout.splitlines() == [
        "3 published, 2 refused",
        f"1 got published_at as their time ({file}:3: fetched_at is in the future)",
        "times from 1999-01-01T00:00:00.250Z to 2024-05-06T07:08:09Z",
        "next: newsmill replay run spring --topic news.archive.spring.v1"
        " --from 1999-01-01T00:00:00Z --to 2024-05-06T07:08:10Z",
    ]
    assert _archived(mill, "spring") == {
        "https://news.example/1": 1_714_979_289_000,
        "https://news.example/2": 915_148_800_250,
        "https://news.example/3": 1_321_009_871_000,
    }
    assert all("archive" not in topic.name for topic in mill.topics.values())  # what stages read is among these
    assert [read for short in mill.topics for read in mill.read(short)] == []


@pytest.mark.timeout(90)
def test_ingest_a_crawl_twice(mill: Mill, tmp_path: Path) -> None:
    """Pages of a WARC keep address and time; a second time is said to be one."""
    page = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=euc-kr\r\n\r\n<p>{KOREAN}</p>".encode("cp949")
    image = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG"
    crawl = b"".join(
        gzip.compress(
            b"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: https://news.example/%d\r\n"
            b"WARC-Date: 2024-05-06T07:08:0%dZ\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n"
            % (number, number, len(block), block)
        )
        for number, block in enumerate([page, image, page])
    )
    (tmp_path / "crawl.warc.gz").write_bytes(crawl)
    first = mill.call("ingest", str(tmp_path), "--archive", "crawl", "--source", "청람일보")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("2 published, 0 refused, 1 skipped\n")
    assert "skipped records that are no pages: 1 image" in first.stderr
    assert "already" not in first.stderr
    assert _archived(mill, "crawl") == {
        "https://news.example/0": 1_714_979_280_000,
        "https://news.example/2": 1_714_979_282_000,
    }
    second = mill.call("ingest", str(tmp_path / "crawl.warc.gz"), "--archive", "crawl")
    assert second.returncode == 0
    assert f"{mill.settings.topic_prefix}news.archive.crawl.v1 holds 2 records already" in second.stderr


@pytest.mark.timeout(90)
def test_archives_that_cannot_be(mill: Mill, tmp_path: Path) -> None:
    """A name that no topic may have; a topic of that name that would change the times."""
    file = tmp_path / "old.jsonl"
    file.write_text(json.dumps(_article(1, fetched_at="2024-05-06T07:08:09Z")))
    named = mill.call("ingest", str(file), "--archive", "../spring")
    assert named.returncode == 2
    assert named.stderr == "newsmill: '../spring' cannot name an archive: use letters (a-z), digits, - and _\n"
    topic = dataclasses.replace(archive_topic("live", mill.settings), log_append_time=True)

    async def create() -> None:
        async with kafka.admin_client(mill.settings) as admin:
            await create_topics(admin, {topic.short: topic}, mill.settings)

    asyncio.run(create())
    refused = mill.call("ingest", str(file), "--archive", "live")
    assert refused.returncode == 1
    assert "live.v1 is no archive: message.timestamp.type LogAppendTime, should be CreateTime" in refused.stderr


@pytest.mark.timeout(60)
def test_ingest_of_nothing(mill: Mill, tmp_path: Path) -> None:
    result = mill.call("ingest", "no-such-file.jsonl")
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["newsmill: no-such-file.jsonl: no such file or folder"]
    (tmp_path / "notes.xyz").write_text("?")
    for path, given in ((str(tmp_path), ""), ("-", "\n")):
        empty = mill.call("ingest", path, stdin=given)
        assert empty.returncode == 1
        assert f"newsmill: {path}: there is no article in it" in empty.stderr


def _archived(mill: Mill, name: str) -> dict[str, int]:
    """Address → Kafka time of an archive's records."""
    shown = mill.call("tail", f"news.archive.{name}.v1", "--from-beginning", "--exit-at-end", "--json")
    records = [json.loads(line) for line in shown.stdout.splitlines()]
    return {record["value"]["url"]: record["timestamp"] for record in records}


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
