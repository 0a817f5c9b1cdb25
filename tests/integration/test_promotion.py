"""Promotions on a real Kafka: live judges what a replay found, once, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any, NamedTuple

import orjson
import pytest
from harness import Mill, Read

from newsmill import kafka
from newsmill.core.enrich import EnrichRules, enrich_article
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record
from newsmill.events import Article, Enrichment, Prepared, Promotion

BOOK = load_rulebook()
REPLAY = Prepare(Context("harvest", "0.1.0", "Asia/Seoul", {}), BOOK)
RULES = EnrichRules.from_rulebook(BOOK)
CHIPS = (
    "Saebom Devices will build a semiconductor plant number {n} near the river, the chipmaker said on Monday.\n"
    "The plant makes memory chips on {n} lines, and its foundry customers ask for more wafers each year.\n"
    "Hiring for the {n} semiconductor lines begins in the spring, with housing for {n} families."
)
FERRY = (
    "Ferry {n} between the islands will sail every hour from Monday, the harbour office of bay {n} said.\n"
    "Boats were repaired over the winter, and boat number {n} is being painted by volunteers of the town.\n"
    "Tickets stay at {n} crowns. Children under seven travel free on all of the lines of the bay."
)
NIGHT = "\nThe bay adds a night line from the first of June, if the crews agree."


def raw(name: str, body: str, number: int) -> tuple[bytes, bytes]:
    rng = random.Random(number)
    words = " ".join("".join(rng.choices("abcdefghij", k=4)) for _ in range(90))
    value = {"url": f"https://{name}.example/{number}", "title": f"{name} {number}", "body": body.format(n=number)}
    return name.encode(), orjson.dumps(value | {"body": f"{value['body']}\n{words}."})


def promotion(record: tuple[bytes, bytes], version: int, replaces: dict[str, Any] | None) -> tuple[bytes, bytes]:
    """What a replay found for a raw record of that Kafka time, as `newsmill replay promote` writes it."""
    (output,) = REPLAY(Record("news.archive.harvest.v1", 0, 3, version, *record, ()), None).outputs
    prepared = Prepared.model_validate_json(output.value or b"")
    found = enrich_article(prepared.article, RULES).model_dump(include=set(Enrichment.model_fields))
    told = Promotion(
        replaces=replaces and replaces["version"],
        replaces_hash=replaces and replaces["content_hash"],
        enrichment=Enrichment.model_validate(found),
    )
    value = prepared.model_copy(update={"format": 2, "promotion": told})
    return value.article.id.encode(), value.model_dump_json().encode()


class Live(NamedTuple):
    """What live shows: the latest of each id on news.enriched and on the theme of chips (None: a tombstone)."""

    enriched: dict[str, dict[str, Any]]
    chips: dict[str, dict[str, Any] | None]


def live(mill: Mill) -> Live:
    def latest(short: str) -> dict[str, Any]:
        found: dict[str, Read] = {}
        for record in mill.read(short):
            found[(record.key or b"").decode()] = record
        return {key: record.json for key, record in found.items()}

    return Live(latest("enriched"), latest("theme.chips"))


def settle(mill: Mill, records: int) -> None:
    """Wait until every record has gone through all stages."""
    mill.wait_processed("prepare", records)
    mill.wait_processed("dedupe", mill.processed("prepare")["ok"])
    counts = mill.processed("dedupe")
    fresh = sum(counts.get(name, 0) for name in ("original", "update", "revision"))
    mill.wait_processed("enrich", fresh)
    mill.wait_processed("stories", fresh + counts.get("duplicate", 0))


def article_of(live_now: Live, name: str, number: int) -> dict[str, Any]:
    (found,) = [one for one in live_now.enriched.values() if one["url"] == f"https://{name}.example/{number}"]
    return found


def account(mill: Mill) -> dict[str, int]:
    """Input topic → records, by the ledger; each stage's transactions follow each other without a hole."""
    total: dict[str, int] = {}
    at: dict[tuple[str, str, int], int] = {}
    for record in mill.read("ledger"):
        entry = record.json
        place = entry["stage"], entry["topic"], entry["partition"]
        assert entry["first_offset"] >= at.get(place, 0)
        at[place] = entry["next_offset"]
        assert sum(entry["counts"].values()) == entry["records"]
        total[entry["topic"]] = total.get(entry["topic"], 0) + entry["records"]
    return total


