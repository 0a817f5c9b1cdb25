"""What a reader turns an open file into: articles, reasons why there is none, and counts of what is no article."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

__all__ = ["Found", "Reader"]


class Found(NamedTuple):
    """What a reader found: the fields of one article, or (a string) why there is none.

    ``place`` is the line, the place in a list or the number of the record, from 1; 0 where the file is one article.
    ``skipped`` says that the string is no mistake: so many parts of the file are no articles.
    """

    place: int
    content: dict[str, Any] | str
    skipped: int = 0


Reader = Callable[[BinaryIO], Iterator[Found]]
