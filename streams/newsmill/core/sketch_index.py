"""Sketches of the articles of the window → for a new sketch, the earlier ones that share its shingles.

A set-associative inverted index in numpy: each posting is 32 bits, a 24-bit entry number and an 8-bit tag of the hash,
in buckets of eight; a full bucket gives up its oldest posting. Lookup is one gather, insertion one scatter. Entries
leave only in the order they came (`expire`), so their postings need no deletion: a number below the head is dead.

What is found depends on nothing but the live entries, in the order of their numbers: a bucket holds the newest eight
postings of all that ever fell into it, and since the dead are always older than the living, those alive among the
newest eight of all are the newest eight of the living. So an index rebuilt from the live entries alone answers exactly
like the one that lived through everything.

Entry numbers wrap at 2^24. A dead posting must not come back as a young one, so each insertion clears a little of the
table, the whole of it every 2^22 insertions.
"""

from __future__ import annotations

import struct
import sys
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newsmill.core.fingerprint import U64, Sketch

__all__ = ["MAX_CAPACITY", "Entry", "Found", "Match", "SketchIndex"]

MAX_CAPACITY: Final = 1 << 22
"""Most live entries: the 24-bit numbers hold four times as many, which the sweep needs."""

_WAYS: Final = 8
_WAYS_SHIFT: Final = 3
_POSTINGS: Final = 42  # mean postings of an entry, measured on Korean and English news
_FILL: Final = 0.75
_NUMBER_MASK: Final = 0xFFFFFF
_SWEEP_EVERY: Final = 1024
_SWEEP_STRIPES: Final = 4096
_LEVELS: Final = 4  # an entry's hashes are counted at its own level and three above: a text 16 times as long
_CANDIDATES: Final = 8
_IN_LEAD: Final = 0.6  # share of a short text that has to be in the beginning of another one to be compared there
_MIN_HITS: Final = 3  # fewer shared hashes say nothing: chance tags alone make one or two

_THRESHOLDS: Final = np.array([0xFFFFFFFFFFFFFFFF, *(1 << (64 - level) for level in range(1, 64))], np.uint64)
_LOW: Final = np.uint64(0xFFFFFFFF)
_TAG: Final = np.uint32(0xFF)
_ONE: Final = np.uint32(1)
_E8: Final = np.uint32(8)
_E24: Final = np.uint32(24)
_FRACTION: Final = 0 if sys.byteorder == "little" else 1  # where the low half of a 64-bit product lies
_OWNER: Final = 4  # bytes of the owner's id that are kept: enough to know one's own entries

# time, cluster, owner, root, published, words, bitmap, exact, level, counts at this level and three above
_ROW: Final = struct.Struct(f"<II{_OWNER}s16sIIQQB{_LEVELS}B")
_FAMILY: Final = struct.Struct("<II")  # its beginning


class Entry(NamedTuple):
    """One indexed sketch. ``owner`` and ``root`` are ids (16 bytes): the article it is of, and the original that this
    article is, or is a copy of. ``cluster`` is the number of the first entry of the family of copies and updates.
    ``exact`` is a 64-bit hash of the text; ``published`` (of the root) and ``time`` (of the log) are seconds since the
    epoch. ``hashes`` are those of the sketch that are no boilerplate."""

    number: int
    owner: bytes
    root: bytes
    cluster: int
    level: int
    words: int
    bitmap: int
    exact: int
    published: int
    time: int
    hashes: U64


class Match(NamedTuple):
    """An earlier entry that shares shingles with a sketch. ``hits``: shared hashes; ``mine`` and ``theirs``: hashes of
    the sketch and of the entry at the common level; ``exact``: the texts are equal."""

    number: int
    root: bytes
    cluster: int
    hits: int
    mine: int
    theirs: int
    words: int
    bitmap: int
    published: int
    exact: bool


class Found(NamedTuple):
    """What the index knows of a sketch. ``matches``: at most eight, most hits first, the earliest first among equals.
    ``fresh``: hashes that are no boilerplate. ``known``: cluster → how many of those it holds,
    where it is three or more."""

    matches: list[Match]
    fresh: U64
    known: dict[int, int]


