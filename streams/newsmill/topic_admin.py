"""topics.py against a broker: create what is missing, list what is there, check that both agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import TopicPartition

from newsmill.errors import TopicError
from newsmill.settings import Settings
from newsmill.topics import TOPICS, Topic

__all__ = [
    "TopicState",
    "check_topics",
    "create_topics",
    "missing_topics",
    "partitions_of_topics",
    "topic_name",
    "topic_states",
]


class TopicState(NamedTuple):
    """One topic as it should be and as it is. ``partitions`` is 0 where it is missing."""

    topic: Topic
    name: str
    partitions: int
    differences: tuple[str, ...]


async def create_topics(admin: AIOKafkaAdminClient, topics: Mapping[str, Topic], settings: Settings) -> list[str]:
    """Create what is missing; the names created. Raises `TopicError` where the broker refuses."""
    there = set(await admin.list_topics())
    new = [
        NewTopic(
            settings.topic_prefix + topic.name,
            topic.partitions,
            settings.replication_factor,
            topic_configs=topic.config(settings),
        )
        for topic in topics.values()
        if settings.topic_prefix + topic.name not in there
    ]
    if not new:
        return []
    try:
        response = await admin.create_topics(new, timeout_ms=30_000)
    except TopicAlreadyExistsError:
        return await create_topics(admin, topics, settings)  # somebody else created one of them in between
    except KafkaError as error:
        raise TopicError(f"topics could not be created: {type(error).__name__} {error}") from error
    for entry in getattr(response, "topic_errors", ()):
        name, code, *rest = entry
        if code not in (0, TopicAlreadyExistsError.errno):
            detail = rest[0] if rest and rest[0] else for_code(code).__name__
            raise TopicError(f"topic {name} could not be created: {detail}")
    names = [topic.name for topic in new]
    await _until_led(admin, names)
    return names


async def _until_led(admin: AIOKafkaAdminClient, names: list[str], seconds: float = 15) -> None:
    """Wait until every partition has a leader: the controller answers before the brokers know."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        described = await admin.describe_topics(names)
        if all(
            entry["error_code"] == 0
            and entry["partitions"]
            and all(part["leader"] >= 0 for part in entry["partitions"])
            for entry in described
        ):
            return
        if loop.time() > deadline:
            raise TopicError(f"the topics were created, but not every partition has a leader after {seconds:g} s")
        await asyncio.sleep(0.05)


async def missing_topics(admin: AIOKafkaAdminClient, topics: Iterable[Topic], settings: Settings) -> list[str]:
    """Names of those topics that the broker does not have."""
    there = set(await admin.list_topics())
    return sorted(name for topic in topics if (name := settings.topic_prefix + topic.name) not in there)


async def topic_states(admin: AIOKafkaAdminClient, topics: Mapping[str, Topic], settings: Settings) -> list[TopicState]:
    """Every topic of ours beside what the broker has."""
    names = {settings.topic_prefix + topic.name: topic for topic in topics.values()}
    there = set(await admin.list_topics()) & set(names)
    partitions = {
        entry["topic"]: len(entry["partitions"])
        for entry in (await admin.describe_topics(sorted(there)) if there else ())
    }
    configs: dict[str, dict[str, str]] = {}
    if there:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(there)]
        for response in await admin.describe_configs(resources):
            for _, _, _, name, entries in response.resources:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    states = []
    for name, topic in names.items():
        if name not in there:
            states.append(TopicState(topic, name, 0, ("missing",)))
            continue
        differences = []
        if partitions[name] != topic.partitions:
            differences.append(f"partitions {partitions[name]}, should be {topic.partitions}")
        for key, value in topic.config(settings).items():
            actual = configs.get(name, {}).get(key)
            if actual != value:
                differences.append(f"{key} {actual}, should be {value}")
        states.append(TopicState(topic, name, partitions[name], tuple(differences)))
    return states


async def check_topics(admin: AIOKafkaAdminClient, topics: Mapping[str, Topic], settings: Settings) -> list[str]:
    """What differs, one line a topic; empty if all is as it should be."""
    return [
        f"{state.name}: {'; '.join(state.differences)}"
        for state in await topic_states(admin, topics, settings)
        if state.differences
    ]


def topic_name(settings: Settings, short: str) -> str:
    """The full name of a topic by its short one, below the prefix of these settings."""
    return settings.topic_prefix + TOPICS[short].name


async def partitions_of_topics(
    admin: AIOKafkaAdminClient, settings: Settings, shorts: Iterable[str]
) -> dict[str, list[TopicPartition]]:
    """Short name → partitions; `TopicError` names what is missing."""
    names = {short: topic_name(settings, short) for short in shorts}
    there = set(await admin.list_topics())
    missing = sorted(name for name in names.values() if name not in there)
    if missing:
        raise TopicError(f"topics are missing: {', '.join(missing)}; run `newsmill topics create`")
    found = {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics(sorted(names.values()))}
    return {short: [TopicPartition(name, n) for n in range(found[name])] for short, name in names.items()}
