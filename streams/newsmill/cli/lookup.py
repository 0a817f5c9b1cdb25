"""A key or a place → the committed records there, reading only the partitions that can hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson
from aiokafka.partitioner import murmur2
from aiokafka.structs import TopicPartition

from newsmill import kafka

__all__ = ["Found", "partition_of", "read_matching", "record_at"]


class Found(NamedTuple):
    """One committed record. ``value`` is decoded JSON; None for a tombstone and for what is no JSON object."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    key: str
    value: dict[str, Any] | None
    headers: dict[str, str]
    size: int


def partition_of(topic: str, key: bytes, count: int) -> TopicPartition:
    """The partition that Kafka's default partitioner (murmur2) gives a key."""
    return TopicPartition(topic, (murmur2(key) & 0x7FFFFFFF) % count)


async def read_matching(
    client: Any, partitions: Iterable[TopicPartition], matches: Callable[[Any], bool]
) -> list[Found]:
    """The records that match, of all these partitions, in the order of each log; only those are decoded."""
    found = []
    async for _, records in kafka.read_range(client, list(partitions)):
        found += [_found(record) for record in records if matches(record)]
    return found


async def record_at(client: Any, partition: TopicPartition, offset: int) -> Any:
    """The committed record at an offset; None if it has expired or never was."""
    begin = (await client.beginning_offsets([partition]))[partition]
    end = (await client.end_offsets([partition]))[partition]
    if not begin <= offset < end:
        return None
    client.assign([partition])
    client.seek(partition, offset)
    while await client.position(partition) <= offset:
        for records in (await client.getmany(timeout_ms=500, max_records=1)).values():
            for record in records:
                return record if record.offset == offset else None
    return None


def _found(record: Any) -> Found:
    try:
        value = orjson.loads(record.value) if record.value is not None else None
    except orjson.JSONDecodeError:
        value = None
    return Found(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        (record.key or b"").decode("utf-8", "backslashreplace"),
        value if isinstance(value, dict) else None,
        {name: (content or b"").decode("utf-8", "backslashreplace") for name, content in record.headers},
        len(record.value or b""),
    )
