"""``newsmill tail``: committed events of a topic, for people or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
import typer
from aiokafka.structs import TopicPartition
from rich.text import Text

from newsmill import kafka
from newsmill.cli.flow import call
from newsmill.cli.options import AsJson, Debug, Servers, errors, output, read_settings
from newsmill.errors import TopicError
from newsmill.settings import Settings

__all__ = ["event_line", "partitions_of", "run"]


def run(
    topic: Annotated[
        str, typer.Argument(help="Topic, such as news.enriched.v1 (the prefix of the settings is added).")
    ],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest record.")] = False,
    exit_at_end: Annotated[bool, typer.Option("--exit-at-end", help="End where the topic ends now.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Print committed events; goes on with new ones until Ctrl-C unless told otherwise."""
    settings = read_settings(bootstrap_servers, debug)
    try:
        call(settings, _tail(settings, topic, from_beginning, exit_at_end, limit, as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None  # the way to end a tail is not an error


async def partitions_of(client: Any, settings: Settings, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, with or without the prefix in its name; `TopicError` if there is none."""
    cluster = await client._client.fetch_all_metadata()
    known = cluster.topics()
    for name in (settings.topic_prefix + topic, topic):
        if name in known:
            return [TopicPartition(name, n) for n in sorted(cluster.partitions_for_topic(name))]
    near = sorted(t for t in known if t.startswith(settings.topic_prefix + "news."))
    hint = f"there are {', '.join(near)}" if near else "there are none; run `newsmill topics create`"
    raise TopicError(f"topic {settings.topic_prefix + topic} is missing; {hint}")


async def _tail(
    settings: Settings, topic: str, from_beginning: bool, exit_at_end: bool, limit: int | None, as_json: bool
) -> None:
    shown = 0
    async with kafka.consumer(settings, fetch_max_wait_ms=250) as client:
        partitions = await partitions_of(client, settings, topic)
        async for record in _records(client, partitions, from_beginning, exit_at_end):
            if as_json:
                sys.stdout.write(_json_line(record) + "\n")
            else:
                output.print(event_line(record))
            if not exit_at_end:
                sys.stdout.flush()
            shown += 1
            if limit is not None and shown >= limit:
                return
    if shown == 0:
        errors.print("no committed records there yet" if from_beginning else "nothing to show without --from-beginning")


async def _records(
    client: Any, partitions: list[TopicPartition], from_beginning: bool, exit_at_end: bool
) -> AsyncIterator[Any]:
    if exit_at_end:
        if from_beginning:
            async for _, records in kafka.read_range(client, partitions):
                for record in records:
                    yield record
        return
    client.assign(partitions)
    await (client.seek_to_beginning if from_beginning else client.seek_to_end)(*partitions)
    while True:
        for records in (await client.getmany(timeout_ms=1000)).values():
            for record in records:
                yield record


def _json_line(record: Any) -> str:
    try:
        value = orjson.loads(record.value) if record.value is not None else None
    except orjson.JSONDecodeError:
        value = record.value.decode("utf-8", "backslashreplace")
    row = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.decode("utf-8", "backslashreplace") if record.key is not None else None,
        "headers": {name: value.decode("utf-8", "backslashreplace") for name, value in record.headers},
        "value": value,
    }
    return orjson.dumps(row).decode()


def _clip(text: object, width: int) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _printable(value: bytes) -> str:
    """Bytes of any kind without what a terminal would obey."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() or sign.isspace() else f"\\x{ord(sign):02x}" for sign in text)


def _title(value: dict[str, Any]) -> str:
    return _clip(value["title"], 70) if value["title"] else "(no title)"


def event_line(record: Any) -> Text:
    """One event for a person: what it is and what was decided, in one to three lines."""
    line = Text()
    if record.value is None:
        key = record.key.decode("utf-8", "replace") if record.key is not None else ""
        return line.append("tombstone  ", style="dim").append(key, style="dim")
    try:
        value = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        return line.append(_clip(_printable(record.value[:300]), 200))
    if "themes" in value and "text" in value:
        return _enriched_line(value)
    if "duplicate_of" in value:
        line.append("copy      ", style="yellow").append(_title(value)).append(
            f"  {value['source'] or ''}  of {value['duplicate_of'][:8]} ({value['method']} {value['similarity']:.2f})",
            style="dim",
        )
        return line
    if "article_count" in value:
        counts = f"{value['article_count']} articles, {value['copy_count']} copies, {len(value['sources'])} publishers"
        return (
            line.append("story     ", style="magenta")
            .append(_title(value))
            .append(f"  {counts}, {value['status']}", style="dim")
        )
    if "text" in value:
        line.append(f"{value.get('verdict') or 'article':10}", style="green").append(_title(value))
        return line.append(f"  {value['source'] or ''}  {value['id'][:8]}", style="dim")
    return line.append(_clip(_printable(record.value[:1000]), 300))


def _enriched_line(value: dict[str, Any]) -> Text:
    line = Text()
    line.append(f"{value.get('verdict') or 'article':10}", style="green").append(_title(value), style="bold")
    line.append(f"  {value['source'] or ''}  {value['language']}  {value['id'][:8]}\n", style="dim")
    themes = ", ".join(f"{theme['theme']} {theme['score']:.2f}" for theme in value["themes"]) or "no theme"
    line.append(f"          {themes}", style="cyan")
    if value["amounts"]:
        line.append("  " + ", ".join(_clip(a["text"], 20) for a in value["amounts"][:3]), style="yellow")
    if value["entities"]:
        line.append("  " + ", ".join(entity["name"] for entity in value["entities"][:5]), style="blue")
    if value["summary"]:
        line.append("\n          " + _clip(value["summary"][0], 100), style="dim")
    return line
