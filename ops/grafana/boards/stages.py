"""Where does time go, and what holds a stage up?"""

from __future__ import annotations

from boards.parts import LAG, Board, M, Panel, mean, quantile, rate

__all__ = ["STAGES"]

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
                    "Lag divided by the rate; 0 while nothing waits.",
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
