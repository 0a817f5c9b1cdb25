"""One raw topic, replayed three ways → are the results the same bytes, how fast, and what live notices of a replay.

The history is processed live first (so there is something to be beside), then replayed by one worker, by two, and by
two that are killed with -9 twice. A bare loop that only reads and parses is timed on the same topic.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiokafka.structs import TopicPartition

from bench.articles import make_articles, with_copies
from bench.mill import BenchMill, kill
from newsmill import kafka
from newsmill.ledger import read_counts
from newsmill.replay.plan import replay_settings
from newsmill.topics import replay_registry

__all__ = ["ReplayCost", "ReplayLatency", "run_replays", "run_replays_beside_live"]

_SHORTS = ("enriched", "duplicate", "story", "story-event")
_DEADLINE_SECONDS = 1800.0


@dataclass(frozen=True)
class ReplayCost:
    """``per_second``: raw records a second from start to end, all stages, with starting and sorting. ``same``: the
    results are those of the first replay, byte for byte, but for the name of the run."""

    what: str
    records: int
    seconds: float
    per_second: float
    same: str = ""


@dataclass(frozen=True)
class ReplayLatency:
    """Raw record's Kafka time → its enriched record with a reader, milliseconds, at ``rate`` articles a second."""

    what: str
    rate: int
    articles: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class _Mill(BenchMill):
    async def publish(self, count: int) -> None:
        """Fill the raw topic."""
        async with kafka.producer(self.settings, linger_ms=20) as producer:
            for article in with_copies(count, seed=11):
                await producer.send(self.name("raw"), orjson.dumps(article), key=article["url"].encode())
            await producer.flush()

    async def counted(self, stage: str) -> int:
        """Records that a stage has committed."""
        return sum((await read_counts(self.settings)).get(stage, {}).values())

    def replay(self, name: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start a replay of the whole topic."""
        return self.command(
            "replay", "run", name, "--from", "earliest", "--to", "latest", "--metrics-port", "0", *flags
        )

    async def digest(self, name: str) -> str:
        """Of all records of a replay's results in the order of each partition; the name of the run is left out."""
        settings = replay_settings(self.settings, name)
        topics = replay_registry(("chips", "cloud", "industrial-ai"), settings)
        own, found = f'"run":"{name}"'.encode(), hashlib.blake2b()
        for short in (*_SHORTS, *(short for short in topics if short.startswith("theme."))):
            for number in range(topics[short].partitions):
                place = TopicPartition(settings.topic_prefix + topics[short].name, number)
                async with kafka.consumer(settings) as client:
                    async for _, records in kafka.read_range(client, [place]):
                        for r in records:
                            value = r.value.replace(own, b"") if r.value is not None else None
                            found.update(repr((short, number, r.key, value, r.timestamp, r.headers)).encode())
        return found.hexdigest()


async def _until(condition: Callable[[], Awaitable[bool]], process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while not await condition():
        if process.poll() is not None or time.monotonic() - began > _DEADLINE_SECONDS:
            raise RuntimeError(f"the process ended with {process.poll()} before it was as far")
        await asyncio.sleep(0.1)


async def _read_bare(mill: _Mill) -> float:
    """Seconds of a loop that reads every raw record and parses its JSON."""
    partitions = [TopicPartition(mill.name("raw"), n) for n in range(mill.topics["raw"].partitions)]
    began = time.monotonic()
    async with kafka.consumer(mill.settings) as client:
        async for _, records in kafka.read_range(client, partitions):
            for record in records:
                orjson.loads(record.value)
    return time.monotonic() - began


async def _process_live(mill: _Mill, count: int) -> float:
    """Seconds until live's stories stage has all that its other stages gave it."""
    worker = mill.worker("--workers", "2")
    began = time.monotonic()

    async def drained() -> bool:
        counts = await read_counts(mill.settings)
        judged = counts.get("dedupe", {})
        readable = sum(judged.get(kind, 0) for kind in ("original", "update", "revision"))
        told = readable + judged.get("duplicate", 0)
        return sum(judged.values()) >= count and sum(counts.get("stories", {}).values()) >= told

    await _until(drained, worker)
    seconds = time.monotonic() - began
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    return seconds


def _finish(process: subprocess.Popen[bytes], mill: _Mill) -> None:
    if process.wait(_DEADLINE_SECONDS) != 0:
        raise RuntimeError(f"the replay ended with {process.returncode}; logs in {mill.folder}")


async def run_replays(servers: str, count: int = 100_000) -> list[ReplayCost]:
    """The bare loop, live, and the three replays, one after the other."""
    costs: list[ReplayCost] = []

    def add(what: str, seconds: float, same: str = "") -> None:
        costs.append(ReplayCost(what, count, seconds, count / seconds, same))

    with tempfile.TemporaryDirectory() as folder:
        mill = _Mill(servers, "replays", Path(folder))
        try:
            await mill.create()
            await mill.publish(count)
            add("bare loop: read and parse", await _read_bare(mill))
            add("live, 2 workers", await _process_live(mill, count))
            digests = []
            for name, flags in (("one", ("--workers", "1")), ("two", ("--workers", "2"))):
                began = time.monotonic()
                _finish(mill.replay(name, *flags), mill)
                seconds = time.monotonic() - began
                digests.append(await mill.digest(name))
                add(f"replay, {flags[1]} worker(s)", seconds, "yes" if digests[-1] == digests[0] else "NO")
            began = time.monotonic()
            own = replay_settings(mill.settings, "three")
            for stage in ("prepare", "dedupe"):
                process = mill.replay("three", "--workers", "2")

                async def half(stage: str = stage) -> bool:
                    async with kafka.admin_client(own) as admin:
                        if own.topic_prefix + "news.ledger.v1" not in await admin.list_topics():
                            return False
                    return sum((await read_counts(own)).get(stage, {}).values()) > count // 3

                await _until(half, process)
                kill(process)
            _finish(mill.replay("three", "--workers", "2"), mill)
            seconds = time.monotonic() - began
            digests.append(await mill.digest("three"))
            add("replay, 2 workers, two kill -9", seconds, "yes" if digests[-1] == digests[0] else "NO")
        finally:
            mill.stop()
    return costs


async def _measure_live(mill: _Mill, what: str, rate: int, seconds: float, seed: int) -> ReplayLatency:
    """Publish at a steady rate and wait for each enriched record."""
    partitions = [TopicPartition(mill.name("enriched"), n) for n in range(mill.topics["enriched"].partitions)]
    count = int(rate * seconds)
    waits: list[float] = []
    async with (
        kafka.consumer(mill.settings, fetch_max_wait_ms=20) as client,
        kafka.producer(mill.settings, linger_ms=0) as producer,
    ):
        client.assign(partitions)
        await client.seek_to_end(*partitions)

        async def publish() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            for article in make_articles(count, seed):
                await producer.send(mill.name("raw"), orjson.dumps(article), key=article["url"].encode())
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - loop.time()))

        publishing = asyncio.create_task(publish())
        deadline = time.monotonic() + seconds + 60
        while len(waits) < count and time.monotonic() < deadline:
            fetched: dict[Any, list[Any]] = await client.getmany(timeout_ms=500)
            now = time.time() * 1000
            for records in fetched.values():
                waits += [now - record.timestamp for record in records]
        await publishing
    waits.sort()
    p50, p95, p99 = (waits[min(len(waits) - 1, int(len(waits) * share))] for share in (0.5, 0.95, 0.99))
    return ReplayLatency(what, rate, len(waits), p50, p95, p99)


