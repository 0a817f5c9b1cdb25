"""Hashes and the numbers of the entries that hold them → for a hash, the newest entries that share it.

A set-associative inverted index in numpy. A bucket is a ring of 64 postings: a full one gives up its oldest. A posting
is an 8-bit tag of the hash and the low 16 bits of the entry number; the tags of a bucket are one cache line, so looking
up a hash reads that line, and the numbers only where a tag fits. The rest of a number needs no bits of its own: a ring
is in the order of the numbers, so it is enough to count for each bucket how many postings fell into it in each *epoch*
of 65,536 numbers. A new epoch takes the counter of the oldest one, and what that had counted is forgotten.
(Filled to 95 %, the oldest tenth of the entries loses 23 % of its postings and all together 3 %; buckets of eight at
75 % lose 22 and 5 %.)

What is found depends on nothing but the live entries, in the order of their numbers: a bucket holds the newest 64
postings of all that ever fell into it, and since the dead are always older than the living, those alive among the
newest 64 of all are the newest 64 of the living. So a table rebuilt from the live entries alone answers exactly
like the one that lived through everything.

The table begins with a sixteenth of its buckets and doubles when the entry number passes 1/32, 1/16, 1/8 and a
quarter of the capacity: so a small stream stays small, and since the number alone decides, a table rebuilt later
grows at the same entries. (A bucket gives up its oldest first, so what came first would lose something at the end of
every size: therefore the smaller tables are left half empty.) The tags of a smaller table have one more bit for each
doubling that is to come: it says into which of the two buckets a posting goes, so nothing is lost by growing.
"""

from __future__ import annotations

import mmap
import sys
from operator import eq
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from newsmill.core.fingerprint import U64

__all__ = ["MAX_CAPACITY", "U32", "PostingTable"]

MAX_CAPACITY: Final = 1 << 22
"""Most live entries: beyond, the counters of a bucket would take more than its tags."""

U32 = NDArray[np.uint32]
_Numbers = NDArray[np.int64]

_WAYS: Final = 64
_WAYS_SHIFT: Final = 6
_POSTINGS: Final = 42  # mean postings of an entry, measured on Korean and English news
_FILL: Final = 0.95
_SPARE: Final = 512  # buckets, so that a very small table is not overfull
_TAG_BITS: Final = 8
_EPOCH_BITS: Final = 16
_DOUBLINGS: Final = 4
_FEW: Final = 6
_GROWS_FROM: Final = 1 << 15  # buckets (7 MiB): a smaller table has its full size from the beginning
_DOUBLED_AT_ONCE: Final = 1 << 9  # buckets: bounds what a doubling needs beside the two tables

_ORDER_BITS: Final = 24  # postings written together at most, and buckets take no more than 38 bits beside them

_LOW: Final = np.uint64(0xFFFFFFFF)
_ONE: Final = np.uint32(1)
_ONE_MORE: Final = np.uint8(1)
_FRACTION: Final = 0 if sys.byteorder == "little" else 1  # where the low half of a 64-bit product lies
_RING: Final = np.arange(_WAYS)
_LAST: Final = np.uint8(_WAYS - 1)
_MOST: Final = np.uint8(_WAYS)


def _plane(size: int, kind: Any) -> Any:
    """Zeros in pages of their own: they take memory as they are written, and all of it goes back when they go."""
    pages = mmap.mmap(-1, size * np.dtype(kind).itemsize)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # numpy asks for them too: without, a look-up spends half its time on page walks
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, kind)


