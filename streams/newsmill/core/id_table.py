"""16-byte ids → fixed-size rows, in the order in which they were last written, in as few bytes as that takes.

A Python dict of byte strings takes about 430 bytes an id here; this table takes the row and about 25 bytes: rows side
by side in one bytearray, an open-addressing index of row numbers, and two links a row for the order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

import numpy as np

__all__ = ["IdTable"]

_ID: Final = 16
_SMALLEST: Final = 1024
_TAIL: Final = 1024  # slots after the last home, so that probing never wraps
_MAX_LOAD: Final = 0.75
_GROWTH: Final = 1.125


class IdTable:
    """A mapping with the order of last writing. Ids must be hashes: their first bytes decide where they are kept."""

    def __init__(self, row_size: int) -> None:
        self._width = _ID + row_size
        self._rows = bytearray(_SMALLEST * self._width)
        self._later = array("I", bytes(4 * _SMALLEST))  # row 0 is no id: it links the oldest and the newest
        self._earlier = array("I", bytes(4 * _SMALLEST))
        self._used = 1
        self._free = 0  # a chain through _later
        self._count = 0
        self._bits = _SMALLEST.bit_length()
        self._index = array("I", bytes(4 * ((1 << self._bits) + _TAIL)))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, ident: bytes) -> bool:
        return self._index[self._slot(ident)] != 0

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        links = len(self._later) + len(self._earlier) + len(self._index)
        return len(self._rows) + 4 * links

    def _slot(self, ident: bytes) -> int:
        """The index slot that holds the id, or the empty one where it belongs."""
        index, rows, width = self._index, self._rows, self._width
        slot = int.from_bytes(ident[:4], "big") >> (32 - self._bits)
        while row := index[slot]:
            start = row * width
            if rows[start : start + _ID] == ident:
                break
            slot += 1
        return slot

    def get(self, ident: bytes) -> bytes | None:
        """The row of an id, or None."""
        row = self._index[self._slot(ident)]
        return self._read(row) if row else None

    def _read(self, row: int) -> bytes:
        start = row * self._width
        return bytes(self._rows[start + _ID : start + self._width])

    def oldest(self) -> Iterator[tuple[bytes, bytes]]:
        """Ids and rows, those that were not written for the longest time first."""
        row = self._later[0]
        while row:
            start = row * self._width
            yield bytes(self._rows[start : start + _ID]), self._read(row)
            row = self._later[row]

    def put(self, ident: bytes, value: bytes) -> None:
        """Write the row of an id: it is the newest now."""
        if len(ident) != _ID or len(value) != self._width - _ID:
            raise ValueError(f"an id of {len(ident)} and a row of {len(value)} bytes do not fit")
        slot = self._slot(ident)
        row = self._index[slot]
        if row:
            self._unlink(row)
        else:
            if self._count >= _MAX_LOAD * (1 << self._bits) or slot >= (1 << self._bits) + _TAIL - 2:
                self._rehash()
                slot = self._slot(ident)
            row = self._take()
            self._index[slot] = row
            self._count += 1
        start = row * self._width
        self._rows[start : start + self._width] = ident + value
        newest = self._earlier[0]
        self._later[newest] = row
        self._earlier[row] = newest
        self._later[row] = 0
        self._earlier[0] = row

    def pop(self, ident: bytes) -> None:
        """Forget an id; nothing happens if it is unknown."""
        slot = self._slot(ident)
        row = self._index[slot]
        if not row:
            return
        self._unlink(row)
        self._later[row] = self._free
        self._free = row
        self._count -= 1
        self._close(slot)

    def _close(self, hole: int) -> None:
        """Empty a slot and move back what had to be put behind it."""
        index, rows, width, shift = self._index, self._rows, self._width, 32 - self._bits
        slot = hole + 1
        while row := index[slot]:
            start = row * width
            if int.from_bytes(rows[start : start + 4], "big") >> shift <= hole:
                index[hole] = row
                hole = slot
            slot += 1
        index[hole] = 0

    def _unlink(self, row: int) -> None:
        before, after = self._earlier[row], self._later[row]
        self._later[before] = after
        self._earlier[after] = before

    def _take(self) -> int:
        """A free row."""
        row = self._free
        if row:
            self._free = self._later[row]
            return row
        row = self._used
        if row == len(self._later):
            more = int(row * (_GROWTH - 1))
            self._rows.extend(bytes(more * self._width))
            self._later.frombytes(bytes(4 * more))
            self._earlier.frombytes(bytes(4 * more))
        self._used += 1
        return row

    def _rehash(self) -> None:
        """Twice the slots. Sorted by home, each id lies at its home or right behind the one before it."""
        self._bits += 1
        size = (1 << self._bits) + _TAIL
        old = np.frombuffer(self._index, np.uint32)
        live = old[old != 0]
        heads = np.frombuffer(self._rows, np.uint8).reshape(-1, self._width)[live, :4]
        homes = heads.copy().view(">u4").ravel().astype(np.int64) >> (32 - self._bits)
        order = np.argsort(homes, kind="stable")
        steps = np.arange(len(live))
        slots = np.maximum.accumulate(homes[order] - steps) + steps
        if len(slots) and int(slots[-1]) >= size - 2:
            raise ValueError("ids are not spread evenly: they must be hashes")
        fresh = np.zeros(size, np.uint32)
        fresh[slots] = live[order]
        self._index = array("I", fresh.tobytes())
