"""Sketches of the articles of the window → for a new sketch, the earlier ones that share its shingles.

Each entry has a row in a ring, and a posting for each of its hashes and for its whole text in a `PostingTable`. Entries
leave only in the order they came (`expire`), so their postings need no deletion: a number below the head is dead.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newsmill.core.fingerprint import U64, Sketch
from newsmill.core.posting_table import MAX_CAPACITY, U32, PostingTable

__all__ = ["MAX_CAPACITY", "MAX_LEVEL", "Entries", "Entry", "Found", "Match", "SketchIndex"]

MAX_LEVEL: Final = 60
"""Highest level of a sketch that can be indexed: three above have a threshold too."""

_POSTED_AT_ONCE: Final = 512  # entries, in a rebuild: more are hardly faster, and malloc keeps what they need
_LEVELS: Final = 4  # an entry's hashes are counted at its own level and three above: a text 16 times as long
_CANDIDATES: Final = 8
_IN_LEAD: Final = 0.6  # share of a short text that has to be in the beginning of another one to be compared there
_MIN_HITS: Final = 3  # fewer shared hashes say nothing: chance tags alone make one or two

_THRESHOLDS: Final = np.array([0xFFFFFFFFFFFFFFFF, *(1 << (64 - level) for level in range(1, 64))], np.uint64)
_OWNER: Final = 4  # bytes of the owner's id that are kept: enough to know one's own entries
_MOST: Final = 0xFFFFFFFF
_MOST_WORDS: Final = 0xFFFFFF

# owner, root, published, words (low and high), bitmap, exact, level, counts at this level and three above
# of `exact` the high half: the low one has chosen the bucket already
_ROW: Final = struct.Struct(f"<{_OWNER}s16sIHBQIB{_LEVELS}B")
_ROW_TYPE: Final = np.dtype(
    [
        ("owner", "u1", (_OWNER,)),
        ("root", "u1", (16,)),
        ("published", "<u4"),
        ("words", "<u2"),
        ("words_high", "u1"),
        ("bitmap", "<u8"),
        ("exact", "<u4"),
        ("level", "u1"),
        ("counts", "u1", (_LEVELS,)),
    ]
)


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


class Entries(NamedTuple):
    """Entries of consecutive numbers, the fields of `Entry` as columns. ``owner`` and ``root``: 16 bytes a row;
    ``hashes``: those of all entries, ``counts`` of them each; the other columns of any unsigned type."""

    first: int
    owner: NDArray[np.uint8]
    root: NDArray[np.uint8]
    cluster: U64
    level: NDArray[np.uint8]
    words: U32
    bitmap: U64
    exact: U64
    published: U64
    time: U64
    counts: NDArray[np.uint8]
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
    where it is three or more and one entry holds three."""

    matches: list[Match]
    fresh: U64
    known: dict[int, int]


