"""Changes of the dedupe stage → what it remembers: the sketches of the window, and each id with its last version.

Two kinds of record make the compacted state topic, both little-endian structs that begin with a format byte:

    b"s" + entry number (8 bytes, big-endian)   one indexed sketch; written once, gone when the window has passed
    b"i" + article id (16 bytes)                what is known of an id; rewritten whenever the id is seen again

The record of an id also carries the clock and the next entry number of that moment. It is the last one of each
input record's changes, so compaction always keeps the newest, and both survive with it. Nothing else is state.

In memory an id takes 87 bytes and about 20 of index: times as 48-bit milliseconds or 32-bit seconds, 64 bits of the
content hash (two texts of one id would have to meet), and what an original updates only for the few that do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from newsmill.core.id_table import IdTable
from newsmill.core.sketch_index import Entry, SketchIndex
from newsmill.core.stage import Change
from newsmill.errors import StateMismatch, UnreadableFormat

__all__ = ["STATE_FORMAT", "DedupeState", "Known", "entry_change", "known_change", "read_version"]

STATE_FORMAT: Final = 1
_EXPIRED_PER_RECORD: Final = 16
"""Most entries, and most ids, that one record expires: a gap in the stream is caught up over the next records."""

_EARLY: Final = "early"  # marks the tombstone of an entry that left for want of room, not of age

# format, level, hashes; words, number of the cluster, bitmap, exact, published, time; owner, root
_ENTRY: Final = struct.Struct("<BBBxIQQQQQ16s16s")
# format, copy?, prepare version; version, fetched, seen; cluster; shingles, numbers; parity; content hash, related id;
# clock, next number (these two are not kept for each id)
_KNOWN: Final = struct.Struct("<BBHqqqQII32s8s8x16sqQ")

# copy?, prepare version; version and fetched + 1, low and high; seen in seconds; cluster; shingles, numbers; parity;
# content hash
_HELD: Final = struct.Struct("<BHIHIHIIII32s8s")
_MOST_MS: Final = (1 << 48) - 2

NO_ID: Final = bytes(16)


class Known(NamedTuple):
    """What is known of an id. ``version``, ``fetched`` (-1 = unknown) and ``seen`` are milliseconds; ``content`` is the
    first eight bytes of the content hash; ``related`` is what an original updates, or 16 zero bytes. ``cluster`` is
    the number of its family, modulo 2^32."""

    copy: bool
    prepare_version: int
    version: int
    fetched: int
    seen: int
    cluster: int
    shingles: int
    numbers: int
    parity: int
    content: bytes
    related: bytes
    clock: int
    next_number: int


def _pack_known(known: Known) -> bytes:
    return _KNOWN.pack(
        STATE_FORMAT,
        known.copy,
        known.prepare_version,
        known.version,
        known.fetched,
        known.seen,
        known.cluster,
        known.shingles,
        known.numbers,
        known.parity.to_bytes(32, "little"),
        known.content,
        known.related,
        known.clock,
        known.next_number,
    )


def _hold(known: Known) -> bytes:
    """The row of an id: what the decisions need of it."""
    parity = known.parity.to_bytes(32, "little")
    return _row(*known[:8], parity, known.content)


def _row(
    copy: bool,
    prepare_version: int,
    version: int,
    fetched: int,
    seen: int,
    cluster: int,
    shingles: int,
    numbers: int,
    parity: bytes,
    content: bytes,
) -> bytes:
    version = min(max(version, 0), _MOST_MS)
    fetched = min(max(fetched, -1), _MOST_MS) + 1
    return _HELD.pack(
        copy,
        prepare_version,
        version & 0xFFFFFFFF,
        version >> 32,
        fetched & 0xFFFFFFFF,
        fetched >> 32,
        _seconds(seen),
        cluster & 0xFFFFFFFF,
        shingles,
        numbers,
        parity,
        content,
    )


def _seconds(ms: int) -> int:
    return min(max(ms // 1000, 0), 0xFFFFFFFF)


def _seen(row: bytes) -> int:
    """When the id of a row was last seen, milliseconds."""
    return int(_HELD.unpack(row)[6]) * 1000


def _known_of(row: bytes, related: bytes) -> Known:
    copy, prepare_version, low, high, fetched_low, fetched_high, seen, *others = _HELD.unpack(row)
    cluster, shingles, numbers, parity, content = others
    return Known(
        bool(copy),
        prepare_version,
        low | high << 32,
        (fetched_low | fetched_high << 32) - 1,
        seen * 1000,
        cluster,
        shingles,
        numbers,
        int.from_bytes(parity, "little"),
        content,
        related,
        0,
        0,
    )


def _entry_key(number: int) -> bytes:
    return b"s" + number.to_bytes(8, "big")


def entry_change(entry: Entry) -> Change:
    """The change that indexes a sketch."""
    head = _ENTRY.pack(
        STATE_FORMAT,
        entry.level,
        len(entry.hashes),
        entry.words,
        entry.cluster,
        entry.bitmap,
        entry.exact,
        entry.published,
        entry.time,
        entry.owner,
        entry.root,
    )
    return Change(
        b"s%b" % entry.number.to_bytes(8, "big"), head + entry.hashes.astype("<u8", copy=False).tobytes(), entry
    )


def known_change(ident: bytes, known: Known) -> Change:
    """The change that remembers an id."""
    return Change(b"i" + ident, _pack_known(known), known)


def read_version(key: bytes, value: bytes) -> tuple[bytes, int, bytes] | None:
    """Id, version and the first eight bytes of the content hash, from a record of the state topic; None for a record
    that is not about an id. `UnreadableFormat` if a newer newsmill wrote it."""
    if key[:1] != b"i":
        return None
    if value[0] > STATE_FORMAT:
        raise UnreadableFormat(f"the dedupe state has format {value[0]}, this newsmill reads {STATE_FORMAT}")
    unpacked = _KNOWN.unpack(value)
    return key[1:], unpacked[3], unpacked[10]


def _unpack_entry(number: int, value: bytes) -> Entry:
    _, level, count, words, cluster, bitmap, exact, published, time, owner, root = _ENTRY.unpack_from(value)
    hashes = np.frombuffer(value, "<u8", count, _ENTRY.size).astype(np.uint64, copy=False)
    return Entry(number, owner, root, cluster, level, words, bitmap, exact, published, time, hashes)


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
        self._ids = IdTable(_HELD.size)  # the longest unseen first
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
        if row is None or _seen(row) < now - self._id_window_ms:
            return None
        return _known_of(row, self._related.get(ident) or NO_ID)

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
            yield Change(_entry_key(number), None)
            number += 1
        number = max(number, index.head)
        if entry and index.next_number - number >= index.capacity:
            yield Change(_entry_key(number), None, _EARLY)
        horizon = now - self._id_window_ms
        gone = 0
        for ident, row in islice(self._ids.oldest(), _EXPIRED_PER_RECORD):
            if ident == arriving:
                continue
            if _seen(row) < horizon:
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
        """Apply one record of the state topic, in the order of its log.

        `UnreadableFormat` if a newer newsmill wrote it, `StateMismatch` if it is no record of this stage.
        """
        kind, rest = key[:1], key[1:]
        if value is not None and value[:1] > bytes([STATE_FORMAT]):
            raise UnreadableFormat(
                f"a dedupe state record of format {value[0]}; this newsmill reads up to {STATE_FORMAT}"
            )
        try:
            if kind == b"s" and len(rest) == 8:
                number = int.from_bytes(rest, "big")
                if value is None:
                    self._drop_entry(number)
                else:
                    self._load_entry(_unpack_entry(number, value))
                return
            if kind == b"i" and len(rest) == 16:
                if value is None:
                    self._forget(rest)
                else:
                    _, *held, related, clock, following = _KNOWN.unpack(value)
                    self._keep(rest, _row(*held), related, clock, following)
                return
        except (struct.error, ValueError) as error:
            raise StateMismatch(f"a record of the dedupe state topic is damaged: {error}") from error
        raise StateMismatch(f"a record with the key {key!r} does not belong into the dedupe state topic")

    def loaded(self) -> None:
        """After the last `load`: go on with the entry number where the log stopped."""
        self.index.post()
        if not len(self.index) and self._following > self.index.next_number:
            self.index.head = self.index.next_number = self._following
        if not len(self.index):
            self.oldest = self.index.next_number

    def _load_entry(self, entry: Entry) -> None:
        index = self.index
        if entry.number < index.next_number and len(index):
            raise StateMismatch(f"entry {entry.number} of the dedupe state topic comes after {index.next_number - 1}")
        if not len(index):
            self.oldest = entry.number
        if entry.number > index.next_number:  # what is missing was compacted away, so all before it is about to go
            index.head = index.next_number = entry.number
        if len(index) >= index.capacity:  # the cap was lowered since: the next records write the tombstones
            index.expire(index.head)
            self.evicted_early += 1
        index.add_later(entry)

    def _drop_entry(self, number: int) -> None:
        if number >= self.index.head and len(self.index):
            self.index.expire(number)
        if number == self.oldest:
            self.oldest += 1

    def _forget(self, ident: bytes) -> None:
        self._ids.pop(ident)
        self._related.pop(ident)

    def _remember(self, ident: bytes, known: Known) -> None:
        self._keep(ident, _hold(known), known.related, known.clock, known.next_number)

    def _keep(self, ident: bytes, row: bytes, related: bytes, clock: int, following: int) -> None:
        self._ids.put(ident, row)
        if related != NO_ID:
            self._related.put(ident, related)
        elif len(self._related):
            self._related.pop(ident)
        self.clock = max(self.clock, clock)
        self._following = max(self._following, following)
