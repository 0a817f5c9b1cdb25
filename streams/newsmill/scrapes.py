"""Fetches of ``/metrics`` → how many there were, and a way to wait until one more has been answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

__all__ = ["Scrapes"]


class Scrapes:
    """Counts the fetches of one endpoint. ``begun`` counts requests; waiting looks at answers that were sent whole."""

    def __init__(self) -> None:
        self.begun = 0
        self._sent = 0
        self._change = threading.Condition()

    def begin(self) -> int:
        """A request has come, and no figure has been read for it yet; its number."""
        with self._change:
            self.begun += 1
            return self.begun

    def answer(self, number: int, body: Sequence[bytes]) -> Sequence[bytes]:
        """The body of an answer, which tells when the server has written all of it."""
        return _Answer(self, number, body)

    def wait_for_another(self, seconds: float) -> bool:
        """Wait until a fetch that begins from now on has been answered; False after so many seconds.

        One that is under way already may have read older figures, so it does not count.
        """
        with self._change:
            seen = self.begun
            return self._change.wait_for(lambda: self._sent > seen, seconds)

    def _tell(self, number: int) -> None:
        with self._change:
            self._sent = max(self._sent, number)
            self._change.notify_all()


class _Answer(list[bytes]):
    """The parts of a body. A server that asks for more than the last of them has written it to the network."""

    def __init__(self, scrapes: Scrapes, number: int, parts: Sequence[bytes]) -> None:
        super().__init__(parts)
        self._scrapes = scrapes
        self._number = number

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        self._scrapes._tell(self._number)
