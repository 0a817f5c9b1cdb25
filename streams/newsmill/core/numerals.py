"""Written numbers, in digits, Korean units or English words → exact integers with a decimal scale.

A number is a pair ``(mantissa, decimals)``: its value is ``mantissa / 10**decimals``. No float is ever involved.
All functions are linear in what they read and read a bounded stretch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["ENGLISH_WORDS", "NUMBER", "decimal_text", "parse_digits", "parse_english", "parse_korean"]

# A whole run of digits, commas and at most one decimal part; possessive, so a megabyte of digits is passed over once.
NUMBER: Final = re.compile(r"[0-9][0-9,]*+(?:\.[0-9]++)?")

_LONGEST: Final = 40  # characters; a longer run of digits is an id, a table or an attack, not an amount
_KOREAN_PIECE: Final = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|[^0-9 여]")
_MYRIAD: Final = 10_000

_ONES: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_ENGLISH: Final = {
    **{word: value for value, word in enumerate(_ONES.split())},
    **{word: value * 10 for value, word in enumerate(_TENS.split(), 2)},
}
_ARTICLES: Final = frozenset({"a", "an"})
_QUARTERS: Final = {
    ("half",): 50,
    ("half", "a"): 50,
    ("a", "half"): 50,
    ("quarter",): 25,
    ("a", "quarter"): 25,
    ("three", "quarters"): 75,
}
ENGLISH_WORDS: Final = frozenset({*_ENGLISH, *_ARTICLES, "half", "quarter", "quarters", "and"})


def parse_digits(digits: str) -> tuple[int, int] | None:
    """``1,234.50`` → (123450, 2). Groups are of three digits, or Indian (12,34,567); None for anything else."""
    if len(digits) > _LONGEST:
        return None
    whole, _, fraction = digits.partition(".")
    if "," in whole:
        first, *groups = whole.split(",")
        if len(first) > 3 or len(groups[-1]) != 3 or any(len(group) not in (2, 3) for group in groups):
            return None
        if any(len(group) == 2 for group in groups) and not all(len(group) == 2 for group in groups[:-1]):
            return None
        whole = "".join((first, *groups))
    return int(whole + fraction), len(fraction)


def parse_korean(run: str, units: Mapping[str, int]) -> tuple[int, int] | None:
    """``1조 2,345억`` → (1234500000000, 0); ``3천5백만``, ``백만``. None unless units descend, as in a number."""
    pieces: Sequence[str] = _KOREAN_PIECE.findall(run)
    decimals = max((len(piece.partition(".")[2]) for piece in pieces), default=0)
    one = 10**decimals
    total = section = 0
    number: int | None = None
    last_small, last_large = _MYRIAD, max(units.values()) * _MYRIAD
    for piece in pieces:
        factor = units.get(piece)
        if factor is None:
            parsed = parse_digits(piece)
            if parsed is None or number is not None:
                return None
            number = parsed[0] * 10 ** (decimals - parsed[1])
        elif factor < _MYRIAD:
            if factor >= last_small:
                return None
            section += (one if number is None else number) * factor
            number, last_small = None, factor
        else:
            group = section + (number or 0)
            if not group or factor >= last_large:
                return None
            total += group * factor
            section, number, last_small, last_large = 0, None, _MYRIAD, factor
    return total + section + (number or 0), decimals


def parse_english(words: Sequence[str], scales: Mapping[str, int]) -> tuple[int, int] | None:
    """``["half", "a", "million"]`` → (50000000, 2); None if the words are no number, or only an article."""
    while words and words[0] == "and":
        words = words[1:]
    for length in (2, 1):
        hundredths = _QUARTERS.get(tuple(words[:length]))
        rest = words[length:]
        if hundredths is not None and rest and all(word in scales or word in _ARTICLES for word in rest):
            for word in rest:
                hundredths *= scales.get(word, 1)
            return hundredths, 2
    total = current = 0
    counted = False
    for position, word in enumerate(words):
        if word in _ENGLISH:
            current += _ENGLISH[word]
            counted = True
        elif word in _ARTICLES:
            if position or len(words) < 2:
                return None
            current = 1
        elif word in scales:
            if not current:
                return None
            if scales[word] == 100:
                current *= 100
            else:
                total += current * scales[word]
                current = 0
            counted = True
        elif word != "and":
            return None
    return (total + current, 0) if counted else None


def decimal_text(mantissa: int, decimals: int) -> str:
    """The exact decimal as a string without exponent, sign or trailing zeros: (123450, 2) → ``1234.5``."""
    if not decimals:
        return str(mantissa)
    digits = str(mantissa).rjust(decimals + 1, "0")
    fraction = digits[-decimals:].rstrip("0")
    return f"{digits[:-decimals]}.{fraction}" if fraction else digits[:-decimals]
