"""``newsmill replay diff``: what would change in live if a replay held."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any

import orjson
import typer

from newsmill.cli.flow import call
from newsmill.cli.options import AsJson, Debug, Servers, errors, read_settings
from newsmill.cli.replay.diff_view import Example, diff_view
from newsmill.cli.replay.finished import finished_plan
from newsmill.cli.screen import show
from newsmill.core.comparison import Kind, describe_difference
from newsmill.replay.compare import Comparison, compare, event_topics, write_counts
from newsmill.replay.event_store import EventStore, read_events
from newsmill.replay.plan import replay_settings
from newsmill.settings import Settings

__all__ = ["Name", "Unfinished", "run"]

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
    await write_counts(settings, comparison)
    if examples is None:
        _print_line(_summary(comparison))
        async for example in _examples(settings, comparison, comparison.differing):
            _print_line(_line(example))
        sys.stdout.flush()
        return

    def chosen() -> Iterator[tuple[bytes, Kind]]:
        return ((ident, kind) for kind, ids in comparison.ids.items() for ident in ids[:examples])

    order = list(Kind)
    found = [example async for example in _examples(settings, comparison, chosen)]
    show(diff_view(comparison, sorted(found, key=lambda example: order.index(example.kind))))


async def _examples(
    settings: Settings, comparison: Comparison, chosen: Callable[[], Iterable[tuple[bytes, Kind]]]
) -> AsyncIterator[Example]:
    """These articles with the events of both runs, in this order; the events lie on disk meanwhile."""
    plan = comparison.plan
    with EventStore() as lives, EventStore() as replays:
        ids = (ident for ident, _ in chosen())
        await read_events(settings, event_topics(plan, live=True), comparison.live, ids, lives)
        ids = (ident for ident, _ in chosen())
        theirs = replay_settings(settings, plan.name)
        await read_events(theirs, event_topics(plan, live=False), comparison.replay, ids, replays)
        for ident, kind in chosen():
            live, replay = lives.get(ident), replays.get(ident)
            if live is None and ident in comparison.live:
                kind = Kind.NEWER  # a later version took its place in the log meanwhile
            yield Example(ident.hex(), kind, _event(live), _event(replay))


def _event(value: bytes | None) -> dict[str, Any] | None:
    return None if value is None else orjson.loads(value)


def _summary(comparison: Comparison) -> dict[str, Any]:
    moves = {theme: {"entered": move.entered, "left": move.left} for theme, move in comparison.moves.items()}
    return {
        "kind": "summary",
        "replay": comparison.plan.name,
        **comparison.counts,
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
