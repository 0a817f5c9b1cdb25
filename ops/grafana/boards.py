"""What the boards show, in words: panels with their queries, in rows, in reading order.

Every selector names job and instance, every rate uses $__rate_interval. build.py turns this into what Grafana imports.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["BOARDS", "Board", "Panel"]

Kind = Literal["stat", "lines", "stacked", "bars", "pie", "table"]


class Panel(NamedTuple):
    """One panel: each target is (PromQL, legend). ``limits`` are (value, colour) from which on the colour holds."""

    kind: Kind
    title: str
    description: str
    unit: str
    targets: tuple[tuple[str, str], ...]
    width: int = 8
    height: int = 8
    limits: tuple[tuple[float, str], ...] = ()
    decimals: int | None = None
    exemplars: bool = False
    zero: bool = True  # whether the axis begins at 0


class Board(NamedTuple):
    """One dashboard: rows of panels in reading order."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    span: str = "now-3h"


M: Final = 'job=~"$job",instance=~"$instance"'
LIVE: Final = f'{M},mode="live"'
BY_STAGE: Final = '"stage", "$1", "group", ".*newsmill-(.+)"'


def rate(metric: str, by: str = "", labels: str = LIVE) -> str:
    """A rate a second, summed."""
    grouped = f"sum by ({by}) " if by else "sum"
    return f"{grouped}(rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", labels: str = LIVE) -> str:
    """A quantile of a histogram."""
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouped}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def mean(metric: str, by: str, labels: str = M) -> str:
    """The mean of a histogram."""
    return f"{rate(f'{metric}_sum', by, labels)} / {rate(f'{metric}_count', by, labels)}"


LAG: Final = f"sum by (stage) (label_replace(news_consumer_lag_records{{{M}}}, {BY_STAGE}))"
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

