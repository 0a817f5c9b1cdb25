"""An article's id → every record about it on the topics, in order, and what it shares with its original."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.cli.flow import describe_group
from newsmill.cli.lookup import Found, partition_of, read_matching, record_at
from newsmill.cli.text_diff import TextDiff, diff_texts
from newsmill.core.copies import load_copy_rules
from newsmill.core.decoding import decode_raw
from newsmill.core.identity import UrlRules, article_id, canonicalize_url
from newsmill.core.prepare import PrepareRules, prepare_article
from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.times import format_utc
from newsmill.errors import NewsmillError, Refused
from newsmill.events import Provenance
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics

__all__ = ["ArticleTrace", "RawRecord", "Relation", "trace_article"]

_ID: Final = re.compile(r"[0-9a-f]{32}")
_PREFIX: Final = re.compile(r"[0-9a-f]{8,31}")
_FLOW: Final = ("promote", "prepared", "unique", "duplicate", "enriched", "theme", "story-event", "deadletter")
_KEYED: Final = ("promote", "prepared", "unique", "duplicate", "enriched")
_LISTED: Final = 5  # ids that share a prefix, named in the error


class RawRecord(NamedTuple):
    """A raw record that led to something: ``size`` is None where it has expired."""

    topic: str
    partition: int
    offset: int
    time: str | None
    key: str | None
    size: int | None


class Relation(NamedTuple):
    """Another article, or an earlier version, that this one was compared with, and how the texts differ.

    ``kind`` is "duplicate", "update" or "revision". ``diff`` is None where one of the texts has expired.
    """

    kind: str
    of: str
    title: str | None
    source: str | None
    url: str | None
    diff: TextDiff | None


@dataclass(frozen=True)
class ArticleTrace:
    """Everything found. ``records`` are in the order of time, then of the flow; ``steps`` says each in words."""

    id: str
    records: list[Found]
    steps: list[str]
    raw: list[RawRecord]
    relations: list[Relation]
    stories: list[Found]

    def latest(self) -> dict[str, Any]:
        """The value of the newest record that describes the article: title, source, url."""
        for kind in ("enriched", "unique", "duplicate", "prepared"):
            for record in reversed(self.records):
                if _kind(record.topic) == kind and record.value is not None:
                    return _article_of(record)
        return {}


async def trace_article(settings: Settings, wanted: str) -> ArticleTrace | None:
    """Trace an id, a unique prefix of one (8 digits or more), or a URL; None where nothing is found.

    Topics keyed by article id cost one partition each; stories and dead letters are read whole. Raises `TopicError`,
    and `NewsmillError` for a prefix of several ids.
    """

    @cache
    def rulebook() -> Rulebook:
        return load_rulebook(settings.rules_dir)

    # a folder of rules may canonicalise other URLs otherwise; the packaged rules are read without the whole book
    urls = UrlRules.from_rulebook(rulebook()) if settings.rules_dir else None
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings, fetch_max_wait_ms=50) as client:
        fixed = await partitions_of_topics(admin, settings, [*_KEYED, "story", "story-event", "deadletter"])
        themes = await _theme_partitions(admin, settings)
        lower = wanted.strip().lower()
        if _ID.fullmatch(lower):
            ident: str | None = lower
        elif _PREFIX.fullmatch(lower):
            ident = await _complete(client, lower, [tp for short in _KEYED for tp in fixed[short]])
        else:
            ident = article_id(canonicalize_url(wanted, urls))
        if ident is None:
            return None
        key = ident.encode()
        counts = {tps[0].topic: len(tps) for tps in (*(fixed[short] for short in _KEYED), *themes)}
        places = [partition_of(topic, key, count) for topic, count in counts.items()]
        records = await read_matching(client, places, lambda record: record.key == key)
        originals = {record.value["duplicate_of"] for record in _of_kind(records, "duplicate") if record.value}
        marks = [key, *(original.encode() for original in sorted(originals))]
        told = await read_matching(
            client,
            [*fixed["story"], *fixed["story-event"]],
            lambda record: record.value is not None and any(mark in record.value for mark in marks),
        )

        @cache
        def is_ours(letter_key: bytes) -> bool:
            if letter_key == key:
                return True
            return article_id(canonicalize_url(letter_key.decode("utf-8", "replace"), urls)) == ident

        records += await read_matching(
            client, fixed["deadletter"], lambda record: record.key is not None and is_ours(record.key)
        )
        records += [
            found for found in _of_kind(told, "story-event") if found.value and found.value["article_id"] == ident
        ]
        if not records:
            return None
        records.sort(key=lambda found: (found.time_ms, _FLOW.index(_kind(found.topic)), found.topic, found.offset))
        raw = [await _raw_record(client, place) for place in _origins(records)]
        dedupe = await describe_group(admin, kafka.group_name(settings, "dedupe"))
        relations = await _relations(client, settings, fixed["unique"], fixed["enriched"], records, rulebook)
        return ArticleTrace(
            ident,
            records,
            [_step(found, records, dedupe.offsets) for found in records],
            raw,
            relations,
            _stories(told, {ident} | originals),
        )


async def _theme_partitions(admin: Any, settings: Settings) -> list[list[TopicPartition]]:
    head = f"{settings.topic_prefix}news.theme."
    names = sorted(name for name in await admin.list_topics() if name.startswith(head))
    if not names:
        return []
    found = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics(names)}
    return [[TopicPartition(name, number) for number in range(found[name])] for name in names]


async def _complete(client: Any, prefix: str, partitions: list[TopicPartition]) -> str | None:
    """The one id that begins so; None if there is none, `NewsmillError` if there are several."""
    start = prefix.encode()
    found = await read_matching(
        client, partitions, lambda record: record.key is not None and record.key.startswith(start)
    )
    ids = sorted({record.key for record in found})
    if len(ids) > 1:
        more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
        raise NewsmillError(f"{prefix} begins {len(ids)} ids: {', '.join(ids[:_LISTED])}{more}; give more digits")
    return ids[0] if ids else None


def _kind(topic: str) -> str:
    """prepared, unique, …, or theme: the part after "news." in a topic's name."""
    return topic.rpartition("news.")[2].split(".")[0] if "news.theme." not in topic else "theme"


