"""Verdicts of one run by article id, in some 180 bytes an article, each with the place of the record it came from."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from newsmill.core.comparison import CONTENT_FIELDS, DIGEST_BYTES, Verdict
from newsmill.core.id_table import IdTable

__all__ = ["Seen", "VerdictTable"]

T = TypeVar("T")

_FIELDS: Final = len(CONTENT_FIELDS) * DIGEST_BYTES
_ROW: Final = struct.Struct(f"<?qqQIIiq16s{_FIELDS}s")


class Seen(NamedTuple):
    """A verdict, and partition and offset of its record: in the enriched topic or, for a copy, the duplicate topic."""

    verdict: Verdict
    partition: int
    offset: int


class VerdictTable:
    """The latest verdict of each article; ids are 16 bytes."""

    def __init__(self) -> None:
        self._rows = IdTable(_ROW.size)
        self._themes: _Numbered[tuple[str, ...]] = _Numbered()
        self._runs: _Numbered[str] = _Numbered()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, ident: bytes) -> bool:
        return ident in self._rows

    def __iter__(self) -> Iterator[tuple[bytes, Seen]]:
        for ident, row in self._rows.oldest():
            yield ident, self._unpack(row)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self._rows.nbytes

    def get(self, ident: bytes) -> Seen | None:
        """The latest verdict of an article, None if there is none."""
        row = self._rows.get(ident)
        return None if row is None else self._unpack(row)

    def add(self, ident: bytes, seen: Seen) -> None:
        """Keep a verdict if it is the latest: by version; of equal ones the one later in its log, or the enriched."""
        known = self.get(ident)
        if known is not None:
            older, newer = known.verdict, seen.verdict
            if newer.version < older.version:
                return
            if newer.version == older.version and older.enriched and not newer.enriched:
                return
        verdict = seen.verdict
        row = _ROW.pack(
            verdict.enriched,
            verdict.version,
            verdict.time_ms,
            verdict.origin,
            self._themes.number(verdict.themes),
            self._runs.number(verdict.run),
            seen.partition,
            seen.offset,
            verdict.link,
            verdict.fields,
        )
        self._rows.put(ident, row)

    def withdraw(self, ident: bytes) -> None:
        """The enriched topic has a tombstone: what it said of the article no longer holds."""
        known = self.get(ident)
        if known is not None and known.verdict.enriched:
            self._rows.pop(ident)

    def _unpack(self, row: bytes) -> Seen:
        enriched, version, time_ms, origin, themes, run, partition, offset, link, fields = _ROW.unpack(row)
        verdict = Verdict(
            enriched,
            version,
            time_ms,
            origin,
            link,
            fields if enriched else b"",
            self._themes.values[themes],
            self._runs.values[run],
        )
        return Seen(verdict, partition, offset)


class _Numbered(Generic[T]):
    """Values that repeat, by number."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number
