"""Rule files → weights, stop words, concepts and shares with which `story_terms` reads titles and leads."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from newsmill.core.korean import Particles
from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["Phrases", "StoryRules", "TermWeights", "plain_word", "stem_english"]

# first word → (the words after it, ids), longest first
Phrases = Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]

_LONGEST_PHRASE = 4
_LONGEST_WORD = 40


@dataclass(frozen=True, slots=True)
class TermWeights:
    """``[terms]`` of stories.toml: weights are factors, ``*_characters`` code points, the rest counts."""

    title_weight: float
    title_characters: int
    lead_characters: int
    count: int
    word: float
    entity: float
    concept: float
    surface: float
    bigram: float
    number: float
    entity_pair: float
    entity_concept: float
    concept_pair: float
    pair_members: int
    flattening: float


@dataclass(frozen=True, eq=False)
class StoryRules:
    """Rules of `story_terms`, validated. Concept ids carry their prefix ``=``, entity terms theirs, ``@``."""

    weights: TermWeights
    particles: Particles
    stop_english: frozenset[str]
    stop_korean: frozenset[str]
    korean: Mapping[str, tuple[str, ...]]
    english: Phrases
    uppercase: frozenset[str]
    abbreviations: Mapping[str, str]
    joined: tuple[str, ...]
    stands_for: Mapping[str, str]
    ending: re.Pattern[str]
    rarities: Mapping[str, float]
    unseen: float

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> StoryRules:
        """Read stories.toml, concepts.toml, background.toml and korean.toml; `ConfigError` names file and line."""
        stories = rulebook.file("stories.toml")
        concepts = rulebook.file("concepts.toml")
        korean, english = _lexicon(concepts)
        words = _section(stories, "words")
        stop = _words(stories, words, "english")
        endings = sorted(_words(stories, words, "korean_endings"), key=lambda e: (-len(e), e))
        abbreviations = _ids(concepts, "abbreviations")
        joined = _list(concepts, _section(concepts, "joined"), "words")
        for word in joined:
            if any(character not in abbreviations for character in word):
                raise concepts.error(f"joined word {word!r} has a syllable without a country", f'"{word}"')
        return cls(
            weights=_weights(stories),
            particles=Particles.from_rulebook(rulebook),
            stop_english=frozenset(stop) | frozenset(map(stem_english, stop)),
            stop_korean=frozenset(_words(stories, words, "korean")),
            korean=korean,
            english=english,
            uppercase=frozenset(_list(concepts, _section(concepts, "uppercase"), "words")),
            abbreviations=abbreviations,
            joined=tuple(sorted(joined, key=lambda w: (-len(w), w))),
            stands_for=_ids(concepts, "stands_for"),
            ending=re.compile(f"(?:{'|'.join(map(re.escape, endings))})$"),
            rarities=_rarities(rulebook.file("background.toml")),
            unseen=math.log(10_000 / _above_zero(stories, _section(stories, "background"), "unseen")),
        )

    def rarity(self, term: str) -> float:
        """ln(1 / share of the background documents that hold a term): the inverse document frequency, 0 or more."""
        return self.rarities.get(term, self.unseen)


def plain_word(word: str) -> str:
    """Lower case, without possessive, final stop and the dots of initials: U.S. → us."""
    word = word[:_LONGEST_WORD].lower().replace("’", "'").strip(".'&")
    if word.endswith("'s"):
        word = word[:-2]
    return word.replace(".", "").replace("'", "")


@lru_cache(maxsize=1 << 15)
def stem_english(word: str) -> str:
    """An English word without its commonest inflections: Harman's S-stemmer (1991), with -ing, -ed and -ly."""
    if len(word) > 4:
        if word.endswith("ies"):
            return word[:-3] + "y"
        if word.endswith("sses"):
            return word[:-2]
        if word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    if len(word) > 5:
        if word.endswith("ing"):
            word = word[:-3]
        elif word.endswith(("ed", "ly")):
            word = word[:-2]
        if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
            word = word[:-1]
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    return word


def _lexicon(file: RuleFile) -> tuple[dict[str, tuple[str, ...]], Phrases]:
    korean: dict[str, list[str]] = {}
    english: dict[tuple[str, ...], list[str]] = {}
    for name, entry in _section(file, "concepts").items():
        if not isinstance(entry, dict) or set(entry) != {"ko", "en"}:
            raise file.error(f"concepts.{name} must be {{ ko = [...], en = [...] }}", f"{name} =")
        for surface in _list(file, entry, "ko"):
            korean.setdefault(surface, []).append(f"={name}")
        for phrase in _list(file, entry, "en"):
            words = tuple(plain_word(w) for w in re.split(r"[\s-]+", phrase))
            if len(words) > _LONGEST_PHRASE:
                raise file.error(f"{phrase!r} has more than {_LONGEST_PHRASE} words", f"{name} =")
            english.setdefault(words, []).append(f"={name}")
    by_first: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for words in sorted(english, key=lambda w: (-len(w), w)):
        by_first.setdefault(words[0], []).append((words[1:], tuple(english[words])))
    return {k: tuple(v) for k, v in korean.items()}, {k: tuple(v) for k, v in by_first.items()}


def _ids(file: RuleFile, section: str) -> dict[str, str]:
    """A table of entity ids as terms; the keys too, where they are ids."""
    table = _section(file, section)
    for key, value in table.items():
        if not isinstance(value, str) or ":" not in value:
            raise file.error(f"{section}.{key} must be the id of an entity", f'"{key}"')
    return {(f"@{key}" if ":" in key else key): f"@{value}" for key, value in table.items()}


def _rarities(file: RuleFile) -> dict[str, float]:
    rarities: dict[str, float] = {}
    for per_10000, words in _section(file, "documents_per_10000").items():
        if not per_10000.isdigit() or not 0 < int(per_10000) <= 10_000 or not isinstance(words, str):
            raise file.error('a line must be a whole number up to 10000 = "words"', f"{per_10000} =")
        for word in words.split("|"):
            rarities[word] = math.log(10_000 / int(per_10000))
    return rarities


def _weights(file: RuleFile) -> TermWeights:
    table = _section(file, "terms")
    names = TermWeights.__annotations__
    for key in table:
        if key not in names:
            raise file.error(f"unknown key terms.{key}", key)
    values: dict[str, Any] = {name: _number(file, table, name) for name in names}
    for name, kind in names.items():
        if kind == "int":
            values[name] = int(values[name])
    return TermWeights(**values)


def _section(file: RuleFile, name: str) -> Mapping[str, Any]:
    table = file.data.get(name)
    if not isinstance(table, dict) or not table:
        raise file.error(f"table [{name}] is missing or empty")
    return table


def _number(file: RuleFile, table: Mapping[str, Any], key: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise file.error(f"{key} must be a number, 0 or more", key)
    return float(value)


def _above_zero(file: RuleFile, table: Mapping[str, Any], key: str) -> float:
    value = _number(file, table, key)
    if value == 0:
        raise file.error(f"{key} must be more than 0", key)
    return value


def _list(file: RuleFile, table: Mapping[str, Any], key: str) -> list[str]:
    words = table.get(key)
    if not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
        raise file.error(f"{key} must be a list of words", key)
    return words


def _words(file: RuleFile, table: Mapping[str, Any], key: str) -> list[str]:
    text = table.get(key)
    if not isinstance(text, str) or not text.split():
        raise file.error(f"{key} must be words separated by spaces", key)
    return text.split()