def _of_kind(records: Iterable[Found], kind: str) -> list[Found]:
    return [record for record in records if _kind(record.topic) == kind]


def _article_of(record: Found) -> dict[str, Any]:
    """The article within a record: a prepared one wraps it."""
    value = record.value or {}
    article: dict[str, Any] = value.get("article", value)
    return article


def _origins(records: Iterable[Found]) -> list[tuple[str, int, int]]:
    """The raw records that these came from, each once."""
    found: dict[tuple[str, int, int], None] = {}
    for record in records:
        if _kind(record.topic) == "deadletter":
            headers = record.headers
            if headers.get("newsmill-stage") == "prepare" and "newsmill-topic" in headers:
                place = headers["newsmill-topic"], headers["newsmill-partition"], headers["newsmill-offset"]
                found[place[0], int(place[1]), int(place[2])] = None
        elif "provenance" in (article := _article_of(record)):
            origin = article["provenance"]
            found[origin["topic"], origin["partition"], origin["offset"]] = None
    return list(found)


async def _raw_record(client: Any, place: tuple[str, int, int]) -> RawRecord:
    topic, partition, offset = place
    record = await _at(client, *place)
    if record is None:
        return RawRecord(topic, partition, offset, None, None, None)
    key = None if record.key is None else record.key.decode("utf-8", "backslashreplace")
    return RawRecord(topic, partition, offset, format_utc(record.timestamp), key, len(record.value or b""))


async def _at(client: Any, topic: str, partition: int, offset: int) -> Any:
    if topic not in await client.topics():  # a replay's or an archive's, dropped since
        return None
    return await record_at(client, TopicPartition(topic, partition), offset)


def _stories(told: list[Found], ids: set[str]) -> list[Found]:
    """The latest record of each story that holds one of these articles, the newest last."""
    latest: dict[str, Found] = {}
    for record in _of_kind(told, "story"):
        if record.value and not ids.isdisjoint(record.value["article_ids"]):
            latest[record.key] = record
    return sorted(latest.values(), key=lambda found: (found.time_ms, found.key))


# ---- what was decided, in words ---------------------------------------------------------------------------------


def _step(found: Found, records: list[Found], dedupe_offsets: dict[TopicPartition, int]) -> str:
    value, kind = found.value, _kind(found.topic)
    if kind == "deadletter":
        headers = found.headers
        return f"dead letter of {headers.get('newsmill-stage')}: {headers.get('newsmill-reason')}, " + headers.get(
            "newsmill-error", ""
        )
    if value is None:
        was_in = any(other.topic == found.topic and other.value and other.time_ms <= found.time_ms for other in records)
        return (
            ("left this theme" if was_in else "not in this theme") + " (tombstone)" if kind == "theme" else "tombstone"
        )
    if kind == "promote":
        return f"promoted from the replay {_article_of(found)['provenance']['run']}"
    if kind == "prepared":
        return _prepared_step(found, records, dedupe_offsets)
    if kind == "unique":
        of = f" of {value['updates']}" if value["verdict"] == "update" else ""
        return f"{value['verdict']}{of}, version {value['version']}"
    if kind == "duplicate":
        first = "; it was published first, but arrived later" if value["published_first"] else ""
        return f"duplicate of {value['duplicate_of']}: {value['method']}, similarity {value['similarity']:.2f}{first}"
    if kind in ("enriched", "theme"):
        if kind == "theme":
            score = next((t for t in value["themes"] if f"news.theme.{t['theme']}." in found.topic), None)
            return f"score {score['score']:.2f}: {', '.join(score['evidence'])}" if score else "in this theme"
        themes = ", ".join(f"{theme['theme']} {theme['score']:.2f}" for theme in value["themes"]) or "no theme"
        degraded = f"; degraded: {', '.join(value['degraded'])}" if value["degraded"] else ""
        return f"{value['kind']}, {themes}{degraded}"
    like = "" if value["similarity"] is None else f" (similarity {value['similarity']:.2f})"
    return f"story {value['story_id']} {value['event']}: {value['reason']}{like}"


