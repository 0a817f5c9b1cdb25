"""A stage's group and where its input ends → how far the stage has come, and whether nothing is left for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.errors import BrokerError
from newsmill.settings import Settings

__all__ = ["Standing", "begin_groups_at", "read_standing", "settled_ends"]

log = logging.getLogger("newsmill.replay")

_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 5.0
_KNOWN_SECONDS: Final = 30.0
_TELL_SECONDS: Final = 60.0  # transactions of processes that were killed are ended by the broker within ten


class Standing(NamedTuple):
    """Offsets of one stage's input: how many are behind its group, how many there are; ``drained`` if none is left.

    Transaction markers are among the offsets, so ``done`` may stay a few below ``total`` when all is drained.
    """

    done: int
    total: int
    drained: bool


async def read_standing(
    admin: Any,
    client: Any,
    group: str,
    begin: Mapping[TopicPartition, int],
    end: Mapping[TopicPartition, int],
    *,
    probe: bool,
) -> Standing:
    """Where a group stands between begin and end. With ``probe``, look whether only markers are left before the end.

    ``client`` is a read_committed consumer without a group.
    """
    committed = await kafka.group_offsets(admin, group)
    places = {tp: min(max(committed.get(tp, begin[tp]), begin[tp]), end[tp]) for tp in end}
    done = sum(places[tp] - begin[tp] for tp in end)
    total = sum(end[tp] - begin[tp] for tp in end)
    short = {tp: place for tp, place in places.items() if place < end[tp]}
    drained = not short or (probe and await _only_markers(client, short, end))
    return Standing(done, total, drained)


async def _only_markers(client: Any, places: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]) -> bool:
    """Whether no committed record lies between a place and the end of its partition."""
    client.assign(list(places))
    for tp, place in places.items():
        client.seek(tp, place)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PROBE_SECONDS
    while loop.time() < deadline:
        for tp, records in (await client.getmany(timeout_ms=200, max_records=100)).items():
            if any(record.offset < end[tp] for record in records):
                return False
        if all([await client.position(tp) >= end[tp] for tp in places]):
            return True
    return False


async def settled_ends(settings: Settings, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """The ends of topics to which nobody, or somebody with pauses, writes, as soon as no transaction on them is open;
    `BrokerError` for one that the broker does not know.

    A transaction is confirmed before its markers are written: until then its records are there, but not to be read.
    """
    async with (
        kafka.consumer(settings) as committed,
        kafka.consumer(settings, isolation_level="read_uncommitted") as all_,
    ):
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in sorted(await _partitions(committed, topic))
        ]
        loop = asyncio.get_running_loop()
        tell = loop.time() + _TELL_SECONDS
        while True:
            stable = await kafka.end_offsets(committed, partitions)
            ends = await kafka.end_offsets(all_, partitions)
            if stable == ends:
                return stable
            if loop.time() > tell:
                names = ", ".join(f"{tp.topic}-{tp.partition}" for tp in partitions if stable[tp] != ends[tp])
                log.warning("a transaction on %s is still open; its end is waited for", names)
                tell = loop.time() + _TELL_SECONDS
            await asyncio.sleep(_POLL_SECONDS)


async def _partitions(client: Any, topic: str) -> set[int]:
    """The partitions of a topic; asks the broker, and again while it does not know the topic yet."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _KNOWN_SECONDS
    while True:
        found: set[int] | None = client.partitions_for_topic(topic)
        if found:
            return found
        if loop.time() > deadline:
            raise BrokerError(f"the broker does not know the topic {topic}")
        await client._client.add_topic(topic)
        await asyncio.sleep(_POLL_SECONDS)


async def begin_groups_at(settings: Settings, group: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Commit where a group that is not running shall begin; partitions that have an offset keep it."""
    async with kafka.admin_client(settings) as admin:
        there = await kafka.group_offsets(admin, group)
    missing = {tp: offset for tp, offset in offsets.items() if tp not in there}
    if not missing:
        return
    async with kafka.consumer(settings, group_id=group) as client:
        client.assign(list(missing))
        await client.commit(missing)
