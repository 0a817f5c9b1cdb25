"""16-byte ids → fixed-size rows, in the order in which they were last written, in as few bytes as that takes.

A Python dict of byte strings takes about 430 bytes an id here; this table takes the row and 21 to 22 bytes. Rows lie in
a log of small chunks, in the order in which they were written: writing an id again puts a new row at the end and
leaves a hole, and when one row in 17 is a hole the rows move together. So the order needs no links, and growing needs
no copy. An open-addressing index holds the row numbers sorted by id (linear probing, homes in the order of the ids):
a search ends at the first greater id, and a larger index is the old one spread out.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["IdTable"]

_ID: Final = 16
_NONE: Final = bytes(_ID)  # marks a hole
_CHUNK_SHIFT: Final = 12
_CHUNK: Final = 1 << _CHUNK_SHIFT  # rows
_SMALLEST: Final = 1024
_TAIL: Final = 1024  # slots after the last home, so that probing never wraps
_MAX_LOAD: Final = 0.8
_GROWTH: Final = 1.125
_HOLES_SHIFT: Final = 4
_SPREAD_AT_ONCE: Final = (
    1 << 15
)  # slots: what is needed beside the table stays small, and so does what malloc keeps of it


def _empty_index(slots: int) -> memoryview[int]:
    """Pages of their own, as the chunks: what is outgrown goes back, where malloc's heap would keep a hole."""
    return memoryview(mmap.mmap(-1, 4 * slots)).cast("I")


