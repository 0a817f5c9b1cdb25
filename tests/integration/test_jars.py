"""The cache of Kafka's jars: damage, absence, a wrong repository, two processes at once. The repository is local."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from newsmill.broker.jars import cached_classpath, default_cache, locked_jars
from newsmill.errors import BrokerError

pytestmark = pytest.mark.timeout(60)

NOWHERE = "http://127.0.0.1:1/maven2"
JARS = locked_jars()


class Repository(ThreadingHTTPServer):
    """A Maven repository on loopback that counts the jars it serves."""

    def __init__(self, folder: Path) -> None:
        self.served: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(SimpleHTTPRequestHandler):
    server: Repository

    def log_message(self, format: str, *arguments: object) -> None:
        if self.path.endswith(".jar"):
            self.server.served.append(self.path.rsplit("/", 1)[1])


@pytest.fixture
def maven(bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Repository, Path]]:
    """A repository with all locked jars (links to the cache that the run's broker has filled), and its folder."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "maven"
    source = default_cache()
    cached_classpath()  # where the run's Kafka is not the embedded one, this fills the cache
    for jar in JARS:
        place = folder / jar.group.replace(".", "/") / jar.artifact / jar.version / jar.file_name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source / jar.file_name)
    with Repository(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server, folder
        finally:
            server.shutdown()


def test_an_empty_cache_is_filled_once(maven: tuple[Repository, Path], tmp_path: Path) -> None:
    server, _ = maven
    cache = tmp_path / "cache"
    paths = cached_classpath(cache, server.url)
    assert [path.name for path in paths] == [jar.file_name for jar in JARS]
    assert all(jar.is_intact(cache) for jar in JARS)
    assert sorted(server.served) == sorted(jar.file_name for jar in JARS)
    assert {path.name for path in cache.iterdir()} == {*(jar.file_name for jar in JARS), "lock"}, "scratch was left"
    assert cached_classpath(cache, NOWHERE) == paths  # a full cache opens no connection


def test_damaged_and_missing_jars_are_fetched_again_and_no_others(
    maven: tuple[Repository, Path], tmp_path: Path
) -> None:
    server, _ = maven
    cache = tmp_path / "cache"
    shutil.copytree(default_cache(), cache, ignore=shutil.ignore_patterns("lock", "fetching-*"))
    changed, cut, missing = (cache / jar.file_name for jar in JARS[:3])
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-1])
    missing.unlink()
    cached_classpath(cache, server.url)
    assert all(jar.is_intact(cache) for jar in JARS)
    assert sorted(server.served) == sorted(path.name for path in (changed, cut, missing))


def test_a_repository_with_other_bytes_is_refused(maven: tuple[Repository, Path], tmp_path: Path) -> None:
    server, folder = maven
    jar = JARS[0]
    forged = folder / jar.group.replace(".", "/") / jar.artifact / jar.version / jar.file_name
    forged.unlink()
    forged.write_bytes(bytes(jar.size))
    cache = tmp_path / "cache"
    with pytest.raises(BrokerError, match=rf"{jar.file_name} from {server.url} .*differs from the one pinned"):
        cached_classpath(cache, server.url)
    assert not (cache / jar.file_name).exists()


def test_no_jars_and_no_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BrokerError) as caught:
        cached_classpath(tmp_path, NOWHERE)
    message = str(caught.value)
    assert "\n" not in message
    for advice in (NOWHERE, "needs the network once", "HTTPS_PROXY", str(tmp_path), "--bootstrap-servers"):
        assert advice in message


def test_two_processes_at_once_share_one_fetch(maven: tuple[Repository, Path], tmp_path: Path) -> None:
    server, _ = maven
    cache = tmp_path / "cache"
    program = (
        "import sys; from pathlib import Path; from newsmill.broker.jars import cached_classpath; "
        "cached_classpath(Path(sys.argv[1]), sys.argv[2])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(cache), server.url],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=50)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert all(jar.is_intact(cache) for jar in JARS)
    assert len(server.served) == len(JARS)
