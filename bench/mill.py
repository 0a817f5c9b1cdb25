"""A pipeline below a prefix of its own, for the benchmarks that run whole worker processes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

from newsmill import kafka
from newsmill.core.rulebook import load_rulebook
from newsmill.core.themes import ThemeRules
from newsmill.settings import load_settings
from newsmill.topic_admin import create_topics
from newsmill.topics import registry

__all__ = ["BenchMill", "kill"]


class BenchMill:
    """Topics, settings and worker processes; ``stop`` ends the processes that it started."""

    def __init__(self, servers: str, name: str, folder: Path) -> None:
        self.prefix = f"{name}{secrets.token_hex(3)}."
        self.settings = load_settings(bootstrap_servers=servers, topic_prefix=self.prefix)
        self.topics = registry(ThemeRules.from_rulebook(load_rulebook()).themes, self.settings)
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []

    def name(self, short: str) -> str:
        """The full name of a topic."""
        return self.prefix + self.topics[short].name

    async def create(self) -> None:
        """Make the topics."""
        async with kafka.admin_client(self.settings) as admin:
            await create_topics(admin, self.topics, self.settings)

    def worker(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own."""
        return self.command("worker", *flags, "--metrics-port", "0")

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a ``newsmill`` command in a session of its own; what it prints goes to a file in the folder."""
        environment = os.environ | {
            "NEWSMILL_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "NEWSMILL_TOPIC_PREFIX": self.prefix,
        }
        with (self.folder / f"{self.prefix}{len(self.workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "newsmill.cli", *arguments],
                env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.workers.append(process)
        return process

    def stop(self) -> None:
        """kill -9 what still runs."""
        for process in self.workers:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a worker: the parent and its processes."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
