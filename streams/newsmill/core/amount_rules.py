"""``rules/units.toml`` → the currencies, multipliers and look-alikes that `newsmill.core.amounts` reads by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import ahocorasick_rs

from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["AmountRules", "Money", "Qualifier"]

Qualifier = Literal["about", "up_to", "at_least"]

_FILE = "units.toml"
_CODE = re.compile(r"[A-Z]{3}")
_CURRENCY_KEYS = {"code", "symbols", "names", "korean", "codes", "scaled", "weights"}
_MINOR_KEYS = {"code", "names", "korean", "per"}
_QUALIFIERS: Mapping[str, Qualifier] = {"about": "about", "up_to": "up_to", "at_least": "at_least"}
_LOOSE = frozenset("asr")  # "a $ 4 billion" is no Australian dollar: these letters must touch their sign


class Money(NamedTuple):
    """What one name stands for: ``code`` is ISO 4217, ``decimals`` is 2 for a hundredth (cent, 펜스), else 0."""

    code: str
    decimals: int = 0
    scaled: bool = False  # counts only beside a large or multiplied number
    weight: bool = False  # is a weight too
    million: bool = False  # MUSD


@dataclass(frozen=True)
class AmountRules:
    """Everything by the form in which it is looked up: lower case, plain width."""

    symbols: Mapping[str, str]  # one character → code
    lettered: Mapping[str, str]  # "us$", "hk$" → code
    letters: re.Pattern[str]  # the letters before a symbol, at the end of a short stretch
    codes: Mapping[str, Money]  # "usd", "musd", "rs"
    names: Mapping[str, Money]  # "hong kong dollars"
    first_words: frozenset[str]
    anchors: ahocorasick_rs.AhoCorasick  # stems of the last words of English names
    korean: Mapping[str, tuple[tuple[str, Money], ...]]  # first syllable → names, longest first
    after_number: frozenset[str]  # syllables and words with which a currency, a multiplier or a range may go on
    scales: Mapping[str, int]
    attached: Mapping[str, int]
    units: Mapping[str, int]  # 십 … 경
    look_alikes: Mapping[str, tuple[str, ...]]
    look_alikes_small: Mapping[str, tuple[str, ...]]
    articles: tuple[str, ...]
    vague: tuple[str, ...]
    bare_units: frozenset[str]
    bare_after: tuple[str, ...]
    bare_before: tuple[str, ...]
    bare_particles: tuple[str, ...]
    counters: tuple[str, ...]
    not_money: frozenset[str]
    changes: frozenset[str]
    weight_before: frozenset[str]
    weight_after: tuple[str, ...]
    qualifiers_before: Mapping[str, tuple[tuple[str, Qualifier], ...]]  # last character → phrases, longest first
    qualifiers_after: Mapping[str, tuple[tuple[str, Qualifier], ...]]  # first character → phrases, longest first

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> AmountRules:
        """Read and check ``units.toml``; `ConfigError` names file and line."""
        file = rulebook.file(_FILE)
        symbols: dict[str, str] = {}
        names: dict[str, Money] = {}
        codes: dict[str, Money] = {}
        korean: dict[str, Money] = {}
        for entry in _entries(file, "currency", _CURRENCY_KEYS):
            code = _code(file, entry)
            scaled, weights = set(_words(file, entry, "scaled")), set(_words(file, entry, "weights"))
            for symbol in _words(file, entry, "symbols"):
                _add(file, symbols, symbol.lower(), code)
            for name in _words(file, entry, "names"):
                _add(file, names, name.lower(), Money(code, 0, name in scaled, name in weights))
            for name in _words(file, entry, "korean"):
                for spelling in {name, name.replace(" ", "")}:
                    _add(file, korean, spelling, Money(code, 0, name in scaled))
            for word in _words(file, entry, "codes") if "codes" in entry else [code]:
                _add(file, codes, word.lower(), Money(code))
                if word == code:
                    _add(file, codes, f"m{word.lower()}", Money(code, million=True))
        for entry in _entries(file, "minor", _MINOR_KEYS):
            code = _code(file, entry)
            if entry.get("per") != 100:
                raise file.error("only hundredths are known: per = 100", "per")
            for name in _words(file, entry, "names"):
                _add(file, names, name.lower(), Money(code, 2))
            for name in _words(file, entry, "korean"):
                _add(file, korean, name, Money(code, 2))
        lettered = {symbol: code for symbol, code in symbols.items() if len(symbol) > 1}
        look_alikes = _table(file, _table(file, file.data, "korean"), "look_alikes")
        korean_table = _table(file, file.data, "korean")
        before, bare = _table(file, korean_table, "before"), _table(file, korean_table, "bare_won")
        multipliers = _table(file, file.data, "multipliers")
        english = _table(file, file.data, "english")
        qualifiers = _table(file, file.data, "qualifiers")
        first_words = frozenset(name.split()[0] for name in names)
        scales, units = _factors(file, multipliers, "english"), _factors(file, multipliers, "korean")
        attached = _factors(file, multipliers, "attached")
        return cls(
            symbols={symbol: code for symbol, code in symbols.items() if len(symbol) == 1},
            lettered=lettered,
            letters=_letters_before(lettered),
            codes=codes,
            names=names,
            first_words=first_words,
            anchors=ahocorasick_rs.AhoCorasick(_stems({name.split()[-1] for name in names})),
            korean=_by_first(korean),
            after_number=frozenset({"u", "to", "and", "여", *first_words, *codes, *scales, *attached, *units})
            | frozenset(name[0] for name in korean),
            scales=scales,
            attached=attached,
            units=units,
            look_alikes=_endings(file, look_alikes, "always"),
            look_alikes_small=_endings(file, look_alikes, "small"),
            articles=tuple(_words(file, before, "articles")),
            vague=tuple(_words(file, before, "vague")),
            bare_units=frozenset(_words(file, bare, "units")),
            bare_after=tuple(_words(file, bare, "after")),
            bare_before=tuple(_words(file, bare, "before")),
            bare_particles=tuple(_words(file, bare, "particles")),
            not_money=frozenset(_words(file, english, "not_money")),
            counters=tuple(_words(file, bare, "counters")),
            changes=frozenset(_words(file, english, "changes")),
            weight_before=frozenset(_words(file, english, "weight_before")),
            weight_after=tuple(f" {word} " for word in _words(file, english, "weight_after")),
            qualifiers_before=_phrases(file, qualifiers, "before", -1),
            qualifiers_after=_phrases(file, qualifiers, "after", 0),
        )


def _entries(file: RuleFile, name: str, known: set[str]) -> Iterable[Mapping[str, Any]]:
    entries = file.data.get(name)
    if not isinstance(entries, list) or not entries:
        raise file.error(f"there is no [[{name}]]")
    for entry in entries:
        for key in entry:
            if key not in known:
                raise file.error(f"unknown key {key!r} in [[{name}]]; known are {', '.join(sorted(known))}", key)
        yield entry


def _code(file: RuleFile, entry: Mapping[str, Any]) -> str:
    code = entry.get("code")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise file.error(f"code must be three capitals of ISO 4217, not {code!r}", str(code))
    return code


def _words(file: RuleFile, table: Mapping[str, Any], key: str) -> list[str]:
    words = table.get(key, [])
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise file.error(f"{key} must be a list of texts", key)
    return words


def _table(file: RuleFile, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    if not isinstance(value, dict):
        raise file.error(f"table {key} is missing")
    return value


def _factors(file: RuleFile, table: Mapping[str, Any], key: str) -> Mapping[str, int]:
    factors = _table(file, table, key)
    for word, factor in factors.items():
        if type(factor) is not int or factor < 2:
            raise file.error(f"multiplier {word!r} must be a whole number above 1, not {factor!r}", word)
    return dict(factors)


def _endings(file: RuleFile, table: Mapping[str, Any], key: str) -> Mapping[str, tuple[str, ...]]:
    endings = _table(file, table, key)
    return {name: tuple(_words(file, endings, name)) for name in endings}


def _phrases(
    file: RuleFile, table: Mapping[str, Any], key: str, edge: int
) -> Mapping[str, tuple[tuple[str, Qualifier], ...]]:
    phrases: list[tuple[str, Qualifier]] = []
    for qualifier, words in _table(file, table, key).items():
        known = _QUALIFIERS.get(qualifier)
        if known is None:
            raise file.error(f"unknown qualifier {qualifier!r}; known are {', '.join(_QUALIFIERS)}", qualifier)
        phrases += [(word.lower(), known) for word in words]
    grouped: dict[str, list[tuple[str, Qualifier]]] = {}
    for phrase in sorted(phrases, key=lambda phrase: (-len(phrase[0]), phrase)):
        grouped.setdefault(phrase[0][edge], []).append(phrase)
    return {character: tuple(entries) for character, entries in grouped.items()}


def _add(file: RuleFile, table: dict[str, Any], key: str, value: Any) -> None:
    if table.setdefault(key, value) != value:
        raise file.error(f"{key!r} stands for two currencies", key)


def _by_first(names: Mapping[str, Money]) -> Mapping[str, tuple[tuple[str, Money], ...]]:
    grouped: dict[str, list[tuple[str, Money]]] = {}
    for name in sorted(names, key=lambda name: (-len(name), name)):
        grouped.setdefault(name[0], []).append((name, names[name]))
    return {first: tuple(entries) for first, entries in grouped.items()}


def _letters_before(lettered: Mapping[str, str]) -> re.Pattern[str]:
    letters = sorted({symbol[:-1] for symbol in lettered}, key=lambda text: (-len(text), text))
    spaced = "|".join(re.escape(text) for text in letters if text not in _LOOSE)
    touching = "|".join(re.escape(text) for text in letters if text in _LOOSE)
    return re.compile(rf"(?<![a-z])(?:({spaced}) ?|({touching}))$" if touching else rf"(?<![a-z])(?:({spaced}) ?)()$")


def _stems(words: set[str]) -> tuple[str, ...]:
    """The shortest words of the set that are the beginning of all others: dollar for dollars."""
    stems: list[str] = []
    for word in sorted(words, key=lambda word: (len(word), word)):
        if not any(word.startswith(stem) for stem in stems):
            stems.append(word)
    return tuple(stems)
