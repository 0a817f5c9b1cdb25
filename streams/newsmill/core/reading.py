"""A title and a text → the pieces between their spaces, and where the patterns of several matchers stand in them.

The pieces of news repeat. Which patterns stand in a piece, as words of their own, is a matter of the piece alone: it is
found once, by one Aho-Corasick automaton (ahocorasick_rs) for all matchers, and remembered. A pattern of several words
is sought where its first telling word stands.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, compress, count
from operator import itemgetter
from typing import Any, Final, NamedTuple

import ahocorasick_rs

from newsmill.core.matching import LATIN, Hit, Key, Matcher, Place, fold, script
from newsmill.core.memo import Memo

__all__ = ["Piece", "Reading", "Scanner", "find_hits", "read_for"]

_REMEMBERED: Final = 1 << 16  # pieces
_LONGEST: Final = 64  # characters of a piece that is remembered; what is longer comes once
_SEAM: Final = "\n\n"  # between title and text: no pattern holds two line breaks, so none spans both
_LETTERS: Final = frozenset(letter for letter in map(chr, range(0x250)) if script(letter) == LATIN)
_FREQUENT: Final = "a an and are as at be by for he in is it may new no not of off on or the to up us we you"
_COMMON: Final = frozenset(_FREQUENT.split())
"""Words by whose place no phrase is sought: they stand everywhere."""
_FOLDED: Final = 1 << 12  # pairs of characters
_AFTER: Final = 16  # characters after a pattern that may decide whether it is whole: particles


class _Phrase(NamedTuple):
    """A pattern of several words, and how many of its characters stand before the word it is sought by."""

    text: str
    before: int
    keys: tuple[Key | None, ...]  # by matcher


class _Word(NamedTuple):
    """What a word of the automaton stands for: a whole pattern, by matcher, and phrases that begin with or hold it."""

    keys: tuple[Key | None, ...] | None
    begins: dict[str, list[_Phrase]]  # by the two characters after the space, or the one
    held: list[_Phrase]
    guarded: int  # the script that may not stand before it, if no phrase may begin within a word


class _Marks(NamedTuple):
    """What stands in a piece: the matcher and the place of each hit, and the words by which phrases are sought."""

    places: tuple[tuple[int, int, int, int], ...]
    words: tuple[tuple[int, int, _Word], ...]


class Piece(NamedTuple):
    """What is known of the characters between two spaces."""

    marks: _Marks | None
    words: tuple[Any, ...]  # whatever the step that counts words makes of it


_marks = itemgetter(0)


def _begins_a_word(keys: tuple[Key | None, ...] | None) -> bool:
    """Whether none of these keys may begin within a word."""
    return all(key is None or key.always_left for key in keys or ())


class Scanner:
    """Several matchers with one automaton, and a function of words; what they say of a piece is remembered, bounded."""

    def __init__(
        self, matchers: Sequence[Matcher], words_of: Callable[[str], tuple[Any, ...]] = lambda piece: ()
    ) -> None:
        self.matchers: Final = tuple(matchers)
        self._words_of = words_of
        self._known: dict[str, Piece] = {}
        owned = {key: tuple(m.keys.get(key) for m in matchers) for m in matchers for key in m.keys}
        free = {text.partition(" ")[0] for text, keys in owned.items() if not _begins_a_word(keys)}

        def word_of(text: str) -> _Word:
            return _Word(owned.get(text), {}, [], 0 if text in free else script(text[0]))

        words = {text: word_of(text) for text in owned if " " not in text}
        for text, keys in owned.items():
            first, _, rest = text.partition(" ")
            if not rest:
                continue
            telling = max(rest.split(" "), key=len)
            if first in _COMMON and telling not in _COMMON:
                before = text.index(f" {telling}") + 1
                words.setdefault(telling, word_of(telling)).held.append(_Phrase(text, before, keys))
            else:
                begins = words.setdefault(first, word_of(first)).begins
                begins.setdefault(rest[:2].rstrip(), []).append(_Phrase(text, 0, keys))
        self._words = list(words.values())
        self._whole = [word.keys is not None for word in self._words]
        # Nine in ten hits of an English text are parts of words ("ai" in "said"): one look tells them.
        self._not_after = [_LETTERS if word.guarded == LATIN else frozenset[str]() for word in self._words]
        self._automaton = ahocorasick_rs.AhoCorasick(list(words), store_patterns=False)
        self._folded = Memo(fold, _FOLDED)

    def read(self, title: str | None, text: str) -> Reading:
        """An article to look at with these matchers."""
        return Reading(title, text, self)

    @property
    def remembered(self) -> int:
        """Pieces held now; at most 65,536 (a new article's in place of all, when they would be more)."""
        return len(self._known)

    def look_up(self, texts: list[str]) -> list[Piece]:
        """What is known of pieces; the new ones are looked at together."""
        pieces = list(map(self._known.get, texts))
        if None in pieces:
            new = self._look_at([text for text, piece in zip(texts, pieces, strict=True) if piece is None])
            return [piece or new[text] for text, piece in zip(texts, pieces, strict=True)]
        return pieces  # type: ignore[return-value]

    def _look_at(self, texts: list[str]) -> dict[str, Piece]:
        words_of = self._words_of
        new = {text: Piece(None, words_of(text)) for text in texts}
        texts = list(new)
        starts = list(accumulate([len(text) + 1 for text in texts], initial=0))
        folded = fold(" ".join(texts)) + " "
        hits: dict[int, list[tuple[int, int, int]]] = {}
        after, whole = self._not_after, self._whole
        for hit in [
            hit
            for hit in self._automaton.find_matches_as_indexes(folded, overlapping=True)
            if (before := folded[hit[1] - 1]) not in after[hit[0]]
            and (whole[hit[0]] or folded[hit[2]] == " " or before == " ")
        ]:
            hits.setdefault(bisect_right(starts, hit[1]) - 1, []).append(hit)
        for index, of_piece in hits.items():
            text, start = texts[index], starts[index]
            marks = self._mark(text, folded[start : start + len(text) + 1], start, of_piece)
            if marks is not None:
                new[text] = Piece(marks, new[text].words)
        known = self._known
        words = [text for text in texts if len(text) <= _LONGEST][:_REMEMBERED]
        if len(known) + len(words) > _REMEMBERED:
            known.clear()
        known.update((text, new[text]) for text in words)
        return new

    def _mark(self, piece: str, folded: str, offset: int, hits: list[tuple[int, int, int]]) -> _Marks | None:
        candidates: list[list[tuple[Key, int, int]]] = [[] for _ in self.matchers]
        words: list[tuple[int, int, _Word]] = []
        for index, start, end in hits:
            start -= offset
            end -= offset
            word = self._words[index]
            if word.keys is not None:
                for key, of_matcher in zip(word.keys, candidates, strict=True):
                    if key is not None:
                        of_matcher.append((key, start, end))
            before = folded[start - 1] if start else " "
            # a phrase goes on after a space, and begins where its keys may; a word held by one stands after a space
            if (word.begins and folded[end] == " " and not (word.guarded and script(before) == word.guarded)) or (
                word.held and before == " "
            ):
                words.append((start, end, word))
        places = tuple(
            (index, *place)
            for index, (matcher, found) in enumerate(zip(self.matchers, candidates, strict=True))
            if found
            for place in matcher.decide(found, piece, folded)
        )
        return _Marks(places, tuple(words)) if places or words else None

    def find(self, whole: str, texts: Sequence[str], pieces: Sequence[Piece]) -> tuple[list[Place], ...]:
        """The hits by matcher, sorted. ``texts`` are of ``whole``, cut at spaces, each line break one of its own."""
        found: tuple[list[Place], ...] = tuple([] for _ in self.matchers)
        marked = list(compress(count(), map(_marks, pieces)))
        if not marked:
            return found
        ends = list(accumulate(map(len, texts), initial=0))
        folded = self._folded
        breaks = passed = 0
        for index in marked:
            # a line break was given two spaces that the whole does not have
            breaks += texts[passed:index].count("\n")
            passed = index
            offset = ends[index] + index - 2 * breaks
            marks = pieces[index][0]
            assert marks is not None
            for matcher, start, end, pattern in marks.places:
                found[matcher].append((offset + start, end - offset, pattern))
            for start, end, word in marks.words:
                end += offset
                following = folded[whole[end + 1 : end + 3]]
                begins = word.begins
                if following in begins:
                    self._find_phrases(whole, offset + start, begins[following], found)
                if following[:1] in begins:
                    self._find_phrases(whole, offset + start, begins[following[:1]], found)
                if word.held:
                    self._find_phrases(whole, offset + start, word.held, found)
        for of_matcher in found:
            of_matcher.sort()
        return found

    def _find_phrases(self, whole: str, place: int, phrases: list[_Phrase], found: Sequence[list[Place]]) -> None:
        for phrase in phrases:
            text, before, keys = phrase
            at = place - before
            if at < 0 or fold(whole[at : at + len(text)]) != text:
                continue
            begin = max(0, at - 1)
            window = whole[begin : at + len(text) + _AFTER]
            folded = fold(window) + " "
            at -= begin
            for key, matcher, of_matcher in zip(keys, self.matchers, found, strict=True):
                if key is not None:
                    for left, right, pattern in matcher.decide([(key, at, at + len(text))], window, folded):
                        of_matcher.append((begin + left, right - begin, pattern))


class Reading:
    """A title and a text as one, looked at once for several steps, when the first of them asks."""

    def __init__(self, title: str | None, text: str, scanner: Scanner) -> None:
        self.title: Final = title
        self.text: Final = text
        self.whole: Final = text if title is None else f"{title}{_SEAM}{text}"
        self.begin: Final = len(self.whole) - len(text)
        """Where the text begins in the whole."""
        self._scanner = scanner
        self._folded: str | None = None
        self._places: tuple[list[Place], ...] | None = None
        self._texts: list[str] | None = None
        self._pieces: list[Piece] = []

    @property
    def folded(self) -> str:
        """The whole as `fold` makes it."""
        if self._folded is None:
            self._folded = fold(self.whole)
        return self._folded

    @property
    def pieces(self) -> list[Piece]:
        """What is known of the pieces of the whole, each line break one of its own."""
        if self._texts is None:
            self._texts = self.whole.replace("\n", " \n ").split(" ")
            self._pieces = self._scanner.look_up(self._texts)
        return self._pieces

    @staticmethod
    def count(text: str) -> int:
        """How many pieces a stretch of text has that ends after a space."""
        return text.count(" ") + 2 * text.count("\n")

    def places(self, matcher: Matcher) -> list[Place]:
        """The hits of one of the scanner's matchers in the whole, sorted: by start, then the longest first."""
        if self._places is None:
            pieces = self.pieces
            self._places = self._scanner.find(self.whole, self._texts or (), pieces)
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
