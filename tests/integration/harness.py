"""One test's pipeline on a real Kafka: its topics, its producers and readers, its worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.rulebook import load_rulebook
from newsmill.core.themes import ThemeRules
from newsmill.settings import Settings, load_settings
from newsmill.topic_admin import create_topics
from newsmill.topics import registry

HERE = Path(__file__).parent


class Read(NamedTuple):
    """One committed record."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    partition: int
    offset: int
    timestamp: int

    @property
    def json(self) -> Any:
        return orjson.loads(self.value) if self.value is not None else None


class Mill:
    """Everything below one topic prefix. Close it: it ends the processes that it started."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, *, create: bool = True, **settings: Any) -> None:
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("NEWSMILL_")}
        self.env |= {"NEWSMILL_BOOTSTRAP_SERVERS": bootstrap, "NEWSMILL_TOPIC_PREFIX": prefix}
        self.env |= {f"NEWSMILL_{name.upper()}": str(value) for name, value in settings.items()}
        # `python -m newsmill.worker.process` finds the test's own stages here
        self.env["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.settings: Settings = load_settings(bootstrap_servers=bootstrap, topic_prefix=prefix, **settings)
        self.topics = registry(ThemeRules.from_rulebook(load_rulebook()).themes, self.settings)
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        if create:
            asyncio.run(self._create())

    async def _create(self) -> None:
        async with kafka.admin_client(self.settings) as admin:
            await create_topics(admin, self.topics, self.settings)

    def name(self, short: str) -> str:
        return self.settings.topic_prefix + self.topics[short].name

    def exists(self, topic: str) -> bool:
        """Whether the broker has a topic of this full name."""

        async def ask() -> bool:
            async with kafka.admin_client(self.settings) as admin:
                return topic in await admin.list_topics()

        return asyncio.run(ask())

    # ---- processes --------------------------------------------------------------------------------------------

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"process-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *command], env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(self, factory: str, stages: str, processes: int = 1) -> subprocess.Popen[bytes]:
        """A worker with stages of the test's own."""
        return self.spawn(str(HERE / "run_worker.py"), factory, stages, str(processes))

    def newsmill(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A ``newsmill`` command in the background."""
        return self.spawn("-m", "newsmill.cli", *arguments)

    def call(self, *arguments: str, timeout: float = 60, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A ``newsmill`` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "newsmill.cli", *arguments],
            env=self.env, capture_output=True, text=True, timeout=timeout, input=stdin, check=False,
        )  # fmt: skip

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """kill -9 of a worker: the parent and its processes."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    @staticmethod
    def terminate(process: subprocess.Popen[bytes]) -> int:
        process.terminate()
        return process.wait(timeout=40)

    def logs(self) -> str:
        return "\n".join(path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("process-*.log")))

    def close(self) -> None:
        for process in reversed(self.processes):
            self.kill(process)

    # ---- records ----------------------------------------------------------------------------------------------

    def publish(self, short: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        asyncio.run(self._publish(short, records))

    async def _publish(self, short: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        async with kafka.producer(self.settings) as producer:
            sent = [await producer.send(self.name(short), key=key, value=value) for key, value in records]
            await producer.flush()
            for future in sent:
                await future

    def read(self, short: str) -> list[Read]:
        """Every committed record of a topic."""
        return asyncio.run(self._read(short))

    async def _read(self, short: str) -> list[Read]:
        out: list[Read] = []
        async with kafka.consumer(self.settings) as client:
            parts = [TopicPartition(self.name(short), n) for n in range(self.topics[short].partitions)]
            async for _, records in kafka.read_range(client, parts):
                out += [Read(r.key, r.value, dict(r.headers), r.partition, r.offset, r.timestamp) for r in records]
        return out

    def ends(self, short: str) -> int:
        """Sum of the committed end offsets of a topic: cheap, grows with it, counts transaction markers too."""

        async def ask() -> int:
            async with kafka.consumer(self.settings) as client:
                parts = [TopicPartition(self.name(short), n) for n in range(self.topics[short].partitions)]
                return sum((await client.end_offsets(parts)).values())

        return asyncio.run(ask())

    def wait_growth(self, short: str, least: int = 1, seconds: float = 30) -> None:
        """Wait until a topic has grown by so many offsets from now."""
        before = self.ends(short)
        self.wait(lambda: self.ends(short) >= before + least, f"{short} to grow by {least}", seconds)

    def processed(self, stage: str) -> dict[str, int]:
        """Dispositions of a stage by the ledger."""
        counts: dict[str, int] = {}
        for record in self.read("ledger"):
            if record.key == stage.encode():
                for outcome, count in record.json["counts"].items():
                    counts[outcome] = counts.get(outcome, 0) + count
        return counts

    def wait_processed(self, stage: str, count: int, seconds: float = 60) -> float:
        """Wait until the ledger shows so many records; how long it took."""
        return self.wait(lambda: sum(self.processed(stage).values()) >= count, f"{count} records by {stage}", seconds)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
        """Poll until the condition holds; fails with the workers' logs."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"waited {seconds:g} s for {what}\n{self.logs()[-6000:]}")
            time.sleep(0.1)
        return time.monotonic() - began
