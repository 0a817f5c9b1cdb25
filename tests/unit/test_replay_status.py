"""What `replay status` shows, and what a second `replay run` says of a plan that was made otherwise; no Kafka."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from newsmill import __version__
from newsmill.cli.replay.run import _written
from newsmill.cli.replay.status import ReplayStatus, _table
from newsmill.core.rulebook import load_rulebook
from newsmill.replay.plan import _DECIDING, LAST_MS, ReplayPlan, differences
from newsmill.settings import Settings
from newsmill.topics import STAGES


def status_of(name: str, differences: dict[str, int] | None) -> ReplayStatus:
    return ReplayStatus(
        name=name, state="done", phase=None, phases_done=5, phases=5, source_topic="news.archive.harbour.v1",
        begin="2026-03-01T00:00:00Z", end="latest", records=3000, warm_up_records=0, counts={}, differences=differences,
    )  # fmt: skip


@pytest.mark.parametrize("width", [60, 160])
def test_the_table_fits_the_terminal_and_cuts_nothing(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    found = [
        status_of("harbour-strikes", {"same": 24, "changed": 0, "other_original": 3}),
        status_of("not-yet", None),
        status_of("empty", {"same": 0}),
    ]
    console.print(_table(found, wide=width == 160))
    text = console.export_text()
    for told in ("harbour-strikes", "24 same, 3", "not compared", "no article", "3,000"):
        assert told in text
    assert "…" not in text
    assert "changed" not in text
    assert ("news.archive.harbour.v1" in text) is (width == 160)


def test_another_plan_is_told_as_its_flags_are_written() -> None:
    rules = load_rulebook()
    settings = Settings()
    plan = ReplayPlan(
        name="july", source_topic="news.raw.v1", stages=STAGES, from_ms=1_772_323_200_000, to_ms=LAST_MS,
        warm_up_ms=1_209_600_000, begin={}, end={}, records=0, warm_up_records=0, newsmill_version=__version__,
        rules_version=rules.version, options={name: getattr(settings, name) for name in _DECIDING},
        made_at="2026-07-01T00:00:00.000Z",
    )  # fmt: skip
    asked = {"from_ms": 1_772_409_600_000, "to_ms": LAST_MS, "warm_up_ms": 43_200_000, "stages": ("enrich",)}
    assert differences(plan, settings, rules, asked, _written) == [
        "--from was 2026-03-01T00:00:00Z, is 2026-03-02T00:00:00Z",
        "--warm-up was 14d, is 0.5d",
        "--stages was prepare,dedupe,enrich,stories, is enrich",
    ]
    assert differences(plan, settings, rules, {}) == []
