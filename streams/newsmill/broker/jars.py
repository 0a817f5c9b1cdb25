"""jars.lock → a folder with exactly those jars: fetched once, verified at every start, shared by all processes.

The lock pins every jar by SHA-256, as requirements.txt pins every wheel, so no dependency is resolved at run time: a
start with a full cache opens no connection. All 45 MB are hashed at each start, which takes 0.1 s and finds any
damaged or half-written file; such a file is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from newsmill.errors import BrokerError

__all__ = ["KAFKA_VERSION", "Jar", "cached_classpath", "default_cache", "locked_jars"]

KAFKA_VERSION = "4.3.1"
"""The one place that says which Apache Kafka is embedded; the container image carries the same number."""

_CONNECTIONS = 6
"""Jars fetched at once. More does not help: Maven Central limits by address."""

_ATTEMPTS = 3


class Jar(NamedTuple):
    """One line of jars.lock. ``size`` in bytes."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    def is_intact(self, folder: Path) -> bool:
        """Whether the folder holds this jar, byte for byte."""
        try:
            with (folder / self.file_name).open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def locked_jars() -> list[Jar]:
    """The jars of jars.lock, in class path order."""
    text = (resources.files("newsmill.broker") / "jars.lock").read_text("utf-8")
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sha256, size, coordinate = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, int(size), sha256))
    return jars


def default_cache() -> Path:
    """Where the jars are kept: below ``$XDG_CACHE_HOME``, else ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"  # the XDG rule: relative is ignored
    return root / "newsmill" / f"kafka-{KAFKA_VERSION}"


def cached_classpath(cache: Path | None = None, repository: str | None = None) -> list[Path]:
    """The locked jars as files, fetching from a Maven repository (by default Central) what is missing or damaged.

    Files appear in the cache whole (written elsewhere, verified, renamed), and one process fetches at a time.
    `BrokerError` says what to do if a jar can be neither found nor fetched.
    """
    folder = cache or default_cache()
    jars = locked_jars()
    try:
        if any(not jar.is_intact(folder) for jar in jars):
            folder.mkdir(parents=True, exist_ok=True)
            with _only_one_process(folder):
                missing = [jar for jar in jars if not jar.is_intact(folder)]  # another process may have been faster
                if missing:
                    _fetch(missing, folder, repository or _central())
    except PermissionError as error:
        raise BrokerError(f"the cache of Kafka's jars cannot be written: {error}; set XDG_CACHE_HOME") from error
    return [folder / jar.file_name for jar in jars]


def _central() -> str:
    from jgo import MAVEN_CENTRAL_URL  # 0.2 s: only where something is fetched

    return str(MAVEN_CENTRAL_URL)


@contextmanager
def _only_one_process(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:  # a lock of the kernel: it ends with its process, however that ends
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(jars: Sequence[Jar], folder: Path, repository: str) -> None:
    megabytes = sum(jar.size for jar in jars) / 1e6
    sys.stderr.write(
        f"fetching Apache Kafka {KAFKA_VERSION} ({len(jars)} jars, {megabytes:.0f} MB) from {repository} to {folder}\n"
    )
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder) as scratch:
        pool = ThreadPoolExecutor(_CONNECTIONS)
        try:
            for future in [pool.submit(_fetch_one, jar, folder, Path(scratch), repository) for jar in jars]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # after a first failure the others are not tried


def _fetch_one(jar: Jar, folder: Path, scratch: Path, repository: str) -> None:
    from jgo.maven import MavenContext  # 0.2 s: only where something is fetched

    problem = ""
    for attempt in range(_ATTEMPTS):
        # A folder for each attempt: jgo neither overwrites nor removes a file it left half-written.
        context = MavenContext(repo_cache=scratch / f"{attempt}", remote_repos={"repository": repository})
        try:
            path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo's "not found" is a RuntimeError
            problem = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            continue
        found = path.rename(path.with_name(jar.file_name))
        if jar.is_intact(found.parent):
            found.replace(folder / jar.file_name)
            return
        problem = "the file differs from the one pinned in jars.lock"
    raise BrokerError(
        f"cannot fetch {jar.file_name} from {repository} ({problem}); the embedded Kafka needs the network once: "
        f"connect (HTTPS_PROXY is honoured), or copy {folder} from a machine that has it, "
        "or name a running Kafka with --bootstrap-servers"
    )
