"""A partition of a compacted state topic → the state that it holds, and the input offset at which it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.stage import State
from newsmill.settings import Settings
from newsmill.transport.envelope import STATE_OFFSET_KEY, read_state_offset

__all__ = ["rebuild_state"]


async def rebuild_state(
    settings: Settings, topic: str, partition: int, new_state: Callable[[], State]
) -> tuple[State, int | None]:
    """Read every committed record of the partition; the offset is None if none was ever committed.

    A thread folds what was read, some thousands of records at a time: the event loop, and with it every other
    partition of the process, goes on meanwhile.
    """
    state = new_state()
    offset: int | None = None
    async with kafka.consumer(settings) as client:
        async for _, records in kafka.read_range(client, [TopicPartition(topic, partition)]):
            changes: list[tuple[bytes, bytes | None]] = []
            for record in records:
                if record.key == STATE_OFFSET_KEY:
                    offset = read_state_offset(record.value)
                else:
                    changes.append((record.key, record.value))
            await asyncio.to_thread(state.load_all, changes)
    await asyncio.to_thread(state.loaded)
    return state, offset
