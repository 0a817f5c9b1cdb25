"""Fetched record batches of aiokafka → one Faust message a batch.

Stock Faust makes four asyncio tasks a record (160-200 µs of CPU); one message a batch keeps its agents, rebalances and
flow control at a thousandth of that. Each batch says where it begins and ends in the log, so that a hole or an overlap
cannot pass unnoticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.transport.drivers.aiokafka import Consumer as FaustConsumer
from faust.transport.drivers.aiokafka import Transport as FaustTransport
from faust.types.tuples import ConsumerMessage

__all__ = ["Batch", "BatchTransport", "RebalanceHooks"]

# A partition whose buffer is full is asked for again after this many seconds. (Faust sleeps a whole second.)
_BUFFERS_FULL_SECONDS = 0.02
# aiokafka's OffsetResetStrategy: -1 latest, -2 earliest, 0 none
_RESET_NONE, _RESET_EARLIEST = 0, -2


class Batch(NamedTuple):
    """Consecutive records of one partition.

    ``start`` is the position before the first record, ``next`` the position after the last one; both may lie past
    transaction markers. The ``start`` of a batch is the ``next`` of the one before, or the offset sought.
    """

    topic: str
    partition: int
    generation: int
    start: int
    next: int
    records: list[Any]


class RebalanceHooks(Protocol):
    """What the stage shell does around a rebalance; an error in any of these ends the process."""

    async def before_revoked(self) -> None:
        """Settle what is in flight and close the producers."""

    async def before_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Fence predecessors: called before the committed offsets are read."""

    async def after_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Called when the committed offsets have been read; must not block."""

    def lost_position(self, error: BaseException) -> None:
        """The log no longer holds the offset that is due: ends the process."""

    def fail(self, error: BaseException) -> None:
        """End the process."""


class _Thread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer: builds it, and notes positions with what it fetches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positions: dict[TopicPartition, int] = {}
        self.sought: Any = None  # the assignment that positions are of
        self._finished: set[TopicPartition] = set()

    def _create_worker_consumer(self, transport: BatchTransport) -> aiokafka.AIOKafkaConsumer:
        return aiokafka.AIOKafkaConsumer(
            group_id=self.app.conf.id,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **transport.consumer_options,
        )

    def finish(self, tp: TopicPartition) -> None:
        """Fetch no more of a partition, until the next assignment. Any thread may call it."""
        self._finished.add(tp)

    def allow_reset(self) -> None:
        """Until positions are set again: a group that never committed begins at its earliest record."""
        self._ensure_consumer()._fetcher._default_reset_strategy = _RESET_EARLIEST

    async def seek_to_committed(self) -> dict[TopicPartition, int]:
        """Seek every assigned partition to its committed offset, or to its beginning where there is none.

        aiokafka's own does not seek where the offset is 0 or absent. A fetch that began before the rebalance may have
        taken the first records of such a partition meanwhile, and they would be lost without a trace (measured: 5 of
        1,195 records that were written while a second worker joined).
        """
        sought: dict[TopicPartition, int] = await self.call_thread(self._seek_all, self._ensure_consumer())
        return sought

    async def _seek_all(self, consumer: aiokafka.AIOKafkaConsumer) -> dict[TopicPartition, int]:
        subscription = consumer._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or not assignment.tps:
            self.positions = {}
            return {}
        committed = {tp: await consumer.committed(tp) for tp in sorted(assignment.tps)}
        fresh = [tp for tp, offset in committed.items() if offset is None]
        due = committed | (await consumer.beginning_offsets(fresh) if fresh else {})
        if not assignment.active:
            return {}
        # no await from here on: positions and sought belong together
        self.positions = due
        self._finished.clear()
        for tp, offset in due.items():
            consumer._fetcher.seek_to(tp, offset)
        self.sought = assignment
        # Every position is set. From now on an offset that is out of range means that records expired unread or that
        # the topic was made anew: beginning elsewhere would lose or double them, so the stage stops instead.
        consumer._fetcher._default_reset_strategy = _RESET_NONE
        return due

    def standing(self, tp: TopicPartition) -> tuple[int | None, int | None]:
        """The position behind what was handed out since the last seek, and the client's own, past any markers."""
        subscription = self._consumer._subscription.subscription if self._consumer is not None else None
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        return self.positions.get(tp), state._position if state is not None else None

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TopicPartition],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TopicPartition, Batch]:
        left = active_partitions - self._finished if self._finished else active_partitions
        if not left:  # aiokafka would take no partition for all of them
            await asyncio.sleep(timeout if timeout is not None else _BUFFERS_FULL_SECONDS)
            return {}
        fetched = await super()._fetch_records(consumer, left, timeout, max_records)
        subscription = consumer._subscription.subscription
        batches: dict[TopicPartition, Batch] = {}
        if not fetched or subscription is None or subscription.assignment is None:
            return batches
        if subscription.assignment is not self.sought:
            return batches  # its positions are not set yet: the seek to come fetches these again
        generation = self.app.consumer_generation_id
        # no await since the records were taken: the position is the one behind them
        for tp, records in fetched.items():
            state = subscription.assignment.state_value(tp)
            if state is None or not records:
                continue
            after = max(state.position, records[-1].offset + 1)
            batches[tp] = Batch(tp.topic, tp.partition, generation, self.positions[tp], after, records)
            self.positions[tp] = after
        return batches

    def check_errors(self) -> None:
        """Raise what the group coordinator refused for good (a wrong session timeout, a missing right, a taken name).

        aiokafka parks its group until somebody asks; Faust never does.
        """
        if self._consumer is not None:
            self._consumer._coordinator.check_errors()

    async def on_thread_stop(self) -> None:
        consumer = self._consumer
        if consumer is not None:
            # A static member does not say goodbye by itself: the others would wait for its session to time out.
            consumer._coordinator._group_instance_id = None
        await super().on_thread_stop()


