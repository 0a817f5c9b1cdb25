"""The shell around a stage: decode → process → one transaction → count; written once for all stages.

It keeps, for each assigned partition, a fenced transactional producer, the next offset that is due, and the state of an
ordered stage. Whatever does not end in a confirmed commit ends the process: in-memory state is not trusted after an
abort, and the parent starts the process again.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import faust
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.stage import Context, Facts, Record, State
from newsmill.errors import NewsmillError, Reason, Refused, StateMismatch
from newsmill.events import Outcome
from newsmill.marker import Marker
from newsmill.metrics import Metrics
from newsmill.settings import Settings
from newsmill.topics import Topic, unsorted_short
from newsmill.transport.bounded import ORDER_HEADER, Bounds, Pace, arrival_of, order_of, time_of_order
from newsmill.transport.consumer import Batch, wait_all
from newsmill.transport.envelope import STATE_OFFSET_KEY, Envelopes, decode_record, state_offset
from newsmill.transport.rebuild import rebuild_state
from newsmill.transport.stage import Stage
from newsmill.transport.transaction import Item, Writer

__all__ = ["StageShell"]

log = logging.getLogger("newsmill.shell")

# The rebalance callback may take 3 s in all: no heartbeat leaves until it returns.
_FENCE_SECONDS = 3.0
_FENCE_SECONDS_EACH = 0.06  # 64 producers took 2.6 s on an idle machine of two cores
_SETTLE_SECONDS = 3.0
_CLOSE_SECONDS = 2.0
# A transaction is closed after so much work, and within it the loop turns every slice: other partitions of this
# process have transactions open meanwhile, and the broker gives each of them only ten seconds.
_WORK_SECONDS = 0.4
_SLICE_SECONDS = 0.01


@dataclass(eq=False)
class _Partition:
    """What the process holds for one assigned input partition. ``source`` is the index of its topic among the stage's.

    ``committed`` is the offset that the group has; ``position`` is where the next batch must begin.
    """

    tp: TopicPartition
    source: int
    writer: Writer
    generation: int
    ready: asyncio.Future[None]
    kept: tuple[int | None, State] | None
    committed: int | None = None
    position: int | None = None
    state: State | None = None
    task: asyncio.Task[None] | None = None
    revoked: bool = False

    @property
    def number(self) -> int:
        """The partition's number in its topic, and in the state topic."""
        number: int = self.tp.partition
        return number


