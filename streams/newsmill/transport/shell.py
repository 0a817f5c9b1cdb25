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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import faust
import orjson
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.stage import Context, Facts, Record, State
from newsmill.core.times import format_utc
from newsmill.errors import NewsmillError, Reason, Refused, StateMismatch, UnreadableFormat
from newsmill.events import LedgerEntry, Outcome
from newsmill.metrics import Metrics
from newsmill.settings import Settings
from newsmill.topics import Topic
from newsmill.transport.consumer import Batch, wait_all
from newsmill.transport.marker import Marker
from newsmill.transport.stage import Stage
from newsmill.transport.transaction import Item, Writer

__all__ = ["REQUEUE_TIME_HEADER", "StageShell", "read_state_offset"]

log = logging.getLogger("newsmill.shell")

# The rebalance callback may take 3 s in all: no heartbeat leaves until it returns.
_FENCE_SECONDS = 3.0
_SETTLE_SECONDS = 3.0
_OFFSET_KEY = b"\x00next-offset"
_OFFSET_FORMAT = 1
# A requeued dead letter carries the Kafka time of its first arrival here: the raw topic gives every record a new one.
REQUEUE_TIME_HEADER = "newsmill-requeue-time"
# headers and framing of one record, at most: an output must leave this much room under its topic's limit
_FRAME_BYTES = 64 << 10

Headers = list[tuple[str, bytes]]


@dataclass(eq=False)
class _Partition:
    """What the process holds for one assigned input partition."""

    number: int
    writer: Writer
    generation: int
    next_offset: int | None = None
    state: State | None = None
    ready: asyncio.Task[None] | None = None
    kept: tuple[int | None, State] | None = None
    revoked: bool = False


