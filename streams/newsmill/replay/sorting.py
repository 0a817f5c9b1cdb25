"""Records of a topic in any order → the same records in the order of arrival, on the topic that an ordered stage reads.

An external merge sort: what does not fit into memory is written to temporary files in sorted runs. What is written to
Kafka is written in transactions that carry how much is done, so a sort that was killed goes on behind the last of them.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, Final

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.errors import NewsmillError
from newsmill.settings import Settings
from newsmill.transport import Writer
from newsmill.transport.bounded import order_of
from newsmill.transport.transaction import Item

__all__ = ["sort_topic", "sorted_rows"]

_RUN_BYTES: Final = 256 << 20  # held in memory before a run is written to a file
_ROW_BYTES: Final = 500  # what a row takes beside its value: objects, key, headers
_TRANSACTION_RECORDS: Final = 5000
_TRANSACTION_BYTES: Final = 16 << 20

# order, partition, key, value, time in milliseconds, headers
Row = tuple[bytes, int, bytes, bytes, int, list[tuple[str, bytes]]]


async def sort_topic(
    settings: Settings, short: str, source: str, target: str, partitions: int, progress: Callable[[int, int], None]
) -> int:
    """Write the records of ``source`` to ``target`` in order, each to the partition it had; how many there are.

    ``progress`` is told records done and records in all. `NewsmillError` where two records claim the same place.
    """
    group = kafka.group_name(settings, f"sort-{short}")
    sources = [TopicPartition(source, number) for number in range(partitions)]
    with ExitStack() as stack:
        writer = Writer(
            kafka.client_options(settings),
            kafka.transactional_id(settings, f"sort-{short}", 0),
            settings.transaction_timeout_ms,
            {target: partitions},
        )
        await writer.start()  # before what is done is read: another sort of this replay can commit no more
        try:
            async with kafka.admin_client(settings) as admin:
                done = (await kafka.group_offsets(admin, group)).get(sources[0], 0)
            runs: list[Iterable[Row]] = []
            count = size = 0
            rows: list[Row] = []
            async with kafka.consumer(settings) as client:
                async for tp, records in kafka.read_range(client, sources):
                    for record in records:
                        rows.append(_row(record, tp.partition))
                        size += len(record.value) + _ROW_BYTES
                    count += len(records)
                    if size > _RUN_BYTES:
                        runs.append(_spill(rows, stack))
                        rows, size = [], 0
            rows.sort(key=_order)
            runs.append(rows)
            progress(done, count)
            await _write(sorted_rows(runs), writer, group, sources[0], target, done, lambda n: progress(n, count))
        finally:
            await writer.stop()
    return count


def _row(record: Any, partition: int) -> Row:
    return order_of(record), partition, record.key, record.value, record.timestamp, list(record.headers)


def _order(row: Row) -> bytes:
    return row[0]


def _spill(rows: list[Row], stack: ExitStack) -> Iterator[Row]:
    """Sort rows into a file of their own; the rows again, read one at a time. The file has no name: nobody who is
    killed leaves it behind."""
    rows.sort(key=_order)
    try:
        file: BinaryIO = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        for row in rows:
            marshal.dump(row, file)
        file.seek(0)
    except OSError as error:
        raise NewsmillError(
            f"what is sorted cannot be put aside in {tempfile.gettempdir()}: {error.strerror}; name a folder with room "
            "for the cleaned articles in TMPDIR, and run the replay again"
        ) from error
    return _read_run(file, len(rows))


def _read_run(file: BinaryIO, count: int) -> Iterator[Row]:
    for _ in range(count):
        yield marshal.load(file)


def sorted_rows(runs: Sequence[Iterable[Row]]) -> Iterator[Row]:
    """Sorted runs → one sorted sequence; `NewsmillError` where two rows have the same order."""
    last = b""
    for row in heapq.merge(*runs, key=_order):
        if row[0] == last:
            raise NewsmillError(f"two records of the replay come from one raw record ({row[0].decode()})")
        last = row[0]
        yield row


async def _write(
    rows: Iterator[Row],
    writer: Writer,
    group: str,
    place: TopicPartition,
    target: str,
    done: int,
    progress: Callable[[int], None],
) -> None:
    """Write rows from the ``done``-th on; each transaction commits how many are written as the offset of a group."""
    items: list[Item] = []
    size = number = 0

    async def commit() -> None:
        nonlocal items, size
        await writer.commit(items, group, place, number)
        progress(number)
        items, size = [], 0

    for number, (_, partition, key, value, time_ms, headers) in enumerate(rows, 1):
        if number <= done:
            continue
        items.append((target, partition, key, value, time_ms, headers))
        size += len(value)
        if len(items) >= _TRANSACTION_RECORDS or size > _TRANSACTION_BYTES:
            await commit()
    if items:
        await commit()
