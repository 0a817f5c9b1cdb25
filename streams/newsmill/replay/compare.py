"""The topics of live and of a replay → a `Comparison`: which articles differ, how, and by how much.

Every event is read once and only its verdict kept; the values of articles that differ are read afterwards
(`read_events`), by their place in the log.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import orjson

from newsmill import kafka
from newsmill.core.comparison import (
    Kind,
    Verdict,
    changed_fields,
    compare_verdicts,
    duplicate_verdict,
    enriched_verdict,
    theme_moves,
)
from newsmill.core.times import format_utc
from newsmill.errors import NewsmillError
from newsmill.replay.plan import ReplayPlan, replay_settings, write_entry
from newsmill.replay.verdict_table import Seen, VerdictTable
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics

__all__ = [
    "DIFF_KEY",
    "Comparison",
    "Moves",
    "article_key",
    "compare",
    "event_topics",
    "read_verdicts",
    "write_counts",
]

DIFF_KEY: Final = "diff"
"""The manifest's entry of the last comparison: ``{"kinds": {kind: articles}, "at": time}``."""

_READERS: Final = {"enriched": enriched_verdict, "duplicate": duplicate_verdict}
# a version is the raw record's time, raised by 1 ms for each promotion and each revision within one millisecond
_RAISED_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Moves:
    """How many articles enter and leave a theme."""

    entered: int
    left: int


@dataclass(frozen=True)
class Comparison:
    """What differs between live and a replay.

    ``kinds`` counts the articles of every kind, ``fields`` the changed articles in which a content field differs,
    ``moves`` articles by theme; ``ids`` has, for each kind but "same", the 16-byte ids in ascending order.
    """

    plan: ReplayPlan
    kinds: dict[Kind, int]
    fields: dict[str, int]
    moves: dict[str, Moves]
    ids: dict[Kind, list[bytes]]
    live: VerdictTable
    replay: VerdictTable

    @property
    def counts(self) -> dict[str, int]:
        """Articles by the name of their kind."""
        return {kind.value: count for kind, count in self.kinds.items()}

    def differing(self) -> Iterator[tuple[bytes, Kind]]:
        """All ids that differ, in ascending order."""
        return heapq.merge(*(zip(ids, repeat(kind)) for kind, ids in self.ids.items()))

    def pair(self, ident: bytes) -> tuple[Verdict | None, Verdict | None]:
        """What live and what the replay say of an article."""
        live, replay = self.live.get(ident), self.replay.get(ident)
        return live.verdict if live else None, replay.verdict if replay else None


async def write_counts(settings: Settings, comparison: Comparison) -> None:
    """Write the counts and the present time into the replay's manifest."""
    entry = {"kinds": comparison.counts, "at": format_utc(int(time.time() * 1000))}
    await write_entry(settings, comparison.plan.name, DIFF_KEY, entry)


def article_key(key: bytes | None) -> bytes | None:
    """The 16-byte id that a record's key spells; None if it spells none."""
    if key is None or len(key) != 32:
        return None
    try:
        ident = bytes.fromhex(key.decode("ascii"))
    except ValueError:
        return None
    return ident if len(ident) == 16 else None


def event_topics(plan: ReplayPlan, *, live: bool) -> tuple[str, ...]:
    """Short names of the topics that hold verdicts; a replay without dedupe has no duplicates."""
    return ("enriched", "duplicate") if live or "dedupe" in plan.stages else ("enriched",)


async def compare(settings: Settings, plan: ReplayPlan) -> Comparison:
    """Compare a replay with live as both stand now. ``settings`` are live's.

    Raises `NewsmillError` for a replay that has no events to compare: its stages do not include enrich.
    """
    if "enrich" not in plan.stages:
        raise NewsmillError(
            f"replay {plan.name} ran {', '.join(plan.stages)} without enrich, so it has no events to compare"
        )
    theirs = replay_settings(settings, plan.name)
    replay = await read_verdicts(theirs, event_topics(plan, live=False), lambda ident, version: True)
    from_ms, to_ms = plan.from_ms, plan.to_ms + _RAISED_MS

    def wanted(ident: bytes, version: int) -> bool:
        return from_ms <= version < to_ms or ident in replay

    live = await read_verdicts(settings, event_topics(plan, live=True), wanted)
    return _tally(plan, live, replay)


