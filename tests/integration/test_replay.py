"""Replays on a real Kafka: the same bytes however they run, only what was asked for, and everything accounted for."""

from __future__ import annotations

import time

import orjson
import pytest
from bench.articles import with_copies
from harness import Mill

ARTICLES = 600
PUBLIC = ("enriched", "duplicate", "story", "story-event", "theme.chips", "theme.cloud", "theme.industrial-ai")


def raw_records(count: int, seed: int) -> list[tuple[bytes | None, bytes | None]]:
    """Articles with copies among them, and a few records that are none."""
    records: list[tuple[bytes | None, bytes | None]] = [
        (article["url"].encode(), orjson.dumps(article)) for article in with_copies(count, seed)
    ]
    for place in range(0, count, 150):
        records[place] = (None, b'{"body": ')
    return records


def replay_of(mill: Mill, name: str) -> Mill:
    """The topics of a replay, to read them."""
    return Mill(
        mill.settings.bootstrap_servers, f"{mill.settings.topic_prefix}replay.{name}.", mill.folder, create=False
    )


def contents(mill: Mill, name: str) -> dict[str, dict[int, list[tuple[bytes | None, bytes | None, int, object]]]]:
    """Topic → partition → its records in their order, with the name of the run taken out of the values."""
    own = f'"run":"{name}"'.encode()
    found: dict[str, dict[int, list[tuple[bytes | None, bytes | None, int, object]]]] = {}
    replay = replay_of(mill, name)
    for short in PUBLIC:
        parts = found[short] = {}
        for r in replay.read(short):
            value = r.value.replace(own, b'"run":"-"') if r.value is not None else None
            parts.setdefault(r.partition, []).append((r.key, value, r.timestamp, r.headers))
    return found


@pytest.fixture
def history(mill: Mill) -> Mill:
    """A raw topic with some history, which no live worker has read."""
    mill.publish("raw", raw_records(ARTICLES, seed=3))
    return mill


@pytest.mark.timeout(300)
def test_the_same_bytes_with_one_worker_with_two_and_with_kills(history: Mill) -> None:
    mill = history
    span = ("--from", "earliest", "--to", "latest", "--metrics-port", "0")
    one = mill.call("replay", "run", "one", *span, timeout=120)
    assert one.returncode == 0, one.stdout + one.stderr
    assert f"{ARTICLES} records in" in one.stdout
    assert "all are accounted for" in one.stdout
    two = mill.call("replay", "run", "two", *span, "--workers", "2", timeout=120)
    assert two.returncode == 0, two.stdout + two.stderr

    killed = replay_of(mill, "three")
    for stage in ("prepare", "dedupe"):  # slowly, so that the kill comes in the midst
        process = mill.newsmill("replay", "run", "three", *span, "--workers", "2", "--rate", "150")
        mill.wait(lambda: mill.exists(killed.name("ledger")), "the replay's topics")
        killed.wait(lambda stage=stage: sum(killed.processed(stage).values()) > 50, f"{stage} at work")
        mill.kill(process)
        assert sum(killed.processed(stage).values()) < ARTICLES - 100
    three = mill.call("replay", "run", "three", "--workers", "2", "--metrics-port", "0", timeout=120)
    assert three.returncode == 0, three.stdout + three.stderr
    assert "goes on" in three.stdout

    first = contents(mill, "one")
    assert min(len(first[short]) for short in ("enriched", "duplicate", "story")) > 0
    assert contents(mill, "two") == first
    assert contents(mill, "three") == first
    prepared, judged = killed.processed("prepare"), killed.processed("dedupe")
    assert prepared == {"ok": ARTICLES - 4, "dead_letter": 4}
    assert sum(judged.values()) == ARTICLES - 4
    assert sum(len(parts) for parts in first["enriched"].values()) == judged["original"] + judged["update"]
    assert sum(len(parts) for parts in first["duplicate"].values()) == judged["duplicate"] > 100
    assert {r.json["provenance"]["run"] for r in killed.read("enriched")} == {"three"}
    for topic in ("unique", "enriched", "prepared"):
        assert mill.read(topic) == []  # nothing of live was touched


@pytest.mark.timeout(300)
def test_a_range_is_warmed_up_by_what_came_before(history: Mill) -> None:
    """What a range emits is what a replay of everything emits of it; without the warm-up, copies are not known."""
    mill = history
    border = max(record.timestamp for record in mill.read("raw")) + 1
    mill.wait(lambda: time.time() * 1000 > border, "the range to begin at a millisecond of its own")
    mill.publish("raw", raw_records(200, seed=4)[1:] + raw_records(ARTICLES, seed=3)[ARTICLES - 100 :])
    begin = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(border // 1000))}.{border % 1000:03d}Z"
    runs = {"all": ("earliest", ()), "warm": (begin, ()), "cold": (begin, ("--warm-up", "0"))}
    told = {}
    for name, (since, flags) in runs.items():
        ended = mill.call(
            "replay", "run", name, "--from", since, "--to", "latest", "--metrics-port", "0", *flags, timeout=120
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        told[name] = ended.stdout
    assert f"{ARTICLES} of them before, to warm up" in told["warm"]

    everything, warmed = contents(mill, "all"), contents(mill, "warm")
    for short in PUBLIC:
        of_range = {
            number: [record for record in records if record[2] >= border]
            for number, records in everything[short].items()
        }
        assert warmed[short] == {number: records for number, records in of_range.items() if records}, short
    assert all(warmed[short] for short in ("enriched", "duplicate", "story"))
    warm, cold = replay_of(mill, "warm"), replay_of(mill, "cold")
    assert warm.processed("dedupe")["repeat"] >= 99  # they came a second time
    assert "repeat" not in cold.processed("dedupe")
    assert sum(cold.processed("prepare").values()) == 299
    assert all(record.timestamp >= border for record in warm.read("deadletter"))