class IdTable:
    """A mapping with the order of last writing. Ids must be hashes: their first bytes decide where they are kept."""

    def __init__(self, row_size: int) -> None:
        self._width = _ID + row_size
        self._chunks: list[mmap.mmap] = []
        self._first = 0  # no row before it is alive
        self._next = 0
        self._count = 0
        self._slots = _SMALLEST
        self._index = _empty_index(self._slots + _TAIL)  # row number + 1, 0 where there is none

    def __len__(self) -> int:
        return self._count

    def __contains__(self, ident: bytes) -> bool:
        return self._find(ident)[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the chunks and of the index."""
        return len(self._chunks) * _CHUNK * self._width + self._index.nbytes

    def _find(self, ident: bytes) -> tuple[int, bool]:
        """The index slot where the id is or belongs, and whether it is there."""
        index, chunks, width = self._index, self._chunks, self._width
        slot = int.from_bytes(ident[:4], "big") * self._slots >> 32
        while row := index[slot]:
            start = (row - 1 & _CHUNK - 1) * width
            held = chunks[row - 1 >> _CHUNK_SHIFT][start : start + _ID]
            if held >= ident:
                return slot, held == ident
            slot += 1
        return slot, False

    def get(self, ident: bytes) -> bytes | None:
        """The row of an id, or None."""
        slot, known = self._find(ident)
        return self._read(self._index[slot] - 1)[_ID:] if known else None

    def _read(self, row: int) -> bytes:
        """Id and row."""
        start = (row & _CHUNK - 1) * self._width
        return self._chunks[row >> _CHUNK_SHIFT][start : start + self._width]

    def oldest(self) -> Iterator[tuple[bytes, bytes]]:
        """Ids and rows, those that were not written for the longest time first."""
        for row in range(self._first, self._next):
            both = self._read(row)
            if both[:_ID] != _NONE:
                yield both[:_ID], both[_ID:]

    def put(self, ident: bytes, value: bytes) -> None:
        """Write the row of an id: it is the newest now."""
        if len(ident) != _ID or len(value) != self._width - _ID:
            raise ValueError(f"an id of {len(ident)} and a row of {len(value)} bytes do not fit")
        if ident == _NONE:
            raise ValueError("sixteen zero bytes are no id")
        slot, known = self._find(ident)
        if known:
            self._erase(self._index[slot] - 1)
        else:
            slot = self._open(slot, ident)
            self._count += 1
        row = self._next
        if row >> _CHUNK_SHIFT == len(self._chunks):
            self._chunks.append(mmap.mmap(-1, _CHUNK * self._width))
        start = (row & _CHUNK - 1) * self._width
        self._chunks[-1][start : start + self._width] = ident + value
        self._index[slot] = row + 1
        self._next = row + 1
        self._compact_if_due()

    def pop(self, ident: bytes) -> None:
        """Forget an id; nothing happens if it is unknown."""
        slot, known = self._find(ident)
        if not known:
            return
        self._erase(self._index[slot] - 1)
        self._count -= 1
        self._close(slot)
        self._compact_if_due()

    def _open(self, slot: int, ident: bytes) -> int:
        """Make room for a new id in the index; its slot."""
        index = self._index
        end = self._end(slot)
        if self._count >= _MAX_LOAD * self._slots or end >= len(index) - 2:
            self._spread()
            index = self._index
            slot = self._find(ident)[0]
            end = self._end(slot)
        index[slot + 1 : end + 1] = index[slot:end]
        return slot

    def _end(self, slot: int) -> int:
        """The first empty slot from here on."""
        index = self._index
        while index[slot]:
            slot += 1
        return slot

    def _close(self, hole: int) -> None:
        """Empty a slot and move back what had to be put behind it."""
        index, chunks, width, slots = self._index, self._chunks, self._width, self._slots
        slot = hole + 1
        while row := index[slot]:
            start = (row - 1 & _CHUNK - 1) * width
            if int.from_bytes(chunks[row - 1 >> _CHUNK_SHIFT][start : start + 4], "big") * slots >> 32 == slot:
                break  # at its home, and so is nothing behind it before its own
            slot += 1
        index[hole : slot - 1] = index[hole + 1 : slot]
        index[slot - 1] = 0

    def _spread(self) -> None:
        """An eighth more slots: sorted by id, each lies at its home or right behind the one before it."""
        self._slots = int(self._slots * _GROWTH)
        size = self._slots + _TAIL
        old, fresh = np.frombuffer(self._index, np.uint32), _empty_index(size)
        spread = np.frombuffer(fresh, np.uint32)
        last = -1
        for start in range(0, len(old), _SPREAD_AT_ONCE):
            part = old[start : start + _SPREAD_AT_ONCE]
            live = part[part != 0]
            if not len(live):
                continue
            homes = self._heads(live - np.uint32(1)) * np.uint64(self._slots) >> np.uint64(32)
            steps = np.arange(len(live))
            slots = np.maximum(np.maximum.accumulate(homes.astype(np.int64) - steps), last + 1) + steps
            last = int(slots[-1])
            if last >= size - 2:
                raise ValueError("ids are not spread evenly: they must be hashes")
            spread[slots] = live
        self._index = fresh

    def _heads(self, rows: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """The first four bytes of the ids of some rows."""
        heads = np.empty(len(rows), np.uint64)
        chunks = rows >> np.uint32(_CHUNK_SHIFT)
        order = np.argsort(chunks, kind="stable")
        numbers, begins = np.unique(chunks[order], return_index=True)
        rows &= np.uint32(_CHUNK - 1)
        for number, places in zip(numbers.tolist(), np.split(order, begins[1:]), strict=True):
            ids = np.frombuffer(self._chunks[number], np.uint8).reshape(-1, self._width)
            heads[places] = ids[rows[places], :4].view(">u4").ravel()
        return heads

    def _erase(self, row: int) -> None:
        """Leave a hole."""
        start = (row & _CHUNK - 1) * self._width
        self._chunks[row >> _CHUNK_SHIFT][start : start + _ID] = _NONE
        while self._first < self._next and self._read(self._first)[:_ID] == _NONE:
            self._first += 1

    def _compact_if_due(self) -> None:
        if self._next - self._count > _CHUNK + (self._count >> _HOLES_SHIFT):
            self._compact()

    def _compact(self) -> None:
        """Move the rows together, in their order."""
        moved = np.zeros(self._next + 1, np.uint32)
        end = 0
        for number, chunk in enumerate(self._chunks):
            used = min(_CHUNK, self._next - number * _CHUNK)
            rows = np.frombuffer(chunk, np.uint8).reshape(-1, self._width)[:used]
            alive = np.flatnonzero(rows[:, :_ID].any(1))
            kept = rows[alive]
            moved[alive + (number * _CHUNK + 1)] = np.arange(end + 1, end + 1 + len(alive), dtype=np.uint32)
            taken = 0
            while taken < len(kept):  # never past what was read
                target = np.frombuffer(self._chunks[end >> _CHUNK_SHIFT], np.uint8).reshape(-1, self._width)
                place = end & _CHUNK - 1
                fits = min(_CHUNK - place, len(kept) - taken)
                target[place : place + fits] = kept[taken : taken + fits]
                taken += fits
                end += fits
        del self._chunks[-(-end // _CHUNK) :]
        index = np.frombuffer(self._index, np.uint32)
        for start in range(0, len(index), _SPREAD_AT_ONCE):
            part = index[start : start + _SPREAD_AT_ONCE]
            part[:] = moved.take(part)
        self._first, self._next = 0, end
