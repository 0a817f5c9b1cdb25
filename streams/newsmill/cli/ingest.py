"""``newsmill ingest``: files → records on the raw topic (or an archive topic)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from newsmill import kafka
from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, errors, output, read_settings
from newsmill.core.times import parse_time
from newsmill.errors import ConfigError, TopicError
from newsmill.readers import RawItem, Refusal, read_path
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics
from newsmill.topics import archive_topic, registry

__all__ = ["run"]

_IN_FLIGHT = 2000


@dataclass
class _Counts:
    published: int = 0
    confirmed: int = 0
    refused: int = 0
    skipped: int = 0


def run(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files, folders, or - for JSON lines on stdin.")],
    source: Annotated[str | None, typer.Option(help="Publisher of articles that name none.")] = None,
    archive: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write to news.archive.NAME.v1 with fetched_at as Kafka time.")
    ] = None,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Publish raw articles from .jsonl, .json, .html and .txt files; exit code 1 if any was refused."""
    settings = read_settings(bootstrap_servers, debug)
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise ConfigError(f"{path}: no such file or folder")
    counts = _Counts()
    try:
        call(settings, _publish(settings, paths, source, archive, counts))
    except KeyboardInterrupt:
        errors.print(f"interrupted: at least {counts.confirmed} published, {counts.refused} refused")
        raise
    tail = f", {counts.skipped} skipped" if counts.skipped else ""
    output.print(f"{counts.published} published, {counts.refused} refused{tail}")
    if counts.refused:
        raise typer.Exit(1)


def _items(paths: list[str], source: str | None) -> Iterator[RawItem | Refusal]:
    for path in paths:
        yield from read_path(path, source)


async def _publish(
    settings: Settings, paths: list[str], source: str | None, archive: str | None, counts: _Counts
) -> None:
    topic = archive_topic(archive, settings) if archive else registry(settings=settings)["raw"]
    name = settings.topic_prefix + topic.name
    async with kafka.admin_client(settings) as admin:
        if archive:
            await create_topics(admin, {topic.short: topic}, settings)
        elif name not in await admin.list_topics():
            raise TopicError(f"topic {name} is missing; run `newsmill topics create`")
    columns = (SpinnerColumn(), TextColumn("{task.fields[published]} published, {task.fields[refused]} refused"))
    waiting: list[asyncio.Future[Any]] = []
    async with kafka.producer(settings, linger_ms=20) as producer:
        with Progress(*columns, TimeElapsedColumn(), console=errors, disable=not errors.is_terminal) as progress:
            task = progress.add_task("", published=0, refused=0)
            for item in _items(paths, source):
                if isinstance(item, Refusal):
                    counts.skipped += item.notice
                    counts.refused += not item.notice
                    progress.console.print(str(item), style="dim" if item.notice else "red", markup=False)
                else:
                    time_ms = _fetched(item, settings) if archive else None
                    value = orjson.dumps(item.data)
                    waiting.append(await producer.send(name, value, key=item.key, timestamp_ms=time_ms))
                    counts.published += 1
                if len(waiting) >= _IN_FLIGHT:
                    await asyncio.gather(*waiting)
                    waiting.clear()
                    counts.confirmed = counts.published
                    progress.update(task, published=counts.published, refused=counts.refused)
            await producer.flush()
            await asyncio.gather(*waiting)
            progress.update(task, published=counts.published, refused=counts.refused)


def _fetched(item: RawItem, settings: Settings) -> int | None:
    return parse_time(item.data.get("fetched_at"), settings.default_timezone)
