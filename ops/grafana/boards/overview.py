"""Is the pipeline up, fast and complete?"""

from __future__ import annotations

from typing import Final

from boards.parts import LAG, LIVE, Board, M, Panel, quantile, rate

__all__ = ["OVERVIEW"]

LATE_30D: Final = (
    f'1 - sum(increase(news_pipeline_latency_seconds_bucket{{{LIVE},le="60.0"}}[30d]))'
    f" / sum(increase(news_pipeline_latency_seconds_count{{{LIVE}}}[30d]))"
)
DEAD_30D: Final = (
    f"sum(increase(news_dead_letters_total{{{M}}}[30d]))"
    f' / sum(increase(news_stage_events_total{{{LIVE},stage="prepare"}}[30d]))'
)
GOOD_BAD: Final = ((0.0, "green"), (1.0, "red"))
BUDGET: Final = ((-1000.0, "red"), (0.0, "orange"), (0.25, "green"))

OVERVIEW = Board(
    "newsmill-overview",
    "newsmill / Overview",
    "Is the pipeline up, fast and complete? Start here.",
    (
        (
            "Now",
            (
                Panel(
                    "stat",
                    "Workers up",
                    "Worker processes whose metrics Prometheus reaches.",
                    "none",
                    ((f"sum(up{{{M}}})", "up"),),
                    4,
                    5,
                    ((0, "red"), (1, "green")),
                    0,
                ),
                Panel(
                    "stat",
                    "Articles a second",
                    "Raw articles taken in.",
                    "reqps",
                    ((rate("news_stage_events_total", "", f'{LIVE},stage="prepare"'), "in"),),
                    4,
                    5,
                    decimals=1,
                ),
                Panel(
                    "stat",
                    "Latency p95",
                    "Landing of a raw article to its enriched record committed; 95 of 100 are "
                    "faster. The objective is 60 s for 99 %.",
                    "s",
                    ((quantile(0.95, "news_pipeline_latency_seconds"), "p95"),),
                    4,
                    5,
                    ((0, "green"), (30, "orange"), (60, "red")),
                    2,
                ),
                Panel(
                    "stat",
                    "Latency p99",
                    "As p95, for 99 of 100.",
                    "s",
                    ((quantile(0.99, "news_pipeline_latency_seconds"), "p99"),),
                    4,
                    5,
                    ((0, "green"), (30, "orange"), (60, "red")),
                    2,
                ),
                Panel(
                    "stat",
                    "Records waiting",
                    "Lag of all stages: what is committed and not yet worked on. Transaction markers do not count.",
                    "short",
                    ((f"sum(news_consumer_lag_records{{{M}}})", "lag"),),
                    4,
                    5,
                    ((0, "green"), (1000, "orange"), (10000, "red")),
                    0,
                ),
                Panel(
                    "stat",
                    "Firing alerts",
                    "Alerts of newsmill that fire now; the list is below.",
                    "none",
                    (('count(ALERTS{alertname=~"Newsmill.+",alertstate="firing"}) or vector(0)', "firing"),),
                    4,
                    5,
                    GOOD_BAD,
                    0,
                ),
            ),
        ),
        (
            "Objectives, 30 days",
            (
                Panel(
                    "stat",
                    "Enriched within 60 s",
                    "Share of articles that were enriched within 60 s of landing. Objective: 99 %.",
                    "percentunit",
                    ((f"1 - ({LATE_30D})", "in time"),),
                    6,
                    5,
                    ((0, "red"), (0.99, "green")),
                    3,
                ),
                Panel(
                    "stat",
                    "Latency budget left",
                    "What is left of the 1 % that may be late in 30 days; below 0 the objective is missed.",
                    "percentunit",
                    ((f"1 - ({LATE_30D}) / 0.01", "left"),),
                    6,
                    5,
                    BUDGET,
                    1,
                ),
                Panel(
                    "stat",
                    "Not dead-lettered",
                    "Share of articles that no stage had to refuse. Objective: 99.9 %.",
                    "percentunit",
                    ((f"1 - ({DEAD_30D})", "processed"),),
                    6,
                    5,
                    ((0, "red"), (0.999, "green")),
                    3,
                ),
                Panel(
                    "stat",
                    "Dead letter budget left",
                    "What is left of the 0.1 % that may be dead-lettered in 30 days.",
                    "percentunit",
                    ((f"1 - ({DEAD_30D}) / 0.001", "left"),),
                    6,
                    5,
                    BUDGET,
                    1,
                ),
            ),
        ),
        (
            "Over time",
            (
                Panel(
                    "lines",
                    "Records a second by stage",
                    "dedupe sees what prepare passes; enrich only what is no copy.",
                    "reqps",
                    ((rate("news_stage_events_total", "stage"), "{{stage}}"),),
                    12,
                ),
                Panel(
                    "lines",
                    "Latency",
                    "Landing to enriched. Dots are exemplars: a slow raw record as "
                    "topic-partition-offset, for `newsmill trace`.",
                    "s",
                    tuple((quantile(q, "news_pipeline_latency_seconds"), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
                    12,
                    exemplars=True,
                ),
                Panel(
                    "lines",
                    "Records waiting by stage",
                    "Lag against the read_committed end, asked of the broker every "
                    "few seconds, also while a stage stalls.",
                    "short",
                    ((LAG, "{{stage}}"),),
                    12,
                ),
                Panel(
                    "stacked",
                    "Dead letters a minute",
                    "By stage and reason. Look at them with `newsmill deadletters list`.",
                    "opm",
                    (
                        (
                            f"60 * {rate('news_dead_letters_total', 'stage, reason', M)} > 0 or 60 * "
                            f"{rate('news_dead_letters_total', '', M)}",
                            "{{stage}} {{reason}}",
                        ),
                    ),
                    12,
                ),
                Panel(
                    "stacked",
                    "What became of articles",
                    "Dispositions of dedupe, a second.",
                    "reqps",
                    ((rate("news_stage_results_total", "outcome", f'{LIVE},stage="dedupe"'), "{{outcome}}"),),
                    12,
                ),
                Panel(
                    "table",
                    "Alerts",
                    "Alerts that fire or are about to; each has a runbook in ops/runbooks.",
                    "none",
                    (('ALERTS{alertname=~"Newsmill.+"}', ""),),
                    12,
                ),
                Panel(
                    "table",
                    "Versions",
                    "What runs where: version of newsmill and of its rules.",
                    "none",
                    ((f"news_build_info{{{M}}}", ""),),
                    12,
                    6,
                ),
                Panel(
                    "lines",
                    "Restarts of worker processes",
                    "A process that cannot confirm a commit ends and is started "
                    "again; nothing is lost. Often is a fault.",
                    "none",
                    ((f"news_worker_restarts_total{{{M}}}", "{{instance}}"),),
                    12,
                    6,
                    decimals=0,
                ),
            ),
        ),
    ),
)
