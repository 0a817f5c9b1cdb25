"""Text → the sums of money in it: exact value, ISO 4217 currency and where it stands (``62억달러``, ``$6.2bn``).

Every number of the text is looked at once: a currency must touch it, before or after. What is read around a number is
bounded, so time is linear in the text. Which words mean money is data (``rules/units.toml``); the grammar is here.
"""

from __future__ import annotations

import re
from typing import Final

from newsmill.core.amount_grammar import (
    Found,
    Quantity,
    currency_after,
    currency_before,
    read_quantity,
    symbols_at,
    with_minor,
)
from newsmill.core.amount_rules import AmountRules, Money, Qualifier
from newsmill.core.amount_words import english_words, korean_words
from newsmill.core.matching import fold
from newsmill.core.numerals import NUMBER, decimal_text
from newsmill.core.reading import Reading
from newsmill.events import Amount

__all__ = ["AmountRules", "find_amounts"]

_READ: Final = 100_000
_MOST: Final = 1_000
_RANGE: Final = re.compile(r" ?([~∼〜-]|to|and) ?")
_LATIN: Final = re.compile(r"[a-z]+")
_BETWEEN: Final = re.compile(r"\bbetween(?: [a-z]+)? $")


def find_amounts(text: str, rules: AmountRules, reading: Reading | None = None) -> list[Amount]:
    """The amounts of the text in text order; spans are code points, ``amount.text == text[start:end]``.

    Left out: percentages, counts, years, vague sums (수십억원), cryptocurrencies, and numbers without a currency but
    for the one stated rule of ``[korean.bare_won]``. Reads 100,000 code points and gives at most 1,000 amounts, so that
    no page of numbers outgrows its topic's limit. ``reading`` is of this text, with a title or none.
    """
    scan = fold(text[:_READ]) if reading is None else reading.folded[reading.begin : reading.begin + _READ]
    found: list[Found] = []
    used = 0
    for match in NUMBER.finditer(scan):
        start = match.start()
        if start < used or _stands_apart(scan, start, match.end(), rules):
            continue
        amount = _around_number(scan, match, used, rules)
        if amount is not None:
            found.append(amount)
            used = amount.end
            if len(found) == _MOST:
                break
    for read in (english_words,) if scan.isascii() else (korean_words, english_words):
        more = read(scan, found, rules)
        if more:
            found = sorted(found + more)
    return [_amount(text, scan, amount, rules) for amount in found[:_MOST]]


def _amount(text: str, scan: str, found: Found, rules: AmountRules) -> Amount:
    qualifier = _qualifier(scan, found.start, found.end, rules) or ("about" if found.about else None)
    decimals = found.money.decimals
    return Amount(
        text=text[found.start : found.end],
        value=decimal_text(found.low[0], found.low[1] + decimals),
        value_max=decimal_text(found.high[0], found.high[1] + decimals) if found.high else None,
        qualifier=qualifier,
        currency=found.money.code,
        start=found.start,
        end=found.end,
    )


def _stands_apart(scan: str, start: int, end: int, rules: AmountRules) -> bool:
    """Whether neither side of a number can be of a sum of money; most numbers are told by two characters."""
    before = scan[start - 1 : start]
    if before == " " and start > 1:
        before = scan[start - 2]
    if "a" <= before <= "z" or before == "." or before in rules.symbols:
        return False
    following = scan[end : end + 2]
    after = following[1:] if following[:1] in (" ", "-") else following[:1]
    if "a" <= after <= "z":
        word = _LATIN.match(scan, end + len(following) - len(following.lstrip(" -")))
        return word is not None and word[0] not in rules.after_number
    return after >= "가" and after not in rules.after_number