def _prepared_step(found: Found, records: list[Found], dedupe_offsets: dict[TopicPartition, int]) -> str:
    """What dedupe made of one arrival: it writes nothing for a repeat or a stale one."""
    article = _article_of(found)
    origin = article["provenance"]
    promotion = (found.value or {}).get("promotion")
    what = "cleaned"
    if promotion is not None:
        before = promotion["replaces"]
        what = "of a replay, new to live" if before is None else f"of a replay, for version {before} of live"
    decided = [*_of_kind(records, "unique"), *_of_kind(records, "duplicate")]
    # the same promotion may have been sent again: what came of the first one is older
    since = 0 if promotion is None else found.time_ms
    if any(record.value and record.value["provenance"] == origin and record.time_ms >= since for record in decided):
        return what
    if found.offset >= dedupe_offsets.get(TopicPartition(found.topic, found.partition), 0):
        return f"{what}; dedupe has not read it yet"
    if promotion is not None:
        return f"{what}; stale: live has decided on it since"
    hashes = {record.value["content_hash"] for record in _of_kind(records, "unique") if record.value}
    return "cleaned; repeat: the same text" if article["content_hash"] in hashes else "cleaned; repeat or stale"


# ---- what the texts share ---------------------------------------------------------------------------------------


async def _relations(
    client: Any,
    settings: Settings,
    unique: list[TopicPartition],
    enriched: list[TopicPartition],
    records: list[Found],
    rulebook: Any,
) -> list[Relation]:
    """The article that the last verdict names, or the version that a revision replaced, with the texts compared."""
    relations = []
    versions = [record.value for record in _of_kind(records, "unique") if record.value]
    copies = [record.value for record in _of_kind(records, "duplicate") if record.value]
    if copies:
        copy = copies[-1]
        original = await _text_of(client, unique, enriched, copy["duplicate_of"], copy["version"])
        mine = await _copy_text(client, settings, records, copy, rulebook)
        relations.append(_relation("duplicate", copy["duplicate_of"], original, mine, rulebook))
    if versions and versions[-1]["updates"]:
        newest = versions[-1]
        earlier = await _text_of(client, unique, enriched, newest["updates"], newest["version"])
        relations.append(_relation("update", newest["updates"], earlier, newest["text"], rulebook))
    if len(versions) > 1:
        relations.append(_relation("revision", versions[-2]["id"], versions[-2], versions[-1]["text"], rulebook))
    return relations


def _relation(kind: str, of: str, other: dict[str, Any] | None, text: str | None, rulebook: Any) -> Relation:
    if other is None:
        return Relation(kind, of, None, None, None, None)
    diff = None if text is None else diff_texts(other["text"], text, load_copy_rules(rulebook()))
    return Relation(kind, of, other["title"], other["source"], other["url"], diff)


async def _text_of(
    client: Any, unique: list[TopicPartition], enriched: list[TopicPartition], ident: str, version: int
) -> dict[str, Any] | None:
    """An article as it was at a version: of news.unique, or, where that has expired, as it is in news.enriched."""
    key = ident.encode()
    for partitions in (unique, enriched):
        place = partition_of(partitions[0].topic, key, len(partitions))
        values = [found.value for found in await read_matching(client, [place], lambda r: r.key == key) if found.value]
        before = [value for value in values if value["version"] <= version]
        if values:
            return (before or values)[-1]
    return None


async def _copy_text(
    client: Any, settings: Settings, records: list[Found], copy: dict[str, Any], rulebook: Any
) -> str | None:
    """A copy's text: news.duplicate holds none, so it is that of news.prepared, or the raw record is cleaned again."""
    origin = copy["provenance"]
    for record in _of_kind(records, "prepared"):
        article = _article_of(record)
        if article["provenance"] == origin:
            return str(article["text"])
    raw = await _at(client, origin["topic"], origin["partition"], origin["offset"])
    if raw is None:
        return None
    rules = PrepareRules.from_rulebook(rulebook(), settings.default_timezone)
    try:
        article_again, _ = prepare_article(decode_raw(raw.value), Provenance(**origin), raw.timestamp, rules)
    except Refused:
        return None
    return article_again.article.text