async def run_replays_beside_live(
    servers: str, count: int = 12_000, rate: int = 20, seconds: float = 30, throttle: int = 100
) -> list[ReplayLatency]:
    """Live latency alone, beside a throttled replay, beside one that takes all it can get, and alone again."""
    results: list[ReplayLatency] = []
    with tempfile.TemporaryDirectory() as folder:
        mill = _Mill(servers, "beside", Path(folder))
        try:
            await mill.create()
            await mill.publish(count)
            await _process_live(mill, count)
            mill.worker()
            await _measure_live(mill, "warming", rate, 10, 90)
            results.append(await _measure_live(mill, "live alone", rate, seconds, 91))
            for what, flags in (
                (f"beside a replay at {throttle} records/s", ("--rate", str(throttle))),
                ("beside a replay without --rate", ()),
            ):
                name = f"beside{len(results)}"
                replay = mill.replay(name, *flags)
                own = replay_settings(mill.settings, name)

                async def begun(own: Any = own) -> bool:
                    async with kafka.admin_client(own) as admin:
                        if own.topic_prefix + "news.ledger.v1" not in await admin.list_topics():
                            return False
                    return bool(await read_counts(own))

                await _until(begun, replay)
                results.append(await _measure_live(mill, what, rate, seconds, 91 + len(results)))
                kill(replay)
            results.append(await _measure_live(mill, "live alone again", rate, seconds, 99))
        finally:
            mill.stop()
    return results
