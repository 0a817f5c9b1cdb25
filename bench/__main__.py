"""``python -m bench [SECTION …]``: tables to the terminal, figures to bench/results/."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench.dedupe import measure_rebuild, measure_window
from bench.metrics import measure_counting
from bench.replay import run_replays, run_replays_beside_live
from bench.soak import run_soak
from bench.stages import StageCost, measure_growth, measure_stages, measure_steps
from bench.stream import run_stream
from bench.transport import CANDIDATES, METERED, measure_cost, measure_latency
from newsmill.broker import KAFKA_VERSION, EmbeddedKafka

SECTIONS = ("transport", "latency", "stages", "growth", "metrics", "soak", "stream", "dedupe", "replay", "beside")
PACKAGES = ("newsmill", "faust-streaming", "aiokafka", "uvloop", "orjson", "pydantic", "numpy")
RESULTS = Path(__file__).parent / "results"
console = Console(highlight=False)


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(
            *(f"{v:,.1f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v for v in row.values())
        )
    console.print(table)
    console.print()


def _plot(costs: list[StageCost]) -> None:
    """Cost against length as bars: twice the length should be twice the cost, not four times."""
    most = max(cost.cpu_us for cost in costs)
    for stage in dict.fromkeys(cost.stage for cost in costs):
        console.print(stage, style="bold")
        for cost in (c for c in costs if c.stage == stage):
            bar = "█" * max(1, round(cost.cpu_us / most * 60))
            console.print(f"  {cost.body_bytes:>7,} B  {bar} {cost.cpu_us:,.0f} µs")
    console.print()


def _medians(costs: list[Any]) -> Any:
    return sorted(costs, key=lambda cost: cost.cpu_us)[len(costs) // 2]


def main() -> None:
    """Run the sections asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--records", type=int, default=60_000, help="records a transport candidate works off")
    parser.add_argument("--seconds", type=float, default=20, help="length of a latency run")
    parser.add_argument("--rate", type=int, default=50, help="records a second in a latency run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each transport candidate; the median counts")
    parser.add_argument("--articles", type=int, default=20_000, help="articles of the soak")
    parser.add_argument("--stream-articles", type=int, default=100_000, help="articles of the stream")
    parser.add_argument("--replay-records", type=int, default=100_000, help="raw records that are replayed three times")
    parser.add_argument(
        "--window-articles", type=int, nargs="+", default=[100_000, 1_000_000], help="articles in dedupe's window"
    )
    arguments = parser.parse_args()
    sections = arguments.sections or list(SECTIONS)
    if wrong := sorted(set(sections) - set(SECTIONS)):
        parser.error(f"no section {', '.join(wrong)}; there are {', '.join(SECTIONS)}")
    results: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "kafka": KAFKA_VERSION,
        "packages": {name: version(name) for name in PACKAGES},
    }
    with ExitStack() as stack:
        servers = ""
        if {"transport", "latency", "metrics", "soak", "stream", "dedupe", "replay", "beside"} & set(sections):
            servers = os.environ.get("NEWSMILL_BOOTSTRAP_SERVERS") or stack.enter_context(EmbeddedKafka()).bootstrap
        if "transport" in sections:
            costs = []
            for candidate in CANDIDATES:
                # stock Faust is ten times slower: a tenth of the records tells as much
                count = arguments.records // 10 if "Faust" in candidate else arguments.records
                runs = [asyncio.run(measure_cost(servers, candidate, count)) for _ in range(arguments.repeat)]
                costs.append(_medians(runs))
                console.print(f"{candidate}: {', '.join(f'{run.cpu_us:.1f}' for run in runs)} µs", style="dim")
            results["transport"] = [asdict(cost) for cost in costs]
            _table("one hop, median CPU a record", results["transport"])
        if "metrics" in sections:
            hops = {name: list[Any]() for name in METERED}
            for _ in range(arguments.repeat):  # in turns, so that what else the machine does falls on both
                for candidate in METERED:
                    hops[candidate].append(asyncio.run(measure_cost(servers, candidate, arguments.records)))
            results["metered"] = [asdict(_medians(runs)) for runs in hops.values()]
            _table("one hop with metrics and without, median CPU a record", results["metered"])
        if "latency" in sections:
            results["latency"] = [
                asdict(asyncio.run(measure_latency(servers, candidate, arguments.rate, arguments.seconds)))
                for candidate in CANDIDATES
                if "whole" not in candidate
            ]
            _table("one hop, milliseconds", results["latency"])
        if "soak" in sections:
            soak = asyncio.run(run_soak(servers, arguments.articles))
            results["soak"] = asdict(soak)
            recovery = ", ".join(f"{seconds:.1f}" for seconds in soak.recovery_seconds)
            _table("all stages under faults", [asdict(soak) | {"recovery_seconds": recovery}])
        if "stream" in sections:
            stream = asyncio.run(run_stream(servers, arguments.stream_articles))
            results["stream"] = asdict(stream)
            _table("dedupe alone, 40 % copies, twice", [asdict(stream) | {"same": "yes" if stream.same else "NO"}])
        if "dedupe" in sections:
            rebuilds = [measure_rebuild(servers, articles) for articles in arguments.window_articles]
            results["rebuild"] = [asdict(cost) for cost in rebuilds]
            _table("dedupe's state rebuilt from its topic", results["rebuild"])
    if "dedupe" in sections:
        results["window"] = [asdict(measure_window(articles)) for articles in arguments.window_articles]
        _table("dedupe with a full window, CPU an article", results["window"])
        if "replay" in sections:
            results["replay"] = [asdict(cost) for cost in asyncio.run(run_replays(servers, arguments.replay_records))]
            _table("all stages over one raw topic", results["replay"])
        if "beside" in sections:
            results["beside"] = [asdict(latency) for latency in asyncio.run(run_replays_beside_live(servers))]
            _table("live latency, raw to enriched, milliseconds", results["beside"])
    if "stages" in sections:
        results["stages"] = [asdict(cost) for cost in measure_stages(1000)]
        _table("CPU an article", results["stages"])
        results["steps"] = [asdict(cost) for cost in measure_steps(300)]
        _table("enrich, step by step, CPU an article", results["steps"])
    if "growth" in sections:
        growth = measure_growth()
        results["growth"] = [asdict(cost) for cost in growth]
        _plot(growth)
    if "metrics" in sections:
        results["metrics"] = [asdict(cost) for cost in measure_counting()]
        _table("what counting costs an article, all four stages", results["metrics"])
    results["load_after"] = os.getloadavg()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    path.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    console.print(
        f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}", style="dim"
    )


if __name__ == "__main__":
    sys.exit(main())
