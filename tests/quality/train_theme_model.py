"""Labelled articles → core/rules/theme_model.toml: run it after a change of themes.toml or themes/*.toml.

    python tests/quality/train_theme_model.py ../shared/data

It prints cross-fitted scores (each half judged by a model that never saw it) before it writes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.theme_model import Example, ThemeModel, dump_model, rules_digest, train_model
from newsmill.core.theme_scores import Judged, ThemeScore, macro_f1, score_themes
from newsmill.core.themes import ThemeRules, classify, features_of

FILES = ("themes.jsonl", "themes_more.jsonl")
MODEL = Path(__file__).parents[2] / "streams/newsmill/core/rules/theme_model.toml"


def read_labelled(folder: Path) -> list[dict[str, Any]]:
    """All labelled items, in the order of the files."""
    return [json.loads(line) for name in FILES for line in (folder / name).read_text("utf-8").splitlines()]


def half_of(item: dict[str, Any]) -> int:
    """0 or 1, by a hash of the id: errors of half 0 were read to improve the rules, errors of half 1 never."""
    return hashlib.sha256(item["id"].encode()).digest()[0] % 2


def to_example(item: dict[str, Any], rules: ThemeRules) -> Example:
    """One labelled item as the model sees it."""
    return Example(
        features_of(item["title"], item["text"], rules),
        frozenset(item["themes"]),
        frozenset(item.get("ignore", ())),
        frozenset(item.get("borderline", ())),
    )


def train_on(items: Iterable[dict[str, Any]], rules: ThemeRules, rulebook: Rulebook) -> ThemeModel:
    """A model of these items."""
    return train_model([to_example(item, rules) for item in items], rules.themes, rules_digest(rulebook, rules.themes))


def score(items: Sequence[dict[str, Any]], rules: ThemeRules) -> dict[str, ThemeScore]:
    """Precision, recall and F1 a theme; items to ignore for a theme are left out there."""
    judged = (
        Judged(
            item["themes"],
            item.get("ignore", ()),
            {theme.theme for theme in classify(item["title"], item["text"], rules)},
        )
        for item in items
    )
    return score_themes(judged, rules.themes)


def main(folder: Path) -> None:
    rulebook = load_rulebook()
    rules = ThemeRules.from_rulebook(rulebook, use_model=False)
    items = read_labelled(folder)
    for half in (0, 1):
        judged = [item for item in items if half_of(item) == half]
        model = train_on([item for item in items if half_of(item) != half], rules, rulebook)
        for name, used in (("rules", rules), ("model", ThemeRules(rules.lexicon, model))):
            scores = score(judged, used)
            themes = ", ".join(f"{t} P {s.precision:.3f} R {s.recall:.3f} F1 {s.f1:.3f}" for t, s in scores.items())
            print(f"half {half}, {name}: macro-F1 {macro_f1(scores):.3f} ({themes})")
    packed = dump_model(train_on(items, rules, rulebook))
    MODEL.write_bytes(packed)
    print(f"{MODEL}: {len(packed)} bytes from {len(items)} items")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
