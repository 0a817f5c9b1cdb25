"""The exactly-once promise of the transport, with the faults that break it elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from harness import Mill

from newsmill import kafka


def _records(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(count)]


def _assert_each_once(mill: Mill, count: int) -> None:
    """After the workers were told to end, so that a late double would be there."""
    for process in mill.processes:
        if process.poll() is None:
            assert mill.terminate(process) == 0, mill.logs()
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
    if stage == "dedupe":
        counted = {record.key: record.value for record in mill.read("state.dedupe")}
        assert {key: counted[key] for key, _ in _records(count)} == {key: b"1" for key, _ in _records(count)}


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
    # 8 s is the promise; the benchmark measures it, here the machine may be busy
    assert took < 20, f"{took:.1f} s"


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


@pytest.mark.timeout(120)
def test_first_records_during_a_rebalance(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """A second worker joins while the first records ever come to each partition: a fetch of the old generation takes
    them, and a consumer that does not seek to an absent offset would lose them without a trace."""
    mill = Mill(bootstrap, prefix, tmp_path, partitions=12)
    try:
        mill.worker("pass_stage:parallel", "prepare")
        mill.wait(lambda: " assigned" in mill.logs(), "the first assignment", 40)
        mill.worker("pass_stage:parallel", "prepare")
        sent = asyncio.run(_trickle_into_a_rebalance(mill))
        mill.wait(lambda: len(mill.read("unique")) >= sent, f"{sent} records", 40)
        _assert_each_once(mill, sent)
        assert "starts again" not in mill.logs()
    finally:
        mill.close()


async def _trickle_into_a_rebalance(mill: Mill) -> int:
    group = kafka.group_name(mill.settings, "prepare")
    partitions = list(range(12))
    random.Random(3).shuffle(partitions)
    number = 0
    async with kafka.producer(mill.settings, linger_ms=0) as producer, kafka.admin_client(mill.settings) as admin:
        async with asyncio.timeout(40):
            while "Rebalance" not in str(await admin.describe_consumer_groups([group])):
                await asyncio.sleep(0.02)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < 3:
            # each partition gets its first record at a moment of its own
            for partition in partitions[: 1 + int(passed / 0.12)]:
                value = b"value-%d" % number
                await producer.send(mill.name("raw"), value, key=b"key-%d" % number, partition=partition)
                number += 1
            await asyncio.sleep(0.03)
        await producer.flush()
    return number


@pytest.mark.timeout(60)
def test_odd_headers_and_nulls_are_no_poison(mill: Mill) -> None:
    """Records that a careless producer writes: a null header value, no key, no value."""

    async def send() -> None:
        async with kafka.producer(mill.settings) as producer:
            topic = mill.name("raw")
            await producer.send_and_wait(topic, b"value-0", key=b"a", headers=[("newsmill-requeue-time", None)])
            await producer.send_and_wait(topic, b"value-1", key=b"a", headers=[("newsmill-requeue-time", b"soon")])
            await producer.send_and_wait(topic, b"value-2", headers=[("x", b"\xff")])
            await producer.send_and_wait(topic, b"!fail", key=b"b", headers=[("kept", b"1"), ("newsmill-stage", b"x")])
            await producer.send_and_wait(topic, None, key=b"c")

    asyncio.run(send())
    mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 5, 40)
    assert sorted(record.value or b"" for record in mill.read("unique")) == [b"", b"value-0", b"value-1", b"value-2"]
    (letter,) = mill.read("deadletter")
    assert letter.headers["kept"] == b"1"
    assert letter.headers["newsmill-stage"] == b"prepare"
    assert "starts again" not in mill.logs()


@pytest.mark.timeout(90)
def test_output_too_large_is_a_dead_letter(mill: Mill) -> None:
    """An 8 MiB record passes the raw topic, but no stage may write more than a topic takes."""
    mill.publish("raw", [(b"large", b"x" * (8_000_000)), *_records(3)])
    mill.worker("pass_stage:parallel", "prepare")
    mill.wait_processed("prepare", 4, 60)
    (letter,) = mill.read("deadletter")
    assert letter.headers["newsmill-reason"] == b"output_too_large"
    assert letter.value == b"x" * 8_000_000
    _assert_each_once(mill, 3)


@pytest.mark.timeout(90)
def test_frozen_worker_is_fenced(mill: Mill) -> None:
    """A worker that is frozen past its session and thaws must not commit what its successor has done."""
    count = 3_000
    mill.publish("raw", _records(count))
    frozen = mill.worker("pass_stage:slow", "prepare")
    mill.wait_growth("unique")
    os.killpg(frozen.pid, signal.SIGSTOP)
    mill.worker("pass_stage:slow", "prepare")
    mill.wait_growth("unique", 500, 40)
    os.killpg(frozen.pid, signal.SIGCONT)
    mill.wait_processed("prepare", count, 60)
    _assert_each_once(mill, count)
    assert mill.processed("prepare") == {"ok": count}


@pytest.mark.timeout(60)
def test_refused_by_the_coordinator(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """What the group coordinator refuses for good (a session timeout above its limit) is said, not waited out."""
    mill = Mill(bootstrap, prefix, tmp_path, session_timeout_ms=2_000_000)
    try:
        worker = mill.worker("pass_stage:parallel", "prepare")
        mill.wait(lambda: "InvalidSessionTimeout" in mill.logs() and "starts again" in mill.logs(), "the error", 30)
        began = time.monotonic()
        mill.terminate(worker)
        assert time.monotonic() - began < 15
    finally:
        mill.close()


@pytest.mark.timeout(60)
def test_told_to_stop_while_it_starts(mill: Mill) -> None:
    """SIGTERM at any moment of the start ends the worker soon."""
    for wait in (0.3, 1.5, 3.0):
        worker = mill.worker("pass_stage:ordered", "dedupe")
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(timeout=wait)
        began = time.monotonic()
        assert mill.terminate(worker) in (0, -signal.SIGTERM), mill.logs()
        assert time.monotonic() - began < 12


@pytest.mark.timeout(60)
def test_interrupted_while_its_processes_start(mill: Mill) -> None:
    """Ctrl-C reaches parent and processes alike; a process that still loads must not spill a traceback."""
    worker = mill.worker("pass_stage:parallel", "prepare", 2)
    mill.wait(lambda: _importing(worker.pid) == 2, "two processes in the middle of their imports", 30)
    os.killpg(worker.pid, signal.SIGINT)
    assert worker.wait(timeout=20) == 0, mill.logs()
    assert "Traceback" not in mill.logs()


def _importing(parent: int) -> int:
    """How many children have loaded one of their first libraries, with seconds of others to come."""
    loaded = 0
    for child in psutil.Process(parent).children():
        with contextlib.suppress(psutil.Error):
            loaded += any("pydantic_core" in part.path for part in child.memory_maps())
    return loaded
