"""A running Prometheus + the boards → one self-contained HTML page, for a look at the data where there is no Grafana.

    python ops/grafana/preview.py --prometheus http://127.0.0.1:9090 --minutes 30 --out boards.html

It asks the same queries as the boards. It is a preview of the data, not of Grafana's looks.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

__all__ = ["draw", "preview"]

FOLDER: Final = Path(__file__).parent / "dashboards"
POINTS: Final = 180
COLORS: Final = (
    "#3274d9",
    "#e0752d",
    "#37872d",
    "#a352cc",
    "#c4162a",
    "#0a8f8f",
    "#b58b00",
    "#d44a9c",
    "#5a6b7b",
    "#7a5230",
)
STYLE: Final = """
body{font:13px/1.4 system-ui,sans-serif;margin:0;background:#f4f5f7;color:#1f2430}
header{padding:14px 20px;background:#fff;border-bottom:1px solid #d9dce2}
h1{font-size:18px;margin:0}h2{font-size:16px;margin:22px 20px 2px}
h3{font-size:13px;margin:14px 0 0;color:#5b6270;grid-column:1/-1}
p{margin:2px 0;color:#5b6270}.board{display:grid;grid-template-columns:repeat(24,1fr);gap:10px;padding:0 20px}
.panel{background:#fff;border:1px solid #d9dce2;border-radius:4px;padding:8px 10px;overflow:hidden}
.panel b{display:block;font-size:13px}.panel p{font-size:11px;line-height:1.3;min-height:28px}
.value{font-size:30px;font-weight:600;margin-top:6px}.label{color:#5b6270;font-size:12px}
ul{list-style:none;margin:4px 0 0;padding:0;font-size:11px;columns:2}
li i{display:inline-block;width:9px;height:9px;margin-right:5px}
table{border-collapse:collapse;font-size:11px;width:100%}
td,th{border-bottom:1px solid #e5e7eb;text-align:left;padding:2px 6px}
svg{display:block;width:100%}text{font:10px system-ui,sans-serif;fill:#5b6270}.none{color:#9aa1ad;padding:20px 0}
"""


class Series(NamedTuple):
    """One line: its legend and (time, value) pairs, gaps left out."""

    name: str
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]


class Window(NamedTuple):
    """The time shown, in seconds since the epoch."""

    start: float
    end: float
    interval: int  # the least window of a rate

    @property
    def step(self) -> float:
        """Seconds from point to point."""
        return max(1.0, (self.end - self.start) / POINTS)


def _ask(url: str, path: str, **parameters: object) -> list[dict[str, Any]]:
    with urlopen(f"{url}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def _fill(expression: str, window: Window) -> str:
    values = {
        "$__rate_interval": f"{window.interval}s",
        "$__range": f"{round(window.end - window.start)}s",
        "$job": ".+",
        "$instance": ".+",
        "$run": ".+",
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def _legend(template: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template).strip() or "all"


def _series(url: str, panel: dict[str, Any], window: Window) -> list[Series]:
    lines = []
    for target in panel["targets"]:
        query = _fill(target["expr"], window)
        ranged = bool(target.get("range"))
        if ranged:
            found = _ask(url, "query_range", query=query, start=window.start, end=window.end, step=window.step)
        else:
            found = _ask(url, "query", query=query, time=window.end)
        for one in found:
            pairs = one["values"] if ranged else [one["value"]]
            points = [(float(at), float(value)) for at, value in pairs if math.isfinite(float(value))]
            if points:
                name = _legend(target.get("legendFormat") or "", one["metric"])
                lines.append(Series(name, points))
    return lines


def draw(value: float, unit: str) -> str:
    """A number as a person reads it, with its unit."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "dateTimeAsIso":  # milliseconds
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    if unit == "bytes":
        for name in ("B", "KiB", "MiB"):
            if abs(value) < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    if unit == "s":
        for limit, size, name in (
            (1e-3, 1e-6, "µs"),
            (1, 1e-3, "ms"),
            (120, 1, "s"),
            (7200, 60, "min"),
            (172_800, 3600, "h"),
        ):
            if abs(value) < limit:
                return f"{value / size:.3g} {name}" if value else "0 s"
        return f"{value / 86_400:.3g} d"
    suffix = {"reqps": "/s", "ops": "/s", "opm": "/min"}.get(unit, "")
    for size, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if name == ' k' else size):.3g}{name}{suffix}"
    return f"{value:.4g}{suffix}"


def _nice(most: float) -> float:
    """The next round number above, for an axis."""
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= most * 0.999)


def _pieces(points: Sequence[tuple[float, float]], step: float) -> list[list[tuple[float, float]]]:
    """A line's points, cut where some are missing."""
    pieces: list[list[tuple[float, float]]] = []
    for before, point in zip([None, *points], points, strict=False):
        if before is None or point[0] - before[0] > 1.5 * step:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _chart(lines: Sequence[Series], unit: str, window: Window, width: int, *, stacked: bool) -> str:
    height, left, bottom = 190, 58, 16
    layers: list[tuple[Series, list[tuple[float, float]]]] = []
    below: dict[float, float] = {}
    for line in lines:
        points = line.points
        if stacked:
            points = [(at, value + below.get(at, 0.0)) for at, value in points]
            below |= dict(points)
        layers.append((line, points))
    top = _nice(max(value for _, points in layers for _, value in points))

    def place(at: float, value: float) -> str:
        x = left + (at - window.start) / (window.end - window.start) * (width - left - 6)
        return f"{x:.1f},{height - bottom - max(0.0, value) / top * (height - bottom - 8):.1f}"

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img">']
    for share in (0.0, 0.5, 1.0):
        y = height - bottom - share * (height - bottom - 8)
        parts.append(f'<line x1="{left}" y1="{y:.0f}" x2="{width}" y2="{y:.0f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 3:.0f}" text-anchor="end">{escape(draw(top * share, unit))}</text>')
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = datetime.fromtimestamp(window.start + share * (window.end - window.start), UTC)
        x = left + share * (width - left - 6)
        parts.append(f'<text x="{x:.0f}" y="{height - 3}" text-anchor="{anchor}">{at:%H:%M:%S}</text>')
    for number, (_, points) in reversed(list(enumerate(layers))):
        color = COLORS[number % len(COLORS)]
        if stacked:
            path = " ".join(place(at, value) for at, value in points)
            first, last = points[0][0], points[-1][0]
            parts.append(f'<polygon points="{place(first, 0)} {path} {place(last, 0)}" fill="{color}" opacity="0.85"/>')
        else:
            for piece in _pieces(points, window.step):
                path = " ".join(place(at, value) for at, value in piece)
                parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>')
                if len(piece) == 1:
                    cx, cy = place(*piece[0]).split(",")
                    parts.append(f'<circle cx="{cx}" cy="{cy}" r="2" fill="{color}"/>')
    return "".join(parts) + "</svg>" + _key(lines, unit)


def _key(lines: Sequence[Series], unit: str) -> str:
    items = (
        f'<li><i style="background:{COLORS[number % len(COLORS)]}"></i>'
        f"{escape(line.name)}: {escape(draw(line.last, unit))}</li>"
        for number, line in enumerate(lines)
    )
    return f"<ul>{''.join(items)}</ul>"


def _bars(lines: Sequence[Series], unit: str, *, share: bool) -> str:
    lines = sorted(lines, key=lambda line: -line.last)
    whole = sum(line.last for line in lines) if share else max(line.last for line in lines)
    rows = []
    for number, line in enumerate(lines):
        part = line.last / whole if whole else 0.0
        told = f"{draw(line.last, unit)} ({part * 100:.0f} %)" if share else draw(line.last, unit)
        bar = f"width:{max(0.5, part * 100):.1f}%;height:11px;background:{COLORS[number % len(COLORS)]}"
        rows.append(
            f'<tr><td style="width:30%">{escape(line.name)}</td><td><div style="{bar}"></div></td>'
            f'<td style="width:24%">{escape(told)}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def _table(url: str, panel: dict[str, Any], window: Window) -> str:
    found = [
        row
        for target in panel["targets"]
        for row in _ask(url, "query", query=_fill(target["expr"], window), time=window.end)
    ]
    if not found:
        return '<div class="none">no rows</div>'
    columns = sorted({name for row in found for name in row["metric"]} - {"__name__", "job"})
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = ("".join(f"<td>{escape(row['metric'].get(name, ''))}</td>" for name in columns) for row in found[:30])
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _panel(url: str, panel: dict[str, Any], window: Window) -> str:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "table":
        body = _table(url, panel, window)
    elif not (lines := _series(url, panel, window)):
        body = '<div class="none">no data</div>'
    elif panel["type"] == "stat":
        body = "".join(
            f'<div class="value">{escape(draw(line.last, unit))}</div><div class="label">{escape(line.name)}</div>'
            for line in lines
        )
    elif panel["type"] in ("bargauge", "piechart"):
        body = _bars(lines, unit, share=panel["type"] == "piechart")
    else:
        stacked = panel["fieldConfig"]["defaults"]["custom"].get("stacking", {}).get("mode") == "normal"
        body = _chart(lines, unit, window, 52 * panel["gridPos"]["w"], stacked=stacked)
    head = f"<b>{escape(panel['title'])}</b><p>{escape(panel['description'])}</p>"
    return f'<div class="panel" style="grid-column:span {panel["gridPos"]["w"]}">{head}{body}</div>'


def preview(url: str, minutes: float, interval: int, now: float | None = None) -> str:
    """The page. ``interval`` is the window of rates in seconds: four scrapes at least."""
    end = time.time() if now is None else now
    window = Window(end - minutes * 60, end, interval)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>newsmill: preview of the boards</title><style>{STYLE}</style>",
        "<header><h1>newsmill: preview of the boards' data</h1>",
        f"<p>Drawn from Prometheus' query API, without Grafana; {minutes:g} minutes up to "
        f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M:%S} UTC.</p></header>",
    ]
    for name in ("overview", "stages", "newsroom", "replay"):
        board = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        parts.append(f"<h2>{escape(board['title'])}</h2><p style='padding:0 20px'>{escape(board['description'])}</p>")
        parts.append('<div class="board">')
        for panel in board["panels"]:
            if panel["type"] == "row":
                parts.append(f"<h3>{escape(panel['title'])}</h3>")
                parts += [_panel(url, inner, window) for inner in panel.get("panels") or ()]
            else:
                parts.append(_panel(url, panel, window))
        parts.append("</div>")
    return "\n".join(parts) + "</html>\n"


def main() -> int:
    """Write the page; exit 1 where no Prometheus answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--minutes", type=float, default=30, help="how much time to show")
    parser.add_argument("--interval", type=int, default=60, help="seconds that a rate looks back")
    parser.add_argument("--out", type=Path, default=Path("boards.html"), help="the file to write")
    arguments = parser.parse_args()
    try:
        page = preview(arguments.prometheus.rstrip("/"), arguments.minutes, arguments.interval)
    except URLError as error:
        print(f"no Prometheus answers at {arguments.prometheus}: {error.reason}", file=sys.stderr)
        return 1
    arguments.out.write_text(page, "utf-8")
    print(f"written to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