def _around_number(scan: str, match: re.Match[str], used: int, rules: AmountRules) -> Found | None:
    start, end = match.span()
    before = scan[start - 1] if start else ""
    prefix = currency_before(scan, start, used, rules) if before else None
    if prefix is None:
        if before in (".", ","):
            return None  # the tail of 1.2.3
        if before in rules.vague or (before == " " and scan[start - 2 : start - 1] in rules.vague):
            return None
        if ("a" <= before <= "z") or before == "_":
            return None  # a1, covid19
        if end < len(scan) and scan[end] in "%:/":
            return None
    quantity = read_quantity(scan, start, end, rules)
    if quantity is None:
        return None
    if prefix is None and before in rules.articles and scan[end : end + 1] == "조":
        return None  # 제3조
    begin = start if prefix is None else prefix[1]
    low, high = (quantity.mantissa, quantity.decimals), None
    about = quantity.about
    second = _range(scan, quantity, prefix, rules, begin)
    if second is not None:
        money, end = second.money, second.end
        return Found(begin, end, money, second.low, second.high, about or second.about)
    if prefix is not None:
        money, end = prefix[0], quantity.end
        same = currency_after(scan, end, quantity, rules)
        if same is not None and same[0].code == money.code and not same[0].decimals:
            end = same[1]  # $10 dollars
    else:
        suffix = currency_after(scan, quantity.end, quantity, rules)
        if suffix is None:
            end = quantity.end
            if quantity.plain or not _bare_won(scan, start, end, rules):
                return None
            money = Money("KRW")
        else:
            money, end = suffix
            if scan[start:end] in rules.not_money:
                return None
            if scan[end : end + 1] == " " and not quantity.large:  # 75 USD million
                word = _LATIN.match(scan, end + 1)
                if word and word[0] in rules.scales:
                    low, end = (low[0] * rules.scales[word[0]], low[1]), word.end()
    if money.million:
        low = (low[0] * 1_000_000, low[1])
    if not money.decimals and quantity.plain and not quantity.decimals:
        low, end = with_minor(scan, low, end, money, prefix is not None, rules)
    return Found(begin, end, money, low, high, about)


def _range(
    scan: str, first: Quantity, prefix: tuple[Money, int] | None, rules: AmountRules, begin: int
) -> Found | None:
    """``3~5만원``, ``$3-5 million``, ``1000원~3000원``: both ends, if a second number of the same currency follows."""
    at = first.end
    one = None
    if prefix is None:
        one = currency_after(scan, at, first, rules)
        if one is not None:
            at = one[1]
    mark = _RANGE.match(scan, at)
    if mark is None:
        return None
    sign = mark[1]
    at = mark.end()
    money = None if prefix is None else prefix[0]
    repeated = False
    if money is not None:
        for begin_symbol in symbols_at(scan, at, rules):
            if begin_symbol[0] == money.code:
                at, repeated = begin_symbol[1], True
                break
    number = NUMBER.match(scan, at)
    if number is None:
        return None
    between = sign == "and"
    if between and not _BETWEEN.search(scan[max(0, begin - 24) : begin]):
        return None
    second = read_quantity(scan, *number.span(), rules)
    if second is None:
        return None
    end = second.end
    if money is None:
        two = currency_after(scan, end, second, rules)
        if two is None or (one is not None and one[0] != two[0]):
            return None
        money, end = two
        repeated = one is not None
    if sign == "to" and not (first.plain and second.factor > 1):
        # "$3 to $5 million" and "US$1.5bn to US$2bn" are ranges; "from $3 to $5" and "rose $1bn to $5bn" two sums
        if not repeated or first.plain or second.plain:
            return None
        if not rules.changes.isdisjoint(scan[max(0, begin - 32) : begin].split()[-2:]):
            return None
    low, high = (first.mantissa, first.decimals), (second.mantissa, second.decimals)
    if first.plain and second.factor > 1 and not (repeated and one is not None):
        inherited = (low[0] * second.factor, low[1])
        if _less(inherited, high):
            low = inherited
    if not _less(low, high):
        return None
    return Found(begin, end, money, low, high, second.about)


def _less(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] * int(10 ** other[1]) < other[0] * int(10 ** one[1])


def _bare_won(scan: str, start: int, end: int, rules: AmountRules) -> bool:
    """Whether a number in 조 or 억 without a currency is won by the rule of ``[korean.bare_won]``."""
    if scan[end - 1] not in rules.bare_units:
        return False
    after = scan[end : end + 1]
    at = end + 1 if after == " " else end
    if scan.startswith(rules.bare_after, at):
        return True
    if scan.startswith(rules.counters, at):
        return False
    if after >= "가" and not scan.startswith(rules.bare_particles, end):
        return False
    window = scan[max(0, start - 12) : start].rstrip()
    if window[-1:] in rules.bare_particles and window[:-1].endswith(rules.bare_before):
        return True
    return window.endswith(rules.bare_before)


def _qualifier(scan: str, start: int, end: int, rules: AmountRules) -> Qualifier | None:
    window = scan[max(0, start - 20) : start].rstrip()
    for phrase, qualifier in rules.qualifiers_before.get(window[-1:], ()):
        if window.endswith(phrase):
            edge = window[-len(phrase) - 1 : -len(phrase)]
            if not edge.isalnum() or not phrase[0].isalnum():
                return qualifier
    if scan[end : end + 1] == " ":
        end += 1
    for phrase, qualifier in rules.qualifiers_after.get(scan[end : end + 1], ()):
        if scan.startswith(phrase, end):
            return qualifier
    return None
