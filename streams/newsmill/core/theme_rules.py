"""Theme files (TOML) → checked, frozen rules and one matcher over the terms of all themes.

``themes.toml`` holds how zones are weighed and the shared classes; each file in ``themes/`` is one theme, and its name
is the theme's id. The keys are explained in ``themes.toml``. Every mistake names file and line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from newsmill.core.korean import Particles
from newsmill.core.matching import MATCH_KINDS, Matcher, Pattern, fold
from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["Combination", "Effect", "Scan", "ThemeFile", "ThemeLexicon", "read_lexicon"]

_SHARED = "themes.toml"
_FOLDER = "themes"
_THEME_ID = re.compile(r"[a-z][a-z0-9-]*")
_MASK = 0.0


@dataclass(frozen=True, slots=True)
class Scan:
    """How much a term counts by where it stands; explained key by key in ``themes.toml``."""

    lead_characters: int
    body_characters: int
    headline_characters: int
    title: float
    lead: float
    body: float
    against_title: float
    against_lead: float
    against_body: float
    repeat: float
    anchor: float
    support_cap: float
    combination_title_one: float
    combination_title_none: float


class Combination(NamedTuple):
    """Two classes that mean the theme when both are present."""

    first: str
    second: str
    weight: float


@dataclass(frozen=True, slots=True)
class ThemeFile:
    """One theme without its terms: those are in the matcher."""

    id: str
    labels: Mapping[str, str]
    threshold: float
    slope: float
    combinations: tuple[Combination, ...]


class Effect(NamedTuple):
    """What one pattern does: it weighs for a theme (its index; 0 is a mask), or stands for a class (theme -1)."""

    theme: int
    weight: float
    class_name: str


class _Group(NamedTuple):
    weight: float
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class ThemeLexicon:
    """All themes, sorted by id; ``effects[i]`` belongs to pattern i of the matcher."""

    scan: Scan
    themes: tuple[ThemeFile, ...]
    matcher: Matcher
    effects: tuple[Effect, ...]
    surfaces: tuple[str, ...]  # of the patterns, folded: patterns that look alike are one input of the model


def read_lexicon(rulebook: Rulebook) -> ThemeLexicon:
    """Read and check all theme files; `newsmill.errors.ConfigError` names file and line of a mistake."""
    shared = rulebook.file(_SHARED)
    _refuse_unknown(shared, shared.data, ("scan", "classes"))
    scan = _read_scan(shared)
    patterns: list[Pattern] = []
    effects: list[Effect] = []

    def add(group: _Group, theme: int, class_name: str = "") -> None:
        for pattern in group.patterns:
            patterns.append(pattern)
            effects.append(Effect(theme, group.weight, class_name))

    shared_classes = _read_classes(shared)
    for name, groups in shared_classes.items():
        for group in groups:
            add(group, -1, name)
    themes: dict[str, ThemeFile] = {}
    for file in rulebook.under(_FOLDER):
        theme_id = file.name.rsplit("/", 1)[-1].removesuffix(".toml")
        if not _THEME_ID.fullmatch(theme_id):
            raise file.error(f"theme id {theme_id!r} (the file's name) must be lower case letters, digits and hyphens")
        if theme_id in themes:
            raise file.error(f"theme {theme_id!r} is defined twice")
        keys = ("labels", "threshold", "slope", "terms", "masks", "combinations", "classes")
        _refuse_unknown(file, file.data, keys)
        own_classes = {f"{theme_id}/{name}": groups for name, groups in _read_classes(file).items()}
        for name, groups in own_classes.items():
            for group in groups:
                add(group, -1, name)
        index = len(themes)
        for nth, table in enumerate(_tables(file, "terms", required=True)):
            add(_read_group(file, "terms", nth, table, weighted=True), index)
        for nth, table in enumerate(_tables(file, "masks")):
            add(_read_group(file, "masks", nth, table), index)
        known = {name.rsplit("/", 1)[-1]: name for name in (*shared_classes, *own_classes)}
        themes[theme_id] = ThemeFile(
            theme_id,
            _read_labels(file),
            _number(file, file.data, "threshold", above=0),
            _number(file, file.data, "slope", above=0),
            _read_combinations(file, known),
        )
    if not themes:
        raise shared.error("there is no theme: the folder themes/ is empty")
    matcher = Matcher(patterns, Particles.from_rulebook(rulebook))
    surfaces = tuple(fold(pattern.text) for pattern in patterns)
    return ThemeLexicon(scan, tuple(themes.values()), matcher, tuple(effects), surfaces)


def _refuse_unknown(file: RuleFile, table: Mapping[str, Any], known: tuple[str, ...], after: int = 1) -> None:
    for key in table:
        if key not in known:
            raise file.error(f"unknown key {key!r}; known are {', '.join(known)}", after=file.line_of_key(key, after))


def _number(file: RuleFile, table: Mapping[str, Any], key: str, *, above: float | None = None, line: int = 1) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise file.error(
            f"{key} must be a number" + ("" if key in table else ", and is missing"), after=file.line_of_key(key, line)
        )
    if above is not None and value <= above:
        raise file.error(f"{key} must be above {above:g}, not {value}", after=file.line_of_key(key, line))
    return float(value)


def _read_scan(file: RuleFile) -> Scan:
    table = file.data.get("scan")
    if not isinstance(table, dict):
        raise file.error("table [scan] is missing")
    names = tuple(field.name for field in fields(Scan))
    line = file.line_of_table("scan")
    _refuse_unknown(file, table, names, line)
    values: dict[str, Any] = {name: _number(file, table, name, line=line) for name in names}
    for name in names:
        if values[name] < 0:
            raise file.error(f"{name} must not be below 0", after=file.line_of_key(name, line))
        if name.endswith("_characters"):
            values[name] = int(values[name])
    return Scan(**values)


def _tables(file: RuleFile, name: str, *, required: bool = False) -> list[dict[str, Any]]:
    tables = file.data.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise file.error(f"{name} must be tables: [[{name}]]", name)
    if required and not tables:
        raise file.error(f"at least one [[{name}]] is needed")
    return tables


def _read_group(file: RuleFile, header: str, nth: int, table: Mapping[str, Any], *, weighted: bool = False) -> _Group:
    line = file.line_of_table(header, nth)
    _refuse_unknown(file, table, (*(("weight",) if weighted else ()), "match", "exact", "terms"), line)
    weight = _number(file, table, "weight", line=line) if weighted else _MASK
    if weighted and not weight:
        raise file.error("weight 0 has no effect: use [[masks]]", after=file.line_of_key("weight", line))
    match = table.get("match", "word")
    if match not in MATCH_KINDS:
        raise file.error(f"match must be one of {', '.join(MATCH_KINDS)}", after=file.line_of_key("match", line))
    exact = table.get("exact", False)
    if not isinstance(exact, bool):
        raise file.error("exact must be true or false", after=file.line_of_key("exact", line))
    terms = table.get("terms")
    if not isinstance(terms, list) or not terms:
        raise file.error("terms must be a list of words", after=file.line_of_key("terms", line))
    for term in terms:
        if not isinstance(term, str) or not term.strip() or term != term.strip():
            needle = f'"{term}"' if isinstance(term, str) else str(term)
            raise file.error(f"term {term!r} must be a word without white space around it", needle, line)
    return _Group(weight, tuple(Pattern(term, match, exact) for term in dict.fromkeys(terms)))


def _read_classes(file: RuleFile) -> dict[str, list[_Group]]:
    classes = file.data.get("classes", {})
    if not isinstance(classes, dict):
        raise file.error("classes must be tables: [[classes.NAME]]", "classes")
    read: dict[str, list[_Group]] = {}
    for name, tables in classes.items():
        if not _THEME_ID.fullmatch(name) or not isinstance(tables, list) or not tables:
            raise file.error(f"class {name!r} must be tables: [[classes.NAME]]", name)
        read[name] = [_read_group(file, f"classes.{name}", nth, table) for nth, table in enumerate(tables)]
    return read


def _read_labels(file: RuleFile) -> dict[str, str]:
    labels = file.data.get("labels")
    if not isinstance(labels, dict) or not labels or not all(isinstance(v, str) and v for v in labels.values()):
        raise file.error('labels must name the theme by language: { ko = "…", en = "…" }', "labels")
    return dict(sorted(labels.items()))


def _read_combinations(file: RuleFile, known: Mapping[str, str]) -> tuple[Combination, ...]:
    combinations = []
    for nth, table in enumerate(_tables(file, "combinations")):
        line = file.line_of_table("combinations", nth)
        _refuse_unknown(file, table, ("classes", "weight"), line)
        weight = _number(file, table, "weight", above=0, line=line)
        names = table.get("classes")
        if not isinstance(names, list) or len(names) != 2:
            raise file.error("classes must be two names", after=file.line_of_key("classes", line))
        for name in names:
            if name not in known:
                raise file.error(f"there is no class {name!r}; known are {', '.join(sorted(known))}", str(name), line)
        combinations.append(Combination(known[names[0]], known[names[1]], weight))
    return tuple(combinations)