class SketchIndex:
    """The live entries, numbered ``head`` .. ``next_number`` - 1; at most ``capacity``."""

    def __init__(self, capacity: int, boilerplate: int, next_number: int = 1) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise ValueError(f"the capacity must be 1 to {MAX_CAPACITY}, not {capacity}")
        self.capacity = capacity
        self.head = next_number
        self.next_number = next_number
        self._boilerplate = boilerplate
        self._rows = np.zeros(capacity * _ROW.size, np.uint8).data  # takes memory only as it is written
        self._size_table(int(capacity * _POSTINGS / (_WAYS * _FILL)) + 1024)

    def _size_table(self, buckets: int) -> None:
        self._buckets = np.uint64(buckets)
        self._table = np.zeros((buckets, _WAYS), np.uint32)
        self._stripe = -(-buckets // _SWEEP_STRIPES)

    def __len__(self) -> int:
        return self.next_number - self.head

    @property
    def nbytes(self) -> int:
        """Bytes of the table and the rows."""
        return self._table.nbytes + self._rows.nbytes

    def time(self, number: int) -> int:
        """The log time of a live entry, seconds since the epoch."""
        return int(_FAMILY.unpack_from(self._rows, number % self.capacity * _ROW.size)[0])

    def _places(self, hashes: U64) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Bucket and tag of each hash: its low half times the number of buckets, whole part and fraction."""
        product = hashes & _LOW
        product *= self._buckets
        halves = product.view(np.uint32)
        tags = halves[_FRACTION::2] >> _E24
        np.maximum(tags, _ONE, out=tags)  # a posting is never zero
        return halves[1 - _FRACTION :: 2], tags

    def find(self, sketch: Sketch, exact: int, owner: bytes, since: int) -> Found:
        """The earlier entries like this sketch, but for those of ``owner`` and those older than ``since`` (seconds)."""
        hashes = sketch.hashes
        count = len(hashes)
        buckets, tags = self._places(np.concatenate((hashes, np.array((exact,), np.uint64), sketch.lead)))
        postings = self._table.take(buckets, 0)
        where = ((postings & _TAG) == tags[:, None]).ravel().nonzero()[0]
        if not len(where):
            return Found([], hashes, {})
        probes: list[int] = (where >> _WAYS_SHIFT).tolist()
        if len(probes) < _MIN_HITS and count not in probes:
            return Found([], hashes, {})
        numbers: list[int] = (postings.ravel()[where] >> _E8).tolist()
        return self._gather(sketch, exact, owner, since, probes, numbers)

    def _gather(
        self, sketch: Sketch, exact: int, owner: bytes, since: int, probes: list[int], numbers: list[int]
    ) -> Found:
        """Postings (which probe, low bits of which number) → what they say about the sketch."""
        hashes, count = sketch.hashes, len(sketch.hashes)
        following, live = self.next_number, len(self)
        rows, capacity, width = self._rows, self.capacity, _ROW.size
        family_of: dict[int, int] = {}  # number → cluster, -1 = outside the window
        by_probe: dict[int, list[int]] = {}
        for probe, low in zip(probes, numbers, strict=True):
            age = (following - low) & _NUMBER_MASK
            if not 0 < age <= live:
                continue
            number = following - age
            family = family_of.get(number)
            if family is None:
                time, cluster = _FAMILY.unpack_from(rows, number % capacity * width)
                family = family_of[number] = cluster if time >= since else -1
            if family >= 0:
                by_probe.setdefault(probe, []).append(number)
        equal = by_probe.pop(count, [])
        boilerplate: list[int] = []
        hits: dict[int, int] = {}
        lead: dict[int, int] = {}
        known: dict[int, int] = {}
        for probe, sharing in by_probe.items():
            families = {family_of[number] for number in sharing}
            if len(families) >= self._boilerplate:
                if probe < count:
                    boilerplate.append(probe)
            elif probe > count:
                for number in set(sharing):
                    lead[number] = lead.get(number, 0) + 1
            else:
                for number in set(sharing):
                    hits[number] = hits.get(number, 0) + 1
                for family in families:
                    known[family] = known.get(family, 0) + 1
        fresh = np.delete(hashes, boilerplate) if boilerplate else hashes
        totals = {**hits, **{number: hits.get(number, 0) + shared for number, shared in lead.items()}}
        ranked = sorted((-total, number) for number, total in totals.items() if total >= _MIN_HITS)
        chosen = [number for _, number in ranked[:_CANDIDATES]]
        chosen += sorted(set(equal).difference(chosen))
        matches = []
        for number in chosen:
            match = self._match(number, sketch, exact, owner, fresh, hits.get(number, 0), totals.get(number, 0))
            if match is not None:
                matches.append(match)
        return Found(matches, fresh, {family: n for family, n in known.items() if n >= _MIN_HITS})

    def _match(
        self, number: int, sketch: Sketch, exact: int, owner: bytes, fresh: U64, shared: int, total: int
    ) -> Match | None:
        """Compare with one entry. ``shared`` counts sampled hashes, ``total`` those of the beginning too."""
        _, cluster, their_owner, root, published, words, bitmap, their_exact, level, *counts = _ROW.unpack_from(
            self._rows, number % self.capacity * _ROW.size
        )
        same = their_exact == exact
        if their_owner == owner[:_OWNER] or (total < _MIN_HITS and not same):
            return None
        common = max(level, sketch.level)
        if level == 0 and total > shared and total >= _IN_LEAD * counts[0]:
            # a short text, of which every shingle is indexed, within the beginning of this one
            shared, mine, theirs = total, sketch.shingles, counts[0]
        elif common - level >= _LEVELS or common - sketch.level >= _LEVELS:
            return None
        else:
            mine = len(fresh) if common == sketch.level else int(fresh.searchsorted(_THRESHOLDS[common]))
            theirs = counts[common - level]
        return Match(number, root, cluster, min(shared, mine, theirs), mine, theirs, words, bitmap, published, same)

    def add(self, entry: Entry) -> None:
        """Index an entry. Its number must be the next one, and there must be room (`expire` first)."""
        number = entry.number
        if len(self) == 0 and number > self.next_number:
            self.head = self.next_number = number
        if number != self.next_number:
            raise ValueError(f"entry {number} follows {self.next_number - 1}")
        if len(self) >= self.capacity:
            raise ValueError(f"the index is full at {self.capacity} entries")
        hashes = entry.hashes
        buckets, tags = self._places(np.concatenate((hashes, np.array((entry.exact,), np.uint64))))
        ages = self._table.take(buckets, 0)
        if number > _NUMBER_MASK:  # numbers have wrapped: order them from the oldest possible, the empty first
            empty = ages == 0
            ages -= np.uint32(((number + 1) & _NUMBER_MASK) << 8)
            ages[empty] = 0
        tags |= np.uint32((number & _NUMBER_MASK) << 8)
        self._table[buckets, ages.argmin(1)] = tags
        _ROW.pack_into(
            self._rows,
            number % self.capacity * _ROW.size,
            min(max(entry.time, 0), 0xFFFFFFFF),
            entry.cluster & 0xFFFFFFFF,
            entry.owner[:_OWNER],
            entry.root,
            min(max(entry.published, 0), 0xFFFFFFFF),
            entry.words,
            entry.bitmap,
            entry.exact,
            entry.level,
            len(hashes),
            *hashes.searchsorted(_THRESHOLDS[entry.level + 1 : entry.level + _LEVELS]).tolist(),
        )
        self.next_number = number + 1
        if number % _SWEEP_EVERY == 0:
            self._sweep((number // _SWEEP_EVERY) % _SWEEP_STRIPES * self._stripe)

    def expire(self, number: int) -> None:
        """Forget an entry: it must be the oldest one, or be gone already."""
        if number == self.head and self.head < self.next_number:
            self.head += 1
        elif number >= self.head:
            raise ValueError(f"entry {number} would leave before {self.head}")

    def _sweep(self, start: int) -> None:
        """Empty the dead postings of one stripe."""
        block = self._table[start : start + self._stripe]
        age = (np.uint32(self.next_number & _NUMBER_MASK) - (block >> _E8)) & np.uint32(_NUMBER_MASK)
        block[(age > np.uint32(len(self))) | (age == 0)] = 0