@pytest.mark.timeout(200)
def test_live_judges_promotions(mill: Mill) -> None:
    """A changed, a missing, a late, a repeated and an unreadable promotion, each with what follows from it."""
    worker = mill.newsmill("worker", "--metrics-port", "0")
    arrivals = [raw("leaves", CHIPS, 1), raw("stays", CHIPS, 2), raw("raced", FERRY, 3)]
    mill.publish("raw", arrivals)
    settle(mill, 3)
    before = live(mill)
    leaves, stays, raced = (article_of(before, *place) for place in (("leaves", 1), ("stays", 2), ("raced", 3)))
    assert {article["id"] for article in before.chips.values() if article} == {leaves["id"], stays["id"]}
    stories = {story.json["id"] for story in mill.read("story")}

    # live revises one, and sees another again, after the replay was compared with it
    mill.publish("raw", [(b"raced", raw_as("raced", 3, CHIPS, 33)), arrivals[0]])
    settle(mill, 5)
    assert mill.processed("dedupe") == {"original": 3, "revision": 1, "repeat": 1}
    revised = article_of(live(mill), "raced", 3)

    missing = raw("missing", FERRY, 4)
    promotions = [
        promotion((b"", raw_as("leaves", 1, FERRY, 5)), leaves["version"], leaves),
        promotion(arrivals[1], stays["version"], stays),
        promotion((b"", raw_as("raced", 3, FERRY, 6)), raced["version"] + 7, raced),
        promotion(missing, leaves["version"] - 9_000, None),
        promotion(missing, leaves["version"] - 9_000, None),
    ]
    mill.publish("promote", [*promotions, (b"x", b"no JSON")])
    settle(mill, 11)
    assert mill.processed("prepare") == {"ok": 10, "dead_letter": 1}
    assert mill.processed("dedupe") == {"original": 4, "revision": 3, "repeat": 1, "stale": 2}

    after = live(mill)
    changed = article_of(after, "leaves", 1)
    assert (changed["verdict"], changed["provenance"]["run"]) == ("revision", "harvest")
    assert changed["version"] > leaves["version"]
    assert "Ferry 5" in changed["text"]
    assert after.chips[leaves["id"]] is None, "a tombstone where it left a theme"
    again = article_of(after, "stays", 2)
    assert (again["text"], again["themes"]) == (stays["text"], stays["themes"])
    assert again["version"] > stays["version"]
    assert after.chips[stays["id"]] == again
    assert article_of(after, "raced", 3) == revised, "what live decided since is not undone"
    found = article_of(after, "missing", 4)
    assert (found["verdict"], found["version"], found["provenance"]["topic"]) == (
        "original",
        leaves["version"] - 9_000,
        "news.archive.harvest.v1",
    )
    assert {story.json["id"] for story in mill.read("story")} == stories, "old news opens no story"
    told = [event.json["reason"] for event in mill.read("story-event") if event.json["article_id"] == leaves["id"]]
    assert any("replay" in reason for reason in told)

    # the same once more: stale, each; and a copy of what live had missed is a copy now
    mill.publish("promote", promotions)
    mill.publish("raw", [raw("copy", FERRY, 4)])
    settle(mill, 17)
    assert mill.processed("dedupe") == {"original": 4, "revision": 3, "repeat": 1, "stale": 7, "duplicate": 1}
    (copy,) = mill.read("duplicate")
    assert copy.json["duplicate_of"] == found["id"]
    assert live(mill) == after
    assert account(mill) == {
        "news.raw.v1": 6,
        "news.promote.v1": 11,
        "news.prepared.v1": 16,
        "news.unique.v1": 7,
        "news.story-input.v1": 8,
    }
    ids = [(record.headers["ce_type"], record.headers["ce_id"]) for record in mill.read("ledger")]
    assert len(set(ids)) == len(ids)
    look_at(mill, leaves["id"], raced["id"])
    assert mill.terminate(worker) == 0, mill.logs()


def raw_as(name: str, number: int, body: str, other: int) -> bytes:
    """Another text under the address of a raw record."""
    data = orjson.loads(raw(name, body, other)[1])
    return orjson.dumps(data | {"url": f"https://{name}.example/{number}"})


