"""A raw article of an archive → the Kafka time it gets, and what to say about the times of a whole archive.

A replay selects records by their Kafka time, so an article that does not say when it was fetched or published is
refused: "now" would be a time at which it never was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from newsmill.core.times import EARLIEST_MS, format_utc, parse_time
from newsmill.settings import Settings

__all__ = ["ArchiveTimes"]

_AHEAD_MS = 5 * 60 * 1000  # a crawler's clock; Kafka refuses what is an hour ahead


@dataclass
class ArchiveTimes:
    """The times given so far. ``now_ms`` is when the command began: nothing was fetched later."""

    settings: Settings
    now_ms: int
    first: int | None = None
    last: int | None = None
    by_publication: int = 0
    example: str = field(default="")

    def time_of(self, data: Mapping[str, Any], place: str) -> int | str:
        """Kafka time in ms: ``fetched_at``, else ``published_at``; a string says why there is none."""
        reasons: list[str] = []
        for name in ("fetched_at", "published_at"):
            value = data.get(name)
            ms = parse_time(value, self.settings.default_timezone)
            if ms is not None and EARLIEST_MS <= ms <= self.now_ms + _AHEAD_MS:
                if name == "published_at":
                    self.by_publication += 1
                    self.example = self.example or f"{place}: {reasons[0]}"
                self.first = ms if self.first is None else min(self.first, ms)
                self.last = ms if self.last is None else max(self.last, ms)
                return ms
            reasons.append(f"{name} {_wrong(value, ms)}")
        return f"no time for the archive: {' and '.join(reasons)}; a replay selects by time, so give one of them"

    def lines(self, name: str) -> Iterator[str]:
        """What a person should know at the end: the span, whose times are not fetched_at, and the next command."""
        if self.first is None or self.last is None:
            return
        if self.by_publication:
            yield f"{self.by_publication} got published_at as their time ({self.example})"
        yield f"times from {format_utc(self.first)} to {format_utc(self.last)}"
        begin, end = self.first // 1000 * 1000, (self.last // 1000 + 1) * 1000  # --to is the first time left out
        yield (
            f"next: newsmill replay run {name} --topic news.archive.{name}.v1 "
            f"--from {format_utc(begin)} --to {format_utc(end)}"
        )


def _wrong(value: object, ms: int | None) -> str:
    if value is None or value == "":
        return "is missing"
    if ms is None:
        return "cannot be read"
    return "is before 1990" if ms < EARLIEST_MS else "is in the future"
