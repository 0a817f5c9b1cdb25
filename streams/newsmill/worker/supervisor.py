"""The supervising parent: starts N worker processes, starts again what dies, and isolates records that kill them."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash

from newsmill.errors import NewsmillError
from newsmill.marker import Marker, Place
from newsmill.settings import Settings
from newsmill.transport.bounded import Bounds
from newsmill.worker.plan import DEFAULT_FACTORY, ProcessPlan

__all__ = ["WorkerPlan", "run_processes", "supervise"]

log = logging.getLogger("newsmill.supervisor")

# A record that was in hand at so many native crashes becomes a dead letter. SIGKILL may be somebody's `kill -9` or
# the kernel short of memory: one more is asked for before the record is blamed.
_NATIVE = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_CRASHES, _KILLS = 2, 3
_BACKOFF_FIRST, _BACKOFF_MOST = 0.2, 10.0
_STEADY_SECONDS = 60.0  # after living for so long, the next start is not delayed
_STOP_SECONDS = 25.0


@dataclass(frozen=True)
class WorkerPlan:
    """What to run. ``metrics_port`` None: no endpoint."""

    stages: tuple[str, ...]
    processes: int = 1
    metrics_port: int | None = 9464
    factory: str = DEFAULT_FACTORY
    bounds: Bounds | None = None


@contextmanager
def _instance(settings: Settings) -> Iterator[str]:
    """A name for this parent in its groups: given, or this host and the first slot that no living parent holds.

    A parent that was killed leaves its slot free at once, so its successor takes over the same group members instead
    of waiting for their sessions to time out (2 s instead of 6 after a kill, measured).
    """
    if settings.instance_id is not None:
        yield settings.instance_id
        return
    scope = xxhash.xxh64_hexdigest(f"{settings.bootstrap_servers}|{settings.topic_prefix}".encode())
    folder = Path(tempfile.gettempdir()) / f"newsmill-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for slot in range(1000):
        path = folder / f"worker-{scope}-{slot}.lock"
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        try:
            # another file system (a container, another user's temporary folder) has slots of its own
            place = os.fstat(file)
            own = xxhash.xxh32_hexdigest(f"{place.st_dev}-{place.st_ino}".encode())
            yield f"{socket.gethostname()}-{slot}-{own}"
        finally:
            os.close(file)
        return
    raise NewsmillError("1000 workers run on this host already")


def _ignore_interrupts() -> None:
    """Ctrl-C reaches the whole group, from the first moment of a process: its parent says what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Supervisor:
    def __init__(
        self, settings: Settings, plan: WorkerPlan, instance: str, folder: Path, stopping: asyncio.Event
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.instance = instance
        self.folder = folder
        self.stopping = stopping
        self.crashers: set[Place] = set()
        self.deaths: Counter[tuple[Place, bool]] = Counter()
        self.exit_code = 0
        self.processes: dict[int, asyncio.subprocess.Process] = {}

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        (self.folder / f"marker-{index}").unlink(missing_ok=True)  # what it says is about the process before
        port = None if self.plan.metrics_port is None else self.plan.metrics_port + index
        plan = ProcessPlan(
            index=index,
            instance=f"{self.instance}-{index}",
            stages=self.plan.stages,
            metrics_port=port,
            marker=str(self.folder / f"marker-{index}"),
            started=str(self._started(index)),
            again=self._started(index).exists(),
            crashers=tuple(sorted(tuple(place) for place in self.crashers)),
            factory=self.plan.factory,
            bounds=self.plan.bounds,
            settings=ProcessPlan.plain(self.settings),
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "newsmill.worker.process", stdin=asyncio.subprocess.PIPE,
            preexec_fn=_ignore_interrupts,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(plan.line())
        self.processes[index] = process
        return process

    def _started(self, index: int) -> Path:
        return self.folder / f"started-{index}"

    def _blame(self, index: int, returncode: int) -> None:
        """After a death by a signal, count the record that was in hand; blame it when the count is reached."""
        place = Marker.read(self.folder / f"marker-{index}", self.plan.stages)
        if place is None:
            return
        number = -returncode
        native = number in _NATIVE
        if not native and number != signal.SIGKILL:
            return
        self.deaths[place, native] += 1
        if self.deaths[place, native] >= (_CRASHES if native else _KILLS):
            self.crashers.add(place)
            log.error("%s: offset %d of partition %d%s ended the process %d times: it becomes a dead letter (crashes)",
                      place.stage, place.offset, place.partition, " of its second topic" if place.source else "",
                      self.deaths[place, native])  # fmt: skip

    async def run_process(self, index: int) -> None:
        """Keep one process running until told to stop."""
        loop = asyncio.get_running_loop()
        delay = 0.0
        while not self.stopping.is_set():
            if delay:
                try:
                    await asyncio.wait_for(self.stopping.wait(), delay)
                    return
                except TimeoutError:
                    pass
            began = loop.time()
            process = await self._start(index)
            code = await process.wait()
            if self.stopping.is_set():
                if code > 0:
                    self.exit_code = self.exit_code or 1
                return
            # it said what a person must do; starting it again would only repeat it
            if code in (2, 3) or (code == 1 and not self._started(index).exists()):
                self.exit_code = code
                self.stopping.set()
                return
            if code < 0:
                self._blame(index, code)
            steady = loop.time() - began > _STEADY_SECONDS
            delay = _BACKOFF_FIRST if steady or delay == 0.0 else min(delay * 2, _BACKOFF_MOST)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log.warning("worker process %d ended (%s); it starts again in %.1f s", index, how, delay)

    async def stop_processes(self) -> None:
        """Ask every process to finish its batch and end; kill what does not within the limit."""
        living = [process for process in self.processes.values() if process.returncode is None]
        for process in living:
            process.terminate()
        if living:
            waits = [asyncio.create_task(process.wait()) for process in living]
            _, late = await asyncio.wait(waits, timeout=_STOP_SECONDS)
            for process in living:
                if process.returncode is None:
                    log.error("worker process %d did not end within %g s and is killed", process.pid, _STOP_SECONDS)
                    process.kill()
                    self.exit_code = self.exit_code or 1
            if late:
                await asyncio.wait(late)


async def run_processes(settings: Settings, plan: WorkerPlan, stopping: asyncio.Event) -> int:
    """Run the processes until ``stopping`` is set; the exit code, and the event is set when they gave up."""
    with tempfile.TemporaryDirectory(prefix="newsmill-worker-") as folder, _instance(settings) as instance:
        supervisor = _Supervisor(settings, plan, instance, Path(folder), stopping)
        log.info("worker %s: %d process(es), stages %s", instance, plan.processes, ", ".join(plan.stages))
        runs = [asyncio.create_task(supervisor.run_process(index)) for index in range(plan.processes)]
        stop = asyncio.create_task(stopping.wait())
        # a keeper ends before only by an error: then the others must not go on without anybody noticing
        await asyncio.wait({stop, *runs}, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        await stop
        await supervisor.stop_processes()
        await asyncio.gather(*runs)
        return supervisor.exit_code


async def _supervise(settings: Settings, plan: WorkerPlan) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return await run_processes(settings, plan, stopping)


def supervise(settings: Settings, plan: WorkerPlan) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises `NewsmillError` for what is wrong before the start."""
    return asyncio.run(_supervise(settings, plan))
