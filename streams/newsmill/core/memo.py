"""A function of words → the same function with a bounded memory: the words of news repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Memo"]

_LONGEST_KEY = 64  # characters; what is longer is no word and comes once
V = TypeVar("V")


class Memo(dict[str, V], Generic[V]):
    """``memo[key]`` is ``function(key)``, kept until ``limit`` keys are held; then all are forgotten at once.

    A dict, because a hit then touches one entry: `functools.lru_cache` relinks three, and with thousands of words
    most of them miss the processor's cache.
    """

    __slots__ = ("_function", "_limit")

    def __init__(self, function: Callable[[str], V], limit: int) -> None:
        super().__init__()
        self._function = function
        self._limit = limit

    def __missing__(self, key: str) -> V:
        value = self._function(key)
        if len(key) <= _LONGEST_KEY:
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value
