"""A stage for transport tests: each record of news.raw goes to news.unique under its own key, with its bytes.

The ordered ones count each key in a state, as dedupe keeps its articles.
Records whose value begins with ``!crash`` end the process natively; ``!fail`` raises. The ``slow`` stages work about
half a millisecond a record in batches of 50, so that a kill falls into the middle of something.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Change, Output, Record, Result
from newsmill.events import Outcome
from newsmill.settings import Settings
from newsmill.transport import Stage


class SeenState:
    """How many records of each key were seen."""

    def __init__(self) -> None:
        self.seen: dict[bytes, int] = {}

    def apply(self, change: Change) -> None:
        self.load(change.key, change.value)

    def load(self, key: bytes, value: bytes | None) -> None:
        self.seen[key] = int(value or 0)

    def load_all(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in records:
            self.load(key, value)

    def loaded(self) -> None:
        pass

    @property
    def entries(self) -> int:
        return len(self.seen)

    @property
    def nbytes(self) -> int:
        return 100 * len(self.seen)


def copy(record: Record, state: SeenState | None) -> Result:
    value = record.value or b""
    key = record.key or b"none"
    if value.startswith(b"!crash"):
        ctypes.string_at(0)
    if value.startswith(b"!fail"):
        raise ValueError("told to fail")
    changes = []
    if state is not None:
        changes = [Change(key, str(state.seen.get(key, 0) + 1).encode())]
    output = Output("unique", key, value, "article", key.decode(), record.timestamp, key.decode())
    return Result(Outcome.OK, (output,), changes, record.timestamp)


def slow_copy(record: Record, state: SeenState | None) -> Result:
    hashlib.pbkdf2_hmac("sha256", record.value or b"", b"salt", 1500)
    return copy(record, state)


def slow(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    return [Stage("prepare", "raw", ("unique",), slow_copy, 50, 1 << 20)]


def slow_ordered(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    return [Stage("dedupe", "prepared", ("unique",), slow_copy, 50, 1 << 20, "state.dedupe", SeenState)]


def parallel(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    """Stateless, over the four partitions of news.raw."""
    return [Stage("prepare", "raw", ("unique",), copy, 400, 1 << 20)]


def paused(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    """The slow stage with 0.7 s between sending the offsets and committing, where late fencing doubles."""
    commit = AIOKafkaProducer.commit_transaction

    async def held(self: Any) -> None:
        await asyncio.sleep(0.7)
        await commit(self)

    AIOKafkaProducer.commit_transaction = held
    return slow(settings, rulebook, names)


def ordered(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    """With state, over the one partition of news.prepared."""
    return [Stage("dedupe", "prepared", ("unique",), copy, 400, 1 << 20, "state.dedupe", SeenState)]


def two_sources(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    """Stateless, over news.raw and news.promote."""
    return [Stage("prepare", "raw", ("unique",), copy, 400, 1 << 20, more_sources=("promote",))]
