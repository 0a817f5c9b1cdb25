"""All four stages under kills, joins and leaves: how many articles were lost or doubled, how soon work went on."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiokafka.structs import TopicPartition

from bench.articles import make_articles
from bench.mill import BenchMill, kill
from newsmill import kafka
from newsmill.ledger import read_counts

__all__ = ["SoakResult", "run_soak"]


@dataclass(frozen=True)
class SoakResult:
    """``recovery_seconds``: from each kill -9 until a transaction of the successor, started at once, is committed."""

    articles: int
    accounted: int
    lost: int
    doubled: int
    kills: int
    joins: int
    recovery_seconds: list[float]
    seconds: float


class _Soak(BenchMill):
    async def publish(self, count: int) -> None:
        await self.create()
        name = self.name("raw")
        async with kafka.producer(self.settings, linger_ms=20) as producer:
            for article in make_articles(count, seed=3):
                await producer.send(name, orjson.dumps(article), key=article["url"].encode())
            await producer.flush()

    async def committed(self) -> int:
        """Transactions so far: the end of the ledger."""
        partition = TopicPartition(self.name("ledger"), 0)
        async with kafka.consumer(self.settings) as client:
            return int((await client.end_offsets([partition]))[partition])

    async def grow(self, least: int, seconds: float = 120) -> float:
        """Wait until the ledger has grown by so many offsets; how long it took."""
        began = time.monotonic()
        before = await self.committed()
        while await self.committed() < before + least:
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"no progress within {seconds:g} s; logs in {self.folder}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def identities(self, short: str) -> list[tuple[str, int]]:
        found = []
        async with kafka.consumer(self.settings) as client:
            parts = [TopicPartition(self.name(short), n) for n in range(self.topics[short].partitions)]
            async for _, records in kafka.read_range(client, parts):
                for record in records:
                    article = orjson.loads(record.value)
                    found.append((article["id"], article["version"]))
        return found


async def run_soak(servers: str, count: int = 20_000) -> SoakResult:
    """Four kills, each followed at once by a successor, and three joins and leaves of a second worker."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = _Soak(servers, "soak", Path(folder))
        await soak.publish(count)
        recovery = []
        try:
            steady = soak.worker()
            await soak.grow(4)
            for turn in range(4):
                kill(steady)
                steady = soak.worker()
                recovery.append(await soak.grow(1))
                await soak.grow(6)
                if turn < 3:
                    second = soak.worker()
                    await soak.grow(10)
                    second.send_signal(signal.SIGTERM)
                    second.wait(60)
            expected = await _until_done(soak, count)
            unique, enriched = await soak.identities("unique"), await soak.identities("enriched")
        finally:
            soak.stop()
        counts = await read_counts(soak.settings)
    accounted = sum(counts["dedupe"].values()) + counts["prepare"].get("dead_letter", 0)
    doubled = sum(len(found) - len(set(found)) for found in (unique, enriched))
    lost = sum(expected - len(set(found)) for found in (unique, enriched))
    return SoakResult(count, accounted, lost, doubled, 4, 3, recovery, time.monotonic() - began)


async def _until_done(soak: _Soak, count: int) -> int:
    """Wait until every stage has all; how many articles are unique."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        counts = await read_counts(soak.settings)
        dedupe = counts.get("dedupe", {})
        unique = sum(dedupe.get(name, 0) for name in ("original", "update", "revision"))
        notes = unique + dedupe.get("duplicate", 0)
        done = [sum(counts.get(stage, {}).values()) for stage in ("prepare", "dedupe", "enrich", "stories")]
        if done == [count, count, unique, notes]:
            return unique
        await asyncio.sleep(0.5)
    raise TimeoutError(f"not all articles went through: {counts}")
