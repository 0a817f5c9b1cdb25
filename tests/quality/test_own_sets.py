"""Floors for entities and themes on the project's own hand-written sets, which need nothing beside the checkout."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from newsmill.core.entities import EntityRules, find_entities
from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.themes import ThemeRules, classify

OWN = Path(__file__).parent / "data"

# The gold of every item was written by judgement before the code was run on it, that of entities with the list of
# known names in view (it says which ids there are); of nested names only the longest counts. Two slips of the entity
# gold were put right since (a nested name counted, a newspaper overlooked). Reached on the first run and now: entities
# 0.976 and 0.979, mentions 0.977 and 0.980; themes 0.909 (macro), their gold unchanged.
ENTITY_FLOOR = 0.965
MENTION_FLOOR = 0.965
THEMES_FLOOR = 0.895
THEME_FLOORS = {"chips": 0.855, "cloud": 0.95, "industrial-ai": 0.87}

# Names found where the word means something else: the letters (알파벳), the bean (카카오), the verb that opens a
# sentence (Ford). Without the sense of the sentence each is the company's name, letter for letter.
KNOWN_VIOLATIONS = {"org:alphabet", "org:ford", "org:kakao"}

Rows = list[dict[str, Any]]


def read(name: str) -> Rows:
    return [json.loads(line) for line in (OWN / name).read_text(encoding="utf-8").splitlines()]


def f1(right: int, found: int, gold: int) -> float:
    return 2 * right / (found + gold)


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook()


@pytest.fixture(scope="module")
def mentioned(rulebook: Rulebook) -> list[tuple[dict[str, Any], Counter[str]]]:
    """Each row with the mentions found, by entity."""
    rules = EntityRules.from_rulebook(rulebook)
    return [
        (row, Counter({entity.id: entity.mentions for entity in find_entities(row["title"], row["text"], rules)}))
        for row in read("entities.jsonl")
    ]


def gold_of(row: dict[str, Any]) -> Counter[str]:
    return Counter({entity["id"]: entity["mentions"] for entity in row["entities"]})


@pytest.mark.parametrize("language", ["ko", "en"])
def test_entities_named(mentioned: list[tuple[dict[str, Any], Counter[str]]], language: str) -> None:
    pairs = [(row, found) for row, found in mentioned if row["language"] == language]
    golds = [gold_of(row) for row, _ in pairs]
    wrong = {
        row["text"]: {"missed": sorted(gold - found), "extra": sorted(found - gold)}
        for (row, found), gold in zip(pairs, golds, strict=True)
        if found != gold
    }
    entities = f1(
        sum(len(gold.keys() & found.keys()) for (_, found), gold in zip(pairs, golds, strict=True)),
        sum(len(found) for _, found in pairs),
        sum(len(gold) for gold in golds),
    )
    mentions = f1(
        sum((gold & found).total() for (_, found), gold in zip(pairs, golds, strict=True)),
        sum(found.total() for _, found in pairs),
        sum(gold.total() for gold in golds),
    )
    print(f"\nentities, own set, {language}: F1 {entities:.3f} over (item, id), {mentions:.3f} over mentions")
    assert entities >= ENTITY_FLOOR, wrong
    assert mentions >= MENTION_FLOOR, wrong


def test_entities_not_named(mentioned: list[tuple[dict[str, Any], Counter[str]]]) -> None:
    violations = [(row["text"], name) for row, found in mentioned for name in row["absent"] if name in found]
    guarded = sum(len(row["absent"]) for row, _ in mentioned)
    print(f"\nentities, own set: {len(violations)} of {guarded} absent entities were found")
    assert {name for _, name in violations} <= KNOWN_VIOLATIONS, violations
    assert len(violations) <= len(KNOWN_VIOLATIONS), violations


def test_themes(rulebook: Rulebook) -> None:
    rules = ThemeRules.from_rulebook(rulebook)
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    gold: Counter[str] = Counter()
    wrong: dict[str, list[list[str]]] = {}
    for row in read("themes.jsonl"):
        wanted = set(row["themes"])
        found = {theme.theme for theme in classify(row["title"], row["text"], rules)}
        right.update(wanted & found)
        seen.update(found)
        gold.update(wanted)
        if wanted != found:
            wrong[row["title"]] = [sorted(wanted - found), sorted(found - wanted)]
    scores = {theme: f1(right[theme], seen[theme], gold[theme]) for theme in sorted(gold)}
    macro = sum(scores.values()) / len(scores)
    each = ", ".join(f"{theme} {score:.3f}" for theme, score in scores.items())
    print(f"\nthemes, own set: macro-F1 {macro:.3f} ({each})")
    assert gold.keys() == set(rules.themes), gold
    assert macro >= THEMES_FLOOR, wrong
    assert not {theme: score for theme, score in scores.items() if score < THEME_FLOORS[theme]}, wrong


def test_the_sets_are_large_and_consistent(rulebook: Rulebook) -> None:
    known = {entity.id for entity in EntityRules.from_rulebook(rulebook).lexicon.entities}
    rows = read("entities.jsonl")
    golds = [gold_of(row) for row in rows]
    assert len(rows) >= 110
    assert sum(gold.total() for gold in golds) >= 170
    for row, gold in zip(rows, golds, strict=True):
        named = [entity["id"] for entity in row["entities"]]
        assert len(named) == len(set(named)), row
        assert not gold.keys() & set(row["absent"]), row
        assert known >= {*named, *row["absent"]}, row
        assert all(count > 0 for count in gold.values()), row

    themes = read("themes.jsonl")
    labels = Counter(theme for row in themes for theme in row["themes"])
    assert len(themes) >= 130
    assert labels.keys() == THEME_FLOORS.keys()
    assert sum(not row["themes"] for row in themes) >= 45
    assert min(labels.values()) >= 25
    assert len({(row["title"], row["text"]) for row in themes}) == len(themes)
    assert {row["language"] for row in [*rows, *themes]} == {"ko", "en"}
