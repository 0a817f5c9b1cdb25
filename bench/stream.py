"""One log of prepared articles, 40 % of them copies → is dedupe's answer the same however it is run, and what it costs.

The same records are written below two prefixes. One worker reads the first log in peace; of the second, two workers
take turns under kill -9. Then news.unique and news.duplicate are compared byte for byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import orjson
from aiokafka.structs import TopicPartition

from bench.articles import with_copies
from bench.mill import BenchMill, kill
from newsmill import kafka
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Record
from newsmill.ledger import read_counts
from newsmill.transport.stage import context_of

__all__ = ["StreamResult", "run_stream"]

_KILLS = 5
_DEADLINE_SECONDS = 900.0


@dataclass(frozen=True)
class StreamResult:
    """``same``: both runs wrote the same bytes in the same order. ``mib``: resident memory of the undisturbed worker
    process when it was done, and ``idle_mib`` before its first record."""

    articles: int
    unique: int
    duplicate: int
    per_second: float
    idle_mib: float
    mib: float
    kills: int
    killed_seconds: float
    same: bool


class _Mill(BenchMill):
    """One prefix: its log of prepared articles, its workers, its outputs."""

    async def processed(self) -> int:
        return sum((await read_counts(self.settings)).get("dedupe", {}).values())

    async def until(self, count: int) -> float:
        """Wait until so many records are committed; the seconds that took."""
        began = time.monotonic()
        while await self.processed() < count:
            if time.monotonic() - began > _DEADLINE_SECONDS:
                raise TimeoutError(f"not {count} records within {_DEADLINE_SECONDS:g} s; logs in {self.folder}")
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def digests(self, short: str) -> tuple[int, list[str]]:
        """Records of a topic, and a digest of each partition's keys, values, times and headers in their order."""
        partitions = [TopicPartition(self.name(short), n) for n in range(self.topics[short].partitions)]
        found = {tp: hashlib.blake2b() for tp in partitions}
        count = 0
        async with kafka.consumer(self.settings) as client:
            async for tp, records in kafka.read_range(client, partitions):
                for record in records:
                    found[tp].update(repr((record.key, record.value, record.timestamp, record.headers)).encode())
                    count += 1
        return count, [found[tp].hexdigest() for tp in partitions]


def _resident_mib(group: int) -> float:
    """Memory of the largest process of a process group."""
    most = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getpgid(int(folder.name)) == group:
                    most = max(most, int((folder / "statm").read_text("ascii").split()[1]))
            except OSError:  # it ended meanwhile
                continue
    return most * resource.getpagesize() / (1 << 20)


async def _publish(mills: list[_Mill], count: int) -> None:
    prepare = Prepare(context_of(mills[0].settings), load_rulebook())
    at = int(time.time() * 1000) - count  # within the topic's retention
    async with kafka.producer(mills[0].settings, linger_ms=20) as producer:
        for offset, article in enumerate(with_copies(count, seed=7)):
            raw = Record("news.raw.v1", 0, offset, at + offset, None, orjson.dumps(article), ())
            for output in prepare(raw, None).outputs:
                for mill in mills:
                    await producer.send(
                        mill.name("prepared"), output.value, key=output.key, timestamp_ms=output.time_ms, partition=0
                    )
        await producer.flush()


async def _in_peace(mill: _Mill, count: int) -> tuple[float, float, float]:
    """Records a second between the first transaction and the last, and memory before and after."""
    worker = mill.worker("--stages", "dedupe")
    idle = 0.0
    while not (first := await mill.processed()):
        idle = max(idle, _resident_mib(worker.pid))
        if worker.poll() is not None:
            raise RuntimeError(f"the worker ended with {worker.returncode}; logs in {mill.folder}")
        await asyncio.sleep(0.05)
    seconds = await mill.until(count)
    memory = _resident_mib(worker.pid)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    return (count - first) / max(seconds, 0.001), idle, memory


async def _under_kills(mill: _Mill, count: int) -> float:
    """Two workers of which one has the partition; again and again one is killed and another one started."""
    began = time.monotonic()
    pair = [mill.worker("--stages", "dedupe"), mill.worker("--stages", "dedupe")]
    for turn, place in zip(range(1, _KILLS + 1), cycle((0, 1)), strict=False):
        await mill.until(count * turn // (_KILLS + 1))
        kill(pair[place])
        pair[place] = mill.worker("--stages", "dedupe")
    await mill.until(count)
    return time.monotonic() - began


async def run_stream(servers: str, count: int = 100_000) -> StreamResult:
    """Write the log twice, work both off, compare."""
    with tempfile.TemporaryDirectory() as folder:
        peace, war = mills = [_Mill(servers, "stream", Path(folder)) for _ in range(2)]
        try:
            for mill in mills:
                await mill.create()
            await _publish(mills, count)
            per_second, idle, memory = await _in_peace(peace, count)
            seconds = await _under_kills(war, count)
            outputs = [[await mill.digests(short) for short in ("unique", "duplicate")] for mill in mills]
        finally:
            for mill in mills:
                mill.stop()
    (unique, _), (duplicate, _) = outputs[0]
    return StreamResult(count, unique, duplicate, per_second, idle, memory, _KILLS, seconds, outputs[0] == outputs[1])
