"""Promotions that were written → what live's dedupe made of them, once its stages are past them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.cli.flow import describe_group
from newsmill.core.comparison import Verdict
from newsmill.replay.compare import read_verdicts
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics

__all__ = ["Judged", "await_judgement", "count_judgements", "judgement"]

# the way of a promotion: each stage with the topic it reads
_HOPS: Final = (("prepare", "promote"), ("dedupe", "prepared"), ("enrich", "unique"))
_PATIENCE: Final = 60.0  # seconds without progress after which nobody need wait any longer
_POLL: Final = 0.2


class Judged(NamedTuple):
    """The offset of news.promote before which live has judged everything and shows it; or 0, and why it has not."""

    before: int
    why: str | None


async def await_judgement(settings: Settings, progress: Callable[[str, int], None]) -> Judged:
    """Wait until every stage has read what its topic held when the stage before was done.

    Nobody should wait for a stage that has no worker or does not move. ``progress`` is told the stage and how many
    offsets it has left.
    """
    end = 0
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings, fetch_max_wait_ms=50) as client:
        partitions = await partitions_of_topics(admin, settings, [topic for _, topic in _HOPS])
        for stage, topic in _HOPS:
            places = partitions[topic]
            begins, ends = await client.beginning_offsets(places), await client.end_offsets(places)
            if topic == "promote":
                end = sum(ends.values())  # it has one partition
            least, moved = None, time.monotonic()
            while True:
                group = await describe_group(admin, kafka.group_name(settings, stage))
                at = {place: group.offsets.get(place, begins[place]) for place in places}
                left = sum([await _unread(client, place, at[place], ends[place]) for place in places])
                progress(stage, left)
                if not left:
                    break
                if not group.members:
                    return Judged(0, f"no worker runs {stage}")
                if least is None or left < least:
                    least, moved = left, time.monotonic()
                elif time.monotonic() - moved > _PATIENCE:
                    return Judged(0, f"{stage} has not moved for {_PATIENCE:g} s")
                await asyncio.sleep(_POLL)
    return Judged(end, None)


async def _unread(client: Any, place: TopicPartition, at: int, end: int) -> int:
    """Offsets from the first record that is not read to the end; 0 if only transaction markers follow."""
    if at >= end:
        return 0
    client.assign([place])
    client.seek(place, at)
    while await client.position(place) < end:
        for records in (await client.getmany(timeout_ms=200, max_records=1)).values():
            if records:
                return max(0, end - int(records[0].offset))
    return 0


async def count_judgements(settings: Settings, name: str, replaces: Mapping[bytes, int | None]) -> Counter[str]:
    """Outcome → promotions, by what live says now of the articles; ``replaces`` as in `Sent`."""
    table = await read_verdicts(settings, ("enriched", "duplicate"), lambda ident, version: ident in replaces)
    counts: Counter[str] = Counter()
    for ident, version in replaces.items():
        seen = table.get(ident)
        counts[judgement(name, version, seen.verdict if seen else None)] += 1
    return counts


def judgement(name: str, replaced: int | None, verdict: Verdict | None) -> str:
    """What became of one promotion: live's event names the replay if it took it, else it was stale."""
    if verdict is None or verdict.run != name or verdict.version == replaced:
        return "stale"
    if not verdict.enriched:
        return "duplicate"
    return "original" if replaced is None else "revision"
