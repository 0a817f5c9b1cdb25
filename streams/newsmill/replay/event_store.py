"""The events of articles that differ, read from their places in the log → a store on disk, to be read in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final

import cramjam
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.replay.topics import full_name
from newsmill.replay.verdict_table import VerdictTable
from newsmill.settings import Settings

__all__ = ["EventStore", "read_events"]

_IN_MEMORY: Final = 64 << 20  # compressed bytes held in memory; beyond them a file without a name takes all
_FEW: Final = 200  # events sought one by one rather than by reading the topics through
_FETCH_BYTES: Final = 256 << 10


class EventStore:
    """16-byte id → the bytes of an event, compressed, in a temporary file that is gone when the store is closed."""

    def __init__(self) -> None:
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._places: dict[bytes, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> EventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def put(self, ident: bytes, value: bytes) -> None:
        """Keep an event."""
        packed = bytes(cramjam.zstd.compress(value, 3))
        self._places[ident] = (self._end, len(packed))
        self._file.seek(self._end)
        self._file.write(packed)
        self._end += len(packed)

    def get(self, ident: bytes) -> bytes | None:
        """An event, None if it was not found."""
        place = self._places.get(ident)
        if place is None:
            return None
        self._file.seek(place[0])
        return bytes(cramjam.zstd.decompress(self._file.read(place[1])))


async def read_events(
    settings: Settings, shorts: Iterable[str], table: VerdictTable, ids: Iterable[bytes], store: EventStore
) -> None:
    """Put the events behind these articles' verdicts into the store.

    What has gone from the log since (live went on, and the topic was compacted) is not in the store afterwards.
    """
    names = {full_name(settings, short): short == "enriched" for short in shorts}
    wanted: dict[TopicPartition, dict[int, bytes]] = {}
    topic_of = {enriched: name for name, enriched in names.items()}
    count = 0
    for ident in ids:
        seen = table.get(ident)
        if seen is None:
            continue
        place = TopicPartition(topic_of[seen.verdict.enriched], seen.partition)
        wanted.setdefault(place, {})[seen.offset] = ident
        count += 1
    if not wanted:
        return
    if count <= _FEW:
        await _seek(settings, wanted, store)
    else:
        await _scan(settings, wanted, store)


async def _scan(settings: Settings, wanted: dict[TopicPartition, dict[int, bytes]], store: EventStore) -> None:
    async with kafka.consumer(settings) as client:
        async for place, records in kafka.read_range(client, sorted(wanted)):
            offsets = wanted[place]
            for record in records:
                if record.offset in offsets:
                    store.put(offsets[record.offset], record.value)


async def _seek(settings: Settings, wanted: dict[TopicPartition, dict[int, bytes]], store: EventStore) -> None:
    async with kafka.consumer(settings, max_partition_fetch_bytes=_FETCH_BYTES) as client:
        for place in sorted(wanted):
            begin = (await client.beginning_offsets([place]))[place]
            end = (await client.end_offsets([place]))[place]
            client.assign([place])
            for offset in sorted(wanted[place]):
                if not begin <= offset < end:
                    continue
                client.seek(place, offset)
                while await client.position(place) <= offset:
                    for records in (await client.getmany(timeout_ms=500, max_records=1)).values():
                        for record in records:
                            if record.offset == offset:
                                store.put(wanted[place][offset], record.value)
