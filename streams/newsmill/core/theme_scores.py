"""Themes wanted and themes found → precision, recall and F1 of each theme."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Judged", "ThemeScore", "macro_f1", "score_themes"]


class ThemeScore(NamedTuple):
    """Precision, recall and F1 of one theme, each 0..1."""

    precision: float
    recall: float
    f1: float


class Judged(NamedTuple):
    """One labelled article: themes wanted, themes that its annotators differed on (left out), themes found."""

    wanted: Collection[str]
    ignored: Collection[str]
    found: Collection[str]


def score_themes(judged: Iterable[Judged], themes: Sequence[str]) -> dict[str, ThemeScore]:
    """Scores by theme, in the order of ``themes``; a theme that nobody wanted or found scores 0."""
    counts = {theme: [0, 0, 0] for theme in themes}
    for item in judged:
        for theme, count in counts.items():
            if theme not in item.ignored:
                wanted, found = theme in item.wanted, theme in item.found
                count[0] += wanted and found
                count[1] += found and not wanted
                count[2] += wanted and not found
    return {
        theme: ThemeScore(
            right / max(1, right + false),
            right / max(1, right + missed),
            2 * right / max(1, 2 * right + false + missed),
        )
        for theme, (right, false, missed) in counts.items()
    }


def macro_f1(scores: Mapping[str, ThemeScore]) -> float:
    """The mean F1 over the themes."""
    return sum(one.f1 for one in scores.values()) / len(scores)