@dataclass(eq=False)
class _Work:
    """What one transaction has gathered so far. ``seconds`` is the time that this partition's work took."""

    records: list[Any] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    changes: list[Item] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    raw_times: list[int] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class StageShell:
    """Runs one stage in one process. ``fail_process`` never returns: it ends the process."""

    stage: Stage
    settings: Settings
    context: Context
    topics: dict[str, Topic]
    metrics: Metrics
    marker: Marker
    fail_process: Callable[[BaseException], NoReturn]
    crashers: frozenset[tuple[int, int, int]] = frozenset()  # partition, offset, index of the source
    bounds: Bounds | None = None
    app: faust.App | None = None
    _partitions: dict[TopicPartition, _Partition] = field(default_factory=dict)
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    _kept: dict[TopicPartition, tuple[int | None, State]] = field(default_factory=dict)
    _taking: bool = False  # from the first assignment on, but not during a rebalance
    _draining: bool = False

    def __post_init__(self) -> None:
        source = self.topics[self.stage.source]
        first = self.bounds if self.bounds is not None and self.bounds.first == self.stage.name else None
        if first is not None:
            source = replace(source, name=first.topic)
        self.group = kafka.group_name(self.settings, self.stage.name)
        self._first = first
        written = self.topics
        if self.bounds is not None:  # what goes to an ordered stage is sorted first
            written = self.topics | {short: self.topics[unsorted_short(short)] for short in self.stage.sinks}
        self._envelopes = Envelopes(self.stage.name, source, written, self.settings, self.context.newsmill_version)
        self.sources = tuple(self._envelopes.names[short] for short in self.stage.sources)
        if first is not None:
            self.sources = (first.topic,)
        self._state_topic = self._envelopes.names[self.stage.state_topic] if self.stage.state_topic else ""
        self._marker_index = self.marker.stages.index(self.stage.name)
        self._batch_records = min(self.stage.batch_records, self.settings.batch_max_records)
        self._batch_bytes = self.settings.batch_max_kib << 10 or self.stage.batch_bytes
        rate = self.bounds.rates.get(self.stage.name) if self.bounds is not None else None
        self._pace = Pace(rate) if rate is not None else None
        if self._pace is not None:
            self._batch_records = min(self._batch_records, self._pace.most)

    # ---- life -------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> NoReturn:
        """End the process: the parent decides from the exit code what comes next."""
        self.fail_process(error)

    @property
    def ready(self) -> bool:
        """Whether every assigned partition has its state and is consumed."""
        return self._taking and all(part.ready.done() for part in self._partitions.values())

    def places(self) -> list[tuple[TopicPartition, int | None]]:
        """Where each assigned partition stands: the next offset to work on, None before any is known.

        Past transaction markers, if nothing waits before them. Reads plain values only: any thread may ask.
        """
        if self.app is None:
            return []
        standing = []
        for part in list(self._partitions.values()):
            tp = part.tp
            due = part.committed if part.committed is not None else part.position
            delivered, position = self.app.consumer._thread.standing(tp)
            if position is not None and due is not None and delivered is not None and due >= delivered:
                due = max(due, position)  # all that was handed out is committed
            standing.append((tp, due))
        return standing

    async def drain(self, seconds: float = 10.0) -> None:
        """Finish the transaction in hand, begin no other."""
        self._taking = False
        self._draining = True
        for part in self._partitions.values():
            _revoke(part)
        if not await wait_all(self._in_flight, seconds):
            self.fail(TimeoutError(f"{self.stage.name}: the transaction in hand did not end within {seconds:g} s"))
        await self._close_writers()

    async def handle(self, batch: Batch) -> None:
        """One batch from Faust: processed wholly, or dropped because a rebalance will deliver it again."""
        part = self._partitions.get(TopicPartition(batch.topic, batch.partition))
        if part is None or part.generation != batch.generation or not self._taking:
            return
        task = asyncio.create_task(self._take(part, batch))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        # Faust cancels the agent at a rebalance; a transaction under way must end first
        await asyncio.shield(task)

    # ---- rebalance --------------------------------------------------------------------------------------------

    async def before_revoked(self) -> None:
        """Finish the transaction in hand, then close the producers; the state is kept for a quick return."""
        self._taking = False
        for part in self._partitions.values():
            _revoke(part)
        await self._settle()
        self._kept = {
            part.tp: (part.committed, part.state) for part in self._partitions.values() if part.state is not None
        }
        await self._close_writers()

    async def before_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Initialise a producer for every partition, which fences whoever wrote for it before."""
        await self._settle()
        await self._close_writers()
        shorts = dict(zip(self.sources, ("", *self.stage.more_sources), strict=True))
        names = self._envelopes.names
        writes = [names[short] for short in (*self.stage.sinks, "deadletter", "ledger")]
        if self._state_topic:
            writes.append(self._state_topic)
        options = kafka.client_options(self.settings)
        loop = asyncio.get_running_loop()
        counts: dict[str, int] = {}
        made = {
            tp: Writer(
                options,
                kafka.transactional_id(self.settings, self.stage.name, tp.partition, shorts[tp.topic]),
                self.settings.transaction_timeout_ms,
                counts,
            )
            for tp in sorted(TopicPartition(*tp) for tp in partitions)  # Faust's are a type of its own
            if tp.topic in shorts
        }
        seconds = max(_FENCE_SECONDS, _FENCE_SECONDS_EACH * len(made))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(writer.start() for writer in made.values()))
                for writer in list(made.values())[:1]:
                    counts |= await writer.count_partitions(writes)
        except TimeoutError as error:
            raise TimeoutError(f"{self.stage.name}: producers were not ready within {seconds:g} s") from error
        self._partitions = {
            tp: _Partition(
                tp, self.sources.index(tp.topic), writer, generation, loop.create_future(), self._kept.get(tp)
            )
            for tp, writer in made.items()
        }
        self._kept = {}
        self._taking = not self._draining

    async def after_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Begin to read offsets and state in tasks of their own: no heartbeat leaves while a callback runs."""
        self.metrics.assigned(self.stage.name, [tp.partition for tp in self._partitions])
        names = [f"{self.stage.sources[part.source]}-{part.number}" for part in self._partitions.values()]
        log.info("%s: partitions %s assigned", self.stage.name, ", ".join(names) or "none")
        if self._draining:
            return  # nothing begins any more, and the consumer may be gone in the middle of it
        for part in self._partitions.values():
            part.task = asyncio.create_task(self._prepare(part))

    def lost_position(self, error: BaseException) -> NoReturn:
        """The offset that is due is outside the log."""
        self.fail(self._out_of_range(str(error)))

    def _out_of_range(self, what: str) -> StateMismatch:
        if self._first is not None:
            return StateMismatch(
                f"{self.stage.name}: records of the replay's range are gone ({what}): they expired meanwhile; "
                f"`newsmill replay drop {self._first.run}`, then replay what is left"
            )
        return StateMismatch(
            f"{self.stage.name}: the committed offset is outside the log ({what}): records expired unread, or the "
            f"topic was made anew; {self._begin_again('begins again at what there is')}"
        )

    def _begin_again(self, effect: str) -> str:
        """What a person can do; a replay has no stage to reset, and the one of its name is live's."""
        if self.bounds is not None:
            return f"`newsmill replay drop {self.bounds.run}`, then run it again"
        return f"`newsmill reset {self.stage.name}` {effect}"

    async def _settle(self) -> None:
        if not await wait_all(self._in_flight, _SETTLE_SECONDS):
            self.fail(
                TimeoutError(f"{self.stage.name}: the transaction in hand outlived the revocation of its partition")
            )

    async def _close_writers(self) -> None:
        parts, self._partitions = list(self._partitions.values()), {}
        stops = (asyncio.wait_for(part.writer.stop(), _CLOSE_SECONDS) for part in parts)
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(error, BaseException):
                log.warning("%s: a producer did not close cleanly: %s", self.stage.name, type(error).__name__)

    # ---- offsets and state ------------------------------------------------------------------------------------

    async def _prepare(self, part: _Partition) -> None:
        """Read the committed offset, check it, rebuild the state, and check one against the other."""
        began = time.monotonic()
        try:
            begin = await self._read_offsets(part)
            if self.stage.new_state is not None:
                if part.kept is not None and part.kept[0] == part.committed:
                    part.state = part.kept[1]  # nobody committed since: it is what it was
                else:
                    part.state = await self._rebuild(part.number, part.committed)
                    self.metrics.rebuilt(self.stage.name, part.number, time.monotonic() - began)
                self.metrics.state(self.stage.name, part.number, part.state)
            part.kept = None
            part.position = begin if part.committed is None else part.committed
            part.ready.set_result(None)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the process must begin again
            if not part.revoked:
                self.fail(error)

    async def _read_offsets(self, part: _Partition) -> int:
        """Set ``part.committed`` to what the group has, None if nothing; returns the beginning of the log."""
        assert self.app is not None
        thread: Any = self.app.consumer._thread
        client = thread._ensure_consumer()
        tp = part.tp
        committed: int | None = await thread.call_thread(client.committed, tp)
        begin: int = (await thread.call_thread(client.beginning_offsets, [tp]))[tp]
        if committed is not None:
            end = (await thread.call_thread(client.end_offsets, [tp]))[tp]
            if not begin <= committed <= end:
                raise self._out_of_range(f"{committed} of {tp.topic}-{tp.partition}, which has {begin} to {end}")
        part.committed = committed
        return begin

    async def _rebuild(self, number: int, committed: int | None) -> State:
        assert self.stage.new_state is not None
        state, offset = await rebuild_state(self.settings, self._state_topic, number, self.stage.new_state)
        if offset != committed:
            raise StateMismatch(
                f"{self.stage.name}: the state of partition {number} stands at offset {offset}, its group at "
                f"{committed}: somebody reset one without the other; {self._begin_again('resets both')}"
            )
        return state

    # ---- work -------------------------------------------------------------------------------------------------

    async def _take(self, part: _Partition, batch: Batch) -> None:
        """Work a batch off in one or several transactions; what is left at a revocation is delivered again."""
        try:
            try:
                await asyncio.shield(part.ready)
            except asyncio.CancelledError:
                if part.revoked:
                    return
                raise
            if batch.start != part.position:
                raise RuntimeError(
                    f"{self.stage.name}: {batch.topic}-{batch.partition} is delivered from {batch.start}, but "
                    f"{part.position} is due: records would be lost or doubled"
                )
            records, following = self._within(batch)
            taken = 0
            while taken < len(records):
                if part.revoked:
                    return
                work = await self._process(part, records, taken)
                taken += len(work.records)
                await self._commit(part, work, following if taken == len(records) else records[taken].offset)
                if self._pace is not None:
                    await self._pace.wait(len(work.records), lambda: part.revoked)
            if part.committed is None or part.committed < following:
                await self._pass_over(part, following)
            part.position = batch.next
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - anything but a confirmed commit ends the process
            self.fail(error)

    def _within(self, batch: Batch) -> tuple[list[Any], int]:
        """The records of a batch that are this run's to process, and the offset to commit behind them."""
        bounds = self._first
        if bounds is None:
            return batch.records, batch.next
        end = bounds.ends.get(batch.partition, batch.start)
        if batch.next >= end:  # what comes behind is not fetched any more
            assert self.app is not None
            self.app.consumer._thread.finish(TopicPartition(batch.topic, batch.partition))
        records = [
            raw for raw in batch.records if raw.offset < end and bounds.since_ms <= raw.timestamp < bounds.until_ms
        ]
        return records, min(batch.next, end)

    async def _pass_over(self, part: _Partition, next_offset: int) -> None:
        """Commit past records that are outside the bounds of the run."""
        await part.writer.commit([], self.group, part.tp, next_offset)
        part.committed = next_offset

    async def _process(self, part: _Partition, records: list[Any], first: int) -> _Work:
        """Process records from ``first`` on until the batch is large enough, in bytes, records or time."""
        work = _Work()
        began = time.perf_counter()
        for raw in records[first : first + self._batch_records]:
            weight = len(raw.value) if raw.value is not None else 0
            if work.records and work.size + weight > self._batch_bytes:
                break
            work.size += weight
            work.records.append(raw)
            self._process_one(part, raw, work)
            if time.perf_counter() - began > _SLICE_SECONDS:
                work.seconds += time.perf_counter() - began
                await asyncio.sleep(0)
                began = time.perf_counter()
                if work.seconds > _WORK_SECONDS:
                    break
        work.seconds += time.perf_counter() - began
        self.marker.clear()
        return work

    def _process_one(self, part: _Partition, raw: Any, work: _Work) -> None:
        """One record: its outputs and changes, or a dead letter. The one place where a bad record is caught."""
        self.marker.set(self._marker_index, part.number, raw.offset, part.source)
        try:
            if (part.number, raw.offset, part.source) in self.crashers:
                raise Refused(Reason.CRASHES, "the process died natively while it processed this record")
            record = decode_record(raw)
            result = self.stage.process(record, part.state)
            outputs = [(output.to, self._envelopes.output(output)) for output in result.outputs]
        except NewsmillError:
            raise  # the stage itself cannot go on
        except Exception as error:  # noqa: BLE001 - one record's failure must not stop the others
            refusal = error if isinstance(error, Refused) else self._unexpected(raw.offset, error)
            work.counts[Outcome.DEAD_LETTER] += 1
            work.reasons[refusal.reason] += 1
            work.items += self._ordered(raw, [("deadletter", self._envelopes.dead_letter(raw, refusal))])
            return
        for change in result.changes:
            assert part.state is not None
            part.state.apply(change)
            work.changes.append((self._state_topic, part.number, change.key, change.value, record.timestamp, []))
        work.counts[result.outcome] += 1
        work.items += self._ordered(raw, outputs)
        if result.facts is not None:
            work.facts.append(result.facts)
            if log.isEnabledFor(logging.DEBUG):
                self._tell(record, result.facts.article, result.outcome)
        if self.stage.reports_latency and result.raw_time_ms is not None:
            work.raw_times.append(result.raw_time_ms)

    def _ordered(self, raw: Any, outputs: list[tuple[str, Item]]) -> list[Item]:
        """Live: all outputs. In a bounded run they carry the order of the raw record, and a warm-up stays internal."""
        if self.bounds is None:
            return [item for _, item in outputs]
        order = order_of(raw) if self._first is None else arrival_of(raw)
        if time_of_order(order) < self.bounds.emit_ms:
            outputs = [(to, item) for to, item in outputs if self.topics[to].internal]
        for _, item in outputs:
            item[5].append((ORDER_HEADER, order))
        return [item for _, item in outputs]

    def _tell(self, record: Record, article: str, outcome: Outcome) -> None:
        """One debug line an article and stage: its way can be followed by its id."""
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        fields = {"stage": self.stage.name, "article": article, "outcome": outcome.value, **place}
        log.debug("%s: article %s is %s (%s-%d offset %d)", self.stage.name, article, outcome.value, *place.values(),
                  extra=fields)  # fmt: skip

    def _unexpected(self, offset: int, error: Exception) -> Refused:
        """A defect of ours: where it happened, without the article's text that its message may hold."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__} at {where.name}:{where.lineno}"
        log.warning("%s: offset %d: %s", self.stage.name, offset, detail)
        log.debug("%s: offset %d", self.stage.name, offset, exc_info=error)
        return Refused(Reason.PROCESSING_ERROR, detail)

    async def _commit(self, part: _Partition, work: _Work, next_offset: int) -> None:
        """Outputs, state, ledger and the next offset in one transaction; counted when it is confirmed."""
        began = time.perf_counter()
        last_ms = work.records[-1].timestamp
        ledger = self._envelopes.ledger(
            part.number, work.records, next_offset, work.counts, work.items, self.context.run
        )
        if self._state_topic:
            work.changes.append(
                (self._state_topic, part.number, STATE_OFFSET_KEY, state_offset(next_offset), last_ms, [])
            )
        await part.writer.commit([*work.items, *work.changes, ledger], self.group, part.tp, next_offset)
        part.committed = next_offset
        total = work.seconds + time.perf_counter() - began
        self.metrics.batch(
            self.stage.name, work.counts, work.reasons, work.seconds, total, work.raw_times, last_ms, work.facts
        )
        if part.state is not None:
            self.metrics.state(self.stage.name, part.number, part.state)


def _revoke(part: _Partition) -> None:
    """Nothing new begins for this partition; a rebuild ends, a transaction in hand goes on to its end."""
    part.revoked = True
    if part.task is not None:
        part.task.cancel()
    if not part.ready.done():
        part.ready.cancel()
