"""``newsmill ingest``: files → records on the raw topic (or an archive topic)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiokafka.structs import TopicPartition
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from newsmill import kafka
from newsmill.cli.archive_times import ArchiveTimes
from newsmill.cli.flow import call
from newsmill.cli.options import Debug, Servers, errors, output, read_settings
from newsmill.core.decoding import MAX_VALUE
from newsmill.errors import ConfigError, NewsmillError, TopicError
from newsmill.readers import RawItem, Refusal, read_path, suffixes
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics, topic_states
from newsmill.topics import Topic, archive_topic, registry

__all__ = ["run"]

_IN_FLIGHT = 2000
_OF_ARCHIVES = ("message.timestamp.type", "cleanup.policy", "retention.ms")


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
        str | None,
        typer.Option(
            metavar="NAME", help="Write to news.archive.NAME.v1, with fetched_at, else published_at, as Kafka time."
        ),
    ] = None,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Publish raw articles from .jsonl, .json, .html, .txt and .warc files, each also with .gz or .zst after it.

    Exit code 1 if one was refused or none was found.
    """
    settings = read_settings(bootstrap_servers, debug)
    topic = registry(settings=settings)["raw"] if archive is None else archive_topic(archive, settings)
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise ConfigError(f"{path}: no such file or folder")
    counts = _Counts()
    times = ArchiveTimes(settings, time.time_ns() // 1_000_000) if archive is not None else None
    try:
        call(settings, _publish(settings, _items(paths, source), topic, times, counts))
    except KeyboardInterrupt:
        errors.print(f"interrupted: at least {counts.confirmed} published, {counts.refused} refused")
        raise
    tail = f", {counts.skipped} skipped" if counts.skipped else ""
    output.print(f"{counts.published} published, {counts.refused} refused{tail}")
    if archive is not None and times is not None:
        for line in times.lines(archive):
            output.print(line, markup=False)
    if not counts.published and not counts.refused:
        raise NewsmillError(f"{', '.join(paths)}: there is no article in it (files are known by suffix: {_known()})")
    if counts.refused:
        raise typer.Exit(1)


def _known() -> str:
    return ", ".join(f".{suffix}" for suffix in suffixes())


def _items(paths: list[str], source: str | None) -> Iterator[RawItem | Refusal]:
    for path in paths:
        yield from read_path(path, source)


async def _publish(
    settings: Settings, items: Iterator[RawItem | Refusal], topic: Topic, times: ArchiveTimes | None, counts: _Counts
) -> None:
    name = settings.topic_prefix + topic.name
    async with kafka.admin_client(settings) as admin:
        if times is not None:
            await _prepare_archive(admin, topic, settings)
        elif name not in await admin.list_topics():
            raise TopicError(f"topic {name} is missing; run `newsmill topics create`")
    columns = (SpinnerColumn(), TextColumn("{task.fields[published]} published, {task.fields[refused]} refused"))
    waiting: list[asyncio.Future[Any]] = []
    async with kafka.producer(settings, linger_ms=20) as producer:
        with Progress(*columns, TimeElapsedColumn(), console=errors, disable=not errors.is_terminal) as progress:
            task = progress.add_task("", published=0, refused=0)
            for item in items:
                ready = _encode(item, times)
                if isinstance(ready, Refusal):
                    counts.skipped += ready.parts if ready.notice else 0
                    counts.refused += not ready.notice
                    progress.console.print(str(ready), style="dim" if ready.notice else "red", markup=False)
                else:
                    value, key, time_ms = ready
                    waiting.append(await producer.send(name, value, key=key, timestamp_ms=time_ms))
                    counts.published += 1
                if len(waiting) >= _IN_FLIGHT:
                    await asyncio.gather(*waiting)
                    waiting.clear()
                    counts.confirmed = counts.published
                    progress.update(task, published=counts.published, refused=counts.refused)
            await producer.flush()
            await asyncio.gather(*waiting)
            progress.update(task, published=counts.published, refused=counts.refused)


async def _prepare_archive(admin: Any, topic: Topic, settings: Settings) -> None:
    """Make the archive's topic; one that is there must keep times and records as archives do."""
    if await create_topics(admin, {topic.short: topic}, settings):
        return
    (state,) = await topic_states(admin, {topic.short: topic}, settings)
    wrong = [text for text in state.differences if text.startswith(_OF_ARCHIVES)]
    if wrong:
        raise TopicError(f"{state.name} is no archive: {'; '.join(wrong)}; take another name or change the topic")
    async with kafka.consumer(settings) as consumer:
        partitions = [TopicPartition(state.name, number) for number in range(state.partitions)]
        ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
    if there := sum(ends.values()) - sum(begins.values()):
        errors.print(
            f"{state.name} holds {there} records already; an article that comes twice is a repeat in a replay",
            style="dim",
            markup=False,
        )


def _encode(item: RawItem | Refusal, times: ArchiveTimes | None) -> tuple[bytes, bytes, int | None] | Refusal:
    """Value, key and Kafka time of a record, or why there is none."""
    if isinstance(item, Refusal):
        return item
    time_ms = times.time_of(item.data, item.place) if times is not None else None
    if isinstance(time_ms, str):
        return Refusal(item.place, 0, time_ms)
    value = orjson.dumps(item.data)
    if len(value) > MAX_VALUE:
        return Refusal(item.place, 0, f"the article has {len(value)} bytes as JSON, more than {MAX_VALUE}")
    return value, item.key, time_ms
