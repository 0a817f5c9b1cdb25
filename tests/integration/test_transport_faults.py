"""The exactly-once promise of the transport, with the faults that break it elsewhere."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest
from harness import Mill


def _records(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(count)]


def _assert_each_once(mill: Mill, count: int) -> None:
    values = Counter(record.value for record in mill.read("unique"))
    assert {value for value, times in values.items() if times > 1} == set(), "doubled"
    assert {b"value-%d" % number for number in range(count)} - set(values) == set(), "lost"
    assert len(values) == count


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("factory", "stage", "source"), [
    ("pass_stage:slow", "prepare", "raw"),
    ("pass_stage:slow_ordered", "dedupe", "prepared"),
])  # fmt: skip
def test_killed_five_times(mill: Mill, factory: str, stage: str, source: str) -> None:
    """kill -9 in mid batch, five times, with one and with two workers: each record once."""
    count = 5_000
    rng = random.Random(7)
    mill.publish(source, _records(count))
    for kill in range(5):
        workers = [mill.worker(factory, stage) for _ in range(2 if kill in (1, 3) else 1)]
        mill.wait_growth("unique", rng.randrange(1, 600))
        for worker in workers:
            mill.kill(worker)
    mill.worker(factory, stage)
    mill.wait_processed(stage, count, 60)
    _assert_each_once(mill, count)
    assert mill.processed(stage) == {"ok": count}


@pytest.mark.timeout(120)
def test_terminated_in_mid_batch(mill: Mill) -> None:
    """SIGTERM: the batch in hand is finished, the exit code is 0, the next worker goes on at once."""
    count = 4_000
    mill.publish("raw", _records(count))
    for _ in range(3):
        worker = mill.worker("pass_stage:slow", "prepare", 2)
        mill.wait_growth("unique")
        assert mill.terminate(worker) == 0, mill.logs()
    mill.worker("pass_stage:slow", "prepare")
    mill.wait_processed("prepare", count, 60)
    _assert_each_once(mill, count)


@pytest.mark.timeout(170)
def test_second_worker_joins_and_leaves(mill: Mill) -> None:
    """Three joins and leaves under load, commits held open after their offsets: late fencing would double and lose."""
    part = 2_500
    count = 4 * part
    records = _records(count)
    mill.publish("raw", records[:part])
    steady = mill.worker("pass_stage:paused", "prepare")
    mill.wait_growth("unique")
    for turn in range(3):
        mill.publish("raw", records[(turn + 1) * part : (turn + 2) * part])
        assigned = mill.logs().count(" assigned")
        second = mill.worker("pass_stage:paused", "prepare")
        mill.wait(lambda before=assigned: mill.logs().count(" assigned") > before, "the second to be assigned", 60)
        mill.wait_growth("unique", 300)
        if turn == 1:
            mill.kill(second)
        else:
            assert mill.terminate(second) == 0, mill.logs()
        assert steady.poll() is None, mill.logs()
    mill.wait_processed("prepare", count, 90)
    _assert_each_once(mill, count)


@pytest.mark.timeout(90)
def test_successor_works_soon(mill: Mill) -> None:
    """After kill -9 a new worker works within 8 s, start of the processes included."""
    mill.publish("raw", _records(500))
    worker = mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 500, 30)
    mill.kill(worker)
    mill.publish("raw", [(b"after", b"value-after")])
    mill.worker("pass_stage:parallel", "prepare")
    took = mill.wait_processed("prepare", 501, 30)
    assert took < 8 * 2, f"{took:.1f} s"  # twice the promise: tests share two cores with others


@pytest.mark.timeout(90)
def test_record_that_kills_the_process(mill: Mill) -> None:
    """A native crash: the record becomes a dead letter ``crashes`` with its bytes, all others go through once."""
    records = _records(300)
    records.insert(150, (b"bad", b"!crash me"))
    mill.publish("raw", records)
    mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 301, 60)
    _assert_each_once(mill, 300)
    (letter,) = mill.read("deadletter")
    assert letter.value == b"!crash me"
    assert letter.key == b"bad"
    assert letter.headers["newsmill-reason"] == b"crashes"
    assert mill.processed("prepare") == {"ok": 300, "dead_letter": 1}


@pytest.mark.timeout(60)
def test_failing_record_does_not_stop_its_batch(mill: Mill) -> None:
    """An unexpected exception is one dead letter; where it failed stands in its headers."""
    mill.publish("raw", [*_records(50), (b"bad", b"!fail"), *_records(100)[50:]])
    mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 101, 40)
    _assert_each_once(mill, 100)
    (letter,) = mill.read("deadletter")
    assert letter.headers["newsmill-reason"] == b"processing_error"
    assert letter.headers["newsmill-stage"] == b"prepare"
    assert letter.headers["newsmill-error"].startswith(b"ValueError at copy")
    assert letter.headers["newsmill-topic"] == mill.name("raw").encode()


@pytest.mark.timeout(90)
def test_state_and_offset_must_agree(mill: Mill) -> None:
    """Somebody resets the group but not the state: the stage stops, says so, and is not started again."""
    import asyncio

    from aiokafka.structs import OffsetAndMetadata, TopicPartition

    from newsmill import kafka

    mill.publish("prepared", _records(100))
    worker = mill.worker("pass_stage:ordered", "dedupe")
    mill.wait_processed("dedupe", 100, 40)
    assert mill.terminate(worker) == 0

    async def rewind() -> None:
        group = kafka.group_name(mill.settings, "dedupe")
        async with kafka.consumer(mill.settings, group_id=group) as client:
            tp = TopicPartition(mill.name("prepared"), 0)
            client.assign([tp])
            await client.commit({tp: OffsetAndMetadata(10, "")})

    asyncio.run(rewind())
    worker = mill.worker("pass_stage:ordered", "dedupe")
    assert worker.wait(timeout=40) == 3
    assert "newsmill reset dedupe" in mill.logs()
    assert len(mill.read("unique")) == 100


@pytest.mark.timeout(60)
def test_interrupt_stops_like_terminate(mill: Mill) -> None:
    mill.publish("raw", _records(100))
    worker = mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 100, 40)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=30) == 0
