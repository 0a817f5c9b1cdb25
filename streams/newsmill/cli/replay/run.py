"""``newsmill replay run``: begin a replay, or go on with one that was broken off."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, errors, output, read_settings
from newsmill.cli.replay.progress import Bars, Lines
from newsmill.cli.replay.times import parse_duration, parse_moment, written_moment
from newsmill.cli.screen import show
from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.themes import ThemeRules
from newsmill.errors import ConfigError, NewsmillError
from newsmill.logs import configure_logs
from newsmill.metrics import ReplayMetrics, serve_metrics
from newsmill.replay.compare import compare, write_counts
from newsmill.replay.plan import (
    FINISHED_KEY,
    PLAN_KEY,
    ReplayPlan,
    create_manifest,
    differences,
    freeze,
    parse_stages,
    read_plan,
    replay_settings,
    source_topic,
    write_entry,
)
from newsmill.replay.run import Accounts, Replay, account
from newsmill.scrapes import Scrapes
from newsmill.settings import Settings
from newsmill.topics import STAGES

__all__ = ["await_last_scrape", "run"]

_DAY_MS: Final = 86_400_000
_SCRAPE_SECONDS: Final = 20.0  # Prometheus comes every 5 s (ops/prometheus), by its own default once a minute
# beside a live worker on the same machine a replay takes a third of what live gets, and all that live leaves
_NICENESS = 5


def run(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of this replay; a second run of the same name goes on with it.")
    ],
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Kafka time of the first record: ISO 8601 or earliest.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Kafka time of the first record not read, or latest.")
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(help="Topic to read: news.raw.v1 (default), an archive, or with enrich news.unique.v1."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes; the result is the same for any number.")] = 1,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Most records a second, so that live keeps its latency.")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(help="Stages to run: all (default), a first part of them, or enrich alone.")
    ] = None,
    warm_up: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="How far before --from records are read into state, as 3d; default: window."
        ),
    ] = None,
    metrics_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of this run's metrics; its process i takes port + 1 + i; 0: none."),
    ] = 9484,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Process the raw records between two times again, into topics of its own; exit 0 if all are accounted for."""
    settings = read_settings(bootstrap_servers, debug)
    replay_settings(settings, name)  # a wrong name is told before anything is read
    if not debug:  # progress and errors are what a person wants to see here
        settings = settings.model_copy(update={"log_level": "warning"})
    configure_logs(settings, "replay")
    if rate is not None and not math.isfinite(rate):
        raise ConfigError(f"--rate {rate}: records a second, as a number")
    asked = _asked(settings, begin, end, topic, stages, warm_up)
    os.nice(_NICENESS)
    rulebook = load_rulebook(settings.rules_dir)
    if "enrich" in asked.get("stages", STAGES) and ThemeRules.from_rulebook(rulebook).model is None:
        errors.print(
            "theme files are not those that the learned weights belong to: rules alone decide on every theme, "
            "and scores differ from those with weights (`newsmill themes train`)",
            markup=False,
        )
    began = time.monotonic()
    plan, over, metrics = call(settings, _run(settings, rulebook, name, asked, workers, rate, metrics_port))
    if not over:
        output.print(f"stopped: `newsmill replay run {name}` goes on from here", markup=False)
        raise typer.Exit(130)
    accounts = call(settings, account(settings, plan))
    if not accounts.problems:  # else nobody shall compare or promote it: it lost or doubled something
        call(settings, write_entry(settings, name, FINISHED_KEY, {"stages": plan.stages}))
    _tell(plan, accounts, time.monotonic() - began)
    if "enrich" in plan.stages and not accounts.problems:
        try:
            _tell_differences(plan, call(settings, _compare(settings, plan, metrics)))
        except NewsmillError as error:  # the replay is whole all the same; live may have no topics here
            errors.print(f"not compared with live: {error}", markup=False)
    await_last_scrape(metrics.scrapes)
    if accounts.problems:
        raise NewsmillError(f"replay {name} is not accounted for: {'; '.join(accounts.problems)}")


def _asked(
    settings: Settings, begin: str | None, end: str | None, topic: str | None, stages: str | None, warm_up: str | None
) -> dict[str, Any]:
    """What the flags say about the plan; a flag that is not given says nothing."""
    asked: dict[str, Any] = {}
    if begin is not None:
        asked["from_ms"] = parse_moment("--from", begin, settings.default_timezone)
    if end is not None:
        asked["to_ms"] = parse_moment("--to", end, settings.default_timezone)
    if begin is not None and end is not None and asked["from_ms"] >= asked["to_ms"]:
        raise ConfigError(f"--from {begin} is not before --to {end}")
    if stages is not None:
        asked["stages"] = parse_stages(stages)
    if topic is not None:
        asked["source_topic"] = topic
    if warm_up is not None:
        asked["warm_up_ms"] = parse_duration("--warm-up", warm_up)
    return asked


