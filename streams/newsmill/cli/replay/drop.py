"""``newsmill replay drop``: delete a replay's topics and groups, after asking."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, output, read_settings
from newsmill.errors import ConfigError, NewsmillError
from newsmill.replay.drop import delete_replay, find_groups, find_topics
from newsmill.replay.plan import list_replays

__all__ = ["run"]


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The replay.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Delete a replay's topics and groups; asks first. What was promoted stays."""
    settings = read_settings(bootstrap_servers, debug)
    topics, groups = call(settings, find_topics(settings, name)), call(settings, find_groups(settings, name))
    if not topics and not groups:
        names = call(settings, list_replays(settings))
        there = f"there are {', '.join(names)}" if names else "there is none"
        raise NewsmillError(f"no replay is named {name}; {there}")
    output.print(f"Dropping replay {name}: {len(topics)} topics, {len(groups)} groups", markup=False)
    for topic in topics:
        output.print(f"  {topic}", markup=False)
    if not yes and not _confirmed():
        output.print("nothing was changed")
        raise typer.Exit(1)
    deleted = call(settings, delete_replay(settings, name))
    output.print(f"replay {name} is dropped: {deleted[0]} topics and {deleted[1]} groups are gone", markup=False)


def _confirmed() -> bool:
    try:
        return typer.confirm("Drop?")
    except typer.Abort:
        raise ConfigError("nobody answered, so nothing was changed; --yes drops without asking") from None
