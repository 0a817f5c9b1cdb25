"""The whole pipeline on one screen: four stages, what each reads, writes, does and remembers.

    news.raw ─► prepare ─► news.prepared ─► dedupe ─► news.unique ─► enrich ─► news.enriched, news.theme.<theme>
                                              │                        └─► news.story-input ─► stories
                                              ├─► news.story-input (a note for each copy)        │
                                              └─► news.duplicate        news.story, news.story-event

What a replay found comes by news.promote into news.prepared: prepare passes it on, dedupe judges it like an arrival.
Every stage also writes news.ledger, and what it cannot process to news.deadletter.
"""

from __future__ import annotations

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.enrich import Enrich
from newsmill.core.prepare import Prepare
from newsmill.core.promotion import ForwardPromotion
from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Context, Record, Result
from newsmill.core.stories import Stories, StoriesOptions
from newsmill.core.themes import ThemeRules
from newsmill.events import LIVE
from newsmill.settings import Settings
from newsmill.topics import STAGES, TOPICS
from newsmill.transport import Stage, context_of

__all__ = ["STAGES", "build_stages"]

DAY_MS, MIB = 86_400_000, 1 << 20
ID_DAYS = 90  # ids and versions outlive the sketch: a re-crawl after months is still known


def build_stages(
    settings: Settings, rulebook: Rulebook, names: tuple[str, ...] = STAGES, run: str = "live"
) -> list[Stage]:
    """The named stages in the order of the flow; rules are read and checked here, once a process."""
    context = context_of(settings, run)
    return [stage for name in STAGES if name in names for stage in (_MAKERS[name](settings, rulebook, context),)]


def _prepare(settings: Settings, rulebook: Rulebook, context: Context) -> Stage:
    prepare, forward = Prepare(context, rulebook), ForwardPromotion(context)
    promotions = settings.topic_prefix + TOPICS["promote"].name

    def process(record: Record, state: None) -> Result:
        return forward(record) if record.topic == promotions else prepare(record, state)

    return Stage(
        name="prepare",
        source="raw",
        more_sources=("promote",) if context.run == LIVE else (),
        sinks=("prepared",),
        process=process,
        batch_records=1000,  # 0.4 ms a plain article, 3 ms an HTML page of 60 KB
        batch_bytes=4 * MIB,
    )


def _dedupe(settings: Settings, rulebook: Rulebook, context: Context) -> Stage:
    window = int(settings.dedupe_window_days * DAY_MS)
    options = DedupeOptions(window, max(window, ID_DAYS * DAY_MS), settings.dedupe_max_entries)
    dedupe = Dedupe(context, options, rulebook)
    return Stage(
        name="dedupe",
        source="prepared",
        sinks=("unique", "duplicate", "story-input"),
        process=dedupe,
        batch_records=2000,  # 0.2 ms an article
        batch_bytes=8 * MIB,
        state_topic="state.dedupe",
        new_state=dedupe.new_state,
    )


def _enrich(settings: Settings, rulebook: Rulebook, context: Context) -> Stage:
    themes = ThemeRules.from_rulebook(rulebook).themes
    return Stage(
        name="enrich",
        source="unique",
        sinks=("enriched", *(f"theme.{theme}" for theme in themes), "story-input"),
        process=Enrich(context, rulebook),
        batch_records=1000,  # 0.4 ms an article of 1.5 KB
        batch_bytes=2 * MIB,
        reports_latency=True,
    )


def _stories(settings: Settings, rulebook: Rulebook, context: Context) -> Stage:
    options = StoriesOptions(settings.stories_window_hours, settings.stories_max_articles)
    stories = Stories(context, options, rulebook)
    return Stage(
        name="stories",
        source="story-input",
        sinks=("story", "story-event"),
        process=stories,
        batch_records=500,  # 0.4-2 ms an item
        batch_bytes=4 * MIB,
        state_topic="state.stories",
        new_state=stories.new_state,
    )


_MAKERS = {"prepare": _prepare, "dedupe": _dedupe, "enrich": _enrich, "stories": _stories}
