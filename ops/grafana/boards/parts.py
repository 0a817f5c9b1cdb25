"""What every board is made of: panels in rows, and the queries that they share.

Every selector names live's job and instance, or a replay's job; every rate uses $__rate_interval. build.py makes of
them what Grafana imports.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["LAG", "LIVE", "REPLAY_JOB", "Board", "M", "Panel", "mean", "quantile", "rate"]

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
    variables: tuple[tuple[str, str, str], ...] = ()  # its own: name, label, query


# a replay counts by the same metrics, most of them without a mode: its job is never live's
REPLAY_JOB: Final = 'job="newsmill-replay"'
M: Final = 'job=~"$job",job!="newsmill-replay",instance=~"$instance"'
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
