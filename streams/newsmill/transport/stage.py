"""What the shell must know of one stage: where it reads, where it writes, what it does, and what state it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from newsmill import __version__
from newsmill.core.stage import Context, Process, State
from newsmill.settings import Settings

__all__ = ["Stage", "context_of"]


def context_of(settings: Settings, run: str = "live") -> Context:
    """What the stages of a run may know of their surroundings."""
    shards = settings.shard_of_language if settings.dedupe_shards > 1 else None
    return Context(run, __version__, settings.default_timezone, {"shard_of_language": shards})


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    ``source``, ``more_sources`` and ``sinks`` are short names of topics; ``state_topic`` and ``new_state`` are None for
    stages without state. Only a stage without state may have more sources: between two logs there is no order.
    ``batch_records`` and ``batch_bytes`` cut a batch so that its work stays under half a second at the stage's measured
    cost. ``reports_latency`` marks the stage whose commit ends the way of an article.
    """

    name: str
    source: str
    sinks: tuple[str, ...]
    process: Process
    batch_records: int
    batch_bytes: int
    state_topic: str | None = None
    new_state: Callable[[], State] | None = None
    reports_latency: bool = False
    more_sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert not (self.more_sources and self.state_topic), f"{self.name} has state: it can read one topic only"

    @property
    def sources(self) -> tuple[str, ...]:
        """All topics that the stage reads, the main one first."""
        return (self.source, *self.more_sources)
