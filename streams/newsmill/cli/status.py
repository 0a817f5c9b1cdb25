"""``newsmill status``: for each stage who works, how far behind it is and how fast it goes; exit code 1 if stalled."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import orjson
import typer
from aiokafka.structs import TopicPartition
from rich.table import Table
from rich.text import Text

from newsmill import kafka
from newsmill.cli.flow import STAGE_TOPICS, Group, call, describe_group
from newsmill.cli.options import AsJson, Debug, Servers, errors, read_settings
from newsmill.cli.screen import columns, show
from newsmill.core.times import format_utc
from newsmill.ledger import StageLedger, read_ledger
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics

__all__ = ["StageStatus", "judge_stage", "read_status", "run"]

_MOST_ENTRIES: Final = 200_000  # ledger entries read: some seconds
_FETCH_SECONDS: Final = 10.0
_WIDE: Final = 100  # columns that the whole table needs
_STYLES: Final = {"working": "green", "idle": "dim", "up to date": "green", "stalled": "bold red"}


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage. ``lag`` counts offsets from the first unread record to the read_committed end; ``rate`` is records
    a second while watched (None if nothing had to be watched), ``rate_minute`` by the times of the records of the
    last minute; ``state`` is "working", "up to date", "idle" (no worker, nothing to do) or "stalled" (see ``why``)."""

    stage: str
    state: str
    why: str | None
    group: str
    group_state: str
    members: int
    partitions: int
    lag: int
    rate: float | None
    rate_minute: float
    last_event: str | None
    age_seconds: float | None
    dispositions: dict[str, int]
    since: str | None


@dataclass(frozen=True, slots=True)
class _Sample:
    """Committed offsets (or the beginning) and lag of each partition, and the group, at one moment."""

    group: Group
    at: dict[TopicPartition, int]
    lag: dict[TopicPartition, int]


def run(
    watch_seconds: Annotated[
        float, typer.Option(min=0.2, max=600, help="How long to watch whether a stage that is behind moves.")
    ] = 3.0,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Show each stage's workers, lag, rate and last event; exit code 1 if one stands still before unread records."""
    settings = read_settings(bootstrap_servers, debug)
    stages = call(settings, read_status(settings, watch_seconds))
    if as_json:
        print(orjson.dumps({"stages": [asdict(stage) for stage in stages]}).decode())
    else:
        show(_table(stages, columns()))
    stalled = [stage for stage in stages if stage.state == "stalled"]
    for stage in stalled:
        errors.print(f"newsmill: {stage.stage} is stalled: {stage.why}", markup=False)
    if stalled:
        raise typer.Exit(1)


async def read_status(settings: Settings, watch_seconds: float) -> list[StageStatus]:
    """Every stage, in the order of the flow. Watches only if one is behind. `TopicError` where topics are missing."""
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings, fetch_max_wait_ms=50) as client:
        sources = [short for topics in STAGE_TOPICS.values() for short in topics.sources]
        partitions = await partitions_of_topics(admin, settings, [*sources, "ledger"])
        inputs = {
            stage: [tp for short in topics.sources for tp in partitions[short]]
            for stage, topics in STAGE_TOPICS.items()
        }

        async def sample() -> dict[str, _Sample]:
            return {
                stage: await _sample(admin, client, kafka.group_name(settings, stage), inputs[stage])
                for stage in STAGE_TOPICS
            }

        before = await sample()
        ledger, whole = await read_ledger(client, settings, int(time.time() * 1000), _MOST_ENTRIES)
        after, watched, done = before, None, ledger
        if any(sum(one.lag.values()) for one in before.values()):
            began = time.monotonic()
            await asyncio.sleep(watch_seconds)
            after = await sample()
            watched = time.monotonic() - began
            done, whole = await read_ledger(client, settings, int(time.time() * 1000), _MOST_ENTRIES)
    now = int(time.time() * 1000)
    return [
        _status(stage, before[stage], after[stage], ledger.get(stage), done.get(stage), watched, whole, now)
        for stage in STAGE_TOPICS
    ]


