"""The manifest of a replay: what it runs over, and how far it and what came after it have got."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson
from aiokafka.structs import TopicPartition
from pydantic import BaseModel, ConfigDict

from newsmill import kafka
from newsmill.settings import Settings

__all__ = [
    "FINISHED_KEY",
    "ReplayPlan",
    "encode_entry",
    "manifest_topic",
    "read_entries",
    "read_plan",
    "replay_names",
    "replay_settings",
    "write_entry",
]

PLAN_KEY: Final = "plan"
FINISHED_KEY: Final = "finished"
"""The entry that stands in the manifest when the last stage has run to its end."""


class ReplayPlan(BaseModel):
    """What a replay runs over, frozen at its start. Times are ms since the epoch, ``to_ms`` is the first not replayed;
    ``begin`` and ``end`` are offsets by partition."""

    model_config = ConfigDict(frozen=True)

    name: str
    source_topic: str
    stages: tuple[str, ...]
    from_ms: int
    to_ms: int
    warm_up_ms: int
    begin: dict[int, int]
    end: dict[int, int]
    newsmill_version: str
    rules_version: str


def replay_settings(settings: Settings, name: str) -> Settings:
    """Settings whose topics, groups and transactional ids are the replay's own."""
    return settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}replay.{name}."})


def replay_names(settings: Settings, topics: Iterable[str]) -> list[str]:
    """The replays that exist, by the names of the broker's topics."""
    pattern = re.compile(re.escape(f"{settings.topic_prefix}replay.") + r"([^.]+)\.news\.")
    return sorted({match.group(1) for topic in topics if (match := pattern.match(topic))})


def manifest_topic(settings: Settings, name: str) -> str:
    """The full name of a replay's manifest topic: compacted, one partition."""
    return f"{replay_settings(settings, name).topic_prefix}news.replay.v1"


def encode_entry(value: dict[str, Any]) -> bytes:
    """The bytes of a manifest entry."""
    return orjson.dumps(value)


async def write_entry(settings: Settings, name: str, key: str, value: dict[str, Any]) -> None:
    """Write one entry of a replay's manifest, in place of the one before."""
    async with kafka.producer(settings) as producer:
        await producer.send_and_wait(manifest_topic(settings, name), encode_entry(value), key.encode(), 0)


async def read_entries(settings: Settings, name: str) -> dict[str, dict[str, Any]]:
    """The entries of a replay's manifest; none if there is no such replay."""
    topic = manifest_topic(settings, name)
    async with kafka.admin_client(settings) as admin:
        if topic not in await admin.list_topics():
            return {}
    entries: dict[str, dict[str, Any]] = {}
    async with kafka.consumer(settings) as client:
        async for _, records in kafka.read_range(client, [TopicPartition(topic, 0)]):
            for record in records:
                entries.pop(record.key.decode(), None)
                if record.value is not None:
                    entries[record.key.decode()] = orjson.loads(record.value)
    return entries


async def read_plan(settings: Settings, name: str) -> ReplayPlan | None:
    """The plan of a replay; None if there is no such replay."""
    entry = (await read_entries(settings, name)).get(PLAN_KEY)
    return None if entry is None else ReplayPlan.model_validate(entry)