def look_at(mill: Mill, changed: str, stale: str) -> None:
    """What people see: status, trace and dead letters know the second topic."""
    status = mill.call("status", "--json")
    assert status.returncode == 0, status
    prepare = orjson.loads(status.stdout)["stages"][0]
    assert (prepare["stage"], prepare["partitions"], prepare["lag"]) == ("prepare", 5, 0)
    for ident, says in ((changed, "of a replay, for version"), (stale, "stale: live has decided on it since")):
        trace = mill.call("trace", ident, "--json")
        assert trace.returncode == 0, trace
        steps = [record["decision"] for record in orjson.loads(trace.stdout)["records"]]
        assert "promoted from the replay harvest" in steps
        assert any(says in step for step in steps), steps
    requeued = mill.call("deadletters", "requeue", "--all", "--yes")
    assert requeued.returncode == 0, requeued
    assert f"1 to {mill.name('promote')}" in requeued.stdout
    mill.wait(lambda: len(mill.read("deadletter")) == 2, "the dead letter to fail again", 30)
    assert [record.value for record in mill.read("promote")].count(b"no JSON") == 2


@pytest.mark.timeout(200)
def test_killed_among_promotions(mill: Mill) -> None:
    """kill -9 with two logs half read: each promotion counts once, as if nothing had happened."""
    count = 120
    arrivals = [raw("kept", FERRY, number) for number in range(1, count + 1)]
    mill.publish("raw", arrivals)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    settle(mill, count)
    had = live(mill).enriched.values()
    changed = [
        promotion((b"", orjson.dumps({key: one[key] for key in ("url", "title")} | {"body": one["text"] + NIGHT})),
                  one["version"], one)
        for one in had
    ]  # fmt: skip
    first = min(article["version"] for article in had)
    missing = [promotion(raw("missing", CHIPS, 200 + number), first, None) for number in range(count)]
    fresh = [raw("fresh", CHIPS, 1000 + number) for number in range(count)]
    mill.publish("promote", changed)
    mill.publish("raw", fresh)
    mill.publish("promote", missing)
    workers = [worker]
    for turn in range(3):
        mill.wait_growth("ledger", 1, 60)
        for running in workers:
            mill.kill(running)
        workers = [mill.newsmill("worker", "--metrics-port", "0") for _ in range(2 if turn == 1 else 1)]
    mill.publish("promote", changed)
    settle(mill, 5 * count)
    assert mill.processed("dedupe") == {"original": 3 * count, "revision": count, "stale": count}
    enriched = [(record.json["id"], record.json["version"]) for record in mill.read("enriched")]
    assert len(enriched) == len(set(enriched)) == 4 * count
    now = live(mill).enriched.values()
    assert sum(article["provenance"]["run"] == "harvest" for article in now) == 2 * count
    total = account(mill)
    assert (total["news.raw.v1"], total["news.promote.v1"]) == (2 * count, 3 * count)
    assert [mill.terminate(running) for running in workers] == [0], mill.logs()


@pytest.mark.timeout(120)
def test_reset_and_crash_of_the_second_topic(mill: Mill) -> None:
    """`reset prepare` sets both inputs back; a record of each that kills the process is the one that is left out."""
    worker = mill.worker("pass_stage:two_sources", "prepare")
    mill.publish("raw", [(b"a", b"value-1"), (b"a", b"value-2")])
    mill.publish("promote", [(b"b", b"value-3"), (b"b", b"!crash me"), (b"b", b"value-4")])
    mill.wait_processed("prepare", 5)
    (letter,) = mill.read("deadletter")
    assert letter.value == b"!crash me"
    assert letter.headers["newsmill-reason"] == b"crashes"
    assert letter.headers["newsmill-topic"] == mill.name("promote").encode()
    assert sorted(record.value or b"" for record in mill.read("unique")) == [b"value-%d" % n for n in range(1, 5)]
    assert mill.terminate(worker) == 0, mill.logs()
    group = kafka.group_name(mill.settings, "prepare")

    def committed() -> dict[str, int]:
        async def ask() -> dict[str, int]:
            async with kafka.admin_client(mill.settings) as admin:
                offsets = await kafka.group_offsets(admin, group)
            return {
                short: sum(offset for tp, offset in offsets.items() if tp.topic == mill.name(short))
                for short in ("raw", "promote")
            }

        return asyncio.run(ask())

    assert committed() == {"raw": 2, "promote": 3}
    answer = mill.call("reset", "prepare", "--yes")
    assert answer.returncode == 0, answer
    assert f"{mill.name('promote')}-0: stands at 3, will stand at 0" in answer.stdout
    assert committed() == {"raw": 0, "promote": 0}
    assert mill.call("reset", "prepare", "--yes", "--to", "latest").returncode == 0
    assert committed() == {"raw": 2, "promote": 3}


def test_a_promotion_reads_back() -> None:
    """The value that the tests above publish is what the records say."""
    article = Article.model_validate(Prepared.model_validate_json(promotion(raw("x", CHIPS, 1), 5, None)[1]).article)
    assert (article.version, article.provenance.run) == (5, "harvest")
