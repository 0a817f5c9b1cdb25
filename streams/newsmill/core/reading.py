"""A title and a text → the pieces between their spaces, and where the patterns of several matchers stand in them.

The pieces of news repeat. Which patterns stand in a piece, as words of their own, is a matter of the piece alone: it is
found once, by one Aho-Corasick automaton (ahocorasick_rs) for all matchers, and remembered. A pattern of several words
is sought where its first telling word stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import ahocorasick_rs

from newsmill.core.matching import Hit, Key, Matcher, Place, fold
from newsmill.core.memo import Memo

__all__ = ["Reading", "Scanner", "find_hits", "read_for"]

_REMEMBERED: Final = 1 << 16  # pieces
_SEAM: Final = "\n\n"  # between title and text: no pattern holds two line breaks, so none spans both
_SHORT: Final = 3  # letters: "the", "in", "new" tell nothing
_AFTER: Final = 16  # characters after a pattern that may decide whether it is whole: particles


class _Phrase(NamedTuple):
    """A pattern of several words: its key, and how many of its characters stand before the word it is sought by."""

    text: str
    before: int
    keys: tuple[Key | None, ...]  # by matcher


class _Word(NamedTuple):
    """What a word of the automaton stands for: a whole pattern, by matcher, and phrases that hold it."""

    keys: tuple[Key | None, ...] | None
    phrases: tuple[_Phrase, ...]


class _Marks(NamedTuple):
    """What stands in a piece: places by matcher, and the phrases that may, each with the place of its word."""

    places: tuple[tuple[Place, ...], ...]
    phrases: tuple[tuple[int, _Phrase], ...]


class Scanner:
    """Several matchers with one automaton; remembers pieces of text, bounded."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self.matchers: Final = tuple(matchers)
        owned = {key: tuple(m.keys.get(key) for m in matchers) for m in matchers for key in m.keys}
        words: dict[str, list[_Phrase]] = {}
        for text, keys in owned.items():
            first, _, rest = text.partition(" ")
            if rest:
                before = 0
                if len(first) <= _SHORT and first.isascii():
                    telling = max(rest.split(" "), key=len)
                    if len(telling) > len(first):
                        before = text.index(f" {telling}") + 1
                        first = telling
                words.setdefault(first, []).append(_Phrase(text, before, keys))
            else:
                words.setdefault(text, [])
        self._words = [_Word(owned.get(word), tuple(phrases)) for word, phrases in words.items()]
        self._automaton = ahocorasick_rs.AhoCorasick(list(words), store_patterns=False)
        self.marks: Final = Memo(self._mark, _REMEMBERED)
        """Piece → its marks; None for most."""

    def read(self, title: str | None, text: str) -> Reading:
        """An article to look at with these matchers."""
        return Reading(title, text, self)

    def _mark(self, piece: str) -> _Marks | None:
        folded = fold(piece) + " "
        candidates: list[list[tuple[Key, int, int]]] = [[] for _ in self.matchers]
        phrases: list[tuple[int, _Phrase]] = []
        for index, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            keys, longer = self._words[index]
            if keys is not None:
                for key, of_matcher in zip(keys, candidates, strict=True):
                    if key is not None:
                        of_matcher.append((key, start, end))
            for phrase in longer:
                if phrase.before:
                    if (start == 0 or folded[start - 1] == " ") and self._goes_on(folded, phrase, start):
                        phrases.append((start, phrase))
                elif folded[end] == " ":
                    phrases.append((start, phrase))
        places = tuple(
            tuple(matcher.decide(found, piece, folded)) if found else ()
            for matcher, found in zip(self.matchers, candidates, strict=True)
        )
        return _Marks(places, tuple(phrases)) if any(places) or phrases else None

    @staticmethod
    def _goes_on(folded: str, phrase: _Phrase, start: int) -> bool:
        """Whether a piece agrees with the rest of a phrase as far as the piece goes."""
        rest = phrase.text[phrase.before :]
        return folded.startswith(rest, start) or rest.startswith(folded[start:])

    def find(self, whole: str, pieces: Sequence[str]) -> tuple[list[Place], ...]:
        """The hits by matcher, sorted; ``pieces`` are of ``whole``, split at spaces, each line break one of its own."""
        found: tuple[list[Place], ...] = tuple([] for _ in self.matchers)
        offset = passed = 0
        for index, marks in enumerate(map(self.marks.__getitem__, pieces)):
            if marks is None:
                continue
            between = pieces[passed:index]
            # a line break was given two spaces that the whole does not have
            offset += sum(map(len, between)) + len(between) - 2 * between.count("\n")
            passed = index
            for places, of_matcher in zip(marks.places, found, strict=True):
                for start, end, pattern in places:
                    of_matcher.append((offset + start, end - offset, pattern))
            if marks.phrases:
                self._find_phrases(whole, offset, marks.phrases, found)
        for of_matcher in found:
            of_matcher.sort()
        return found

    def _find_phrases(
        self, whole: str, offset: int, phrases: Sequence[tuple[int, _Phrase]], found: Sequence[list[Place]]
    ) -> None:
        for start, phrase in phrases:
            at = offset + start - phrase.before
            begin = max(0, at - 1)
            window = whole[begin : at + len(phrase.text) + _AFTER]
            folded = fold(window)
            if at < 0 or not folded.startswith(phrase.text, at - begin):
                continue
            folded += " "
            at -= begin
            for key, matcher, of_matcher in zip(phrase.keys, self.matchers, found, strict=True):
                if key is not None:
                    for left, right, pattern in matcher.decide([(key, at, at + len(phrase.text))], window, folded):
                        of_matcher.append((begin + left, right - begin, pattern))


class Reading:
    """A title and a text as one, looked at once for several steps, when the first of them asks."""

    def __init__(self, title: str | None, text: str, scanner: Scanner) -> None:
        self.whole: Final = text if title is None else f"{title}{_SEAM}{text}"
        self.begin: Final = len(self.whole) - len(text)
        """Where the text begins in the whole."""
        self._scanner = scanner
        self._folded: str | None = None
        self._places: tuple[list[Place], ...] | None = None

    @property
    def folded(self) -> str:
        """The whole as `fold` makes it."""
        if self._folded is None:
            self._folded = fold(self.whole)
        return self._folded

    def places(self, matcher: Matcher) -> list[Place]:
        """The hits of one of the scanner's matchers in the whole, sorted: by start, then the longest first."""
        if self._places is None:
            self._places = self._scanner.find(self.whole, self.whole.replace("\n", " \n ").split(" "))
        return self._places[self._scanner.matchers.index(matcher)]


@lru_cache(maxsize=8)  # matchers compare by identity
def _alone(matcher: Matcher) -> Scanner:
    return Scanner([matcher])


def read_for(matcher: Matcher, title: str | None, text: str) -> Reading:
    """An article to look at with one matcher alone."""
    return _alone(matcher).read(title, text)


def find_hits(text: str, matcher: Matcher) -> list[Hit]:
    """Every occurrence of every pattern, overlapping ones too, by start, then the longest first."""
    return [Hit(start, -end, pattern) for start, end, pattern in read_for(matcher, None, text).places(matcher)]
