"""``newsmill replay promote``: give live what a replay found, through live's own judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, errors, output, read_settings
from newsmill.cli.replay.diff import Name, Unfinished
from newsmill.cli.replay.finished import finished_plan
from newsmill.cli.replay.judgement import Judged, await_judgement, count_judgements
from newsmill.core.comparison import Kind
from newsmill.errors import ConfigError
from newsmill.replay.compare import Comparison, compare
from newsmill.replay.plan import read_entries
from newsmill.replay.promotion import PROMOTED_KINDS, check_target, choose, promotions
from newsmill.replay.promotion_writer import PROMOTE_KEY, Sent, open_writer, write_promotions
from newsmill.settings import Settings
from newsmill.topic_admin import topic_name

__all__ = ["run"]

_LEFT_ALONE: Final = {
    Kind.OTHER_ORIGINAL: "which of the copies is the original stays as live decided it, in order of arrival",
    Kind.NEWER: "live has a later version already, which the replay did not see",
    Kind.EXTRA: "a promotion gives live articles, it takes none away",
}


class Only(StrEnum):
    """What is promoted."""

    CHANGED = "changed"
    MISSING = "missing"


def run(
    name: Name,
    only: Annotated[Only | None, typer.Option(help="Only articles of this kind [changed and missing]")] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="Articles a second, so that live keeps up.")] = 500,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until live has judged them.")] = True,
    unfinished: Unfinished = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Send what a replay changed or found to live, whose dedupe judges each article; asks first.

    A call that was broken off is finished by the next one: no article is promoted twice.
    """
    settings = read_settings(bootstrap_servers, debug)
    kinds = PROMOTED_KINDS if only is None else (Kind(only.value),)
    judged = call(settings, _judged(settings, name, wait, unfinished))
    comparison, ids = call(settings, _plan(settings, name, kinds, unfinished))
    for line in _describe(comparison, kinds, rate):
        output.print(line, markup=False)
    if not ids:
        output.print("nothing to promote")
        return
    if not yes and not _confirmed():
        output.print("nothing was promoted")
        raise typer.Exit(1)
    sent = call(settings, _send(settings, comparison, ids, rate, judged))
    for line in _describe_sent(settings, sent):
        output.print(line, markup=False)
    replaces = sent.before | sent.written
    if wait and replaces:
        why = call(settings, _wait(settings)).why
        if why is None:
            counts = call(settings, count_judgements(settings, name, replaces))
            output.print(f"live judged them: {_told(counts)}", markup=False)
        else:
            output.print(f"{why}: they wait in {topic_name(settings, 'promote')} until live reads them", markup=False)


def _confirmed() -> bool:
    try:
        return typer.confirm("Promote?")
    except typer.Abort:
        raise ConfigError("nobody answered, so nothing was promoted; --yes promotes without asking") from None


async def _judged(settings: Settings, name: str, wait: bool, unfinished: bool) -> int:
    """The offset of news.promote before which live has judged everything: what differs after that may be sent again.

    If an earlier call sent something, live gets the time to judge it first, so that the comparison sees it.
    """
    await finished_plan(settings, name, unfinished)
    if not wait or PROMOTE_KEY not in await read_entries(settings, name):
        return 0
    return (await _wait(settings)).before


async def _plan(
    settings: Settings, name: str, kinds: tuple[Kind, ...], unfinished: bool
) -> tuple[Comparison, list[bytes]]:
    plan = await finished_plan(settings, name, unfinished)
    with errors.status("comparing live and the replay"):
        comparison = await compare(settings, plan)
    ids = choose(comparison, kinds)
    await check_target(settings, comparison, ids)
    return comparison, ids


def _describe(comparison: Comparison, kinds: tuple[Kind, ...], rate: float) -> Iterator[str]:
    """What will happen, for the person who is asked."""
    total = sum(comparison.kinds[kind] for kind in kinds)
    yield f"Promoting {_articles(total)} of replay {comparison.plan.name} to live:"
    for kind in kinds:
        count = comparison.kinds[kind]
        if kind is Kind.CHANGED:
            yield f"  {count:,} changed: live gets the replay's version as a revision"
        else:
            copies = sum(not seen.verdict.enriched for seen in map(comparison.replay.get, comparison.ids[kind]) if seen)
            yield f"  {count:,} missing, {copies:,} of them copies: live judges them like arrivals"
    if total:
        yield f"  at most {rate:g} a second, which takes {total / rate:,.0f} s; subscribers of live see the events"
    for kind, why in _LEFT_ALONE.items():
        if comparison.kinds[kind]:
            yield f"  {comparison.kinds[kind]:,} {kind.value.replace('_', ' ')} left alone: {why}"


def _articles(count: int) -> str:
    return "1 article" if count == 1 else f"{count:,} articles"


async def _send(settings: Settings, comparison: Comparison, ids: list[bytes], rate: float, judged: int) -> Sent:
    sent = Sent()
    with _bar() as bar:
        task = bar.add_task("reading", total=len(ids))
        async with (
            promotions(settings, comparison, ids) as ready,
            open_writer(settings, comparison.plan.name, judged) as writer,
        ):
            bar.update(task, description="promoting")
            async for sent in write_promotions(writer, ready, rate):
                bar.update(task, completed=sent.articles)
    return sent


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def _describe_sent(settings: Settings, sent: Sent) -> Iterator[str]:
    yield f"{_articles(len(sent.written))} written to {topic_name(settings, 'promote')}"
    if sent.before:
        yield f"{_articles(len(sent.before))} written by a call before, not yet judged by live: not written again"
    for why, count in sorted(sent.left.items()):
        yield f"{_articles(count)} left alone: {why}"


async def _wait(settings: Settings) -> Judged:
    with _bar() as bar:
        task = bar.add_task("judged", total=None)
        began: dict[str, int] = {}

        def progress(stage: str, left: int) -> None:
            most = began[stage] = max(began.get(stage, 0), left)
            bar.update(task, description=f"waiting for {stage}", total=most, completed=most - left)

        return await await_judgement(settings, progress)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in ("revision", "original", "duplicate", "stale"))