class _Consumer(FaustConsumer):  # type: ignore[misc]
    """Faust's consumer with one message a batch, and with hooks around a rebalance."""

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    @property
    def hooks(self) -> RebalanceHooks:
        hooks: RebalanceHooks = self.transport.hooks
        return hooks

    async def check_errors(self) -> None:
        """Raise what the group coordinator refused for good."""
        await self._thread.call_thread(self._thread.check_errors)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        # aiokafka logs and drops what a rebalance callback raises: an error here must end the process instead
        try:
            await self.hooks.before_revoked()
            self._thread.allow_reset()
            await super().on_partitions_revoked(revoked)
        except Exception as error:
            self.hooks.fail(error)
            raise

    async def on_partitions_assigned(self, assigned: set[TopicPartition], generation_id: int = 0) -> None:
        try:
            await self.hooks.before_assigned(assigned, generation_id)
            # Faust seeks to the committed offsets after this, in a task of its own: behind the fencing, so that no
            # predecessor can commit unseen (the other order cost 1,200 doubles and 811 losses in a measured rebalance)
            await super().on_partitions_assigned(assigned, generation_id)
            await self.hooks.after_assigned(assigned, generation_id)
        except Exception as error:
            self.hooks.fail(error)
            raise

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if self.flow_active and not self._get_active_partitions():
            await self.sleep(_BUFFERS_FULL_SECONDS)
            return {}, set()
        return await super()._wait_next_records(timeout)  # type: ignore[no-any-return]

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, ConsumerMessage]]:
        try:
            batches, active = await self._wait_next_records(timeout)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            self.hooks.lost_position(error)
            raise
        if batches is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        generation = self.app.consumer_generation_id
        for tp, batch in batches.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            if active is None or tp in active or tp in self._buffered_partitions:
                last = batch.records[-1]
                yield tp, ConsumerMessage(
                    tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type, (), None, batch,
                    None, 0, 0, tp, generation_id=generation,
                )  # fmt: skip


class BatchTransport(FaustTransport):  # type: ignore[misc]
    """The Faust transport of one stage; ``hooks`` and ``consumer_options`` are set before the app starts."""

    Consumer = _Consumer
    hooks: RebalanceHooks
    consumer_options: dict[str, Any]


async def wait_all(tasks: set[asyncio.Task[None]], seconds: float) -> bool:
    """Wait for tasks; whether all of them ended in time."""
    if not tasks:
        return True
    _, pending = await asyncio.wait(set(tasks), timeout=seconds)
    return not pending
