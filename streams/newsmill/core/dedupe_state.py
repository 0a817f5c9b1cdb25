"""Changes of the dedupe stage → what it remembers: the sketches of the window, and each id with its last version."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from newsmill.core.dedupe_records import (
    HELD_BYTES,
    NO_ID,
    STATE_FORMAT,
    Known,
    entry_key,
    hold,
    known_of,
    seen,
    unpack_entries,
    unpack_known,
)
from newsmill.core.id_table import IdTable
from newsmill.core.sketch_index import SketchIndex
from newsmill.core.stage import Change
from newsmill.errors import StateMismatch, UnreadableFormat

__all__ = ["DedupeState"]

_EXPIRED_PER_RECORD: Final = 16
"""Most entries, and most ids, that one record expires: a gap in the stream is caught up over the next records."""

_EARLY: Final = "early"  # marks the tombstone of an entry that left for want of room, not of age

_DECODED_AT_ONCE: Final = 512
_FORMAT: Final = bytes([STATE_FORMAT])


class DedupeState:
    """The fold over the changes. ``evicted_early`` counts what left for want of room since this process began."""

    def __init__(self, *, window_ms: int, id_window_ms: int, max_entries: int, max_ids: int, boilerplate: int) -> None:
        self.index = SketchIndex(max_entries, boilerplate)
        self.clock = 0
        self.evicted_early = 0
        self.oldest = 1  # the first entry number that may still have a record in the state topic
        self._following = 1
        self._window_ms = window_ms
        self._id_window_ms = id_window_ms
        self._max_ids = max_ids
        self._ids = IdTable(HELD_BYTES)  # the longest unseen first
        self._related = IdTable(len(NO_ID))  # of the few originals that update another one

    @property
    def entries(self) -> int:
        """Sketches held now."""
        return len(self.index)

    @property
    def capacity(self) -> int:
        """Most sketches held: beyond, the oldest leave early."""
        return self.index.capacity

    @property
    def ids(self) -> int:
        """Ids known now."""
        return len(self._ids)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that index and ids take."""
        return self.index.nbytes + self._ids.nbytes + self._related.nbytes

    def known(self, ident: bytes, now: int) -> Known | None:
        """What is known of an id (16 bytes) at log time ``now``."""
        row = self._ids.get(ident)
        if row is None or seen(row) < now - self._id_window_ms:
            return None
        return known_of(row, self._related.get(ident) or NO_ID)

    def since(self, now: int) -> int:
        """The beginning of the window at log time ``now``, in seconds."""
        return max(0, now - self._window_ms) // 1000

    def departures(self, now: int, arriving: bytes, entry: bool) -> Iterator[Change]:
        """Tombstones for what has to go before the id ``arriving`` (and an entry, if any) comes, at most a few."""
        index = self.index
        since = self.since(now)
        number = self.oldest
        for _ in range(_EXPIRED_PER_RECORD):
            if number >= index.next_number or (number >= index.head and index.time(number) >= since):
                break
            yield Change(entry_key(number), None)
            number += 1
        number = max(number, index.head)
        if entry and index.next_number - number >= index.capacity:
            yield Change(entry_key(number), None, _EARLY)
        horizon = now - self._id_window_ms
        gone = 0
        for ident, row in islice(self._ids.oldest(), _EXPIRED_PER_RECORD):
            if ident == arriving:
                continue
            if seen(row) < horizon:
                yield Change(b"i" + ident, None)
            elif arriving not in self._ids and len(self._ids) - gone >= self._max_ids:
                yield Change(b"i" + ident, None, _EARLY)
            else:
                break
            gone += 1

    def apply(self, change: Change) -> None:
        """Apply one change that this process just decided."""
        kind, rest = change.key[:1], change.key[1:]
        if kind == b"s":
            if change.value is None:
                self._drop_entry(int.from_bytes(rest, "big"))
            else:
                self.index.add(change.decoded)
        elif change.value is None:
            self._forget(rest)
        else:
            self._remember(rest, change.decoded)
        if change.decoded is _EARLY:
            self.evicted_early += 1

    def load(self, key: bytes, value: bytes | None) -> None:
        """Apply one record of the state topic, in the order of its log: as `load_all`."""
        self.load_all([(key, value)])

    def load_all(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Apply records (key and value) of the state topic, in the order of its log; some thousands are the fastest.

        `UnreadableFormat` if a newer newsmill wrote one, `StateMismatch` if one is no record of this stage.
        """
        entries: list[tuple[int, bytes | None]] = []
        ids: list[tuple[bytes, bytes | None]] = []
        for key, value in records:
            if value is not None and value[:1] > _FORMAT:
                raise UnreadableFormat(
                    f"a dedupe state record of format {value[0]}; this newsmill reads up to {STATE_FORMAT}"
                )
            kind, rest = key[:1], key[1:]
            if kind == b"s" and len(rest) == 8:
                entries.append((int.from_bytes(rest, "big"), value))
            elif kind == b"i" and len(rest) == 16:
                ids.append((rest, value))
            else:
                raise StateMismatch(f"a record with the key {key!r} does not belong into the dedupe state topic")
        try:
            self._load_entries(entries)
            self._load_ids(ids)
        except (struct.error, ValueError) as error:
            raise StateMismatch(f"a record of the dedupe state topic is damaged: {error}") from error

    def loaded(self) -> None:
        """After the last `load`: go on with the entry number where the log stopped."""
        if not len(self.index) and self._following > self.index.next_number:
            self.index.restart(self._following)
        if not len(self.index):
            self.oldest = self.index.next_number

    def _load_entries(self, records: Sequence[tuple[int, bytes | None]]) -> None:
        """First count what comes and goes, then index what is left of it at once."""
        index = self.index
        head, following = index.head, index.next_number
        run: list[bytes] = []
        for number, value in records:
            if value is None:
                if head < following and number >= head:
                    if number != head:
                        raise ValueError(f"entry {number} would leave before {head}")
                    head += 1
                if number == self.oldest:
                    self.oldest += 1
                continue
            if number < following:
                raise StateMismatch(f"entry {number} of the dedupe state topic comes after {following - 1}")
            if head == following:
                self.oldest = number
            if number > following:  # what is missing was compacted away, so all before it is about to go
                head = following = number
                run = []
            if following - head >= index.capacity:  # the cap was lowered since: the next records write the tombstones
                head += 1
                self.evicted_early += 1
            run.append(value)
            following += 1
        first = following - len(run)
        if first != index.next_number or head > first:
            index.restart(max(first, head))
        while index.head < head:
            index.expire(index.head)
        first = max(first, head)
        left = run[first - following :] if first < following else []
        for start in range(0, len(left), _DECODED_AT_ONCE):
            index.add_all(unpack_entries(first + start, left[start : start + _DECODED_AT_ONCE]))

    def _load_ids(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        for start in range(0, len(records), _DECODED_AT_ONCE):
            self._load_some_ids(records[start : start + _DECODED_AT_ONCE])

    def _load_some_ids(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        values = [value for _, value in records if value is not None]
        if values:
            held = unpack_known(values)
            self.clock = max(self.clock, held.clock)
            self._following = max(self._following, held.following)
            rows, related = iter(held.rows), iter(held.related)
        for ident, value in records:
            if value is None:
                self._forget(ident)
            else:
                self._keep(ident, next(rows), next(related))

    def _drop_entry(self, number: int) -> None:
        if number >= self.index.head and len(self.index):
            self.index.expire(number)
        if number == self.oldest:
            self.oldest += 1

    def _forget(self, ident: bytes) -> None:
        self._ids.pop(ident)
        self._related.pop(ident)

    def _remember(self, ident: bytes, known: Known) -> None:
        self._keep(ident, hold(known), known.related)
        self.clock = max(self.clock, known.clock)
        self._following = max(self._following, known.next_number)

    def _keep(self, ident: bytes, row: bytes, related: bytes) -> None:
        self._ids.put(ident, row)
        if related != NO_ID:
            self._related.put(ident, related)
        elif len(self._related):
            self._related.pop(ident)
