"""A replay's name → its topics and groups, and their removal."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.errors import GroupIdNotFound, KafkaError, NonEmptyGroup, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from newsmill import kafka
from newsmill.errors import NewsmillError
from newsmill.replay.plan import DROPPING_KEY, manifest_topic, replay_settings, write_entry
from newsmill.settings import Settings

__all__ = ["delete_replay", "find_groups", "find_topics"]

_GONE_SECONDS: Final = 30.0


async def find_topics(settings: Settings, name: str) -> list[str]:
    """The full names of a replay's topics."""
    prefix = replay_settings(settings, name).topic_prefix
    async with kafka.admin_client(settings) as admin:
        return sorted(topic for topic in await admin.list_topics() if topic.startswith(prefix))


async def find_groups(settings: Settings, name: str) -> list[str]:
    """The names of a replay's consumer groups."""
    prefix = replay_settings(settings, name).topic_prefix
    async with kafka.admin_client(settings) as admin:
        return sorted(group for group, *_ in await admin.list_consumer_groups() if group.startswith(prefix))


async def delete_replay(settings: Settings, name: str) -> tuple[int, int]:
    """Delete groups, then topics, the manifest last; how many of each. `NewsmillError` while the replay runs."""
    groups, topics = await find_groups(settings, name), await find_topics(settings, name)
    async with kafka.admin_client(settings) as admin:
        for group in groups:  # before anything is deleted: a sort that runs keeps its place in a group without members
            await _require_stopped(admin, group, name)
        if manifest_topic(settings, name) in topics:
            await write_entry(settings, name, DROPPING_KEY, {})
        for group in groups:
            await _delete_group(admin, group, name)
        # without its plan nobody could drop the rest of a replay by name
        last = [topic for topic in topics if topic == manifest_topic(settings, name)]
        for some in ([topic for topic in topics if topic not in last], last):
            if some:
                await admin.delete_topics(some, timeout_ms=30_000)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GONE_SECONDS
        while set(topics) & set(await admin.list_topics()):
            if loop.time() > deadline:
                raise NewsmillError(f"topics of replay {name} are still there after {_GONE_SECONDS:g} s; drop it again")
            await asyncio.sleep(0.1)
    return len(topics), len(groups)


async def _require_stopped(admin: Any, group: str, name: str) -> None:
    (response,) = await admin.describe_consumer_groups([group])
    if response.to_object()["groups"][0]["members"]:
        raise _running(group, name)


def _running(group: str, name: str) -> NewsmillError:
    return NewsmillError(
        f"replay {name} is running (group {group} has members): stop it first; one that was killed leaves its groups "
        "within seconds"
    )


async def _delete_group(admin: Any, group: str, name: str) -> None:
    coordinator = await admin.find_coordinator(group)
    response = await admin._send_request(DeleteGroupsRequest([group]), coordinator)
    for _, code in response.results:
        error = for_code(code)
        if error is NonEmptyGroup:
            raise _running(group, name)
        if code and error is not GroupIdNotFound:
            raise KafkaError(f"group {group} could not be deleted: {error.__name__}")
