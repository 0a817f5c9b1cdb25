"""Which topics each stage reads and where its state is, and how its consumer group stands on the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.errors import BrokerError
from newsmill.settings import Settings
from newsmill.transport.transaction import TransactionFailed

__all__ = ["STAGE_TOPICS", "Group", "StageTopics", "call", "describe_group"]

T = TypeVar("T")
_COORDINATOR_SECONDS: Final = 15.0


class StageTopics(NamedTuple):
    """Short names of the topics that a stage reads, the main one first, and of its state topic (None: no state)."""

    sources: tuple[str, ...]
    state: str | None


# stages.py says the same, but reading the rules takes seconds, and a look at a broker needs none; a test compares
STAGE_TOPICS: Mapping[str, StageTopics] = MappingProxyType(
    {
        "prepare": StageTopics(("raw", "promote"), None),
        "dedupe": StageTopics(("prepared",), "state.dedupe"),
        "enrich": StageTopics(("unique",), None),
        "stories": StageTopics(("story-input",), "state.stories"),
    }
)


class Group(NamedTuple):
    """A consumer group as the broker sees it: its state, its members, and what they have committed."""

    name: str
    state: str
    members: int
    offsets: dict[TopicPartition, int]


def call(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the broker refuses becomes one clear line, without what the client logs on the way."""
    if settings.log_level != "debug":
        for library in ("aiokafka", "asyncio"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        return asyncio.run(work)
    except TransactionFailed as error:
        raise BrokerError(f"nothing was changed: {error}") from error
    except KafkaError as error:
        raise BrokerError(f"the broker refused: {type(error).__name__}: {error}") from error


async def describe_group(admin: AIOKafkaAdminClient, name: str) -> Group:
    """One group; a group that the broker does not know has no members and no offsets."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _COORDINATOR_SECONDS
    while True:
        try:
            (response,) = await admin.describe_consumer_groups([name])
            entry = response.to_object()["groups"][0]
            if entry["error_code"]:
                raise for_code(entry["error_code"])(name)
            return Group(name, entry["state"], len(entry["members"]), await kafka.group_offsets(admin, name))
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
            if loop.time() >= deadline:  # a new broker makes its offsets topic with the first question
                raise
            await asyncio.sleep(0.2)
