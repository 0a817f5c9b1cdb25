"""Weighted terms of recent articles → which of them are like a new one: an inverted index with exact cosines.

An article is a slot: a whole number that only grows, so the oldest articles are the lowest slots. Vectors have length
one, so the sum of products is the cosine. Sums run in the order of the query's terms, whatever the order of insertion:
an index that was rebuilt gives the same bits.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping

import numpy as np

__all__ = ["StoryIndex"]

_COMPACT_AFTER = 32  # dead entries at the head of a posting list before they are cut off
_BYTES_OF_POSTING = 450  # a dict entry, the term, the object and two arrays; fitted as in stories_state.py
_BYTES_OF_ENTRY = 16


class _Posting:
    """The slots, ascending, and weights of one term; a removed entry has the weight 0 until it is cut off."""

    __slots__ = ("live", "slots", "start", "weights")

    def __init__(self) -> None:
        self.slots: array[int] = array("q")
        self.weights: array[float] = array("d")
        self.start = 0
        self.live = 0

    def add(self, slot: int, weight: float) -> None:
        self.slots.append(slot)
        self.weights.append(weight)
        self.live += 1

    def remove(self, slot: int) -> None:
        at = bisect_left(self.slots, slot, self.start)
        self.weights[at] = 0.0
        self.live -= 1
        end = len(self.slots)
        while self.start < end and self.weights[self.start] == 0.0:
            self.start += 1
        if self.start > _COMPACT_AFTER and self.start * 2 > end:
            del self.slots[: self.start]
            del self.weights[: self.start]
            self.start = 0


class StoryIndex:
    """Postings of the articles that may still attract others. ``add`` takes slots in ascending order."""

    def __init__(self) -> None:
        self._postings: dict[str, _Posting] = {}
        self._scores = np.zeros(1024, dtype=np.float64)
        self._entries = 0
        self._articles = 0

    @property
    def articles(self) -> int:
        """Articles that are indexed."""
        return self._articles

    @property
    def nbytes(self) -> int:
        """Bytes of memory, estimated."""
        return self._scores.nbytes + len(self._postings) * _BYTES_OF_POSTING + self._entries * _BYTES_OF_ENTRY

    def frequency(self, term: str) -> int:
        """How many indexed articles hold the term."""
        posting = self._postings.get(term)
        return posting.live if posting is not None else 0

    def add(self, slot: int, terms: Mapping[str, float]) -> None:
        """Index an article. Weights are greater than 0; the slot is higher than all before it."""
        for term, weight in terms.items():
            posting = self._postings.get(term)
            if posting is None:
                posting = self._postings[term] = _Posting()
            posting.add(slot, weight)
        self._entries += len(terms)
        self._articles += 1

    def remove(self, slot: int, terms: Iterable[str]) -> None:
        """Forget an article that was added with these terms."""
        for term in terms:
            posting = self._postings[term]
            posting.remove(slot)
            self._entries -= 1
            if posting.live == 0:
                del self._postings[term]
        self._articles -= 1

    def search(
        self, terms: Mapping[str, float], oldest: int, newest: int, least: float, most_frequent: int
    ) -> list[tuple[int, float]]:
        """Slots (ascending) of ``oldest <= slot < newest`` whose cosine with ``terms`` is at least ``least``.

        Terms of more than ``most_frequent`` articles are passed over: they cost the most and tell the least.
        """
        size = newest - oldest
        if size <= 0:
            return []
        if size > len(self._scores):
            self._scores = np.zeros(size * 2, dtype=np.float64)
        scores = self._scores[:size]
        scores.fill(0.0)
        for term, weight in terms.items():
            posting = self._postings.get(term)
            if posting is None or posting.live > most_frequent:
                continue
            if posting.live == 1 and posting.start == len(posting.slots) - 1:
                scores[posting.slots[-1] - oldest] += posting.weights[-1] * weight
                continue
            at = np.frombuffer(posting.slots, dtype=np.int64, offset=posting.start * 8)
            by = np.frombuffer(posting.weights, dtype=np.float64, offset=posting.start * 8)
            scores[at - oldest] += by * weight  # a slot stands once in a posting list
        found = np.flatnonzero(scores >= least)
        return list(zip((found + oldest).tolist(), scores[found].tolist(), strict=True))