@dataclass(eq=False)
class StageShell:
    """Runs one stage in one process. ``fail`` never returns: it ends the process."""

    stage: Stage
    settings: Settings
    context: Context
    topics: Mapping[str, Topic]
    metrics: Metrics
    marker: Marker
    fail_process: Callable[[BaseException], NoReturn]
    crashers: frozenset[tuple[int, int]] = frozenset()
    app: faust.App | None = None
    _partitions: dict[int, _Partition] = field(default_factory=dict)
    _in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    _kept: dict[int, tuple[int | None, State]] = field(default_factory=dict)
    _paused: bool = True  # until the first assignment
    _headers: dict[str, Headers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.group = kafka.group_name(self.settings, self.stage.name)
        self.source = self._name(self.stage.source)
        self._marker_index = self.marker.stages.index(self.stage.name)
        self._limits = {short: topic.max_bytes - _FRAME_BYTES for short, topic in self.topics.items()}
        self._names = {short: self._name(short) for short in self.topics}
        self._batch_records = min(self.stage.batch_records, self.settings.batch_max_records)
        self._batch_bytes = self.settings.batch_max_kib << 10 or self.stage.batch_bytes

    def _name(self, short: str) -> str:
        return self.settings.topic_prefix + self.topics[short].name

    # ---- life -------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> NoReturn:
        """End the process: the parent decides from the exit code what comes next."""
        self.fail_process(error)

    @property
    def ready(self) -> bool:
        """Whether every assigned partition has its state and is consumed."""
        parts = list(self._partitions.values())
        return not self._paused and all(p.ready is not None and p.ready.done() for p in parts)

    async def drain(self, seconds: float = 10.0) -> None:
        """Finish the batch in hand, take no other."""
        self._paused = True
        if not await wait_all(self._in_flight, seconds):
            self.fail(TimeoutError(f"{self.stage.name}: the batch in hand did not end within {seconds:g} s"))
        await self._close_writers()

    async def handle(self, batch: Batch) -> None:
        """One batch from Faust: processed wholly, or dropped because a rebalance will deliver it again."""
        part = self._partitions.get(batch.partition)
        if part is None or part.generation != batch.generation or self._paused:
            return
        task = asyncio.create_task(self._work(part, batch))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        # Faust cancels the agent at a rebalance; a transaction under way must end first
        await asyncio.shield(task)

    def places(self) -> list[tuple[TopicPartition, int | None]]:
        """Where each assigned partition stands: the next offset to work on, None before any is known.

        Past transaction markers, if nothing waits before them. Reads plain values only: any thread may ask.
        """
        if self.app is None:
            return []
        standing = []
        for part in list(self._partitions.values()):
            tp = TopicPartition(self.source, part.number)
            due = part.next_offset
            delivered, position = self._consumer._thread.standing(tp)
            if position is not None and (delivered is None or (due is not None and due >= delivered)):
                due = max(due or 0, position)
            standing.append((tp, due))
        return standing

    # ---- rebalance --------------------------------------------------------------------------------------------

    async def before_revoked(self) -> None:
        """Finish or abort the batch in hand, then close the producers; the state is kept for a quick return."""
        self._paused = True
        for part in self._partitions.values():
            part.revoked = True
            if part.ready is not None and not part.ready.done():
                part.ready.cancel()
            elif part.state is not None:
                self._kept[part.number] = (part.next_offset, part.state)
        if not await wait_all(self._in_flight, _SETTLE_SECONDS):
            self.fail(TimeoutError(f"{self.stage.name}: the batch in hand outlived the revocation of its partition"))
        for part in self._partitions.values():
            if part.number in self._kept and part.state is not None:
                self._kept[part.number] = (part.next_offset, part.state)
        await self._close_writers()

    async def before_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Initialise a producer for every partition, which fences whoever wrote for it before."""
        if not await wait_all(self._in_flight, _SETTLE_SECONDS):
            self.fail(TimeoutError(f"{self.stage.name}: the batch in hand outlived its partition"))
        await self._close_writers()
        numbers = sorted(tp.partition for tp in partitions if tp.topic == self.source)
        writes = [self._names[short] for short in (*self.stage.sinks, "deadletter", "ledger")]
        if self.stage.state_topic is not None:
            writes.append(self._names[self.stage.state_topic])
        options = kafka.client_options(self.settings)
        made = {
            number: Writer(
                options,
                kafka.transactional_id(self.settings, self.stage.name, number),
                self.settings.transaction_timeout_ms,
            )
            for number in numbers
        }
        try:
            async with asyncio.timeout(_FENCE_SECONDS):
                await asyncio.gather(*(writer.start(writes) for writer in made.values()))
        except TimeoutError as error:
            raise TimeoutError(f"{self.stage.name}: producers were not ready within {_FENCE_SECONDS:g} s") from error
        self._partitions = {
            number: _Partition(number, writer, generation, kept=self._kept.get(number))
            for number, writer in made.items()
        }
        self._kept = {}

    async def after_assigned(self, partitions: set[TopicPartition], generation: int) -> None:
        """Begin to read offsets and state in tasks of their own: no heartbeat leaves while a callback runs."""
        self._paused = False
        self.metrics.assigned(self.stage.name, sorted(self._partitions))
        log.info("%s: partitions %s assigned", self.stage.name, sorted(self._partitions) or "none")
        settled = asyncio.create_task(self._settle_positions(sorted(partitions)))
        for part in self._partitions.values():
            part.ready = asyncio.create_task(self._prepare(part, settled))

    async def _settle_positions(self, partitions: list[TopicPartition]) -> None:
        """When every partition has a position, none may be reset silently any more."""
        consumer = self._consumer
        try:
            for tp in partitions:
                await consumer.position(tp)
            consumer._thread.set_reset(allowed=False)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001
            # a rebalance in between takes the partition away; the next assignment begins anew
            log.info("%s: positions not settled: %s", self.stage.name, error)

    @property
    def _consumer(self) -> Any:
        assert self.app is not None
        return self.app.consumer

    async def _prepare(self, part: _Partition, settled: asyncio.Task[None]) -> None:
        """Read the committed offset, check it, rebuild the state, and check one against the other."""
        started = time.monotonic()
        try:
            await asyncio.shield(settled)
            tp = TopicPartition(self.source, part.number)
            thread = self._consumer._thread
            client = thread._ensure_consumer()
            committed = await thread.call_thread(client.committed, tp)
            if committed is not None:
                begin = (await thread.call_thread(client.beginning_offsets, [tp]))[tp]
                end = (await thread.call_thread(client.end_offsets, [tp]))[tp]
                if not begin <= committed <= end:
                    raise StateMismatch(
                        f"{self.stage.name}: the committed offset {committed} of {tp.topic}-{tp.partition} is outside "
                        f"its log ({begin} to {end}): records expired unread, or the topic was made anew; "
                        f"`newsmill reset {self.stage.name}` begins again at what there is"
                    )
            if self.stage.new_state is not None:
                if part.kept is not None and part.kept[0] == committed:
                    part.state = part.kept[1]
                else:
                    part.state = await self._rebuild(part.number, committed)
                    self.metrics.rebuilt(self.stage.name, part.number, time.monotonic() - started)
                self.metrics.state(self.stage.name, part.number, part.state)
            part.kept = None
            part.next_offset = committed
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the process must begin again
            if not part.revoked:
                self.fail(error)

    async def _rebuild(self, number: int, committed: int | None) -> State:
        assert self.stage.new_state is not None
        assert self.stage.state_topic is not None
        state = self.stage.new_state()
        topic = self._names[self.stage.state_topic]
        offset: int | None = None
        async with kafka.consumer(self.settings) as client:
            async for _, records in kafka.read_range(client, [TopicPartition(topic, number)]):
                for record in records:
                    if record.key == _OFFSET_KEY:
                        offset = read_state_offset(record.value)
                    else:
                        state.load(record.key, record.value)
        await asyncio.to_thread(state.loaded)
        if offset != committed:
            raise StateMismatch(
                f"{self.stage.name}: the state of partition {number} stands at offset {offset}, its group at "
                f"{committed}: somebody reset one without the other; `newsmill reset {self.stage.name}` resets both"
            )
        return state

    async def _close_writers(self) -> None:
        parts, self._partitions = list(self._partitions.values()), {}
        for part in parts:
            part.revoked = True
        ended = await asyncio.gather(*(asyncio.wait_for(p.writer.stop(), 2) for p in parts), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                log.warning("%s: a producer did not close cleanly: %s", self.stage.name, type(error).__name__)

    # ---- work -------------------------------------------------------------------------------------------------

    async def _work(self, part: _Partition, batch: Batch) -> None:
        try:
            if part.ready is not None:
                try:
                    await asyncio.shield(part.ready)
                except asyncio.CancelledError:
                    if part.revoked:
                        return
                    raise
            records = batch.records
            due = part.next_offset
            if due is not None:
                if batch.start is not None and batch.start != due:
                    raise RuntimeError(
                        f"{self.stage.name}: {batch.topic}-{batch.partition} delivered from {batch.start}, but {due} "
                        "is due: records would be lost or doubled"
                    )
                # after a seek the first fetch may repeat what is committed already
                records = [record for record in records if record.offset >= due]
            chunks = list(self._cut(records))
            for index, chunk in enumerate(chunks):
                if part.revoked or self._paused:
                    return
                after = batch.next if index == len(chunks) - 1 else chunks[index + 1][0].offset
                await self._transact(part, chunk, after)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - anything but a confirmed commit ends the process
            self.fail(error)

    def _cut(self, records: list[Any]) -> Iterator[list[Any]]:
        """Cut so that the work of one transaction stays under half a second."""
        chunk: list[Any] = []
        size = 0
        for record in records:
            weight = len(record.value) if record.value is not None else 0
            if chunk and (len(chunk) >= self._batch_records or size + weight > self._batch_bytes):
                yield chunk
                chunk, size = [], 0
            chunk.append(record)
            size += weight
        if chunk:
            yield chunk

    async def _transact(self, part: _Partition, records: list[Any], next_offset: int) -> None:
        stage = self.stage
        began = time.perf_counter()
        items: list[Item] = []
        counts: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        raw_times: list[int] = []
        facts: list[Facts] = []
        telling = log.isEnabledFor(logging.DEBUG)
        state_topic = self._names[stage.state_topic] if stage.state_topic is not None else ""
        for raw in records:
            record = _record(raw)
            self.marker.set(self._marker_index, part.number, record.offset)
            try:
                if (part.number, record.offset) in self.crashers:
                    raise Refused(Reason.CRASHES, "the process died natively while it processed this record")
                result = stage.process(record, part.state)
                outputs = [self._item(output) for output in result.outputs]
            except Refused as refusal:
                counts[Outcome.DEAD_LETTER] += 1
                reasons[refusal.reason] += 1
                items.append(self._dead_letter(raw, refusal))
                continue
            except NewsmillError:
                raise
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                log.warning("%s: offset %d: %s at %s:%d", stage.name, record.offset, type(error).__name__,
                            where.filename.rsplit("/", 1)[-1], where.lineno,
                            exc_info=error if telling else None)  # fmt: skip  # its message may quote the article
                counts[Outcome.DEAD_LETTER] += 1
                reasons[Reason.PROCESSING_ERROR] += 1
                detail = f"{type(error).__name__} at {where.name}:{where.lineno}"
                items.append(self._dead_letter(raw, Refused(Reason.PROCESSING_ERROR, detail)))
                continue
            if result.changes:
                assert part.state is not None
                for change in result.changes:
                    part.state.apply(change)
                    items.append((state_topic, part.number, change.key, change.value, record.timestamp, []))
            counts[result.outcome] += 1
            items.extend(outputs)
            if result.facts is not None:
                facts.append(result.facts)
                if telling:
                    self._tell(record, result.facts.article, result.outcome)
            if stage.reports_latency and result.raw_time_ms is not None:
                raw_times.append(result.raw_time_ms)
        self.marker.clear()
        if state_topic:
            offset = orjson.dumps({"format": _OFFSET_FORMAT, "offset": next_offset})
            items.append((state_topic, part.number, _OFFSET_KEY, offset, records[-1].timestamp, []))
        items.append(self._ledger(part.number, records, next_offset, counts, items, state_topic))
        worked = time.perf_counter() - began
        source = TopicPartition(self.source, part.number)
        await part.writer.commit(items, self.group, source, next_offset)
        part.next_offset = next_offset
        total = time.perf_counter() - began
        self.metrics.batch(stage.name, counts, reasons, worked, total, records[-1].timestamp, raw_times, facts)
        if part.state is not None:
            self.metrics.state(stage.name, part.number, part.state)

    def _tell(self, record: Record, article: str, outcome: Outcome) -> None:
        """One debug line an article and stage: its way can be followed by its id."""
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        fields = {"stage": self.stage.name, "article": article, "outcome": outcome.value, **place}
        log.debug("%s: article %s is %s (%s-%d offset %d)", self.stage.name, article, outcome.value, *place.values(),
                  extra=fields)  # fmt: skip

    def _item(self, output: Any) -> Item:
        size = len(output.key) + (len(output.value) if output.value is not None else 0)
        if size > self._limits[output.to]:
            raise Refused(Reason.OUTPUT_TOO_LARGE, f"{output.type} of {size} bytes for {self.topics[output.to].name}")
        fixed = self._headers.get(output.type)
        if fixed is None:
            fixed = self._headers[output.type] = [
                ("ce_specversion", b"1.0"),
                ("ce_source", f"/newsmill/{self.stage.name}".encode()),
                ("ce_type", f"newsmill.{output.type}.v1".encode()),
                ("content-type", b"application/json"),
            ]
        headers = [
            *fixed,
            ("ce_id", output.id.encode()),
            ("ce_time", format_utc(output.time_ms).encode()),
            ("ce_subject", output.subject.encode()),
        ]
        return self._names[output.to], None, output.key, output.value, output.time_ms, headers

    def _dead_letter(self, raw: Any, refusal: Refused) -> Item:
        headers = [(name, value) for name, value in raw.headers if not name.startswith("newsmill-")]
        headers += [
            ("newsmill-error", refusal.detail[:1000].encode("utf-8", "replace")),
            ("newsmill-reason", refusal.reason.value.encode()),
            ("newsmill-stage", self.stage.name.encode()),
            ("newsmill-topic", raw.topic.encode()),
            ("newsmill-partition", str(raw.partition).encode()),
            ("newsmill-offset", str(raw.offset).encode()),
            ("newsmill-version", self.context.newsmill_version.encode()),
        ]
        return self._names["deadletter"], None, raw.key, raw.value, raw.timestamp, headers

    def _ledger(
        self,
        number: int,
        records: list[Any],
        next_offset: int,
        counts: Mapping[str, int],
        items: list[Item],
        state_topic: str,
    ) -> Item:
        prefix = len(self.settings.topic_prefix)
        written = Counter(item[0][prefix:] for item in items if item[0] != state_topic)
        entry = LedgerEntry(
            stage=self.stage.name,
            topic=self.topics[self.stage.source].name,
            partition=number,
            first_offset=records[0].offset,
            next_offset=next_offset,
            records=len(records),
            counts={str(name): count for name, count in sorted(counts.items())},
            outputs=dict(sorted(written.items())),
            run=self.context.run,
            newsmill_version=self.context.newsmill_version,
        )
        key = self.stage.name.encode()
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_source", f"/newsmill/{self.stage.name}".encode()),
            ("ce_type", b"newsmill.ledger.v1"),
            ("content-type", b"application/json"),
            ("ce_id", f"{self.stage.name}-{number}-{records[0].offset}".encode()),
            ("ce_time", format_utc(records[-1].timestamp).encode()),
            ("ce_subject", key),
        ]
        return self._names["ledger"], 0, key, entry.model_dump_json().encode(), records[-1].timestamp, headers


def _record(raw: Any) -> Record:
    timestamp = raw.timestamp
    if raw.headers:
        for name, value in raw.headers:
            if name == REQUEUE_TIME_HEADER and value.isdigit() and len(value) <= 14:
                timestamp = int(value)
    return Record(raw.topic, raw.partition, raw.offset, timestamp, raw.key, raw.value, raw.headers)


def read_state_offset(value: bytes | None) -> int | None:
    """The next input offset that a state topic holds; `UnreadableFormat` if a newer newsmill wrote it."""
    if value is None:
        return None
    data = orjson.loads(value)
    if data["format"] > _OFFSET_FORMAT:
        raise UnreadableFormat(f"the state's offset has format {data['format']}, this newsmill reads {_OFFSET_FORMAT}")
    return int(data["offset"])
