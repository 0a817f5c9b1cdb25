"""CPU a record, throughput and latency of one hop: newsmill's shell beside a bare aiokafka loop and stock Faust."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from aiokafka.structs import TopicPartition

from bench.articles import make_articles
from newsmill import kafka
from newsmill.settings import Settings, load_settings
from newsmill.topic_admin import create_topics
from newsmill.topics import registry

__all__ = ["CANDIDATES", "METERED", "HopCost", "HopLatency", "measure_cost", "measure_latency"]

HERE = Path(__file__).parent
CANDIDATES: dict[str, tuple[str, ...]] = {
    "newsmill, small output, exactly once": ("newsmill", "bench.candidates:small"),
    "newsmill, whole article, exactly once": ("newsmill", "bench.candidates:whole"),
    "bare aiokafka loop, small output, no guarantee": ("bare",),
    "stock Faust async for, small output, at least once": ("faust",),
}
# the same hop with metrics, endpoint and lag timer, and with none of them
METERED: dict[str, tuple[str, ...]] = {
    "newsmill, small output, counted": ("newsmill", "bench.candidates:counted"),
    "newsmill, small output, not counted": ("newsmill", "bench.candidates:uncounted"),
}


@dataclass(frozen=True)
class HopCost:
    """CPU in microseconds a record (user and system, all threads; start-up excluded), records a second."""

    candidate: str
    records: int
    cpu_us: float
    per_second: float


@dataclass(frozen=True)
class HopLatency:
    """Milliseconds from sending a record to reading its output (read_committed), at a steady rate a second."""

    candidate: str
    rate: int
    records: int
    p50: float
    p95: float
    p99: float


class _Run:
    """One candidate on topics of its own."""

    def __init__(self, servers: str, command: tuple[str, ...], folder: Path) -> None:
        self.prefix = f"bench{secrets.token_hex(3)}."
        self.settings: Settings = load_settings(
            bootstrap_servers=servers, topic_prefix=self.prefix, batch_max_records=4000
        )
        self.topics = registry(settings=self.settings)
        self.source, self.sink = (self.prefix + self.topics[short].name for short in ("raw", "unique"))
        self.first = folder / f"{self.prefix}first"
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    async def prepare(self, values: list[bytes]) -> None:
        async with kafka.admin_client(self.settings) as admin:
            await create_topics(admin, self.topics, self.settings)
        async with kafka.producer(self.settings, linger_ms=20, compression_type="lz4") as producer:
            for number, value in enumerate(values):
                await producer.send(self.source, value, key=b"%032x" % number)
            await producer.flush()

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NEWSMILL_")}
        environment |= {
            "NEWSMILL_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "NEWSMILL_TOPIC_PREFIX": self.prefix,
            "NEWSMILL_BATCH_MAX_RECORDS": "4000",
            "NEWSMILL_LOG_LEVEL": "warning",
            "BENCH_SOURCE": self.source,
            "BENCH_SINK": self.sink,
            "BENCH_FIRST": str(self.first),
            "PYTHONPATH": str(HERE.parent),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "candidates.py"), *self.command], env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def working_process(self) -> psutil.Process:
        """The process that does the work: of newsmill the child of the supervising parent."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        children = parent.children()
        return children[0] if children else parent

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


async def _read(run: _Run, count: int, on_record: Any, seconds: float) -> None:
    got = 0
    deadline = time.monotonic() + seconds
    async with kafka.consumer(run.settings, fetch_max_wait_ms=5) as client:
        partitions = [TopicPartition(run.sink, n) for n in range(run.topics["unique"].partitions)]
        client.assign(partitions)
        await client.seek_to_beginning(*partitions)
        while got < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{got} of {count} records after {seconds:g} s")
            for records in (await client.getmany(timeout_ms=500)).values():
                got += len(records)
                for record in records:
                    on_record(record)


async def _committed(run: _Run, count: int, seconds: float) -> None:
    """Wait until the sink holds so many records, asking cheaply so that the asking costs the candidate little."""
    deadline = time.monotonic() + seconds
    async with kafka.consumer(run.settings) as client:
        partitions = [TopicPartition(run.sink, n) for n in range(run.topics["unique"].partitions)]
        while sum((await client.end_offsets(partitions)).values()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {count} records after {seconds:g} s")
            await asyncio.sleep(0.05)


async def measure_cost(servers: str, candidate: str, count: int) -> HopCost:
    """Let one candidate work off a full topic."""
    values = [orjson.dumps(article) for article in make_articles(1000)]
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(servers, (CANDIDATES | METERED)[candidate], Path(folder))
        await run.prepare([values[n % 1000] for n in range(count)])
        run.start()
        try:
            while not run.first.exists() or not run.first.read_text():
                await asyncio.sleep(0.02)
            began = time.monotonic()
            await _committed(run, count, 300)
            took = time.monotonic() - began
            used = run.working_process().cpu_times()
            before = float(run.first.read_text())
        finally:
            run.stop()
    return HopCost(candidate, count, (used.user + used.system - before) / count * 1e6, count / took)


async def measure_latency(servers: str, candidate: str, rate: int, seconds: float) -> HopLatency:
    """Send at a steady rate and note when each output is read."""
    count = int(rate * seconds)
    warm = rate  # the first second finds connections and caches cold
    values = [orjson.dumps(article) for article in make_articles(200)]
    sent: dict[bytes, float] = {}
    took: dict[bytes, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(servers, CANDIDATES[candidate], Path(folder))
        await run.prepare([])
        run.start()

        def note(record: Any) -> None:
            took[record.key] = time.monotonic() - sent[record.key]

        async def feed() -> None:
            async with kafka.producer(run.settings, linger_ms=0) as producer:
                probe = b"probe"
                sent[probe] = time.monotonic()
                await producer.send_and_wait(run.source, values[0], key=probe)
                while probe not in took:  # the candidate is up when the first record is through
                    await asyncio.sleep(0.02)
                due = time.monotonic()
                for number in range(count):
                    key = b"%032x" % number
                    sent[key] = time.monotonic()
                    await producer.send(run.source, values[number % 200], key=key)
                    due += 1 / rate
                    await asyncio.sleep(max(0, due - time.monotonic()))
                await producer.flush()

        try:
            await asyncio.gather(feed(), _read(run, count + 1, note, seconds + 60))
        finally:
            run.stop()
    steady = sorted(took[b"%032x" % number] * 1000 for number in range(warm, count))
    at = [steady[min(len(steady) - 1, int(len(steady) * share))] for share in (0.5, 0.95, 0.99)]
    return HopLatency(candidate, rate, len(steady), *at)


def rows(results: list[HopCost] | list[HopLatency]) -> list[dict[str, Any]]:
    """As JSON values."""
    return [asdict(result) for result in results]