STAGES = Board(
    "newsmill-stages",
    "newsmill / Stages",
    "Where does time go, and what holds a stage up?",
    (
        (
            "Work",
            (
                Panel(
                    "lines",
                    "Time an article, p95",
                    "One article's share of the work of its batch, without the commit.",
                    "s",
                    ((quantile(0.95, "news_stage_duration_seconds", "stage"), "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "Batch size, mean",
                    "Records in one transaction: small when up to date, large in a backlog.",
                    "short",
                    ((mean("news_batch_records", "stage"), "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "Batch time, p95",
                    "Work and commit of one batch. A batch is cut so that its work stays under half a second.",
                    "s",
                    ((quantile(0.95, "news_transaction_duration_seconds", "stage", M), "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "Transactions a second",
                    "Committed ones, and failed ones: after a failure the process begins again.",
                    "ops",
                    ((rate("news_transactions_total", "stage, result", M), "{{stage}} {{result}}"),),
                ),
                Panel(
                    "lines",
                    "Results a second",
                    "By stage and disposition; they add up to the records consumed.",
                    "reqps",
                    ((rate("news_stage_results_total", "stage, outcome"), "{{stage}} {{outcome}}"),),
                ),
                Panel(
                    "lines",
                    "Age of the newest record processed",
                    "Now minus its Kafka time. It grows while nothing arrives, too.",
                    "s",
                    ((f"time() - max by (stage) (news_watermark_timestamp_seconds{{{M}}})", "{{stage}}"),),
                ),
            ),
        ),
        (
            "Waiting",
            (
                Panel(
                    "lines",
                    "Lag by topic",
                    "Offsets between the position and the read_committed end.",
                    "short",
                    ((f"sum by (topic) (news_consumer_lag_records{{{M}}})", "{{topic}}"),),
                ),
                Panel(
                    "lines",
                    "Time to drain",
                    "Lag divided by the rate; nothing is drawn while nothing waits.",
                    "s",
                    ((f"({LAG} > 0) / {rate('news_stage_events_total', 'stage')} or {LAG} == 0", "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "Share of the retention used",
                    "Age of the newest record processed, of what the input topic "
                    "keeps, where records wait: at 100 % they expire unread.",
                    "percentunit",
                    (
                        (
                            f"(time() - max by (stage) (news_watermark_timestamp_seconds{{{M}}})) / max by (stage) "
                            f"(news_topic_retention_seconds{{{M}}}) and {LAG} > 0 or {LAG} * 0",
                            "{{stage}}",
                        ),
                    ),
                ),
                Panel(
                    "lines",
                    "Partitions held",
                    "By stage and worker; the sum is the topic's number of partitions.",
                    "none",
                    (
                        (
                            f"sum by (stage, instance) (news_consumer_assigned_partitions{{{M}}})",
                            "{{stage}} {{instance}}",
                        ),
                    ),
                    decimals=0,
                ),
                Panel(
                    "lines",
                    "Rebalances a minute",
                    "Assignments received. While one is under way nothing is processed.",
                    "opm",
                    ((f"60 * {rate('news_consumer_rebalances_total', 'stage', M)}", "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "Broker did not answer, a minute",
                    "Questions for the lag that failed: the broker cannot be "
                    "reached, and the lag shown is the last one known.",
                    "opm",
                    ((f"60 * {rate('news_consumer_lag_failures_total', 'instance', M)}", "{{instance}}"),),
                ),
            ),
        ),
        (
            "State",
            (
                Panel(
                    "lines",
                    "Entries",
                    "Sketches that dedupe, articles and copies that stories remember.",
                    "short",
                    ((f"sum by (stage, partition) (news_dedupe_state_entries{{{M}}})", "{{stage}} {{partition}}"),),
                    6,
                ),
                Panel(
                    "lines",
                    "Share of the cap",
                    "At 100 % the oldest entries leave before their window has passed.",
                    "percentunit",
                    (
                        (
                            f"news_dedupe_state_entries{{{M}}} / news_dedupe_state_capacity_entries{{{M}}}",
                            "{{stage}} {{partition}}",
                        ),
                    ),
                    6,
                    limits=((0, "green"), (0.8, "red")),
                ),
                Panel(
                    "lines",
                    "Bytes",
                    "Memory that the state takes.",
                    "bytes",
                    ((f"sum by (stage, partition) (news_dedupe_state_bytes{{{M}}})", "{{stage}} {{partition}}"),),
                    6,
                ),
                Panel(
                    "lines",
                    "Left early, a minute",
                    "Entries that left for want of room, not of age.",
                    "opm",
                    ((f"60 * {rate('news_dedupe_state_evicted_early_total', 'stage', M)}", "{{stage}}"),),
                    6,
                ),
                Panel(
                    "stat",
                    "Rebuild time, mean",
                    "Reading the state from its topic at an assignment, since the workers started.",
                    "s",
                    (
                        (
                            f"sum by (stage) (news_state_rebuild_duration_seconds_sum{{{M}}}) / sum by (stage) "
                            f"(news_state_rebuild_duration_seconds_count{{{M}}})",
                            "{{stage}}",
                        ),
                    ),
                    24,
                    5,
                    decimals=1,
                ),
            ),
        ),
        (
            "Processes",
            (
                Panel(
                    "lines",
                    "Event loop lateness, p99",
                    "How late the loop wakes a task: the work of a batch blocks it, "
                    "so up to half a second is usual under load.",
                    "s",
                    ((quantile(0.99, "news_event_loop_lag_seconds", "instance", M), "{{instance}}"),),
                    6,
                ),
                Panel(
                    "lines",
                    "CPU",
                    "Cores that a worker process uses.",
                    "short",
                    ((rate("process_cpu_seconds_total", "instance", M), "{{instance}}"),),
                    6,
                ),
                Panel(
                    "lines",
                    "Memory",
                    "Resident memory of a worker process.",
                    "bytes",
                    ((f"process_resident_memory_bytes{{{M}}}", "{{instance}}"),),
                    6,
                ),
                Panel(
                    "lines",
                    "Open files",
                    "Sockets and files of a worker process.",
                    "short",
                    ((f"process_open_fds{{{M}}}", "{{instance}}"),),
                    6,
                ),
            ),
        ),
    ),
)

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

BOARDS: Final = (OVERVIEW, STAGES, NEWSROOM)
