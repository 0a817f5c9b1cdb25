"""How far is a replay, and does live suffer from it?"""

from __future__ import annotations

from typing import Final

from boards.parts import LAG, REPLAY_JOB, Board, M, Panel, quantile, rate

__all__ = ["REPLAY"]

RUN: Final = f'{REPLAY_JOB},run=~"$run"'
WORKER: Final = f'{REPLAY_JOB},mode="replay"'
REMAINING: Final = f"news_replay_remaining_records{{{RUN}}}"
P99: Final = quantile(0.99, "news_pipeline_latency_seconds")
WORKING: Final = f"count({REMAINING} > 0)"
DEAD: Final = f"increase(news_dead_letters_total{{{REPLAY_JOB}}}[$__range])"

REPLAY = Board(
    "newsmill-replay",
    "newsmill / Replay",
    "How far is a replay, and does live suffer from it? Figures of live are those of the job and the workers chosen.",
    (
        (
            "Progress",
            (
                Panel(
                    "stat",
                    "Done",
                    "Share of the work that is done; every stage and every sort counts the same.",
                    "percentunit",
                    ((f"1 - {REMAINING} / news_replay_planned_records{{{RUN}}}", "{{run}}"),),
                    6,
                    5,
                    decimals=1,
                ),
                Panel(
                    "stat",
                    "Records left",
                    "Raw records of the range that are not through all stages, each stage and sort counted "
                    "by its share.",
                    "short",
                    ((REMAINING, "{{run}}"),),
                    6,
                    5,
                    decimals=0,
                ),
                Panel(
                    "stat",
                    "Time to finish",
                    "Records left at their present rate; nothing while they do not move. Stages differ in speed: it is "
                    "right for the one at work.",
                    "s",
                    ((f"{REMAINING} / (-deriv({REMAINING}[$__rate_interval]) > 0) or {REMAINING} == 0", "{{run}}"),),
                    6,
                    5,
                ),
                Panel(
                    "stat",
                    "Position",
                    "Kafka time of the newest record that the stage at work has done; the next stage begins at the "
                    "start again.",
                    "dateTimeAsIso",
                    ((f"1000 * news_replay_position_timestamp_seconds{{{RUN}}}", "{{run}}"),),
                    6,
                    5,
                ),
                Panel(
                    "lines",
                    "Records left over time",
                    "A straight line down is a steady replay; a level one stands still.",
                    "short",
                    ((REMAINING, "{{run}}"),),
                    12,
                ),
                Panel(
                    "lines",
                    "Records a second by stage",
                    "What the replay's processes take in, all replays together. There is none while it sorts.",
                    "reqps",
                    ((rate("news_stage_events_total", "stage", WORKER), "{{stage}}"),),
                    12,
                ),
            ),
        ),
        (
            "Live meanwhile",
            (
                Panel(
                    "lines",
                    "Latency of live, p99",
                    "Landing to enriched, in one colour while a replay works and in another before and after it. The "
                    "objective is 60 s for 99 %.",
                    "s",
                    (
                        (f"{P99} and {WORKING}", "while a replay works"),
                        (f"{P99} unless {WORKING}", "without a replay"),
                    ),
                    limits=((0, "green"), (60, "red")),
                ),
                Panel(
                    "lines",
                    "Records waiting in live",
                    "Lag of live's stages. If it grows while a replay works, give the replay a lower --rate.",
                    "short",
                    ((LAG, "{{stage}}"),),
                ),
                Panel(
                    "lines",
                    "CPU",
                    "Cores that live's worker processes use, and the replay with its sorts.",
                    "short",
                    (
                        (rate("process_cpu_seconds_total", "", M), "live"),
                        (rate("process_cpu_seconds_total", "", REPLAY_JOB), "replay"),
                    ),
                ),
            ),
        ),
        (
            "Results",
            (
                Panel(
                    "bars",
                    "Differences from live by kind",
                    "Articles by how the replay's result compares with live's, told once at its end; "
                    "`newsmill replay status` has them for good.",
                    "short",
                    ((f"last_over_time(news_replay_differences{{{RUN}}}[$__range])", "{{run}} {{kind}}"),),
                    12,
                    decimals=0,
                ),
                Panel(
                    "bars",
                    "Dead letters of the replay",
                    "By stage and reason over the time shown, as far as they were scraped; they do not count against "
                    "live's objective.",
                    "short",
                    (
                        (
                            f"sum by (stage, reason) ({DEAD}) > 0 or sum({DEAD})",
                            "{{stage}} {{reason}}",
                        ),
                    ),
                    12,
                    decimals=0,
                ),
            ),
        ),
    ),
    variables=(("run", "Replay", f"label_values(news_replay_planned_records{{{REPLAY_JOB}}}, run)"),),
)
