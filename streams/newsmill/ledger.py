"""The ledger topic → how many records each stage gave each disposition: what "accounted for" means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.settings import Settings
from newsmill.topics import TOPICS

__all__ = ["LedgerTail", "StageLedger", "read_counts", "read_ledger"]

_MINUTE_MS = 60_000


@dataclass
class StageLedger:
    """What one stage did. Times are milliseconds since the epoch, those of the records that it worked on.

    ``records`` is the sum of ``counts``; ``last_minute`` counts the records of transactions within the last minute
    before ``now_ms``; ``since_ms`` is the time of the first entry that was read, None if there is none.
    """

    counts: dict[str, int] = field(default_factory=dict)
    records: int = 0
    last_minute: int = 0
    since_ms: int | None = None
    last_ms: int | None = None


async def read_counts(settings: Settings) -> dict[str, dict[str, int]]:
    """Stage → disposition → records, over the whole ledger."""
    async with kafka.consumer(settings) as client:
        ledger, _ = await read_ledger(client, settings, 0)
    return {stage: entry.counts for stage, entry in ledger.items()}


async def read_ledger(
    client: Any, settings: Settings, now_ms: int, most: int | None = None
) -> tuple[dict[str, StageLedger], bool]:
    """Stage → what it did, and whether that is all of it: with ``most``, only the last so many offsets are read."""
    partition = TopicPartition(settings.topic_prefix + TOPICS["ledger"].name, 0)
    found: dict[str, StageLedger] = {}
    begin = (await client.beginning_offsets([partition]))[partition]
    end = (await client.end_offsets([partition]))[partition]
    start = begin if most is None else max(begin, end - most)
    async for record in _records(client, partition, start, end):
        _add(found, record, now_ms)
    return found, start == begin


def _add(found: dict[str, StageLedger], record: Any, now_ms: int) -> None:
    entry = orjson.loads(record.value)
    stage = found.setdefault(entry["stage"], StageLedger())
    for outcome, count in entry["counts"].items():
        stage.counts[outcome] = stage.counts.get(outcome, 0) + count
    stage.records += entry["records"]
    if record.timestamp > now_ms - _MINUTE_MS:
        stage.last_minute += entry["records"]
    stage.since_ms = record.timestamp if stage.since_ms is None else min(stage.since_ms, record.timestamp)
    stage.last_ms = record.timestamp if stage.last_ms is None else max(stage.last_ms, record.timestamp)


class LedgerTail:
    """The ledger from its beginning, read on at every call. ``client`` is a consumer that nobody else uses."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client = client
        self._partition = TopicPartition(settings.topic_prefix + TOPICS["ledger"].name, 0)
        self._found: dict[str, StageLedger] = {}
        self._assigned = False

    async def read(self) -> dict[str, StageLedger]:
        """Stage → what it did by now."""
        if not self._assigned:
            self._client.assign([self._partition])
            await self._client.seek_to_beginning(self._partition)
            self._assigned = True
        while fetched := await self._client.getmany(timeout_ms=0, max_records=5000):
            for records in fetched.values():
                for record in records:
                    _add(self._found, record, 0)
        return self._found

    async def read_to_end(self) -> dict[str, StageLedger]:
        """The same, but up to where the ledger ends now: `read` takes only what the client has at hand."""
        await self.read()
        end = (await self._client.end_offsets([self._partition]))[self._partition]
        while await self._client.position(self._partition) < end:
            for records in (await self._client.getmany(timeout_ms=500, max_records=5000)).values():
                for record in records:
                    _add(self._found, record, 0)
        return self._found


async def _records(client: Any, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    client.assign([partition])
    client.seek(partition, start)
    while await client.position(partition) < end:
        for records in (await client.getmany(timeout_ms=500, max_records=5000)).values():
            for record in records:
                if record.offset < end:
                    yield record
