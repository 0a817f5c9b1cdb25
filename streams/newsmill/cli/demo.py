"""``newsmill demo``: an embedded Kafka, the whole pipeline, the bundled samples; what comes out is counted."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiokafka.structs import TopicPartition
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from newsmill import kafka
from newsmill.broker import DEFAULT_PORT
from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, errors, output, read_settings
from newsmill.cli.tail import event_line, partitions_of
from newsmill.cli.topics import all_topics
from newsmill.core.decoding import MAX_BODY
from newsmill.errors import NewsmillError
from newsmill.events import Outcome
from newsmill.ledger import read_counts
from newsmill.samples import samples
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics

__all__ = ["run"]

_READY_SECONDS = 90.0
_WAVE_SECONDS = 120.0


@dataclass
class _Tally:
    """What the demo sent and saw."""

    sent: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stories: int = 0

    def count(self, stage: str, *outcomes: str) -> int:
        """Records of a stage with one of these outcomes; all of them if none is named."""
        counts = self.counts.get(stage, {})
        return sum(counts.get(name, 0) for name in outcomes) if outcomes else sum(counts.values())

    @property
    def dead_letters(self) -> int:
        return sum(counts.get(Outcome.DEAD_LETTER, 0) for counts in self.counts.values())

    def unaccounted(self) -> list[str]:
        """Where records are missing or too many, by the ledger; empty if every article is accounted for."""
        readable = (Outcome.ORIGINAL, Outcome.UPDATE, Outcome.REVISION)
        unique = self.count("dedupe", *readable)
        notes = self.count("enrich", Outcome.OK) + self.count("dedupe", Outcome.DUPLICATE)
        pairs = (
            ("raw records published, prepare", self.sent, self.count("prepare")),
            ("prepared, dedupe", self.count("prepare", Outcome.OK), self.count("dedupe")),
            ("unique, enrich", unique, self.count("enrich")),
            ("enriched, events read", self.count("enrich", Outcome.OK), len(self.events)),
            ("articles and copies, stories", notes, self.count("stories")),
        )
        return [f"{what}: {wanted} in, {got} out" for what, wanted, got in pairs if wanted != got]


def run(
    keep: Annotated[bool, typer.Option("--keep", help="Leave Kafka and the worker running afterwards.")] = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Show the whole pipeline on the bundled samples; exit code 1 if any article is unaccounted for."""
    settings = read_settings(bootstrap_servers, debug)
    told = bootstrap_servers is not None or "NEWSMILL_BOOTSTRAP_SERVERS" in os.environ
    folder = Path(tempfile.mkdtemp(prefix="newsmill-demo-"))
    with _Processes(folder, keep) as processes:
        if told:
            # topics of its own: the demo must not mix with what is there
            settings = read_settings(
                bootstrap_servers, debug, topic_prefix=f"{settings.topic_prefix}demo{os.getpid()}."
            )
        else:
            with errors.status("starting Kafka (the first start fetches its jars)"):
                settings = read_settings(processes.broker(), debug)
        output.print(f"Kafka at {settings.bootstrap_servers}", style="dim")
        tally = call(settings, _show(settings, processes))
        problems = tally.unaccounted()
        _summary(tally)
        if keep:
            _next_commands(settings, tally, processes)
    if problems:
        for problem in problems:
            errors.print(f"unaccounted: {problem}", style="red")
        raise typer.Exit(1)


