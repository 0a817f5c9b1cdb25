"""The parts of the embedded broker that need no Java: its lock, its configuration, its probe and its leash."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

import newsmill.broker
from newsmill.broker import KAFKA_VERSION, leash
from newsmill.broker.jars import default_cache, locked_jars
from newsmill.broker.layout import BROKER_PROPERTIES, server_properties, write_configuration
from newsmill.broker.wire import can_create_topics


def test_the_lock_is_of_the_pinned_version() -> None:
    jars = locked_jars()
    kafka = {jar.artifact: jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka["kafka_2.13"] == KAFKA_VERSION
    assert set(kafka.values()) == {KAFKA_VERSION}, "jars of several Kafka versions would meet in one process"
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_the_version_is_written_in_one_place() -> None:
    package = Path(newsmill.broker.__file__).parents[1]
    holders = {path.name for path in package.rglob("*.py") if KAFKA_VERSION in path.read_text("utf-8")}
    assert holders == {"jars.py"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("/var/cache/me", "/var/cache/me"), ("relative", "/home/me/.cache"), ("", "/home/me/.cache")],
)
def test_the_cache_follows_the_xdg_rule(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert default_cache() == Path(expected) / "newsmill" / f"kafka-{KAFKA_VERSION}"


def test_all_addresses_are_loopback() -> None:
    lines = server_properties(19092, 19093).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:19092" in lines
    assert "controller.quorum.voters=1@127.0.0.1:19093" in lines


def test_one_broker_needs_one_replica_everywhere() -> None:
    factors = {key: value for key, value in BROKER_PROPERTIES.items() if "replication.factor" in key or "min.i" in key}
    assert len(factors) == 7
    assert set(factors.values()) == {1}


def test_configuration_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    write_configuration(tmp_path, 1, 2)
    for path in tmp_path.iterdir():
        assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\4\0\0\0\1", b"\0\0\0\0", b"\0\0"]
)
def test_no_kafka_is_no_broker(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert can_create_topics("127.0.0.1", server.getsockname()[1]) is False
        thread.join()


def test_a_closed_port_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert can_create_topics("127.0.0.1", port) is False


FOLLOWED = """
import importlib.util, os, subprocess, sys
if sys.argv[1] == "follow":  # the way of systems without the kernel's leash
    sys.path.insert(0, os.path.dirname(sys.argv[2]))
    import leash
    sys.exit(leash._follow(int(sys.argv[3]), sys.argv[4:]))
command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
way = [__file__, "follow", sys.argv[2]] if sys.argv[1] == "parent-follow" else [sys.argv[2]]
child = subprocess.Popen([sys.executable, *way, str(os.getpid()), *command], stdout=subprocess.PIPE)
child.stdout.readline()
print("up", flush=True)
child.wait()
"""


@pytest.mark.timeout(30)
@pytest.mark.parametrize("way", ["parent-follow", *(["parent"] if sys.platform == "linux" else [])])
def test_a_command_on_the_leash_ends_with_its_parent(tmp_path: Path, way: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(FOLLOWED)
    with subprocess.Popen([sys.executable, str(script), way, leash.__file__], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        family = psutil.Process(parent.pid).children(recursive=True)
        assert family
        parent.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_leash_without_its_parent_runs_nothing(tmp_path: Path) -> None:
    if sys.platform != "linux":
        return  # there the parent is looked for while the command runs: the test above
    touched = tmp_path / "touched"
    done = subprocess.run(
        [sys.executable, leash.__file__, "1", sys.executable, "-c", f"open({str(touched)!r}, 'w')"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, touched.exists()) == (127, False)
    assert "the parent process has ended" in done.stderr


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, leash.__file__, str(os.getpid()), str(tmp_path / "java")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (127, f"{tmp_path / 'java'}: No such file or directory\n")
