"""Entity files (TOML) → checked, frozen entities and one matcher over all their names.

The keys are explained in ``rules/entities.toml``. Every mistake names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, NamedTuple, cast

from newsmill.core.korean import Particles, is_hangul
from newsmill.core.matching import Matcher, Pattern, fold
from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["Citing", "EntityLexicon", "EntityType", "KnownEntity", "Name", "NameKind", "read_entities"]

EntityType = Literal["organization", "person", "product", "place"]

_SHARED = "entities.toml"
_FOLDER = "entities"
_PREFIXES: Mapping[str, str] = {"organization": "org", "person": "person", "product": "product", "place": "place"}
_SLUG = re.compile(r"(org|person|product|place):[a-z0-9]+(-[a-z0-9]+)*")
_ITEM = re.compile(r"Q[1-9]\d*")
_NAME_KEYS = ("aliases", "exact", "korean", "hanja", "ambiguous")
_LIST_KEYS = (*_NAME_KEYS, "context", "masks")
_SEAM = re.compile(r"(?<=[A-Za-z0-9])(?=[가-힣])|(?<=[가-힣])(?=[A-Za-z0-9])")
_SPACED_SEAM = re.compile(r"(?<=[가-힣A-Za-z0-9]) (?=[가-힣])|(?<=[가-힣]) (?=[A-Za-z0-9])")


class NameKind(IntEnum):
    """What it takes for a name to count."""

    PLAIN = 0
    KOREAN = 1  # only in a text with Hangul
    HANJA = 2  # only in a run of country characters
    AMBIGUOUS = 3  # only with corroboration
    MASK = 4  # names nothing; covers what is inside


class Name(NamedTuple):
    """One pattern of the matcher: the entity it names (its index; -1 for a mask) and how."""

    entity: int
    kind: NameKind


@dataclass(frozen=True, slots=True)
class KnownEntity:
    """One organization, person, product or place."""

    id: str
    name: str
    type: EntityType
    context: tuple[str, ...]  # folded
    cited: bool
    wikidata: str | None


@dataclass(frozen=True, slots=True)
class Citing:
    """How a text cites a source: words after it in the sentence, or right before it (folded; lengths in characters)."""

    after: re.Pattern[str]
    before: re.Pattern[str]
    after_characters: int
    before_characters: int


@dataclass(frozen=True, slots=True)
class EntityLexicon:
    """All entities in the order of their files; ``names[i]`` belongs to pattern i of the matcher."""

    entities: tuple[KnownEntity, ...]
    names: tuple[Name, ...]
    matcher: Matcher
    country_hanja: frozenset[str]
    hanja_companions: frozenset[str]
    citing: Citing
    like_particles: frozenset[str]  # names that are also Korean endings: 이란


def read_entities(rulebook: Rulebook) -> EntityLexicon:
    """Read and check all entity files; `newsmill.errors.ConfigError` names file and line of a mistake."""
    shared = rulebook.file(_SHARED)
    _refuse_unknown(shared, shared.data, ("hanja", "citing"))
    particles = Particles.from_rulebook(rulebook)
    entities: list[KnownEntity] = []
    patterns: list[Pattern] = []
    names: list[Name] = []
    owners: dict[tuple[str, bool], str] = {}
    ids: set[str] = set()
    hanja: set[str] = set()
    masks: list[Pattern] = []
    for file in rulebook.under(_FOLDER):
        for table in _read_tables(file):
            entity = _read_entity(file, table)
            if entity.id in ids:
                raise _error(file, table, f"entity {entity.id} is defined twice")
            ids.add(entity.id)
            index = len(entities)
            entities.append(entity)
            for pattern, kind in _read_names(file, table):
                if kind is NameKind.HANJA:
                    hanja.add(pattern.text)
                if kind is not NameKind.AMBIGUOUS:
                    owner = owners.setdefault((fold(pattern.text), pattern.exact), entity.id)
                    if owner != entity.id:
                        raise _error(file, table, f"{pattern.text!r} already names {owner}: make it ambiguous in one")
                patterns.append(pattern)
                names.append(Name(index, kind))
            masks += [Pattern(word, "prefix" if is_hangul(word[-1]) else "word") for word in table.get("masks", ())]
    # masks last: where one is the very name of another entity (North Korea), the name comes first
    patterns += masks
    names += [Name(-1, NameKind.MASK)] * len(masks)
    if not entities:
        raise shared.error("there is no entity: the folder entities/ is empty")
    return EntityLexicon(
        tuple(entities),
        tuple(names),
        Matcher(patterns, particles, particles_after_latin=True),
        frozenset(hanja),
        frozenset(_read_companions(shared)),
        _read_citing(shared),
        frozenset(pattern.text for pattern in patterns if pattern.text in particles.endings),
    )


def _refuse_unknown(file: RuleFile, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise file.error(f"unknown key {key!r}; known are {', '.join(known)}", after=file.line_of_key(key))


def _error(file: RuleFile, table: Mapping[str, Any], message: str) -> Exception:
    """An error at the line of an entity: its id stands there once, unless the id itself is the mistake."""
    identity = table.get("id", table.get("name"))
    return file.error(message, f'"{identity}"' if isinstance(identity, str) else "entities")


def _read_tables(file: RuleFile) -> list[dict[str, Any]]:
    _refuse_unknown(file, file.data, ("type", "entities"))
    if file.data.get("type") not in _PREFIXES:
        raise file.error(f"type must be one of {', '.join(_PREFIXES)}", "type")
    tables = file.data.get("entities")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise file.error("entities must be a list of tables", "entities")
    return tables


def _read_entity(file: RuleFile, table: Mapping[str, Any]) -> KnownEntity:
    known = ("id", "name", *_LIST_KEYS, "cited", "wikidata")
    for key in table:
        if key not in known:
            raise _error(file, table, f"unknown key {key!r}; known are {', '.join(known)}")
    kind: str = file.data["type"]
    slug, name, cited, item = table.get("id"), table.get("name"), table.get("cited", False), table.get("wikidata")
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug) or not slug.startswith(_PREFIXES[kind] + ":"):
        raise _error(file, table, f"id {slug!r} must be {_PREFIXES[kind]}: and a slug of a-z, 0-9 and hyphens")
    if not isinstance(name, str) or not name.strip():
        raise _error(file, table, "name is missing")
    if not isinstance(cited, bool):
        raise _error(file, table, "cited must be true or false")
    if item is not None and not (isinstance(item, str) and _ITEM.fullmatch(item)):
        raise _error(file, table, f"wikidata {item!r} must be an item such as Q95")
    for key in _LIST_KEYS:
        words = table.get(key, [])
        if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() == w and w for w in words):
            raise _error(file, table, f"{key} must be a list of words without white space around them")
    if not any(table.get(key) for key in _NAME_KEYS):
        raise _error(file, table, f"no name to look for: one of {', '.join(_NAME_KEYS)} is needed")
    context = tuple(fold(word) for word in table.get("context", ()))
    return KnownEntity(slug, name, cast(EntityType, kind), context, cited, item)


def _read_names(file: RuleFile, table: Mapping[str, Any]) -> Iterator[tuple[Pattern, NameKind]]:
    seen: set[tuple[str, bool]] = set()
    for key, exact, kind in (
        ("aliases", False, NameKind.PLAIN),
        ("exact", True, NameKind.PLAIN),
        ("korean", True, NameKind.KOREAN),
        ("hanja", False, NameKind.HANJA),
        ("ambiguous", True, NameKind.AMBIGUOUS),
    ):
        for word in table.get(key, ()):
            if kind is NameKind.HANJA and len(word) != 1:
                raise _error(file, table, f"hanja {word!r} must be one character")
            for spelling in _spellings(word):
                if (fold(spelling), exact) not in seen:
                    seen.add((fold(spelling), exact))
                    yield Pattern(spelling, "word", exact), kind


def _spellings(word: str) -> Iterator[str]:
    """The word, with and without the space where scripts meet (SK 하이닉스) and in Korean names (젠슨황)."""
    yield word
    if " " not in word:
        spaced = _SEAM.sub(" ", word, count=1)
        if spaced != word:
            yield spaced
    elif (joined := _SPACED_SEAM.sub("", word)) != word:
        yield joined


def _read_companions(file: RuleFile) -> str:
    table = file.data.get("hanja")
    if not isinstance(table, dict) or not isinstance(table.get("companions"), str):
        raise file.error("[hanja] needs companions, a string of characters", "hanja")
    return cast(str, table["companions"])


def _read_citing(file: RuleFile) -> Citing:
    table = file.data.get("citing")
    if not isinstance(table, dict):
        raise file.error("table [citing] is missing")
    for key in ("after", "before"):
        words = table.get(key)
        if not isinstance(words, list) or not words or not all(isinstance(w, str) and w.strip() for w in words):
            raise file.error(
                f"{key} must be a list of words", after=file.line_of_key(key, file.line_of_table("citing"))
            )
    for key in ("after_characters", "before_characters"):
        if not isinstance(table.get(key), int) or isinstance(table.get(key), bool) or table[key] <= 0:
            raise file.error(
                f"{key} must be a number above 0", after=file.line_of_key(key, file.line_of_table("citing"))
            )
    after = "|".join(_bounded(word) for word in table["after"])
    before = "|".join(_bounded(word) for word in table["before"])
    return Citing(
        re.compile(after),
        re.compile(f"(?:{before})[\\s(\\[]*$"),
        table["after_characters"],
        table["before_characters"],
    )


def _bounded(word: str) -> str:
    escaped = re.escape(fold(word.strip()))
    return rf"\b{escaped}\b" if word.strip().isascii() and word.strip()[0].isalpha() else escaped
