"""The events of articles that differ, read from their places in the log → a store on disk, to be read in any order."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final

import cramjam
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.id_table import IdTable
from newsmill.replay.compare import article_key
from newsmill.replay.verdict_table import VerdictTable
from newsmill.settings import Settings
from newsmill.topic_admin import topic_name

__all__ = ["EventStore", "read_events"]

_IN_MEMORY: Final = 64 << 20  # compressed bytes held in memory; beyond them a file without a name takes all
_FEW: Final = 200  # events sought one by one rather than by reading the topics through
_FETCH_BYTES: Final = 256 << 10
_SLICE: Final = struct.Struct("<QI")  # begin and length in the file
_PLACE: Final = struct.Struct("<?iq")  # enriched or duplicate topic, partition, offset


class EventStore:
    """16-byte id → the bytes of an event, compressed, in a temporary file that is gone when the store is closed."""

    def __init__(self) -> None:
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._places = IdTable(_SLICE.size)
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
        self._places.put(ident, _SLICE.pack(self._end, len(packed)))
        self._file.seek(self._end)
        self._file.write(packed)
        self._end += len(packed)

    def get(self, ident: bytes) -> bytes | None:
        """An event, None if it was not found."""
        row = self._places.get(ident)
        if row is None:
            return None
        start, length = _SLICE.unpack(row)
        self._file.seek(start)
        return bytes(cramjam.zstd.decompress(self._file.read(length)))


async def read_events(
    settings: Settings, shorts: Iterable[str], table: VerdictTable, ids: Iterable[bytes], store: EventStore
) -> None:
    """Put the events behind these articles' verdicts into the store.

    What has gone from the log since (live went on, and the topic was compacted) is not in the store afterwards.
    """
    names = {short == "enriched": topic_name(settings, short) for short in shorts}
    wanted = IdTable(_PLACE.size)
    for ident in ids:
        seen = table.get(ident)
        if seen is not None:
            wanted.put(ident, _PLACE.pack(seen.verdict.enriched, seen.partition, seen.offset))
    if 0 < len(wanted) <= _FEW:
        await _seek(settings, names, wanted, store)
    elif len(wanted):
        await _scan(settings, names, wanted, store)


async def _scan(settings: Settings, names: dict[bool, str], wanted: IdTable, store: EventStore) -> None:
    places = set()
    for _, row in wanted.oldest():
        enriched, partition, _ = _PLACE.unpack(row)
        places.add(TopicPartition(names[enriched], partition))
    async with kafka.consumer(settings) as client:
        async for place, records in kafka.read_range(client, sorted(places)):
            enriched = place.topic == names[True]
            for record in records:
                ident = article_key(record.key)
                if ident is not None and wanted.get(ident) == _PLACE.pack(enriched, place.partition, record.offset):
                    store.put(ident, record.value)


async def _seek(settings: Settings, names: dict[bool, str], wanted: IdTable, store: EventStore) -> None:
    found = sorted((*_PLACE.unpack(row), ident) for ident, row in wanted.oldest())
    async with kafka.consumer(settings, max_partition_fetch_bytes=_FETCH_BYTES) as client:
        for enriched, partition, offset, ident in found:
            place = TopicPartition(names[enriched], partition)
            begin = (await client.beginning_offsets([place]))[place]
            end = (await client.end_offsets([place]))[place]
            if not begin <= offset < end:
                continue
            client.assign([place])
            client.seek(place, offset)
            while await client.position(place) <= offset:
                for records in (await client.getmany(timeout_ms=500, max_records=1)).values():
                    for record in records:
                        if record.offset == offset:
                            store.put(ident, record.value)
