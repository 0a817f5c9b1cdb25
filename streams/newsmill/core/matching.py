"""A list of patterns and a text → where each pattern stands in the text as a word of its own, in one pass.

Latin letters and digits may not touch other Latin letters or digits ("AWS" is not in "laws"). Hangul must begin a word
and may end in particles (엔비디아와의), unless the pattern is open on that side. Offsets are code points of the text as
it was given. What stands between two spaces is looked at once and remembered (reading.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from newsmill.core.korean import Particles

__all__ = ["LATIN", "MATCH_KINDS", "Hit", "Key", "Matcher", "Pattern", "Place", "fold", "script"]

MATCH_KINDS: Final = ("word", "prefix", "suffix", "inside")
"""word: both edges guarded. prefix: may go on to the right. suffix: may begin to the left. inside: anywhere."""

# One character for one character, so that offsets hold. str.replace costs 0.3 us a text, str.translate 30.
_PLAIN: Final = (
    *((space, " ") for space in "\n\r\t\u00a0\u2009\u202f\u3000"),
    *((quote, "'") for quote in "‘’`"),
    *((dash, "-") for dash in "‐‑–—"),
)
_PLAIN_ASCII: Final = tuple(pair for pair in _PLAIN if pair[0].isascii())
_FULL_WIDTH: Final = re.compile("[\uff01-\uff5e]")  # full-width forms of ASCII, 0xFEE0 above it
LATIN: Final = 1
_HANGUL: Final = 2


class Pattern(NamedTuple):
    """What to look for. ``exact`` patterns match only as they are written, or all in capitals; others in any case."""

    text: str
    match: str = "word"
    exact: bool = False


class Hit(NamedTuple):
    """One occurrence: code points ``start`` to ``end`` (exclusive) of the text, and the index of the pattern."""

    start: int
    end: int
    pattern: int


Place = tuple[int, int, int]
"""A hit as it sorts: start, minus end, pattern."""


class _Entry(NamedTuple):
    pattern: int
    exact: str | None  # as written, if case counts
    guard_left: bool
    guard_right: bool


class Key(NamedTuple):
    """One distinct folded pattern: the scripts of its first and last character, and who asked for it."""

    first: int
    last: int
    always_left: bool  # all of them guard this edge
    always_right: bool
    entries: tuple[_Entry, ...]


def fold(text: str) -> str:
    """The text in lower case with full-width forms, quotes, dashes and white space made plain; its length is kept."""
    for character, plain in _PLAIN_ASCII if text.isascii() else _PLAIN:
        text = text.replace(character, plain)
    if not text.isascii() and _FULL_WIDTH.search(text):
        text = _FULL_WIDTH.sub(_half_width, text)
    lowered = text.lower()
    if len(lowered) != len(text):  # İ and its like become two characters: leave those alone
        lowered = "".join(low if len(low := character.lower()) == 1 else character for character in text)
    return lowered


def _half_width(match: re.Match[str]) -> str:
    return chr(ord(match[0]) - 0xFEE0)


def script(character: str) -> int:
    """1 for a Latin letter or digit, 2 for a Hangul syllable, 0 for anything else."""
    if character < "\x80":
        return LATIN if character.isalnum() else 0
    if "가" <= character <= "힣":
        return _HANGUL
    return LATIN if "À" <= character <= "ɏ" else 0


class Matcher:
    """Compiled patterns; immutable after construction.

    ``particles_after_latin``: a pattern that ends in a Latin letter or digit may be followed by Korean particles only
    (KT는 yes, KT위즈 no). Without it any Hangul may follow (AI칩).
    """

    def __init__(
        self, patterns: Sequence[Pattern], particles: Particles, *, particles_after_latin: bool = False
    ) -> None:
        entries: dict[str, list[_Entry]] = {}
        for index, pattern in enumerate(patterns):
            key = fold(pattern.text)
            if not key or key != key.strip() or pattern.match not in MATCH_KINDS:
                raise ValueError(f"bad pattern {pattern!r}")
            entries.setdefault(key, []).append(
                _Entry(
                    index,
                    pattern.text if pattern.exact else None,
                    guard_left=pattern.match in ("word", "prefix"),
                    guard_right=pattern.match in ("word", "suffix"),
                )
            )
        self.keys = {
            key: Key(
                script(key[0]),
                script(key[-1]),
                all(entry.guard_left for entry in of_key),
                all(entry.guard_right for entry in of_key),
                tuple(of_key),
            )
            for key, of_key in entries.items()
        }
        self._particles = particles
        self._particles_after_latin = particles_after_latin

    def __len__(self) -> int:
        return len(self.keys)

    def decide(self, candidates: Sequence[tuple[Key, int, int]], text: str, folded: str) -> list[Place]:
        """The candidates that stand as words of their own, in the order of `find`; ``folded`` ends in one space."""
        size = len(text)
        follow = self._particles.follow
        places: list[Place] = []
        for (first, last, always_left, always_right, entries), start, end in candidates:
            left_free = not (start and first) or script(folded[start - 1]) != first
            if always_left and not left_free:
                continue
            right_free = True
            if last and end < size and (after := script(folded[end])):
                if after == _HANGUL and (last == _HANGUL or self._particles_after_latin):
                    right_free = follow(folded, end)
                else:
                    right_free = after != last
                if always_right and not right_free:
                    continue
            for pattern, exact, guard_left, guard_right in entries:
                if (guard_left and not left_free) or (guard_right and not right_free):
                    continue
                if exact is not None and (written := text[start:end]) != exact and written != exact.upper():
                    continue
                places.append((start, -end, pattern))
        places.sort()
        return places