async def _run(
    settings: Settings,
    rulebook: Rulebook,
    name: str,
    asked: dict[str, Any],
    workers: int,
    rate: float | None,
    metrics_port: int,
) -> tuple[ReplayPlan, bool, ReplayMetrics]:
    plan = await read_plan(settings, name)
    if "source_topic" in asked:
        chosen = asked.get("stages", plan.stages if plan is not None else parse_stages(None))
        asked["source_topic"] = source_topic(settings, chosen, asked["source_topic"])
    if plan is None:
        plan = await _make_plan(settings, rulebook, name, asked)
        output.print(f"replay {name}: {_scope(plan)}", markup=False)
    else:
        if told := differences(plan, settings, rulebook, asked, _written):
            raise ConfigError(
                f"replay {name} was begun otherwise: {'; '.join(told)}. Go on as it was begun, take another name, or "
                f"`newsmill replay drop {name}`"
            )
        output.print(f"replay {name} goes on: {_scope(plan)}", markup=False)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    metrics = ReplayMetrics(name, plan.records)
    if metrics_port:
        try:
            serve_metrics(metrics, settings.metrics_host, metrics_port, lambda: True)
        except ConfigError as error:
            raise ConfigError(f"{error}, or none: 0 (`newsmill replay status` shows whether a replay runs)") from error
    replay = Replay(settings, plan, rulebook, workers, rate, metrics, metrics_port + 1 if metrics_port else None)
    with Bars(errors) if errors.is_terminal else Lines(output) as progress:
        return plan, await replay.run(progress, stopping), metrics


async def _make_plan(settings: Settings, rulebook: Rulebook, name: str, asked: dict[str, Any]) -> ReplayPlan:
    if "from_ms" not in asked or "to_ms" not in asked:
        raise ConfigError(f"there is no replay {name} yet: --from and --to say what it shall read")
    stages = asked.get("stages", parse_stages(None))
    # without an ordered stage nothing needs what came before
    window = 0 if "dedupe" not in stages else round(settings.dedupe_window_days * _DAY_MS)
    plan = await freeze(
        settings,
        rulebook,
        name,
        asked.get("source_topic", source_topic(settings, stages, None)),
        stages,
        asked["from_ms"],
        asked["to_ms"],
        asked.get("warm_up_ms", window),
    )
    if plan.records == plan.warm_up_records:
        raise NewsmillError(
            f"{plan.source_topic} has no record from {written_moment(plan.from_ms)} to {written_moment(plan.to_ms)}: "
            "there is nothing to replay"
        )
    await create_manifest(settings, name)
    if await read_plan(settings, name) is not None:  # the records were counted for minutes, perhaps
        raise NewsmillError(
            f"another run has begun replay {name} meanwhile: `newsmill replay run {name}` goes on with it"
        )
    await write_entry(settings, name, PLAN_KEY, plan.model_dump(mode="json"))
    return plan


async def _compare(settings: Settings, plan: ReplayPlan, metrics: ReplayMetrics) -> dict[str, int]:
    """Count what differs from live now, for the manifest and for Prometheus."""
    with errors.status("comparing with live"):
        comparison = await compare(settings, plan)
    await write_counts(settings, comparison)
    metrics.compared(comparison.counts)
    return comparison.counts


def await_last_scrape(scrapes: Scrapes, seconds: float = _SCRAPE_SECONDS) -> None:
    """Where Prometheus has come before, stay until it has the final figures; Ctrl-C goes on at once."""
    if not scrapes.begun:
        return
    output.print(f"waiting until Prometheus has fetched the final figures, {seconds:g} s at most; Ctrl-C: not at all")
    try:
        fetched = scrapes.wait_for_another(seconds)
    except KeyboardInterrupt:
        return
    if not fetched:
        output.print("Prometheus has not come: its last figures are older")


def _written(field: str, value: Any) -> str:
    """A field of the plan as the flags write it: times as times, stages with commas."""
    if field in ("from_ms", "to_ms"):
        return written_moment(value)
    if field == "warm_up_ms":
        return f"{value / _DAY_MS:g}d"
    return ",".join(value) if field == "stages" else str(value)


def _scope(plan: ReplayPlan) -> str:
    span = f"from {written_moment(plan.from_ms)} to {written_moment(plan.to_ms)}"
    warm = f", {plan.warm_up_records:,} of them before, to warm up" if plan.warm_up_records else ""
    return f"{plan.records:,} records of {plan.source_topic} {span}{warm}; stages {', '.join(plan.stages)}"


def _tell(plan: ReplayPlan, accounts: Accounts, seconds: float) -> None:
    table = Table(title=f"Replay {plan.name}", title_justify="left")
    for column in ("stage", "records", "became"):
        table.add_column(column, justify="right" if column == "records" else "left")
    for stage, counts in accounts.counts.items():
        became = ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in counts.items())
        table.add_row(stage, f"{sum(counts.values()):,}", became)
    show(table)
    output.print(
        f"{plan.records:,} records in {seconds:,.0f} s; all are accounted for" if not accounts.problems else ""
    )


def _tell_differences(plan: ReplayPlan, counts: Mapping[str, int]) -> None:
    told = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items() if count)
    output.print(f"articles, compared with live: {told or 'none'}", markup=False)
    output.print(f"next: newsmill replay diff {plan.name}", markup=False)