class SketchIndex:
    """The live entries, numbered ``head`` .. ``next_number`` - 1; at most ``capacity``."""

    def __init__(self, capacity: int, boilerplate: int, next_number: int = 1, buckets: int = 0) -> None:
        """``buckets`` of the posting table: by default as many as the capacity needs."""
        self._table = PostingTable(capacity, next_number, buckets)
        self.capacity = capacity
        self.head = next_number
        self.next_number = next_number
        self._boilerplate = boilerplate
        nothing = np.empty(0, np.uint64)
        self._asked = nothing, 0, nothing  # looked up last: the hashes of a sketch, its text's, and all of them
        # rows and columns take memory only as they are written
        self._rows = np.zeros(capacity, _ROW_TYPE)
        self._bytes = self._rows.view(np.uint8).data
        self._times = np.zeros(capacity, np.uint32)
        self._clusters = np.zeros(capacity, np.uint32)
        self._time_of, self._cluster_of = self._times.data, self._clusters.data  # a single element is read faster so

    def __len__(self) -> int:
        return self.next_number - self.head

    @property
    def nbytes(self) -> int:
        """Bytes of the table, and of the rows that were ever written."""
        return self._table.nbytes + min(self.next_number, self.capacity) * (_ROW.size + 8)

    def time(self, number: int) -> int:
        """The log time of a live entry, seconds since the epoch."""
        return int(self._times[number % self.capacity])

    def restart(self, number: int) -> None:
        """Forget every entry; the next one will have this number."""
        if len(self) or number != self.next_number:
            self._table.clear(number)
        self.head = self.next_number = number

    def find(self, sketch: Sketch, exact: int, owner: bytes, since: int) -> Found:
        """The earlier entries like this sketch, but for those of ``owner`` and those older than ``since`` (seconds)."""
        hashes = sketch.hashes
        asked = np.concatenate((np.array((exact,), np.uint64), hashes, sketch.lead))
        self._asked = hashes, exact, asked
        probes, numbers = self._table.find(asked, _MIN_HITS, self._boilerplate)
        if not probes:
            return Found([], hashes, {})
        head, capacity, times, clusters = self.head, self.capacity, self._time_of, self._cluster_of
        family_of: dict[int, int] = {}
        by_probe: dict[int, list[int]] = {}
        for probe, number in zip(probes, numbers, strict=True):
            if number >= head and times[place := number % capacity] >= since:
                family_of[number] = clusters[place]
                by_probe.setdefault(probe - 1, []).append(number)
        return self._gather(sketch, exact, owner, by_probe, family_of)

    def _gather(
        self, sketch: Sketch, exact: int, owner: bytes, by_probe: dict[int, list[int]], family_of: dict[int, int]
    ) -> Found:
        """Which numbers each probe met, and the family of each number → what they say about the sketch.

        Probe -1 is the whole text, then come the sampled hashes, then those of the beginning.
        """
        hashes, count = sketch.hashes, len(sketch.hashes)
        equal = by_probe.pop(-1, [])
        boilerplate: list[int] = []
        hits: dict[int, int] = {}
        lead: dict[int, int] = {}
        known: dict[int, int] = {}
        for probe, sharing in by_probe.items():
            families = {family_of[number] for number in sharing}
            if len(families) >= self._boilerplate:
                if probe < count:
                    boilerplate.append(probe)
            elif probe >= count:
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
        if not ranked:
            known = {}  # a glance at postings alive and dead may have ended the search already
        chosen = [number for _, number in ranked[:_CANDIDATES]]
        chosen += sorted(set(equal).difference(chosen))
        matches = []
        for number in chosen:
            match = self._match(
                number, sketch, exact, owner, fresh, hits.get(number, 0), totals.get(number, 0), number in equal
            )
            if match is not None:
                matches.append(match)
        return Found(matches, fresh, {family: n for family, n in known.items() if n >= _MIN_HITS})

    def _match(
        self, number: int, sketch: Sketch, exact: int, owner: bytes, fresh: U64, shared: int, total: int, equal: bool
    ) -> Match | None:
        """Compare with one entry. ``shared`` counts sampled hashes, ``total`` those of the beginning too; ``equal``:
        its posting of the whole text was met."""
        place = number % self.capacity
        their_owner, root, published, words, more, bitmap, their_exact, level, *counts = _ROW.unpack_from(
            self._bytes, place * _ROW.size
        )
        words += more << 16
        same = their_exact == exact >> 32 and (equal or total >= _MIN_HITS)
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
        cluster = int(self._clusters[place])
        return Match(number, root, cluster, min(shared, mine, theirs), mine, theirs, words, bitmap, published, same)

    def add(self, entry: Entry) -> None:
        """Index an entry. Its number must be the next one, and there must be room (`expire` first)."""
        number = entry.number
        self._check(number, 1)
        self._table.begin(number)
        place = number % self.capacity
        hashes, words = entry.hashes, min(entry.words, _MOST_WORDS)
        self._time_of[place] = min(max(entry.time, 0), _MOST)
        self._cluster_of[place] = entry.cluster & _MOST
        _ROW.pack_into(
            self._bytes,
            place * _ROW.size,
            entry.owner[:_OWNER],
            entry.root,
            min(max(entry.published, 0), _MOST),
            words & 0xFFFF,
            words >> 16,
            entry.bitmap,
            entry.exact >> 32,
            entry.level,
            len(hashes),
            *hashes.searchsorted(_THRESHOLDS[entry.level + 1 : entry.level + _LEVELS]).tolist(),
        )
        asked_of, exact, asked = self._asked
        if asked_of is not hashes or exact != entry.exact:
            asked = np.concatenate((np.array((entry.exact,), np.uint64), hashes))
        self._table.add(asked, len(hashes) + 1, number)
        self.next_number = number + 1

    def add_all(self, entries: Entries) -> None:
        """As `add` for each of them, at a tenth of the cost: for a rebuild."""
        counts = entries.counts.astype(np.int64)
        self._check(entries.first, len(counts))
        ends = np.cumsum(counts)
        begin = 0
        while begin < len(counts):
            first = entries.first + begin
            self._table.begin(first)
            end = min(begin + _POSTED_AT_ONCE, len(counts), self._table.together(first) + 1 - entries.first)
            hashes = entries.hashes[int(ends[begin] - counts[begin]) : int(ends[end - 1])]
            self._add_part(entries, begin, end, counts[begin:end], hashes)
            begin = end

    def _add_part(self, entries: Entries, begin: int, end: int, counts: NDArray[np.int64], hashes: U64) -> None:
        part = slice(begin, end)
        first, last = entries.first + begin, entries.first + end - 1
        places = np.arange(first, last + 1) % self.capacity
        self._times[places] = np.minimum(entries.time[part], _MOST)
        self._clusters[places] = entries.cluster[part] & np.uint64(_MOST)
        rows = np.zeros(end - begin, _ROW_TYPE)
        rows["owner"] = entries.owner[part, :_OWNER]
        rows["root"] = entries.root[part]
        rows["published"] = np.minimum(entries.published[part], _MOST)
        words = np.minimum(entries.words[part], _MOST_WORDS)
        rows["words"], rows["words_high"] = words & 0xFFFF, words >> 16
        rows["bitmap"] = entries.bitmap[part]
        rows["exact"] = entries.exact[part] >> np.uint64(32)
        rows["level"] = entries.level[part]
        rows["counts"][:, 0] = counts
        levels = entries.level[part].astype(np.int64)
        ends = np.cumsum(counts)
        for above in range(1, _LEVELS):
            below = np.zeros(len(hashes) + 1, np.int64)
            np.cumsum(hashes < np.repeat(_THRESHOLDS[levels + above], counts), out=below[1:])
            rows["counts"][:, above] = below[ends] - below[ends - counts]
        self._rows[places] = rows
        # the hash of its text goes before those of each entry
        hashes = np.insert(hashes, ends - counts, entries.exact[part])
        self._table.add_many(hashes, np.repeat(np.arange(first, last + 1), counts + 1))
        self.next_number = last + 1

    def _check(self, number: int, count: int) -> None:
        if len(self) == 0 and number > self.next_number:
            self.restart(number)
        if number != self.next_number:
            raise ValueError(f"entry {number} follows {self.next_number - 1}")
        if len(self) + count > self.capacity:
            raise ValueError(f"the index is full at {self.capacity} entries")

    def expire(self, number: int) -> None:
        """Forget an entry: it must be the oldest one, or be gone already."""
        if number == self.head and self.head < self.next_number:
            self.head += 1
        elif number >= self.head:
            raise ValueError(f"entry {number} would leave before {self.head}")
