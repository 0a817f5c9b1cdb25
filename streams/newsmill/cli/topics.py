"""``newsmill topics``: create what is missing, list, check."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import typer
from rich.table import Table

from newsmill import kafka
from newsmill.cli.flow import call
from newsmill.cli.options import AsJson, Debug, Servers, output, read_settings
from newsmill.core.rulebook import load_rulebook
from newsmill.core.themes import ThemeRules
from newsmill.settings import Settings
from newsmill.topic_admin import TopicState, check_topics, create_topics, topic_states
from newsmill.topics import Topic, registry

__all__ = ["all_topics", "app"]

app = typer.Typer(help="Create, list and check the topics.", no_args_is_help=True, add_completion=False)


def all_topics(settings: Settings) -> dict[str, Topic]:
    """Every topic, with one for each theme of the rules."""
    return registry(ThemeRules.from_rulebook(load_rulebook(settings.rules_dir)).themes, settings)


@app.command()
def create(bootstrap_servers: Servers = None, debug: Debug = False) -> None:
    """Create the topics that are missing; nothing happens to the others."""
    settings = read_settings(bootstrap_servers, debug)
    made = call(settings, _create(settings, all_topics(settings)))
    for name in made:
        print(name)
    output.print(f"{len(made)} created" if made else "all topics are there", style="dim")


async def _create(settings: Settings, topics: Mapping[str, Topic]) -> list[str]:
    async with kafka.admin_client(settings) as admin:
        return await create_topics(admin, topics, settings)


async def _states(settings: Settings, topics: Mapping[str, Topic]) -> list[TopicState]:
    async with kafka.admin_client(settings) as admin:
        return await topic_states(admin, topics, settings)


@app.command("list")
def show(as_json: AsJson = False, bootstrap_servers: Servers = None, debug: Debug = False) -> None:
    """List the topics: partitions, what they hold, whether the broker has them."""
    settings = read_settings(bootstrap_servers, debug)
    states = call(settings, _states(settings, all_topics(settings)))
    if as_json:
        for state in states:
            row = {"topic": state.name, "partitions": state.partitions, "differences": state.differences}
            print(orjson.dumps(row | {"holds": state.topic.description}).decode())
        return
    table = Table(box=None, pad_edge=False)
    for column in ("topic", "partitions", "key", "cleanup", "holds"):
        table.add_column(
            column, justify="right" if column == "partitions" else "left", overflow="fold", no_wrap=column == "topic"
        )
    for state in states:
        there = str(state.partitions) if state.partitions else "missing"
        table.add_row(state.name, there, state.topic.key, state.topic.cleanup, state.topic.description)
    output.print(table)


@app.command()
def check(bootstrap_servers: Servers = None, debug: Debug = False) -> None:
    """Compare the broker's topics with the registry; exit code 1 where they differ."""
    settings = read_settings(bootstrap_servers, debug)

    async def differences() -> list[str]:
        async with kafka.admin_client(settings) as admin:
            return await check_topics(admin, all_topics(settings), settings)

    found = call(settings, differences())
    for line in found:
        print(line)
    if found:
        raise typer.Exit(1)
    output.print("every topic is as it should be", style="dim")
