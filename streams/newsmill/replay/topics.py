"""The topics of live and of a replay → their partitions on the broker; what is missing is one clear line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.structs import TopicPartition

from newsmill.errors import TopicError
from newsmill.settings import Settings
from newsmill.topics import TOPICS

__all__ = ["find_partitions", "full_name"]


def full_name(settings: Settings, short: str) -> str:
    """The full name of a topic by its short one, below the prefix of these settings."""
    return settings.topic_prefix + TOPICS[short].name


async def find_partitions(admin: Any, settings: Settings, shorts: Iterable[str]) -> dict[str, list[TopicPartition]]:
    """Short name → partitions; `TopicError` names what is missing."""
    names = {short: full_name(settings, short) for short in shorts}
    there = set(await admin.list_topics())
    missing = sorted(name for name in names.values() if name not in there)
    if missing:
        raise TopicError(f"topics are missing: {', '.join(missing)}; run `newsmill topics create`")
    found = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics(sorted(names.values()))}
    return {short: [TopicPartition(name, number) for number in range(found[name])] for short, name in names.items()}
