"""``newsmill replay diff``: what would change in live if a replay held."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any, Final

import orjson
import typer

from newsmill.cli.flow import call
from newsmill.cli.options import AsJson, Debug, Servers, errors, read_settings
from newsmill.cli.replay.diff_view import Example, diff_view
from newsmill.cli.replay.finished import finished_plan
from newsmill.cli.screen import show
from newsmill.core.comparison import Kind, describe_difference
from newsmill.core.times import format_utc
from newsmill.replay.compare import Comparison, compare, event_topics
from newsmill.replay.event_store import EventStore, read_events
from newsmill.replay.plan import replay_settings, write_entry
from newsmill.settings import Settings

__all__ = ["DIFF_KEY", "Name", "Unfinished", "run"]

DIFF_KEY: Final = "diff"
"""The manifest's entry of the last diff: ``{"kinds": {kind: articles}, "at": time}``."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="The replay.")]
Unfinished = Annotated[bool, typer.Option("--unfinished", help="Take a replay as it stands, though it has not ended.")]


def run(
    name: Name,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="Articles shown of each kind.")] = 10,
    unfinished: Unfinished = False,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Compare a replay with live, article by article: what is the same, what changes, what one of them lacks."""
    settings = read_settings(bootstrap_servers, debug)
    call(settings, _diff(settings, name, unfinished, None if as_json else examples))


async def _diff(settings: Settings, name: str, unfinished: bool, examples: int | None) -> None:
    """Compare, show, and write the counts into the manifest. ``examples`` is None for JSON, which has all of them."""
    plan = await finished_plan(settings, name, unfinished)
    with errors.status("reading the events of live and of the replay"):
        comparison = await compare(settings, plan)
    now = format_utc(int(time.time() * 1000))
    await write_entry(settings, name, DIFF_KEY, {"kinds": _counts(comparison), "at": now})
    if examples is None:
        _print_line(_summary(comparison))
        everything = sorted(ident for ids in comparison.ids.values() for ident in ids)
        async for example in _examples(settings, comparison, everything):
            _print_line(_line(example))
        sys.stdout.flush()
        return
    chosen = [ident for ids in comparison.ids.values() for ident in ids[:examples]]
    order = list(Kind)
    found = [example async for example in _examples(settings, comparison, chosen)]
    show(diff_view(comparison, sorted(found, key=lambda example: order.index(example.kind))))


async def _examples(settings: Settings, comparison: Comparison, ids: list[bytes]) -> AsyncIterator[Example]:
    """These articles with the events of both runs, in this order; the events lie on disk meanwhile."""
    plan = comparison.plan
    kinds = {ident: kind for kind, found in comparison.ids.items() for ident in _within(found, ids)}
    with EventStore() as lives, EventStore() as replays:
        await read_events(settings, event_topics(plan, live=True), comparison.live, ids, lives)
        theirs = replay_settings(settings, plan.name)
        await read_events(theirs, event_topics(plan, live=False), comparison.replay, ids, replays)
        for ident in ids:
            live, replay = lives.get(ident), replays.get(ident)
            kind = kinds[ident]
            if live is None and ident in comparison.live:
                kind = Kind.NEWER  # a later version took its place in the log meanwhile
            yield Example(ident.hex(), kind, _event(live), _event(replay))


def _within(found: list[bytes], ids: list[bytes]) -> Iterable[bytes]:
    if len(ids) >= len(found):
        return found
    chosen = set(ids)
    return (ident for ident in found if ident in chosen)


def _event(value: bytes | None) -> dict[str, Any] | None:
    return None if value is None else orjson.loads(value)


def _counts(comparison: Comparison) -> dict[str, int]:
    return {kind.value: count for kind, count in comparison.kinds.items()}


def _summary(comparison: Comparison) -> dict[str, Any]:
    moves = {theme: {"entered": move.entered, "left": move.left} for theme, move in comparison.moves.items()}
    return {
        "kind": "summary",
        "replay": comparison.plan.name,
        **_counts(comparison),
        "fields": comparison.fields,
        "themes": moves,
    }


def _line(example: Example) -> dict[str, Any]:
    """One article for programs: complete, but of texts there are lengths and an excerpt."""
    return {
        "kind": example.kind.value,
        "id": example.id,
        "title": example.title,
        "live": _state(example.live),
        "replay": _state(example.replay),
        "fields": {} if example.kind is Kind.NEWER else describe_difference(example.live, example.replay),
    }


def _state(event: dict[str, Any] | None) -> dict[str, Any] | None:
    if event is None:
        return None
    event_kind = "duplicate" if "duplicate_of" in event else "enriched"
    return {"event": event_kind, "version": event["version"], "run": event["provenance"]["run"]}


def _print_line(value: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
