"""Which record is in hand, kept where it outlives the process: a memory-mapped file of 64 bytes.

When a worker process dies of a native crash, its parent reads here which record killed it. Written before each record
(0.3 µs), so the culprit is known exactly, without searching for it by halves.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

__all__ = ["Marker", "Place"]

_PLACE = struct.Struct("<iiqi")  # stage index, partition, offset, source index
_NONE = (-1, -1, -1, -1)


class Place(NamedTuple):
    """One input record of one stage. ``source`` says which of the stage's input topics, 0 the main one."""

    stage: str
    partition: int
    offset: int
    source: int = 0


class Marker:
    """Writer of the marker file; one a process."""

    def __init__(self, path: Path, stages: tuple[str, ...]) -> None:
        self.stages = stages
        with path.open("w+b") as file:
            file.truncate(64)
            self._map = mmap.mmap(file.fileno(), 64)
        self.clear()

    def set(self, stage: int, partition: int, offset: int, source: int = 0) -> None:
        """Note the record that is about to be processed; ``stage`` is an index into ``stages``."""
        _PLACE.pack_into(self._map, 0, stage, partition, offset, source)

    def clear(self) -> None:
        """No record is in hand."""
        _PLACE.pack_into(self._map, 0, *_NONE)

    @staticmethod
    def read(path: Path, stages: tuple[str, ...]) -> Place | None:
        """The record that was in hand when the process ended, or None."""
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(raw) < _PLACE.size:
            return None
        stage, partition, offset, source = _PLACE.unpack_from(raw)
        if not 0 <= stage < len(stages):
            return None
        return Place(stages[stage], partition, offset, source)
