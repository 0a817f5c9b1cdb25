"""Theme scores on labelled titles and leads: floors for the rules and for the model, each half judged unseen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the training code is shared with the command that trains

from train_theme_model import half_of, read_labelled, score, train_on

from newsmill.core.rulebook import load_rulebook
from newsmill.core.theme_scores import ThemeScore, macro_f1
from newsmill.core.themes import ThemeRules, classify

DATA = Path(__file__).parents[2] / "../shared/data"
pytestmark = pytest.mark.skipif(
    not (DATA / "themes_more.jsonl").is_file(), reason="no labelled data beside the project"
)

# The errors of half 0 were read to improve the rules, those of half 1 never; but the first word list was written by
# someone who had read all of themes.jsonl, so only themes_more.jsonl is wholly unseen. Measured on half 1: rules 0.881,
# model trained on half 0 alone 0.896; on its items of themes_more.jsonl 0.869 and 0.887.
RULES_FLOOR = 0.875
MODEL_FLOOR = 0.89
THEME_FLOOR = 0.855


def _report(name: str, scores: Mapping[str, ThemeScore]) -> None:
    themes = ", ".join(f"{theme} {one.f1:.3f}" for theme, one in sorted(scores.items()))
    print(f"\nthemes, {name}: macro-F1 {macro_f1(scores):.3f} ({themes})")


def test_the_rules_alone_on_the_unseen_half() -> None:
    rules = ThemeRules.from_rulebook(load_rulebook(), use_model=False)
    scores = score([item for item in read_labelled(DATA) if half_of(item) == 1], rules)
    _report("rules alone, half 1", scores)
    assert macro_f1(scores) >= RULES_FLOOR, scores
    assert min(one.f1 for one in scores.values()) >= THEME_FLOOR, scores


@pytest.mark.parametrize("judged", [0, 1])
def test_the_model_on_the_half_it_never_saw(judged: int) -> None:
    rulebook = load_rulebook()
    rules = ThemeRules.from_rulebook(rulebook, use_model=False)
    items = read_labelled(DATA)
    model = train_on([item for item in items if half_of(item) != judged], rules, rulebook)
    scores = score([item for item in items if half_of(item) == judged], ThemeRules(rules.lexicon, model))
    _report(f"rules and model of the other half, half {judged}", scores)
    assert macro_f1(scores) >= MODEL_FLOOR, scores
    assert min(one.f1 for one in scores.values()) >= THEME_FLOOR, scores


def test_scraped_pages_get_their_themes() -> None:
    rules = ThemeRules.from_rulebook(load_rulebook())
    wanted = ({"chips", "industrial-ai"}, {"cloud"}, {"chips"})
    for path, themes in zip(sorted((DATA / "scraped").glob("*.txt")), wanted, strict=True):
        found = {theme.theme for theme in classify(None, path.read_text("utf-8"), rules)}
        assert themes <= found, path.name