async def _sample(admin: Any, client: Any, name: str, partitions: list[TopicPartition]) -> _Sample:
    group = await describe_group(admin, name)
    begin = await client.beginning_offsets(partitions)
    end = await client.end_offsets(partitions)
    at = {tp: group.offsets.get(tp, begin[tp]) for tp in partitions}
    lag = {}
    for tp in partitions:
        lag[tp] = max(0, end[tp] - await _first_unread(client, tp, at[tp], end[tp])) if at[tp] < end[tp] else 0
    return _Sample(group, at, lag)


async def _first_unread(client: Any, partition: TopicPartition, start: int, end: int) -> int:
    """The offset of the first committed record from ``start`` on; ``end`` if only markers and aborted ones follow."""
    client.assign([partition])
    client.seek(partition, start)
    deadline = time.monotonic() + _FETCH_SECONDS
    while await client.position(partition) < end and time.monotonic() < deadline:
        for records in (await client.getmany(timeout_ms=200, max_records=1)).values():
            if records:
                return int(records[0].offset)
    return min(end, int(await client.position(partition)))


def judge_stage(
    members: int, lag_before: dict[TopicPartition, int], lag: dict[TopicPartition, int], moved: set[TopicPartition]
) -> tuple[str, str | None]:
    """The state of a stage in one word, and why it is stalled if it is.

    A partition stands still if it had unread records before and has them after, and its offset did not move.
    """
    stuck = sorted(tp for tp, count in lag.items() if count and lag_before[tp] and tp not in moved)
    if not stuck:
        if sum(lag.values()) or moved:
            return "working", None
        return ("up to date", None) if members else ("idle", None)
    behind = sum(lag[tp] for tp in stuck)
    where = f"{behind} unread in {', '.join(f'{tp.topic}-{tp.partition}' for tp in stuck)}"
    if not members:
        return "stalled", f"{where}, and no worker in its group; start one (`newsmill worker`)"
    one = "1 worker" if members == 1 else f"{members} workers"
    return "stalled", f"{where}, {one} in its group, but the committed offset does not move; see the worker's log"


def _status(
    stage: str,
    before: _Sample,
    after: _Sample,
    earlier: StageLedger | None,
    ledger: StageLedger | None,
    watched: float | None,
    whole: bool,
    now: int,
) -> StageStatus:
    moved = {tp for tp, offset in after.at.items() if offset != before.at[tp]}
    state, why = judge_stage(after.group.members, before.lag, after.lag, moved)
    ledger = ledger or StageLedger()
    rate = None if watched is None else (ledger.records - (earlier.records if earlier else 0)) / watched
    return StageStatus(
        stage=stage,
        state=state,
        why=why,
        group=after.group.name,
        group_state=after.group.state,
        members=after.group.members,
        partitions=len(after.at),
        lag=sum(after.lag.values()),
        rate=None if rate is None else round(max(0.0, rate), 1),
        rate_minute=round(ledger.last_minute / 60, 1),
        last_event=None if ledger.last_ms is None else format_utc(ledger.last_ms),
        age_seconds=None if ledger.last_ms is None else round(max(0, now - ledger.last_ms) / 1000, 1),
        dispositions=dict(sorted(ledger.counts.items())),
        since=None if whole or ledger.since_ms is None else format_utc(ledger.since_ms),
    )


def _table(stages: list[StageStatus], width: int) -> Table:
    """The stages as a table; on a narrow terminal without what tells least about trouble."""
    left_out = () if width >= _WIDE else ("workers", "partitions", "so far")
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "state", "workers", "partitions", "lag", "records/s", "last event", "so far"):
        if column not in left_out:
            right = column not in ("stage", "state", "so far")
            table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=column != "so far")
    for stage in stages:
        rate = stage.rate_minute if stage.rate is None else stage.rate
        so_far = ", ".join(f"{count:,} {name}" for name, count in stage.dispositions.items()) or "nothing"
        cells: dict[str, Text | str] = {
            "stage": stage.stage,
            "state": Text(stage.state, _STYLES[stage.state]),
            "workers": str(stage.members),
            "partitions": str(stage.partitions),
            "lag": f"{stage.lag:,}",
            "records/s": f"{rate:,.1f}",
            "last event": "never" if stage.age_seconds is None else f"{_age(stage.age_seconds)} ago",
            "so far": so_far if stage.since is None else f"{so_far} since {stage.since}",
        }
        table.add_row(*(cell for column, cell in cells.items() if column not in left_out))
    return table


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