class _Processes:
    """The broker and the worker as processes of their own; ended with the demo unless they are to be kept."""

    def __init__(self, folder: Path, keep: bool) -> None:
        self.folder = folder
        self.keep = keep
        self.running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.keep and kind is None:
            return
        for process in reversed(self.running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if kind is None or kind is KeyboardInterrupt:
            shutil.rmtree(self.folder, ignore_errors=True)  # logs are for a failure, or for what goes on running

    def start(self, name: str, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[bytes]:
        """A newsmill command in a session of its own, so that Ctrl-C ends the demo and the demo ends them."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "newsmill.cli", name, *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if name == "broker" else log, stderr=log,
                env={**os.environ, **environment}, start_new_session=True,
            )  # fmt: skip
        self.running.append(process)
        return process

    def broker(self) -> str:
        """Start the embedded Kafka; HOST:PORT once it accepts clients."""
        process = self.start("broker", {}, "--port", str(DEFAULT_PORT if _free(DEFAULT_PORT) else 0))
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        if not line.startswith("bootstrap:"):
            process.wait()
            raise NewsmillError(f"the embedded Kafka did not start: {self.last_line('broker')}")
        return line.split(":", 1)[1].strip()

    def last_line(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # as the broker binds: a connection that has just ended does not keep it from starting
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _show(settings: Settings, processes: _Processes) -> _Tally:
    tally = _Tally()
    topics = all_topics(settings)
    async with kafka.admin_client(settings) as admin:
        await create_topics(admin, topics, settings)
    environment = {
        "NEWSMILL_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "NEWSMILL_TOPIC_PREFIX": settings.topic_prefix,
    }
    port = _free_port()
    worker = processes.start("worker", environment, "--metrics-port", str(port))
    records = list(samples())
    waves = sorted({sample.wave for sample in records})
    letters = [(sample.key, sample.value, sample.wave) for sample in records]
    letters.append(
        (b"bad:too-large", orjson.dumps({"url": "https://big.example/", "body": "x" * (MAX_BODY + 1)}), waves[0])
    )
    name = settings.topic_prefix + topics["raw"].name
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("starting the worker", total=len(letters))
        reader = asyncio.create_task(_read_events(settings, topics["enriched"].name, tally))
        try:
            await _until_ready(port, worker, processes)
            async with kafka.producer(settings) as producer:
                for wave in waves:
                    for key, value, its_wave in letters:
                        if its_wave == wave:
                            await producer.send_and_wait(name, value, key=key)
                            tally.sent += 1
                    async for decided in _until_decided(settings, tally, worker, processes):
                        progress.update(task, completed=decided, description="articles decided")
        finally:
            reader.cancel()
            await asyncio.wait([reader])
    tally.stories = await _count_stories(settings, topics["story"].name, topics["story"].partitions)
    return tally


async def _until_ready(port: int, worker: subprocess.Popen[bytes], processes: _Processes) -> None:
    """Wait until the worker consumes, so that its start does not count as latency."""
    deadline = time.monotonic() + _READY_SECONDS
    while not await asyncio.to_thread(_is_ready, port):
        if worker.poll() is not None:
            raise NewsmillError(f"the worker ended: {processes.last_line('worker')}")
        if time.monotonic() > deadline:
            raise NewsmillError(f"the worker is not ready after {_READY_SECONDS:g} s: {processes.last_line('worker')}")
        await asyncio.sleep(0.1)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False  # it does not listen yet
    finally:
        connection.close()


async def _until_decided(
    settings: Settings, tally: _Tally, worker: subprocess.Popen[bytes], processes: _Processes
) -> Any:
    """Yield how many records have ended in a disposition until all sent ones have, in every stage."""
    deadline = time.monotonic() + _WAVE_SECONDS
    while True:
        tally.counts = await read_counts(settings)
        yield tally.count("prepare", Outcome.DEAD_LETTER) + tally.count("dedupe")
        if tally.count("prepare") >= tally.sent and not tally.unaccounted():
            return
        if worker.poll() is not None:
            raise NewsmillError(f"the worker ended: {processes.last_line('worker')}")
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.2)


async def _read_events(settings: Settings, topic: str, tally: _Tally) -> None:
    """Print enriched events as they are committed, and note how old their raw records are then."""
    async with kafka.consumer(settings, fetch_max_wait_ms=20) as client:
        partitions = await partitions_of(client, settings, topic)
        client.assign(partitions)
        await client.seek_to_beginning(*partitions)
        while True:
            for records in (await client.getmany(timeout_ms=500)).values():
                now = time.time() * 1000
                for record in records:
                    event = orjson.loads(record.value)
                    tally.events.append(event)
                    tally.latencies_ms.append(now - event["version"])
                    output.print(event_line(record))


async def _count_stories(settings: Settings, topic: str, partitions: int) -> int:
    found: set[bytes] = set()
    async with kafka.consumer(settings) as client:
        name = settings.topic_prefix + topic
        async for _, records in kafka.read_range(client, [TopicPartition(name, n) for n in range(partitions)]):
            for record in records:
                if orjson.loads(record.value)["status"] == "merged":
                    found.discard(record.key)
                else:
                    found.add(record.key)
    return len(found)


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _rows(tally: _Tally) -> Iterator[tuple[str, str, str]]:
    yield "articles in", str(tally.sent), ""
    meanings = {
        Outcome.ORIGINAL: "new texts",
        Outcome.UPDATE: "extend an earlier article and link to it",
        Outcome.REVISION: "the same address, another text",
        Outcome.REPEAT: "the same address, the same text",
        Outcome.STALE: "older than what is known",
        Outcome.DUPLICATE: "copies at another address",
    }
    for outcome, meaning in meanings.items():
        yield f"  {outcome.value}", str(tally.count("dedupe", outcome)), meaning
    yield "  dead letter", str(tally.dead_letters), "unreadable; kept as they came, with the reason"
    themes = Counter(theme["theme"] for event in tally.events for theme in event["themes"])
    themes["none"] = sum(not event["themes"] for event in tally.events)
    yield "enriched events", str(len(tally.events)), "on news.enriched.v1"
    for theme, number in sorted(themes.items()):
        yield f"  {theme}", str(number), f"on news.theme.{theme}.v1" if theme != "none" else "no theme"
    yield "stories", str(tally.stories), "on news.story.v1"
    median, last = _percentile(tally.latencies_ms, 0.5), _percentile(tally.latencies_ms, 0.99)
    yield "latency", f"{median:.0f} ms", f"p50 from landing to enriched and read; p99 {last:.0f} ms"


def _summary(tally: _Tally) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    for row in _rows(tally):
        table.add_row(*row)
    output.print()
    output.print(table)
    ended = tally.dead_letters + tally.count("dedupe") - tally.count("dedupe", Outcome.DEAD_LETTER)
    verdict = "every article accounted for" if not tally.unaccounted() else "NOT every article accounted for"
    output.print(f"\n{ended} of {tally.sent} articles ended in exactly one disposition: {verdict}.", style="bold")


def _next_commands(settings: Settings, tally: _Tally, processes: _Processes) -> None:
    command = sys.argv[0] if Path(sys.argv[0]).name == "newsmill" else "newsmill"
    flags = ""
    if settings.bootstrap_servers != "127.0.0.1:9092":
        flags += f" --bootstrap-servers {settings.bootstrap_servers}"
    before = f"NEWSMILL_TOPIC_PREFIX={settings.topic_prefix} " if settings.topic_prefix else ""
    pids = " ".join(str(process.pid) for process in reversed(processes.running))
    address = next((event["url"] for event in tally.events if event["themes"]), "URL")
    output.print("\nIt goes on running. Try:")
    output.print(f"  {before}{command} tail news.theme.chips.v1 --from-beginning --exit-at-end{flags}")
    output.print(f"  {before}{command} trace {address}{flags}")
    output.print(f"  {before}{command} status{flags}")
    output.print(f"Stop it with: kill {pids}   (logs in {processes.folder})", style="dim")
