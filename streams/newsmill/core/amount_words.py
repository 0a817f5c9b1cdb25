"""Numbers in words beside a currency → sums of money: ``백만 달러``, ``five million yen``, ``thirteen dollars``.

English numbers are sought backwards from the names of currencies, in a bounded window; Korean ones begin a word.
"""

from __future__ import annotations

import re
from typing import Final

from newsmill.core.amount_grammar import SENTENCE_END, Found, Quantity, korean_currency, with_minor
from newsmill.core.amount_rules import AmountRules, Money
from newsmill.core.numerals import ENGLISH_WORDS, parse_english, parse_korean

__all__ = ["english_words", "korean_words"]

_BARE_RUN: Final = re.compile(r"[십백천](?<![가-힣0-9][십백천])[십백천만억조경]{0,6} ?")
_LATIN: Final = re.compile(r"[a-z]+")
_TOKEN: Final = re.compile(r"[a-z.]+")
_MINOR_WORDS: Final = re.compile(r"(?: and)?((?:[ -][a-z]+){1,3})")
_WINDOW: Final = 64  # code points before a currency word in which an English number is sought


def korean_words(scan: str, found: list[Found], rules: AmountRules) -> list[Found]:
    """``백만 달러``, ``천만 원``: Korean numbers without a digit, outside of ``found`` (in text order)."""
    amounts: list[Found] = []
    for match in _BARE_RUN.finditer(scan):
        start, end = match.start(), match.end()
        character = scan[end : end + 1]
        if character not in rules.korean or scan[max(0, start - 2) : start].strip() in rules.vague:
            continue
        run = match[0].rstrip()
        number = parse_korean(run, rules.units)
        if number is None or _inside(found, start):
            continue
        quantity = Quantity(*number, end, 1, False, len(run) > 1, False)
        name = korean_currency(scan, end, quantity, rules)
        if name is not None:
            amounts.append(Found(start, name[1], name[0], number, None, False))
    return amounts


def english_words(scan: str, found: list[Found], rules: AmountRules) -> list[Found]:
    """``five million yen``, ``half a billion dollars``: numbers in words, outside of ``found``."""
    amounts: list[Found] = []
    used = 0
    for _, place, _ in rules.anchors.find_matches_as_indexes(scan):
        if place and "a" <= scan[place - 1] <= "z":
            continue
        word = _LATIN.match(scan, place)
        if word is None or place < used or _inside(found, place):
            continue
        tokens = list(_TOKEN.finditer(scan, max(0, used, place - _WINDOW), word.end()))
        read = _number_before(tokens, rules)
        if read is None:
            continue
        money, number, start = read
        if _inside(found, start):
            continue
        end = word.end()
        if not money.decimals and not number[1]:
            number, end = _minor_words(scan, number, end, money, rules)
        amounts.append(Found(start, end, money, number, None, False))
        used = end
    return amounts


def _number_before(tokens: list[re.Match[str]], rules: AmountRules) -> tuple[Money, tuple[int, int], int] | None:
    words = [token[0] for token in tokens]
    for count in range(min(4, len(words)), 0, -1):
        money = rules.names.get(" ".join(words[-count:]))
        if money is not None:
            break
    else:
        return None
    begin = len(words) - count
    while begin and (words[begin - 1] in ENGLISH_WORDS or words[begin - 1] in rules.scales):
        begin -= 1
    numerals = words[begin : len(words) - count]
    while numerals and numerals[0] == "and":
        begin, numerals = begin + 1, numerals[1:]
    number = parse_english(numerals, rules.scales) if numerals else None
    if number is None or (money.scaled and rules.scales.keys().isdisjoint(numerals)):
        return None
    if money.weight and rules.scales.keys().isdisjoint(numerals):
        return None
    return money, number, tokens[begin].start()


def _minor_words(
    scan: str, number: tuple[int, int], end: int, money: Money, rules: AmountRules
) -> tuple[tuple[int, int], int]:
    match = _MINOR_WORDS.match(scan, end)
    if match is None:
        return with_minor(scan, number, end, money, False, rules)
    words = match[1].replace("-", " ").split()
    minor = rules.names.get(words[-1])
    named = minor is not None and minor.decimals == 2 and minor.code == money.code
    if not named and not (len(words) < 3 and SENTENCE_END.match(scan, match.end())):
        return number, end
    cents = parse_english(words[:-1] if named else words, {})
    if cents is None or cents[0] >= 100:
        return number, end
    return (number[0] * 100 + cents[0], 2), match.end()


def _inside(found: list[Found], place: int) -> bool:
    """Whether a place is inside an amount; ``found`` is in text order."""
    low, high = 0, len(found)
    while low < high:
        middle = (low + high) // 2
        if found[middle].end <= place:
            low = middle + 1
        else:
            high = middle
    return low < len(found) and found[low].start <= place
