"""The whole way of an article on a real Kafka: samples in, every record in exactly one disposition out."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from pathlib import Path

import orjson
import pytest
from harness import Mill

from newsmill.broker import EmbeddedKafka
from newsmill.core.decoding import MAX_BODY
from newsmill.events import Outcome
from newsmill.samples import Sample, samples


def _waves() -> dict[int, list[Sample]]:
    waves: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples():
        waves[sample.wave].append(sample)
    return waves


def _wait_all(mill: Mill, sent: int, seconds: float = 90) -> None:
    mill.wait_processed("prepare", sent, seconds)
    mill.wait_processed("dedupe", mill.processed("prepare").get("ok", 0), seconds)


def _readable(counts: dict[str, int]) -> int:
    return sum(counts.get(name, 0) for name in (Outcome.ORIGINAL, Outcome.UPDATE, Outcome.REVISION))


@pytest.mark.timeout(170)
def test_samples_end_as_expected(mill: Mill) -> None:
    """Each sample has the outcome, link, reason and theme that stand beside it; nothing is lost or doubled."""
    worker = mill.newsmill("worker", "--metrics-port", "0")
    sent = 0
    expected: dict[str, int] = defaultdict(int)
    waves = _waves()
    for wave in sorted(waves):
        mill.publish("raw", [(sample.key, sample.value) for sample in waves[wave]])
        sent += len(waves[wave])
        for sample in waves[wave]:
            expected[sample.outcome] += 1
        _wait_all(mill, sent)
    assert expected.pop(Outcome.DEAD_LETTER) == mill.processed("prepare")["dead_letter"]
    assert mill.processed("dedupe") == expected
    unique = _readable(mill.processed("dedupe"))
    mill.wait_processed("enrich", unique)
    mill.wait_processed("stories", unique + expected[Outcome.DUPLICATE])

    by_label = {sample.label: sample for samples in waves.values() for sample in samples}
    enriched = mill.read("enriched")
    assert len({(event.json["id"], event.json["version"]) for event in enriched}) == len(enriched) == unique
    for event in enriched:
        article = event.json
        sample = by_label[article["extra"]["sample"]]
        assert article["verdict"] == sample.outcome, sample.label
        assert article["degraded"] == [], sample.label
        assert event.key == article["id"].encode()
        assert event.headers["ce_specversion"] == b"1.0"
        assert event.headers["ce_subject"] == event.key
        assert article["provenance"]["run"] == "live"
        for amount in article["amounts"]:
            assert article["text"][amount["start"] : amount["end"]] == amount["text"]
        for theme in article["themes"]:
            assert any(record.key == event.key for record in mill.read(f"theme.{theme['theme']}"))
    copies = {record.json["id"]: record.json for record in mill.read("duplicate")}
    assert len(copies) == expected[Outcome.DUPLICATE]
    originals = {record.json["id"] for record in mill.read("unique")}
    assert all(copy["duplicate_of"] in originals for copy in copies.values())
    letters = {record.value: record for record in mill.read("deadletter")}
    for sample in by_label.values():
        if sample.reason is not None:
            letter = letters.pop(sample.value)
            assert letter.headers["newsmill-reason"] == sample.reason.value.encode(), sample.label
            assert letter.key == sample.key
    assert letters == {}
    held = [identity for record in mill.read("story") if record.json["status"] == "open"
            for identity in record.json["article_ids"]]  # fmt: skip
    assert set(held) <= originals
    assert mill.terminate(worker) == 0, mill.logs()


@pytest.mark.timeout(120)
def test_bad_records_do_not_stop_the_others(mill: Mill) -> None:
    """Every kind of bad record between good ones: its own bytes, its own reason; a wrong date costs no article."""
    good = {"url": "https://good.example/a", "body": "The council of Eastfield opened a new bridge on Monday. " * 3}
    date = good | {"url": "https://good.example/b", "published_at": "the day before yesterday", "body": "A ferry " * 40}
    bad = {
        b'{"body": "\xff\xfe"}': b"bad_utf8",
        b"{not json": b"bad_json",
        b"[]": b"wrong_type",
        b'{"url": 1, "body": "x"}': b"wrong_type",
        b'{"url": "https://x.example/"}': b"no_body",
        b'{"url": "https://x.example/", "body": " "}': b"no_body",
        b'{"body": "a text without any address or title"}': b"no_identity",
        orjson.dumps({"url": "https://x.example/", "body": "x" * (MAX_BODY + 1)}): b"too_large",
        orjson.dumps(
            {"url": "https://x.example/", "body": "<html><body><img><script>1</script></body>"}
        ): b"only_markup",
    }
    mill.publish("raw", [(b"k", orjson.dumps(good)), *((b"k", value) for value in bad), (b"k", orjson.dumps(date))])
    mill.newsmill("worker", "--metrics-port", "0")
    _wait_all(mill, len(bad) + 2)
    assert {record.value: record.headers["newsmill-reason"] for record in mill.read("deadletter")} == bad
    assert mill.processed("prepare") == {"ok": 2, "dead_letter": len(bad)}
    dates = {record.json["url"]: record.json["published_at_source"] for record in mill.read("unique")}
    assert dates == {good["url"]: "record", date["url"]: "record"}


@pytest.mark.timeout(170)
def test_broker_is_killed_and_comes_back(prefix: str, tmp_path: Path) -> None:
    """kill -9 of the broker in mid flow: when it is back, the same worker goes on; nothing lost, nothing twice."""
    count = 400
    records = [
        (
            b"%d" % n,
            orjson.dumps({"url": f"https://n.example/{n}", "body": f"Report {n} of the {n * 7} harbour logs. " * 9}),
        )
        for n in range(count)
    ]
    data = tmp_path / "kafka"
    first = EmbeddedKafka(0, data)
    running = first.start()
    mill: Mill | None = None
    again: EmbeddedKafka | None = None
    try:
        mill = Mill(running.bootstrap, prefix, tmp_path)
        mill.publish("raw", records[:200])
        worker = mill.newsmill("worker", "--metrics-port", "0")
        mill.wait_processed("prepare", 200)
        mill.publish("raw", records[200:])
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait(timeout=20)
        first.stop(clean=False)
        again = EmbeddedKafka(int(running.bootstrap.rpartition(":")[2]), data)
        again.start()
        mill.wait_processed("enrich", _readable(mill.processed("dedupe")) or count, 90)
        _wait_all(mill, count, 90)
        assert worker.poll() is None, mill.logs()
        mill.wait_processed("enrich", _readable(mill.processed("dedupe")), 60)
        versions = [(record.json["id"], record.json["version"]) for record in mill.read("enriched")]
        assert len(versions) == len(set(versions)) == _readable(mill.processed("dedupe"))
        assert sum(mill.processed("dedupe").values()) == count
    finally:
        if mill is not None:
            mill.close()
        if again is not None:
            again.stop()


@pytest.mark.timeout(170)
def test_whole_pipeline_survives_kills(mill: Mill) -> None:
    """All four stages killed with -9 three times, once with two workers: every article once in every stage."""
    count = 1500
    mill.publish("raw", [(b"%d" % n, orjson.dumps(_article(n))) for n in range(count)])
    for turn in range(3):
        workers = [mill.newsmill("worker", "--metrics-port", "0") for _ in range(2 if turn == 1 else 1)]
        mill.wait_growth("ledger", 3, 60)
        for worker in workers:
            mill.kill(worker)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    _wait_all(mill, count, 120)
    unique = _readable(mill.processed("dedupe"))
    mill.wait_processed("enrich", unique, 60)
    assert mill.processed("prepare") == {"ok": count}
    assert sum(mill.processed("dedupe").values()) == count
    for short in ("unique", "enriched"):
        found = [(record.json["id"], record.json["version"]) for record in mill.read(short)]
        assert len(found) == len(set(found)) == unique, short
    assert len(mill.read("duplicate")) == mill.processed("dedupe").get("duplicate", 0)
    assert mill.terminate(worker) == 0, mill.logs()


def _article(number: int) -> dict[str, str]:
    words = [f"w{number * 31 + step * step}" for step in range(90)]
    return {
        "url": f"https://p{number % 9}.example/{number}",
        "title": f"Notice {number}",
        "body": " ".join(words) + ".",
    }


@pytest.mark.timeout(60)
def test_missing_topics_and_no_broker_are_one_line(mill: Mill, unused_port: int) -> None:
    result = mill.call("worker", "--bootstrap-servers", f"127.0.0.1:{unused_port}", "--metrics-port", "0")
    assert result.returncode == 1
    assert f"no Kafka broker answers at 127.0.0.1:{unused_port}" in result.stderr
    assert "Traceback" not in result.stderr
    mill.env["NEWSMILL_TOPIC_PREFIX"] = f"{mill.settings.topic_prefix}other."
    began = time.monotonic()
    result = mill.call("worker", "--metrics-port", "0")
    assert result.returncode == 1
    assert "newsmill topics create" in result.stderr
    assert time.monotonic() - began < 30
