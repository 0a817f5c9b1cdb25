"""``newsmill replay status``: every replay there is, what it reads and how far it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import orjson
import typer
from rich.table import Table

from newsmill import kafka
from newsmill.cli.flow import call, describe_group
from newsmill.cli.options import AsJson, Debug, Servers, output, read_settings
from newsmill.cli.replay.times import written_moment
from newsmill.cli.screen import columns, show
from newsmill.errors import NewsmillError
from newsmill.ledger import read_ledger
from newsmill.replay.compare import DIFF_KEY
from newsmill.replay.plan import DROPPING_KEY, PLAN_KEY, decode_plan, list_replays, read_entries, replay_settings
from newsmill.replay.run import phases_of
from newsmill.settings import Settings
from newsmill.topics import TOPICS

__all__ = ["ReplayStatus", "read_status", "run"]

_WIDE: Final = 120  # columns from which the table says what a replay reads


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """One replay. ``state`` is "done", "running", "stopped" or "dropped in part"; ``phase`` is the one under way, None
    when done; ``records`` are those of the range, ``counts`` what each stage made of them; ``differences`` are the
    counts of the last comparison with live, None before there was one."""

    name: str
    state: str
    phase: str | None
    phases_done: int
    phases: int
    source_topic: str
    begin: str
    end: str
    records: int
    warm_up_records: int
    counts: dict[str, dict[str, int]]
    differences: dict[str, int] | None


async def read_status(settings: Settings, name: str) -> ReplayStatus | None:
    """How a replay stands; None if there is no plan of it."""
    entries = await read_entries(settings, name)
    if PLAN_KEY not in entries:
        return None
    plan = decode_plan(name, entries[PLAN_KEY])
    own = replay_settings(settings, name)
    phases = phases_of(plan.stages)
    left = [phase for phase in phases if phase.mark not in entries]
    counts: dict[str, dict[str, int]] = {}
    running = False
    async with kafka.admin_client(own) as admin, kafka.consumer(own) as client:
        if own.topic_prefix + TOPICS["ledger"].name in await admin.list_topics():
            ledger, _ = await read_ledger(client, own, 0)
            counts = {stage: dict(ledger[stage].counts) for stage in plan.stages if stage in ledger}
        for stage in [stage for phase in left for stage in phase.stages]:  # all run from the start, while one sorts too
            running = running or (await describe_group(admin, kafka.group_name(own, stage))).members > 0
    state = "done" if not left else "running" if running else "stopped"
    return ReplayStatus(
        name=name,
        state="dropped in part" if DROPPING_KEY in entries else state,
        phase=left[0].name if left else None,
        phases_done=len(phases) - len(left),
        phases=len(phases),
        source_topic=plan.source_topic,
        begin=written_moment(plan.from_ms),
        end=written_moment(plan.to_ms),
        records=plan.records,
        warm_up_records=plan.warm_up_records,
        counts=counts,
        differences=_kinds(entries.get(DIFF_KEY)),
    )


def _kinds(entry: dict[str, Any] | None) -> dict[str, int] | None:
    return None if entry is None else dict(entry["kinds"])


def run(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The replay; all of them without.")] = None,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Show every replay: what it reads, how far it is, and how it differs from live."""
    settings = read_settings(bootstrap_servers, debug)
    names = call(settings, list_replays(settings))
    if name is not None and name not in names:
        there = f"there are {', '.join(names)}" if names else "there is none"
        raise NewsmillError(f"no replay is named {name}; {there}")
    found = [call(settings, read_status(settings, one)) for one in ([name] if name is not None else names)]
    replays = [replay for replay in found if replay is not None]
    if as_json:
        for replay in replays:
            output.print(orjson.dumps(asdict(replay)).decode(), markup=False)
        return
    if not replays:
        output.print("no replay yet: newsmill replay run NAME --from TIME --to TIME")
        return
    show(_table(replays, columns() >= _WIDE))


def _differs(counts: dict[str, int] | None) -> str:
    if counts is None:
        return "not compared"
    return ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in counts.items() if count) or "no article"


def _table(replays: list[ReplayStatus], wide: bool) -> Table:
    """Without what a replay reads where there is no room for it; names and counts are never cut."""
    table = Table()
    reads = ("reads", "from", "to") if wide else ()
    for column in ("replay", "state", *reads, "records", "differs from live"):
        table.add_column(column, justify="right" if column == "records" else "left", overflow="fold")
    for replay in replays:
        state = replay.state if replay.phase is None else f"{replay.state} in {replay.phase}"
        told = (replay.source_topic, replay.begin, replay.end) if wide else ()
        table.add_row(replay.name, state, *told, f"{replay.records:,}", _differs(replay.differences))
    return table
