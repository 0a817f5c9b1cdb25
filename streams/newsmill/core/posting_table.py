"""Hashes and the numbers of the entries that hold them → for a hash, the numbers of the newest entries that share it.

A set-associative inverted index in numpy. A bucket is a ring of 64 postings: a full one gives up its oldest. A posting
is a word of 28 bits, an entry number modulo 2^20 above an 8-bit tag of the hash, and lies in three planes: the tags of
a bucket are one cache line, so that looking up a hash reads that line and only where a tag fits the 20 bits elsewhere.
(Beyond a million entries the number has 24 bits.) Wide buckets can be filled to 97 % and lose no more of their oldest
postings than buckets of eight at 75 %.

What is found depends on nothing but the live entries, in the order of their numbers: a bucket holds the newest 64
postings of all that ever fell into it, and since the dead are always older than the living, those alive among the
newest 64 of all are the newest 64 of the living. So a table rebuilt from the live entries alone answers exactly
like the one that lived through everything.

The table begins with a sixteenth of its buckets and doubles when the entry number passes 1/32, 1/16, 1/8 and a
quarter of the capacity: so a small stream stays small, and since the number alone decides, a table rebuilt later
grows at the same entries. (A bucket gives up its oldest first, so what came first would lose something at the end of
every size: therefore the smaller tables are left half empty.) A table half as large needs one bit less of the number;
that bit goes to the tag, and is the bit of the hash that says, at the doubling, into which of the two buckets a
posting goes: nothing is lost by growing.

Entry numbers wrap. A dead posting must not come back as a young one, so insertions clear the table stripe by stripe,
the whole of it before a number comes again.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from newsmill.core.fingerprint import U64

__all__ = ["MAX_CAPACITY", "U32", "PostingTable"]

MAX_CAPACITY: Final = 1 << 22
"""Most live entries: 24-bit numbers hold four times as many."""

U32 = NDArray[np.uint32]
_Planes = tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8]]

_WAYS: Final = 64
_WAYS_SHIFT: Final = 6
_HALF: Final = 32  # places p and p + 32 of a bucket share the byte of their upper four bits
_POSTINGS: Final = 42  # mean postings of an entry, measured on Korean and English news
_FILL: Final = 0.97
_SPARE: Final = 512  # buckets, so that a very small table is not overfull
_TAG_BITS: Final = 8
_NARROW_BITS: Final = 20
_NARROW_CAPACITY: Final = (1 << _NARROW_BITS) - (1 << 15)  # above, sweeping would cost more than it saves
_WIDE_BITS: Final = 24
_DOUBLINGS: Final = 4
_GROWS_FROM: Final = 1 << 15  # buckets (7 MiB): a smaller table has its full size from the beginning
_DOUBLED_AT_ONCE: Final = 1 << 12  # buckets: bounds what a doubling needs beside the two tables
_STRIPES: Final = 1024
_BATCH: Final = 4096  # entries that may be written before the sweeps that are due with them

_LOW: Final = np.uint64(0xFFFFFFFF)
_ONE: Final = np.uint32(1)
_BYTE: Final = np.uint32(0xFF)
_WORD: Final = np.uint32(0xFFFF)
_FOUR: Final = np.uint8(4)
_FRACTION: Final = 0 if sys.byteorder == "little" else 1  # where the low half of a 64-bit product lies
_RING: Final = np.arange(_WAYS)
_LAST: Final = np.uint8(_WAYS - 1)
_HALF_LAST: Final = np.uint8(_HALF - 1)
# of each place: which bits of its byte belong to the other, and its own four bits where they belong
_KEPT: Final = np.where(_RING < _HALF, 0xF0, 0x0F).astype(np.uint8)
_SHIFTED: Final = np.where(_RING < _HALF, np.arange(16)[:, None], np.arange(16)[:, None] << 4).astype(np.uint8)


class PostingTable:
    """Postings of entries numbered in the order they come; at most ``capacity`` of them are alive at a time."""

    def __init__(self, capacity: int, next_number: int = 1, buckets: int = 0) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise ValueError(f"the capacity must be 1 to {MAX_CAPACITY}, not {capacity}")
        self._capacity = capacity
        self._narrow = capacity <= _NARROW_CAPACITY
        self._full_bits = _NARROW_BITS if self._narrow else _WIDE_BITS
        buckets = buckets or int(capacity * _POSTINGS / (_WAYS * _FILL)) + _SPARE
        self._grows = buckets >= _GROWS_FROM
        self._smallest = -(-buckets >> _DOUBLINGS)
        self._set_step(self._step_of(next_number))
        self._planes, self._cursors = self._empty()
        slack = (1 << self._full_bits) - capacity - _BATCH
        self._sweep_every = slack // _STRIPES

    def _step_of(self, number: int) -> int:
        """How many doublings an entry of this number has seen: up to 1/32 of the capacity none."""
        step = 0 if self._grows else _DOUBLINGS
        while step < _DOUBLINGS and number > self._capacity >> (_DOUBLINGS + 1 - step):
            step += 1
        return step

    def _set_step(self, step: int) -> None:
        self._step = step
        self.doubles_at = (self._capacity >> (_DOUBLINGS + 1 - step)) + 1 if step < _DOUBLINGS else 0
        """The entry number before which `grow` has to double the table; 0 if it has its full size."""
        self.buckets = self._smallest << step
        self._factor = np.uint64(self.buckets)
        self._stripe = -(-self.buckets // _STRIPES)
        number_bits = self._full_bits - _DOUBLINGS + step
        tag_bits = _TAG_BITS + _DOUBLINGS - step
        self.number_mask = (1 << number_bits) - 1
        self._tag_bits = tag_bits
        self._more_tag = np.uint16(tag_bits - _TAG_BITS)
        self._tag_shift = np.uint32(tag_bits)
        self._tag_mask = np.uint32((1 << tag_bits) - 1)
        self._fraction_shift = np.uint32(32 - tag_bits)

    def _empty(self) -> tuple[_Planes, NDArray[np.uint8]]:
        """Planes without a posting; a bucket of tags begins with a cache line."""
        size = self.buckets * _WAYS
        room = np.zeros(size + _WAYS, np.uint8)
        begin = -room.ctypes.data % _WAYS
        upper = np.zeros(size // 2 if self._narrow else size, np.uint8)
        planes = room[begin : begin + size], np.zeros(size, np.uint16), upper
        return planes, np.zeros(self.buckets, np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of the planes."""
        return sum(plane.nbytes for plane in self._planes) + self._cursors.nbytes

    def postings(self) -> list[list[int]]:
        """The postings of every bucket, oldest first, as (number bits, tag) words: for tests."""
        ring = (self._cursors[:, None] + _RING & _LAST) + np.arange(0, self.buckets * _WAYS, _WAYS)[:, None]
        return [[word for word in row if word & int(self._tag_mask)] for row in self._words(ring).tolist()]

    # ---- places and words

    def _hashed(self, hashes: U64) -> tuple[NDArray[np.intp], U32]:
        """Bucket and tag of each hash: its low half times the number of buckets, whole part and fraction."""
        product = hashes & _LOW
        product *= self._factor
        halves = product.view(np.uint32)
        tags = halves[_FRACTION::2] >> self._fraction_shift
        np.maximum(tags, _ONE, out=tags)  # a tag of zero is an empty place
        return halves[1 - _FRACTION :: 2].astype(np.intp), tags  # numpy is slow at indices of other types

    def _words(self, places: NDArray[Any]) -> U32:
        tags, middles, uppers = self._planes
        words = self._upper(places, uppers).astype(np.uint32)
        words <<= np.uint32(16)
        words |= middles.take(places)
        words <<= np.uint32(8)
        words |= tags.take(places)
        return words

    def _upper(self, places: NDArray[Any], uppers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self._narrow:
            return uppers.take(places)
        both = uppers.take((places >> _WAYS_SHIFT) * _HALF + (places & (_HALF - 1)))
        return (both >> ((places & _HALF) >> 3).astype(np.uint8)) & np.uint8(15)

    def _put(self, planes: _Planes, places: NDArray[Any], words: U32, halves: bool) -> None:
        """Write words at distinct places. ``halves``: two of them may share a byte."""
        tags, middles, uppers = planes
        tags[places] = words & _BYTE
        words = words >> np.uint32(8)
        middles[places] = words & _WORD
        highest = (words >> np.uint32(16)).astype(np.uint8)
        if not self._narrow:
            uppers[places] = highest
            return
        shared = (places >> _WAYS_SHIFT) * _HALF + (places & (_HALF - 1))
        shift = ((places & _HALF) >> 3).astype(np.uint8)
        if halves:
            second = shift != 0
            for part in (~second, second):
                self._put_halves(uppers, shared[part], highest[part], shift[part])
        else:
            self._put_halves(uppers, shared, highest, shift)

    @staticmethod
    def _put_halves(
        uppers: NDArray[np.uint8], shared: NDArray[Any], highest: NDArray[np.uint8], shift: NDArray[np.uint8]
    ) -> None:
        kept = uppers.take(shared)
        kept &= np.uint8(0xF0) >> shift
        kept |= highest << shift
        uppers[shared] = kept

    # ---- looking up

    def find(self, hashes: U64, shared: int, crowd: int) -> tuple[list[int], list[int]]:
        """Which of the hashes meet postings (ascending), and the low bits (`number_mask`) of the number of each.

        Nothing at all, for less, where the first hash meets none, no number is met ``shared`` times and no hash meets
        ``crowd`` postings, as far as a glance can tell: most texts meet nothing but chance tags.
        """
        buckets, tags = self._hashed(hashes)
        planes = self._planes
        lines = planes[0].reshape(-1, _WAYS).take(buckets, 0)
        met = (lines == tags.astype(np.uint8)[:, None]).ravel().nonzero()[0]
        if len(met) < shared and (not len(met) or met[0] >= _WAYS):
            return [], []
        hit = met >> _WAYS_SHIFT
        places = buckets.take(hit)
        places <<= _WAYS_SHIFT
        met &= _WAYS - 1
        places += met
        probes: list[int] = hit.tolist()
        middles = (planes[1].take(places) >> self._more_tag).tolist()  # 12 to 16 bits of the number
        count = len(probes)
        if probes[0] and count - len(set(probes)) < crowd - 1 and count - len(set(middles)) < shared - 1:
            return [], []
        words = self._words(places)
        if self._tag_bits > _TAG_BITS:  # a small table has more tag than the line shows
            same = (words & self._tag_mask) == tags.take(hit)
            return hit[same].tolist(), (words[same] >> self._tag_shift).tolist()
        return probes, (words >> self._tag_shift).tolist()

    # ---- writing

    def add(self, hashes: U64, number: int) -> None:
        """Post one entry under its hashes; `grow` first, `sweep` afterwards."""
        buckets, tags = self._hashed(hashes)
        if self._tag_bits != _TAG_BITS or not self._narrow or len(set(buckets.tolist())) < len(buckets):
            self.add_many(hashes, np.full(len(hashes), number & self.number_mask, np.uint32))
            return
        # the ordinary case: all planes but the tags take the same bits at every place
        plane, middles, uppers = self._planes
        ends = self._cursors.take(buckets)
        halves = buckets << (_WAYS_SHIFT - 1)
        places = halves + halves
        places += ends
        plane[places] = tags.astype(np.uint8)
        middles[places] = number & 0xFFFF
        halves += ends & _HALF_LAST
        kept = uppers.take(halves)
        kept &= _KEPT.take(ends)
        kept |= _SHIFTED[(number & self.number_mask) >> 16].take(ends)
        uppers[halves] = kept
        ends += np.uint8(1)
        ends &= _LAST
        self._cursors[buckets] = ends

    def add_many(self, hashes: U64, numbers: U32) -> None:
        """Post many entries at once, in their order: ``numbers`` are the low bits for each hash."""
        buckets, words = self._hashed(hashes)
        words |= numbers << self._tag_shift
        order = np.argsort(buckets, kind="stable")
        buckets, words = buckets[order], words[order]
        begins = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), buckets[1:] != buckets[:-1])))
        counts = np.diff(begins, append=len(buckets))
        touched = buckets[begins]
        ends = self._cursors.take(touched).astype(np.intp)
        ranks = np.arange(len(buckets)) - np.repeat(begins, counts)
        places = (ranks + np.repeat(ends, counts)) & (_WAYS - 1)
        places += buckets << _WAYS_SHIFT
        if int(counts.max()) > _WAYS:  # one bucket takes no more than its newest
            newest = ranks >= np.repeat(counts, counts) - _WAYS
            places, words = places[newest], words[newest]
        self._put(self._planes, places, words, halves=True)
        self._cursors[touched] = (ends + counts) & (_WAYS - 1)

    def grow(self, number: int) -> None:
        """Double until the table has the size that an entry of this number demands."""
        while self.doubles_at and number >= self.doubles_at:
            self._double()

    def _double(self) -> None:
        """Twice the buckets: each posting goes into the left or the right half of its bucket by its tag's first bit."""
        old_buckets, cursors, shift, mask = self.buckets, self._cursors, self._tag_shift, self._tag_mask
        side = np.uint32(1 << (self._tag_bits - 1))
        read = self._words
        self._set_step(self._step + 1)
        planes, fresh = self._empty()
        for start in range(0, old_buckets, _DOUBLED_AT_ONCE):
            stop = min(start + _DOUBLED_AT_ONCE, old_buckets)
            firsts = np.arange(start, stop)[:, None] << _WAYS_SHIFT
            words = read(firsts + (cursors[start:stop, None] + _RING & (_WAYS - 1)))  # oldest first
            present = (words & mask) != 0
            right = (words & side) != 0
            words = words >> shift << self._tag_shift | np.maximum(words & self._tag_mask, _ONE)
            for half, chosen in ((0, present & ~right), (1, present & right)):
                ranks = chosen.cumsum(1, dtype=np.uint8)
                fresh[2 * start + half : 2 * stop : 2] = ranks[:, -1] & _LAST
                where = np.flatnonzero(chosen)
                places = ((where >> _WAYS_SHIFT) + start) * 2 + half << _WAYS_SHIFT
                places += ranks.ravel()[where]
                places -= 1
                self._put(planes, places, words.ravel()[where], halves=True)
        self._planes, self._cursors = planes, fresh

    # ---- forgetting

    def clear(self, next_number: int) -> None:
        """Forget everything; the next entry will have this number."""
        self._set_step(self._step_of(next_number))
        self._planes, self._cursors = self._empty()

    def sweep(self, first: int, last: int, live: int) -> None:
        """What is due with the entries ``first`` to ``last``, when ``live`` entries are alive up to the last."""
        if self._step < _DOUBLINGS:
            return  # no number has wrapped yet
        every = self._sweep_every
        for due in range(-(-first // every), last // every + 1):
            self.sweep_stripe(due % _STRIPES, last + 1, live)

    def sweep_stripe(self, stripe: int, next_number: int, live: int) -> None:
        """Empty the dead postings of one of the 1,024 stripes."""
        first, last = stripe * self._stripe, min((stripe + 1) * self._stripe, self.buckets)
        if first >= last:
            return
        tags, middles, uppers = self._planes
        part = slice(first * _WAYS, last * _WAYS)
        numbers = np.empty((last - first, _WAYS), np.uint32)
        if self._narrow:
            both = uppers[first * _HALF : last * _HALF].reshape(-1, _HALF)
            numbers[:, :_HALF] = both & np.uint8(15)
            numbers[:, _HALF:] = both >> _FOUR
        else:
            numbers[:] = uppers[part].reshape(-1, _WAYS)
        numbers <<= np.uint32(16)
        numbers |= middles[part].reshape(-1, _WAYS)
        np.subtract(np.uint32((next_number - 1) & self.number_mask), numbers, out=numbers)
        numbers &= np.uint32(self.number_mask)
        tags[part][(numbers >= np.uint32(live)).ravel()] = 0
