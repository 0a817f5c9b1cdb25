"""Fixtures of the integration tier: a pipeline below a prefix of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Mill


@pytest.fixture
def mill(bootstrap: str, prefix: str, tmp_path: Path) -> Iterator[Mill]:
    """A pipeline on the shared broker; its processes are ended with the test."""
    made = Mill(bootstrap, prefix, tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def unused_port() -> int:
    """A port of 127.0.0.1 where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
