"""A sort of a replay: broken off anywhere and begun again, or two at once, each record is written once and in order."""

from __future__ import annotations

import asyncio
import random

import pytest
from harness import Mill

from newsmill import kafka
from newsmill.replay import sorting
from newsmill.replay.sorting import sort_topic
from newsmill.topic_admin import create_topics
from newsmill.topics import DEFAULT_THEMES, replay_registry
from newsmill.transport import ORDER_HEADER, TransactionFailed

RECORDS = 400


@pytest.fixture
def unsorted(mill: Mill) -> Mill:
    """A mill with records in no order on news.prepared-unsorted."""

    async def fill() -> None:
        topics = replay_registry(DEFAULT_THEMES, mill.settings)
        async with kafka.admin_client(mill.settings) as admin:
            await create_topics(admin, topics, mill.settings)
        numbers = list(range(RECORDS))
        random.Random(5).shuffle(numbers)
        async with kafka.producer(mill.settings) as producer:
            for number in numbers:
                order = b"%013d-%010d-%019d" % (number // 3, number % 3, number)
                await producer.send(
                    mill.settings.topic_prefix + topics["prepared-unsorted"].name,
                    b"%d" % number, b"%d" % number, timestamp_ms=number, headers=[(ORDER_HEADER, order)],
                )  # fmt: skip

    asyncio.run(fill())
    return mill


def sort(mill: Mill, stop_after: int | None = None) -> asyncio.Task[int]:
    prefix = mill.settings.topic_prefix

    def progress(done: int, total: int) -> None:
        if stop_after is not None and done >= stop_after:
            raise KeyError("broken off")

    return asyncio.ensure_future(
        sort_topic(
            mill.settings, "prepared", f"{prefix}news.prepared-unsorted.v1", f"{prefix}news.prepared.v1", 1, progress
        )
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several runs on disk, many transactions."""
    monkeypatch.setattr(sorting, "_RUN_BYTES", 20_000)
    monkeypatch.setattr(sorting, "_TRANSACTION_RECORDS", 23)


def test_a_sort_that_was_broken_off_goes_on(unsorted: Mill) -> None:
    async def run() -> None:
        for stop_after in (20, 100, 300):
            with pytest.raises(KeyError):
                await sort(unsorted, stop_after)
        assert await sort(unsorted) == RECORDS
        assert await sort(unsorted) == RECORDS  # over, but nobody noted it

    asyncio.run(run())
    assert [int(record.value or b"") for record in unsorted.read("prepared")] == list(range(RECORDS))


def test_two_sorts_at_once_write_each_record_once(unsorted: Mill) -> None:
    async def run() -> None:
        ended = await asyncio.gather(sort(unsorted), sort(unsorted), return_exceptions=True)
        assert RECORDS in ended
        assert all(one == RECORDS or isinstance(one, TransactionFailed) for one in ended), ended
        assert await sort(unsorted) == RECORDS

    asyncio.run(run())
    assert [int(record.value or b"") for record in unsorted.read("prepared")] == list(range(RECORDS))
