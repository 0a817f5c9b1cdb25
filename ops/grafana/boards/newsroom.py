"""What the news is made of."""

from __future__ import annotations

from typing import Final

from boards.parts import LIVE, Board, M, Panel, quantile, rate

__all__ = ["NEWSROOM"]

DEDUPE: Final = f'{LIVE},stage="dedupe"'
DUPLICATES: Final = f'news_stage_results_total{{{LIVE},stage="dedupe",outcome="duplicate"}}'
NEWSROOM = Board(
    "newsmill-newsroom",
    "newsmill / Newsroom",
    "What the news is made of: themes, languages, copies, stories, and who has fallen silent.",
    (
        (
            "Themes and languages",
            (
                Panel(
                    "stacked",
                    "Articles an hour by theme",
                    "Enriched articles; one with two themes counts for both.",
                    "short",
                    ((f"3600 * {rate('news_articles_classified_total', 'theme', M)}", "{{theme}}"),),
                    12,
                ),
                Panel(
                    "pie",
                    "Share of themes",
                    "Over the time shown.",
                    "short",
                    ((f"sum by (theme) (increase(news_articles_classified_total{{{M}}}[$__range]))", "{{theme}}"),),
                    6,
                ),
                Panel(
                    "pie",
                    "Languages",
                    "Over the time shown.",
                    "short",
                    (
                        (
                            f"sum by (language) (increase(news_articles_classified_total{{{M}}}[$__range])) > 0",
                            "{{language}}",
                        ),
                    ),
                    6,
                ),
                Panel(
                    "lines",
                    "Age of articles",
                    "From publication to enriched; a backfill raises it. Information, never an alarm.",
                    "s",
                    tuple((quantile(q, "news_event_age_seconds"), f"p{q * 100:g}") for q in (0.5, 0.9)),
                    24,
                    6,
                ),
            ),
        ),
        (
            "Copies",
            (
                Panel(
                    "lines",
                    "Share of duplicates",
                    "Of all articles that dedupe has judged.",
                    "percentunit",
                    (
                        (
                            f"sum(rate({DUPLICATES}[$__rate_interval])) / "
                            f"{rate('news_stage_events_total', '', DEDUPE)}",
                            "duplicates",
                        ),
                    ),
                ),
                Panel(
                    "stacked",
                    "Duplicates an hour by method",
                    "exact: the same text; near: shortened, retitled, wrapped or lightly edited.",
                    "short",
                    ((f"3600 * {rate('news_duplicates_total', 'method', M)}", "{{method}}"),),
                ),
                Panel(
                    "bars",
                    "Verdicts",
                    "Over the time shown.",
                    "short",
                    (
                        (
                            f'sum by (outcome) (increase(news_stage_results_total{{{LIVE},stage="dedupe"}}[$__range]))',
                            "{{outcome}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Stories",
            (
                Panel(
                    "lines",
                    "Open stories by theme",
                    "Stories with news in the window.",
                    "short",
                    ((f"sum by (theme) (news_stories_open{{{M}}})", "{{theme}}"),),
                ),
                Panel(
                    "stacked",
                    "Stories opened an hour",
                    "A story opens with an article that is like no recent one.",
                    "short",
                    ((f"3600 * {rate('news_stories_opened_total', 'theme', M)}", "{{theme}}"),),
                ),
                Panel(
                    "bars",
                    "Articles a story",
                    "Articles put into stories for each story opened, over the time shown.",
                    "short",
                    (
                        (
                            f"sum by (theme) (increase(news_story_articles_total{{{M}}}[$__range])) / sum by (theme) "
                            f"(increase(news_stories_opened_total{{{M}}}[$__range]))",
                            "{{theme}}",
                        ),
                    ),
                    decimals=1,
                ),
            ),
        ),
        (
            "Sources",
            (
                Panel(
                    "bars",
                    "Silence",
                    "Time since the newest record of each group of publishers. Groups are set by "
                    "NEWSMILL_METRICS_SOURCE_GROUPS.",
                    "s",
                    (
                        (
                            f"time() - max by (source_group) (news_source_last_event_timestamp_seconds{{{M}}})",
                            "{{source_group}}",
                        ),
                    ),
                    24,
                    7,
                    ((0, "green"), (3600, "orange"), (14400, "red")),
                ),
            ),
        ),
    ),
)
