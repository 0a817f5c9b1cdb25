"""``newsmill reset``: a stage's offsets and its state, set back together, in one transaction for each partition."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

import typer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.cli.flow import STAGE_TOPICS, call, describe_group
from newsmill.cli.options import Debug, Servers, output, read_settings
from newsmill.errors import BrokerError, ConfigError, NewsmillError
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics
from newsmill.transport.envelope import STATE_OFFSET_KEY, state_offset

__all__ = ["run"]

# A transaction of millions of tombstones takes tens of seconds. One that is broken off does not block the worker for
# so long: the worker's own start, under the same transactional id, aborts it.
_TRANSACTION_MS: Final = 300_000
_CHUNK: Final = 20_000  # tombstones sent before their confirmations are awaited


class Place(StrEnum):
    """Where the stage begins again."""

    EARLIEST = "earliest"
    LATEST = "latest"


class _Step(NamedTuple):
    """One input partition: where the group stands (None: it never committed) and where it will.

    ``further_source`` is the short name of its topic if that is not the stage's main one.
    """

    partition: TopicPartition
    now: int | None
    target: int
    further_source: str = ""


def run(
    stage: Annotated[str, typer.Argument(help=f"One of {', '.join(STAGE_TOPICS)}.")],
    to: Annotated[
        Place, typer.Option(help="Begin again with the oldest record, or after the newest.")
    ] = Place.EARLIEST,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Set a stage's offsets back and empty its state, both together; asks first. Its workers must be stopped."""
    if stage not in STAGE_TOPICS:
        raise typer.BadParameter(f"{stage} is no stage; there are {', '.join(STAGE_TOPICS)}")
    settings = read_settings(bootstrap_servers, debug)
    steps = call(settings, _plan(settings, stage, to))
    for line in _describe(settings, stage, to, steps):
        output.print(line, markup=False)
    if not yes and not _confirmed():
        output.print("nothing was changed")
        raise typer.Exit(1)
    emptied = call(settings, _reset(settings, stage, steps))
    state = f"; {emptied:,} entries of its state are gone" if STAGE_TOPICS[stage].state else ""
    output.print(f"{stage} is reset: it begins at the {to} record when a worker starts{state}", markup=False)


def _confirmed() -> bool:
    try:
        return typer.confirm("Reset?")
    except typer.Abort:
        raise ConfigError("nobody answered, so nothing was changed; --yes resets without asking") from None


async def _plan(settings: Settings, stage: str, to: Place) -> list[_Step]:
    topics = STAGE_TOPICS[stage]
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings) as client:
        wanted = (*topics.sources, topics.state) if topics.state is not None else topics.sources
        found = await partitions_of_topics(admin, settings, wanted)
        further = {tp: short if short in topics.sources[1:] else "" for short in topics.sources for tp in found[short]}
        group = await _stopped_group(admin, settings, stage)
        ends = client.beginning_offsets if to is Place.EARLIEST else client.end_offsets
        targets = await ends(list(further))
    return [_Step(tp, group.offsets.get(tp), targets[tp], short) for tp, short in further.items()]


async def _stopped_group(admin: Any, settings: Settings, stage: str) -> Any:
    """The stage's group; `NewsmillError` while it has members."""
    group = await describe_group(admin, kafka.group_name(settings, stage))
    if group.members:
        one = "1 worker" if group.members == 1 else f"{group.members} workers"
        raise NewsmillError(
            f"{stage} cannot be reset: {one} in its group {group.name}; stop every worker that runs it first "
            f"(a stopped one leaves the group within {settings.session_timeout_ms / 1000:g} s)"
        )
    return group


def _describe(settings: Settings, stage: str, to: Place, steps: Iterable[_Step]) -> Iterable[str]:
    """What will happen, for the person who is asked."""
    topics = STAGE_TOPICS[stage]
    yield f"Resetting {stage} (group {kafka.group_name(settings, stage)}):"
    for step in steps:
        stands = "never committed" if step.now is None else f"stands at {step.now}"
        yield f"  {step.partition.topic}-{step.partition.partition}: {stands}, will stand at {step.target}"
    if topics.state is not None:
        yield "  its state is emptied in the same transaction: it will know nothing of what came before"
    if to is Place.EARLIEST:
        yield "  every record there is processed again: downstream topics and their consumers get events again"
    else:
        yield "  what it has not processed yet is skipped: those records are never processed"


async def _reset(settings: Settings, stage: str, steps: list[_Step]) -> int:
    """Reset each partition in a transaction of its own; the entries of state that were emptied.

    The transactional id is the stage's own: whoever worked for the partition is fenced before anything is read, and
    a worker that starts meanwhile fences this reset, which then changes nothing.
    """
    group = kafka.group_name(settings, stage)
    short = STAGE_TOPICS[stage].state
    emptied = 0
    async with kafka.admin_client(settings) as admin:
        state_topic = (await partitions_of_topics(admin, settings, [short]))[short][0].topic if short else None
        for step in steps:
            options = {
                "transactional_id": kafka.transactional_id(
                    settings, stage, step.partition.partition, step.further_source
                ),
                "transaction_timeout_ms": _TRANSACTION_MS if state_topic else settings.transaction_timeout_ms,
                "linger_ms": 0,
            }
            async with kafka.producer(settings, **options) as producer:
                await _stopped_group(admin, settings, stage)
                keys: list[bytes] = []
                state = None
                if state_topic is not None:
                    state = TopicPartition(state_topic, step.partition.partition)
                    keys = await _state_keys(settings, state)
                    emptied += len(keys)
                await _transact(producer, group, step, state, keys)
    return emptied


async def _state_keys(settings: Settings, partition: TopicPartition) -> list[bytes]:
    """The keys that have a value in a state topic, without the one of the offset."""
    live: dict[bytes, None] = {}
    async with kafka.consumer(settings) as client:
        async for _, records in kafka.read_range(client, [partition]):
            for record in records:
                if record.value is None:
                    live.pop(record.key, None)
                else:
                    live[record.key] = None
    live.pop(STATE_OFFSET_KEY, None)
    return list(live)


async def _transact(producer: Any, group: str, step: _Step, state: TopicPartition | None, keys: list[bytes]) -> None:
    """Tombstones, the state's offset and the group's offset, all or nothing."""
    try:
        await producer.begin_transaction()
        if state is not None:
            for start in range(0, len(keys), _CHUNK):
                await _send(producer, state, [(key, None) for key in keys[start : start + _CHUNK]])
            await _send(producer, state, [(STATE_OFFSET_KEY, state_offset(step.target))])
        await producer.send_offsets_to_transaction({step.partition: step.target}, group)
        await producer.commit_transaction()
    except (KafkaError, TimeoutError) as error:
        raise BrokerError(
            f"{step.partition.topic}-{step.partition.partition} was not reset ({type(error).__name__}): its offset and "
            "state are as they were; is a worker starting? Stop it and reset again"
        ) from error


async def _send(producer: Any, place: TopicPartition, records: list[tuple[bytes, bytes | None]]) -> None:
    batch = producer.create_batch()
    sent = []
    for key, value in records:
        if batch.append(timestamp=None, key=key, value=value, headers=[]) is None:
            batch.close()
            sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=[])
    batch.close()
    sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
    await asyncio.gather(*sent)
