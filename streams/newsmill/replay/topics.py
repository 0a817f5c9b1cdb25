"""The topics of live and of a replay → their partitions on the broker; what is missing is one clear line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.errors import NewsmillError, TopicError
from newsmill.replay.plan import ReplayPlan, read_plan, replay_names
from newsmill.settings import Settings
from newsmill.topics import TOPICS

__all__ = ["find_partitions", "full_name", "require_plan"]


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


async def require_plan(settings: Settings, name: str) -> ReplayPlan:
    """The plan of a replay that exists; `NewsmillError` names those that do."""
    plan = await read_plan(settings, name)
    if plan is not None:
        return plan
    async with kafka.admin_client(settings) as admin:
        names = replay_names(settings, await admin.list_topics())
    others = f"there are {', '.join(names)}" if names else "there is none; `newsmill replay run` makes one"
    raise NewsmillError(f"there is no replay {name}: {others}")
