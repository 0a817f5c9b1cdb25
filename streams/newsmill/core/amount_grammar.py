"""What a sum of money is made of: a number with its multipliers, a currency right before or after it, its hundredths.

All readers take the folded text (lower case, plain width, same length) and a place, and look at a bounded stretch.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from newsmill.core.amount_rules import AmountRules, Money
from newsmill.core.numerals import parse_digits, parse_korean

__all__ = [
    "SENTENCE_END",
    "Found",
    "Quantity",
    "currency_after",
    "currency_before",
    "korean_currency",
    "read_quantity",
    "symbols_at",
    "with_minor",
]

_PIECE: Final = r"[0-9][0-9,]{0,20}(?:\.[0-9]{1,8})?"
_UNITS: Final = "십백천만억조경"
# 1조 2,345억, 3천5백만, 10억여: what goes on after the digits that begin a Korean number
_RUN: Final = re.compile(rf"(?:여? ?(?:{_PIECE}여? ?)?[{_UNITS}]){{1,12}}(?: {_PIECE}(?=[ 가-힣])|{_PIECE})?")
_AFTER_DIGITS: Final = frozenset(_UNITS + " 여")
_LATIN: Final = re.compile(r"[a-z]+")
_NAME: Final = re.compile(r"[a-z][a-z.]*(?: [a-z][a-z.]*){0,3}")
_WORD_BEFORE: Final = re.compile(r"(?<![a-z])[a-z]+\.?$")
_MINOR: Final = re.compile(r"(?:,? and)? ([0-9]{1,2})(?![0-9]) ?([a-z]+|[가-힣]{2,4})?")
SENTENCE_END: Final = re.compile(r"[.!?]?$|[.!?] | more\b")


class Quantity(NamedTuple):
    """A number with its multipliers, before its currency is known."""

    mantissa: int
    decimals: int
    end: int
    factor: int  # what a number before it inherits in a range: 3~5만 → 만
    plain: bool  # no multiplier of its own
    large: bool  # multiplied, grouped by commas, or four digits and more that are no year
    about: bool  # 여


class Found(NamedTuple):
    start: int
    end: int
    money: Money
    low: tuple[int, int]
    high: tuple[int, int] | None
    about: bool


def currency_before(scan: str, start: int, used: int, rules: AmountRules) -> tuple[Money, int] | None:
    """The currency that stands right before a number, and where it begins."""
    at = start - 1 if scan[start - 1] == " " and start > 1 else start
    last = scan[at - 1]
    if last in rules.symbols:
        if at - 1 < used:
            return None
        letters = rules.letters.search(scan[max(used, at - 6) : at - 1])
        if letters is not None:
            symbol = (letters[1] or letters[2]) + last
            if symbol in rules.lettered:
                return Money(rules.lettered[symbol]), at - 1 - len(letters[0])
        return Money(rules.symbols[last]), at - 1
    if "a" <= last <= "z" or last == ".":
        word = _WORD_BEFORE.search(scan[max(used, at - 8) : at])
        if word is not None:
            money = rules.codes.get(word[0])
            if money is not None:
                return money, at - len(word[0])
    return None


def read_quantity(scan: str, start: int, end: int, rules: AmountRules) -> Quantity | None:
    """The number whose digits are ``scan[start:end]`` with the multipliers that follow it."""
    digits = scan[start:end].rstrip(",")
    end = start + len(digits)
    following = scan[end : end + 2]
    first = following[1:] if following[:1] in (" ", "여") else following[:1]
    if first and first in _AFTER_DIGITS:
        run = _RUN.match(scan, end)
        if run is not None:
            number = parse_korean(scan[start : run.end()], rules.units)
            if number is None:
                return None
            about = "여" in run[0]
            after = run.end()
            if scan.startswith("여", after):
                about, after = True, after + 1
            return Quantity(*number, after, _inherited(run[0], rules), False, True, about)
    parsed = parse_digits(digits)
    if parsed is None:
        return None
    mantissa, decimals = parsed
    factor, about = 1, False
    if following.startswith("여"):
        end, about = end + 1, True
    at = end
    for _ in range(2):  # "two hundred thousand" has two
        gap = scan[at : at + 1]
        word = _LATIN.match(scan, at + 1 if gap in (" ", "-") else at)
        if word is None:
            break
        multiplier = rules.scales.get(word[0]) or (rules.attached.get(word[0]) if word.start() == at else None)
        if multiplier is None:
            break
        factor *= multiplier
        at = end = word.end()
    large = factor > 1 or "," in digits or (mantissa >= 10**decimals * 1000 and not _is_year(mantissa, decimals))
    return Quantity(mantissa * factor, decimals, end, factor, factor == 1, large, about)


def _is_year(mantissa: int, decimals: int) -> bool:
    return not decimals and 1900 <= mantissa <= 2100


def _inherited(run: str, rules: AmountRules) -> int:
    """The factor of the units right after the first digits: 3~5천만 makes the 3 three 천만."""
    factor = 1
    for character in run:
        unit = rules.units.get(character)
        if unit is not None:
            factor *= unit
        elif character.isdigit():
            break
    return factor


def currency_after(scan: str, end: int, quantity: Quantity, rules: AmountRules) -> tuple[Money, int] | None:
    """The currency that stands right after a number, and where it ends."""
    character = scan[end : end + 1]
    gap = character if character in (" ", "-") else ""
    if gap:
        end += 1
        character = scan[end : end + 1]
    if not character:
        return None
    if character >= "가":
        return korean_currency(scan, end, quantity, rules)
    if character in rules.symbols:
        if gap == "-" or scan[end + 1 : end + 2].isdigit() or (gap and scan[end + 2 : end + 3].isdigit()):
            return None  # it belongs to the next number
        return Money(rules.symbols[character]), end + 1
    word = _LATIN.match(scan, end)
    if word is None:
        return None
    money = rules.codes.get(word[0])
    if money is not None:
        return None if scan[word.end() : word.end() + 1].isdigit() else (money, word.end())
    if word[0] not in rules.first_words and word[0] != "u":
        return None
    return _english_name(scan, end, gap, quantity, rules)


def _english_name(scan: str, at: int, gap: str, quantity: Quantity, rules: AmountRules) -> tuple[Money, int] | None:
    match = _NAME.match(scan, at)
    if match is None:
        return None
    words = match[0].split(" ")
    for count in range(len(words), 0, -1):
        name = " ".join(words[:count])
        for spelling in (name, name.rstrip(".")):
            money = rules.names.get(spelling)
            if money is None:
                continue
            end = at + len(spelling)
            if money.scaled and not quantity.large:
                return None
            if money.weight and quantity.plain and _is_weight(scan, at, end, gap, rules):
                return None
            return money, end
    return None


def _is_weight(scan: str, at: int, end: int, gap: str, rules: AmountRules) -> bool:
    if gap == "-" or scan.startswith(rules.weight_after, end):
        return True
    return not rules.weight_before.isdisjoint(scan[max(0, at - 40) : at].split()[-4:])


def korean_currency(scan: str, at: int, quantity: Quantity, rules: AmountRules) -> tuple[Money, int] | None:
    for name, money in rules.korean.get(scan[at], ()):
        if not scan.startswith(name, at):
            continue
        end = at + len(name)
        if money.scaled and not quantity.large:
            return None
        last = name.rsplit(" ", 1)[-1]
        always = rules.look_alikes.get(last)
        if always is not None and scan.startswith(always, end):
            return None
        small = rules.look_alikes_small.get(last)
        if small is not None and quantity.plain and quantity.mantissa < 10 and scan.startswith(small, end):
            return None
        return money, end
    return None


def symbols_at(scan: str, at: int, rules: AmountRules) -> list[tuple[str, int]]:
    """The symbols that begin at a place, each with its code and end."""
    found = [(code, at + len(symbol)) for symbol, code in rules.lettered.items() if scan.startswith(symbol, at)]
    if scan[at : at + 1] in rules.symbols:
        found.append((rules.symbols[scan[at]], at + 1))
    return found


def with_minor(
    scan: str, low: tuple[int, int], end: int, money: Money, prefixed: bool, rules: AmountRules
) -> tuple[tuple[int, int], int]:
    """``3 dollars 50 cents``, ``15 dollars 50.``, ``3달러 50센트``: the hundredths belong to the same sum."""
    match = _MINOR.match(scan, end)
    if match is not None:
        name = match[2]
        cents = int(match[1])
        if name:
            minor = rules.names.get(name)
            if minor is None:
                minor, name = next(
                    ((m, n) for n, m in rules.korean.get(name[0], ()) if name.startswith(n)), (None, name)
                )
            if minor is not None and minor.decimals == 2 and minor.code == money.code:
                return (low[0] * 100 + cents, 2), match.start(2) + len(name)
        if not prefixed and len(match[1]) == 2 and SENTENCE_END.match(scan, match.end(1)):
            return (low[0] * 100 + cents, 2), match.end(1)
    return low, end
