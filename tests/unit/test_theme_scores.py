"""Theme scores on counts worked out by hand."""

from __future__ import annotations

import pytest

from newsmill.core.theme_scores import Judged, ThemeScore, macro_f1, score_themes


def test_scores_by_hand() -> None:
    """chips: 2 right, 1 false, 1 missed, one left out; cloud: nothing wanted, nothing found."""
    judged = [
        Judged({"chips"}, (), {"chips"}),
        Judged({"chips"}, (), {"chips"}),
        Judged((), (), {"chips"}),
        Judged({"chips"}, (), ()),
        Judged({"chips"}, {"chips"}, ()),
    ]
    scores = score_themes(judged, ("chips", "cloud"))
    assert scores["chips"] == ThemeScore(pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert scores["cloud"] == ThemeScore(0, 0, 0)
    assert list(scores) == ["chips", "cloud"]
    assert macro_f1(scores) == pytest.approx(1 / 3)