class PostingTable:
    """Postings of entries numbered in the order they come; at most ``capacity`` of them are alive at a time."""

    def __init__(self, capacity: int, next_number: int = 1, buckets: int = 0) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise ValueError(f"the capacity must be 1 to {MAX_CAPACITY}, not {capacity}")
        self._capacity = capacity
        self._epochs = -(-capacity >> _EPOCH_BITS) + 1
        buckets = buckets or int(capacity * _POSTINGS / (_WAYS * _FILL)) + _SPARE
        self._grows = buckets >= _GROWS_FROM
        self._smallest = -(-buckets >> _DOUBLINGS)
        self.clear(next_number)

    def clear(self, next_number: int) -> None:
        """Forget everything; the next entry will have this number."""
        step = 0 if self._grows else _DOUBLINGS
        while step < _DOUBLINGS and next_number > self._capacity >> (_DOUBLINGS + 1 - step):
            step += 1
        self._set_step(step)
        self._epoch = next_number >> _EPOCH_BITS
        self._allocate()

    def _set_step(self, step: int) -> None:
        """``step``: how many doublings the table has seen."""
        self._step = step
        self._doubles_at = (self._capacity >> (_DOUBLINGS + 1 - step)) + 1 if step < _DOUBLINGS else 0
        self.buckets = self._smallest << step
        self._factor = np.uint64(self.buckets)
        self.tag_bits = _TAG_BITS + _DOUBLINGS - step
        self._tag_type: Any = np.uint8 if self.tag_bits == _TAG_BITS else np.uint16
        self._fraction_shift = np.uint32(32 - self.tag_bits)
        self._asked: tuple[U64 | None, NDArray[np.intp], U32] = (None, np.empty(0, np.intp), np.empty(0, np.uint32))

    def _allocate(self) -> None:
        size = self.buckets * _WAYS
        self._tags: NDArray[Any] = _plane(size, self._tag_type)
        self._numbers: NDArray[np.uint16] = _plane(size, np.uint16)
        self._counts: NDArray[np.uint8] = _plane(self.buckets * self._epochs, np.uint8)
        self._cursors: NDArray[np.uint8] = _plane(self.buckets, np.uint8)  # where the next posting goes
        # a single element is read faster so
        self._number_of, self._count_of, self._cursor_of = self._numbers.data, self._counts.data, self._cursors.data

    @property
    def nbytes(self) -> int:
        """Bytes of the planes."""
        return self._tags.nbytes + self._numbers.nbytes + self._counts.nbytes + self._cursors.nbytes

    def postings(self) -> list[list[tuple[int, int]]]:
        """Number and tag of the postings of every bucket, oldest first: for tests."""
        places = (np.arange(self.buckets)[:, None] << _WAYS_SHIFT) + (self._cursors[:, None] + _RING & _WAYS - 1)
        numbers, tags = self._read(places.ravel()).reshape(-1, _WAYS).tolist(), self._tags.take(places).tolist()
        return [
            [(number, tag) for number, tag in zip(*bucket, strict=True) if number >= 0]
            for bucket in zip(numbers, tags, strict=True)
        ]

    def _hashed(self, hashes: U64) -> tuple[NDArray[np.intp], U32]:
        """Bucket and tag of each hash: its low half times the number of buckets, whole part and fraction."""
        product = hashes & _LOW
        product *= self._factor
        halves = product.view(np.uint32)
        tags = halves[_FRACTION::2] >> self._fraction_shift
        np.maximum(tags, _ONE, out=tags)  # a tag of zero is an empty place
        return halves[1 - _FRACTION :: 2].astype(np.intp), tags  # numpy is slow at indices of other types

    # ---- looking up

    def find(self, hashes: U64, shared: int, crowd: int) -> tuple[list[int], list[int]]:
        """Which of the hashes meet postings (ascending), and the number of each; some may be long dead.

        Only those of the first hash, for less, where a glance tells that no number is met ``shared`` times and no hash
        meets ``crowd`` postings: most texts meet nothing but chance tags.
        """
        buckets, tags = self._hashed(hashes)
        self._asked = hashes, buckets, tags
        lines = self._tags.reshape(-1, _WAYS).take(buckets, 0)
        places = (lines == tags.astype(self._tag_type)[:, None]).ravel().nonzero()[0]
        if len(places) < shared and (not len(places) or places[0] >= _WAYS):
            return [], []
        met = places >> _WAYS_SHIFT
        places &= _WAYS - 1
        places += buckets.take(met) << _WAYS_SHIFT
        probes: list[int] = met.tolist()
        low = self._numbers.take(places).tolist()
        count = len(probes)
        if count - len(set(low)) < shared - 1 and not any(map(eq, probes, probes[crowd - 1 :])):
            count = probes.count(0)
            if not count:
                return [], []
            if count < _FEW:
                return [0] * count, [self._read_one(place) for place in places[:count].tolist()]
            met, places, probes = met[:count], places[:count], probes[:count]
        numbers = self._read(places)
        if int(numbers.min()) < 0:
            there = numbers >= 0
            return met[there].tolist(), numbers[there].tolist()
        return probes, numbers.tolist()

    def _read(self, places: NDArray[np.intp]) -> _Numbers:
        """The entry numbers at some places; -1 where there is none any more."""
        buckets = places >> _WAYS_SHIFT
        ranks = (self._cursors.take(buckets) - _ONE_MORE - places.astype(np.uint8)) & _LAST  # the newest has 0
        back: _Numbers = (self._ends(self._counts, buckets) <= ranks[:, None]).sum(1, dtype=np.int64)
        numbers = (self._epoch - back << _EPOCH_BITS) + self._numbers.take(places)
        numbers[back == self._epochs] = -1
        return numbers

    def _read_one(self, place: int) -> int:
        """As `_read`: for a few places this is cheaper than numpy."""
        bucket = place >> _WAYS_SHIFT
        rank = (self._cursor_of[bucket] - 1 - place) & (_WAYS - 1)
        epochs, counts = self._epochs, self._count_of
        for epoch in range(self._epoch, self._epoch - epochs, -1):
            rank -= counts[bucket * epochs + epoch % epochs]
            if rank < 0:
                return epoch << _EPOCH_BITS | int(self._number_of[place])
        return -1

    def _ends(self, counts: NDArray[np.uint8], buckets: NDArray[np.intp]) -> NDArray[np.uint16]:
        """How many postings of a bucket are of the epoch now or later, of the one before or later, and so on."""
        newest_first = (self._epoch - np.arange(self._epochs)) % self._epochs
        newest = counts.reshape(-1, self._epochs).take(buckets, 0).take(newest_first, 1)
        return newest.cumsum(1, dtype=np.uint16)

    # ---- writing

    def begin(self, number: int) -> None:
        """Before an entry of this number is posted: let the table grow, and let an epoch begin."""
        while self._doubles_at and number >= self._doubles_at:
            self._double()
        epoch = number >> _EPOCH_BITS
        for new in range(max(self._epoch + 1, epoch - self._epochs + 1), epoch + 1):
            self._counts.reshape(-1, self._epochs)[:, new % self._epochs] = 0
        self._epoch = max(self._epoch, epoch)

    def together(self, number: int) -> int:
        """The last number that may be posted together with this one."""
        last = number | (1 << _EPOCH_BITS) - 1
        return min(last, self._doubles_at - 1) if self._doubles_at > number else last

    def add(self, hashes: U64, count: int, number: int) -> None:
        """Post one entry under the first ``count`` hashes; for less if it is they that were looked up last."""
        asked, buckets, tags = self._asked
        if asked is not hashes:
            buckets, tags = self._hashed(hashes)
        buckets, tags = buckets[:count], tags[:count]
        if len(set(buckets.tolist())) < count:
            self.add_many(hashes[:count], np.full(count, number, np.int64))
            return
        cursors, counts = self._cursors, self._counts
        ends = cursors.take(buckets)
        places = buckets << _WAYS_SHIFT
        places += ends
        self._tags[places] = tags.astype(self._tag_type)
        self._numbers[places] = number & 0xFFFF
        ends += _ONE_MORE
        ends &= _LAST
        cursors[buckets] = ends
        current = buckets * self._epochs
        current += self._epoch % self._epochs
        many = counts.take(current)
        many += _ONE_MORE
        np.minimum(many, _MOST, out=many)
        counts[current] = many

    def add_many(self, hashes: U64, numbers: _Numbers) -> None:
        """Post entries together (see `together`), in their order: ``numbers`` has one for each hash, 2^24 at most."""
        buckets, whole = self._hashed(hashes)
        buckets <<= _ORDER_BITS
        buckets |= np.arange(len(buckets))
        buckets.sort()  # thrice as fast as a stable argsort
        order = buckets & (1 << _ORDER_BITS) - 1
        buckets >>= _ORDER_BITS
        tags, low = whole.astype(self._tag_type).take(order), numbers.astype(np.uint16).take(order)
        begins = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), buckets[1:] != buckets[:-1])))
        many = np.diff(begins, append=len(buckets))
        touched = buckets.take(begins)
        ends = self._cursors.take(touched).astype(np.intp)
        places = np.arange(len(buckets))
        places += np.repeat(ends - begins, many)
        places &= _WAYS - 1
        buckets <<= _WAYS_SHIFT
        places += buckets
        if int(many.max()) > _WAYS:  # a bucket takes no more than the newest
            newest = np.arange(len(buckets)) - np.repeat(begins + many, many) >= -_WAYS
            places, tags, low = places[newest], tags[newest], low[newest]
        self._tags[places] = tags
        self._numbers[places] = low
        self._cursors[touched] = (ends + many) & (_WAYS - 1)
        touched *= self._epochs
        touched += self._epoch % self._epochs
        self._counts[touched] = np.minimum(self._counts.take(touched) + many, _WAYS)

    def _double(self) -> None:
        """Twice the buckets: each posting goes into the left or the right half of its bucket by its tag's first bit."""
        old, tags, numbers, cursors = self.buckets, self._tags, self._numbers, self._cursors
        side = 1 << (self.tag_bits - 1)
        epochs = min(self._epoch + 1, self._epochs)
        counts = self._counts
        self._set_step(self._step + 1)
        self._allocate()
        rows = self._counts.reshape(-1, self._epochs)
        for start in range(0, old, _DOUBLED_AT_ONCE):
            stop = min(start + _DOUBLED_AT_ONCE, old)
            ring = cursors[start:stop, None] + _RING & _WAYS - 1  # oldest first
            places = (np.arange(start, stop)[:, None] << _WAYS_SHIFT) + ring
            ends = self._ends(counts, np.arange(start, stop))
            back = np.zeros(places.shape, np.uint8)
            for ago in range(epochs):
                back += ends[:, ago, None] <= _RING[::-1]
            moved, low = tags.take(places), numbers.take(places)
            for half, chosen in ((0, moved & side == 0), (1, moved & side != 0)):
                chosen &= back < epochs
                ranks = chosen.cumsum(1, dtype=np.uint8)
                self._cursors[2 * start + half : 2 * stop : 2] = ranks[:, -1] & _LAST
                where = np.flatnonzero(chosen)
                to = ((where >> _WAYS_SHIFT) + start) * 2 + half << _WAYS_SHIFT
                to += ranks.ravel().take(where)
                to -= 1
                self._tags[to] = np.maximum(moved.ravel().take(where) & side - 1, 1).astype(self._tag_type)
                self._numbers[to] = low.ravel().take(where)
                for ago in range(epochs):
                    came = (chosen & (back == ago)).sum(1)
                    rows[2 * start + half : 2 * stop : 2, (self._epoch - ago) % self._epochs] = came
