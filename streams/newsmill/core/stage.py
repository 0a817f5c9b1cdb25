"""The shape of a stage: one input record (and the stage's state) in; outputs, state changes and one disposition out.

A stage never mutates its state while it decides. It returns `Change`s, and the shell applies them, first in memory,
then in the same Kafka transaction as the outputs; after a restart the same changes rebuild the state. So one record's
changes apply wholly or not at all, and an exception leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from newsmill.events import Outcome

__all__ = ["Change", "Context", "Facts", "Output", "Process", "Record", "Result", "State"]


class Record(NamedTuple):
    """One record of an input topic. ``timestamp`` is Kafka's, in milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Output(NamedTuple):
    """One record to write. ``to`` is a topic's short name in topics.py; a ``None`` value is a tombstone.

    ``type`` is the CloudEvents type without its prefix ("article", "duplicate", ...), ``id`` its deterministic ce_id,
    ``time_ms`` the Kafka time to write (milliseconds), ``subject`` what it is about (an article or story id).
    ``partition`` is None where the key decides.
    """

    to: str
    key: bytes
    value: bytes | None
    type: str
    id: str
    time_ms: int
    subject: str
    partition: int | None = None


class Change(NamedTuple):
    """One change of state: the record of the compacted state topic, and the same thing decoded, for ``apply``."""

    key: bytes
    value: bytes | None
    decoded: Any = None


class Facts(NamedTuple):
    """What metrics and debug logs may tell of one record beside its outcome; a stage fills in what it knows.

    ``article`` is its id (for logs only, never a label); ``origin`` topic, partition and offset of its raw record;
    ``published_at`` as in the event; ``method`` how a duplicate was found; ``story`` whether the article "opened" or
    "joined" one, and then ``themes`` are the article's.
    """

    article: str
    origin: tuple[str, int, int] | None = None
    source: str | None = None
    language: str | None = None
    published_at: str | None = None
    themes: Sequence[str] | None = None
    method: str | None = None
    story: str | None = None


class Result(NamedTuple):
    """What one record led to. ``raw_time_ms`` is the Kafka time of the raw record that began it (for latency)."""

    outcome: Outcome
    outputs: Sequence[Output] = ()
    changes: Sequence[Change] = ()
    raw_time_ms: int | None = None
    facts: Facts | None = None


class State(Protocol):
    """In-memory state of an ordered stage for one partition: a fold over its changes."""

    def apply(self, change: Change) -> None:
        """Apply one change that this process just decided."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of the state topic, in the order of its log (compacted: any older values may be gone)."""

    def load_all(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """As `load` for each key and value; called in a thread, some thousands at a time."""

    def loaded(self) -> None:
        """Called once, after the last ``load``."""

    @property
    def entries(self) -> int:
        """Entries held now."""

    @property
    def nbytes(self) -> int:
        """Bytes of process memory that they take, estimated."""


class Context(NamedTuple):
    """What a stage may know of its surroundings: constants of the run, never a clock."""

    run: str
    newsmill_version: str
    default_timezone: str
    options: dict[str, Any]


S = TypeVar("S", contravariant=True)
Process = Callable[[Record, Any], Result]