def _tally(plan: ReplayPlan, live: VerdictTable, replay: VerdictTable) -> Comparison:
    kinds: Counter[Kind] = Counter(dict.fromkeys(Kind, 0))
    fields: Counter[str] = Counter()
    entered: Counter[str] = Counter()
    left: Counter[str] = Counter()
    ids: dict[Kind, list[bytes]] = {kind: [] for kind in Kind if kind is not Kind.SAME}
    for ident, ours, new in _pairs(live, replay):
        expected = ours is not None and _replayed(plan, ours)
        kind = compare_verdicts(ours, new, expected=expected, by_version=plan.stages[0] == "enrich")
        if kind is None:
            continue
        kinds[kind] += 1
        if kind is not Kind.SAME:
            ids[kind].append(ident)
        if kind is Kind.CHANGED and ours is not None and new is not None:
            fields.update(changed_fields(ours, new))
            comes, goes = theme_moves(ours.themes, new.themes)
            entered.update(comes)
            left.update(goes)
    for found in ids.values():
        found.sort()
    moves = {theme: Moves(entered[theme], left[theme]) for theme in sorted(entered.keys() | left.keys())}
    ranked = sorted(fields.items(), key=lambda item: (-item[1], item[0]))
    return Comparison(plan, dict(kinds), dict(ranked), moves, ids, live, replay)


def _pairs(live: VerdictTable, replay: VerdictTable) -> Iterator[tuple[bytes, Verdict | None, Verdict | None]]:
    for ident, seen in replay:
        known = live.get(ident)
        yield ident, known.verdict if known else None, seen.verdict
    for ident, seen in live:
        if ident not in replay:
            yield ident, seen.verdict, None


def _replayed(plan: ReplayPlan, verdict: Verdict) -> bool:
    """Whether the replay should have had an event of this article: live made its own from a record of the range.

    An archive is not what live read, copies are found by dedupe alone, and what live made of later records is no
    concern of the replay.
    """
    if ".news.archive." in f".{plan.source_topic}" or not (verdict.enriched or "dedupe" in plan.stages):
        return False
    return plan.from_ms <= verdict.time_ms < plan.closed_ms


async def read_verdicts(
    settings: Settings, shorts: Iterable[str], wanted: Callable[[bytes, int], bool]
) -> VerdictTable:
    """The latest verdict of every article that is ``wanted``, by id and version; other records are not parsed."""
    table = VerdictTable()
    async with kafka.admin_client(settings) as admin:
        partitions = await partitions_of_topics(admin, settings, shorts)
    async with kafka.consumer(settings) as client:
        for short, places in partitions.items():
            read = _READERS[short]
            async for _, records in kafka.read_range(client, places):
                for record in records:
                    ident = article_key(record.key)
                    if ident is None or not wanted(ident, _version(record)):
                        continue
                    if record.value is None:
                        table.withdraw(ident)
                        continue
                    table.add(ident, Seen(_verdict(read, record), record.partition, record.offset))
    return table


def _version(record: Any) -> int:
    """The event's version, by its CloudEvents id (`ID-VERSION`): the Kafka time of a promoted event is a later one."""
    for name, value in record.headers:
        if name == "ce_id":
            _, _, version = value.rpartition(b"-")
            if version.isdigit():
                return int(version)
    return int(record.timestamp)


def _verdict(read: Callable[[Any], Verdict], record: Any) -> Verdict:
    try:
        return read(orjson.loads(record.value))
    except (ValueError, KeyError, TypeError) as error:
        raise NewsmillError(
            f"{record.topic}-{record.partition} offset {record.offset} is no event of newsmill "
            f"({type(error).__name__}: {error}), so nothing can be compared"
        ) from error
