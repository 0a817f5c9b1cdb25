"""The boards of boards/ → ops/grafana/dashboards/*.json. Run it after a change: ``python ops/grafana/build.py``.

A test regenerates the files and compares. The data source is a variable, so any Grafana can import them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, dashboard, piechart, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableHide,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

sys.path.insert(0, str(Path(__file__).parent))  # run as a script or imported by a test

from boards import BOARDS, Board, Panel

__all__ = ["render"]

FOLDER: Final = Path(__file__).parent / "dashboards"
NOT_REPLAY: Final = 'job!="newsmill-replay"'
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


def _styled(panel: Panel) -> Any:
    """The SDK's builder of a panel's kind, with what is proper to the kind."""
    last = ReduceDataOptions().calcs(["lastNotNull"])
    makers: dict[str, Callable[[], Any]] = {
        "stat": lambda: stat.Panel().reduce_options(last),
        "lines": lambda: _series(timeseries.Panel().fill_opacity(8)),
        "stacked": lambda: _series(
            timeseries.Panel().fill_opacity(40).stacking(StackingConfig().mode(StackingMode.NORMAL))
        ),
        "bars": lambda: bargauge.Panel().reduce_options(last),
        "pie": lambda: piechart.Panel().reduce_options(last),
        "table": table.Panel,
    }
    made = makers[panel.kind]()
    if panel.kind in ("lines", "stacked") and panel.zero:
        made = made.min(0)
    if panel.decimals is not None:
        made = made.decimals(panel.decimals)
    return made


def _series(panel: timeseries.Panel) -> timeseries.Panel:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    return panel.legend(legend).tooltip(tooltip).line_width(1)


def _panel(panel: Panel, identity: int) -> Any:
    made = _styled(panel).id(identity).title(panel.title).description(panel.description).unit(panel.unit)
    made = made.datasource(SOURCE).span(panel.width).height(panel.height)
    if panel.limits:
        steps = [Threshold(value=value if n else None, color=color) for n, (value, color) in enumerate(panel.limits)]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    instant = panel.kind in ("bars", "pie", "table")
    for number, (expression, legend) in enumerate(panel.targets):
        query = prometheus.Dataquery().expr(expression).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        query = query.legend_format(legend) if legend else query
        query = query.instant() if instant else query.range()
        query = query.format(PromQueryFormat.TABLE) if panel.kind == "table" else query
        made = made.with_target(query.exemplar(True) if panel.exemplars else query)
    return made


def _variables(board: Board) -> list[Any]:
    def label(name: str, text: str, query: str) -> Any:
        return (
            dashboard.QueryVariable(name).label(text).datasource(SOURCE).query(query).multi(True).include_all(True)
            .all_value(".+").current({"text": "All", "value": "$__all"}).refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )  # fmt: skip

    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").hide(VariableHide.DONT_HIDE),
        label("job", "Job", f"label_values(news_build_info{{{NOT_REPLAY}}}, job)"),
        label("instance", "Worker", f'label_values(news_build_info{{job=~"$job",{NOT_REPLAY}}}, instance)'),
        *(label(*own) for own in board.variables),
    ]


def render(board: Board) -> str:
    """One board as the JSON that Grafana imports."""
    made = (
        dashboard.Dashboard(board.title).uid(board.uid).description(board.description).tags(["newsmill"])
        .refresh("30s").time(board.span, "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
        .link(dashboard.DashboardLink("newsmill").type("dashboards").tags(["newsmill"]).include_vars(True).keep_time(True))
    )  # fmt: skip
    for variable in _variables(board):
        made = made.with_variable(variable)
    identity = 0
    for title, panels in board.rows:
        identity += 1
        made = made.with_row(dashboard.Row(title).id(identity))
        for panel in panels:
            identity += 1
            made = made.with_panel(_panel(panel, identity))
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made.build()) + "\n"


def main() -> int:
    """Write the files, or with ``--check`` only tell whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file differs")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    old = 0
    for board in BOARDS:
        path = FOLDER / f"{board.uid.removeprefix('newsmill-')}.json"
        text = render(board)
        if check and (not path.exists() or path.read_text("utf-8") != text):
            print(f"{path} is old: run {Path(__file__).name}", file=sys.stderr)
            old = 1
        elif not check:
            path.write_text(text, "utf-8")
    return old


if __name__ == "__main__":
    sys.exit(main())
