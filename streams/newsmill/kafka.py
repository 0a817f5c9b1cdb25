"""Settings → clients: consumers, producers and admin calls that every command and the worker share."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    NotCoordinatorForGroupError,
)
from aiokafka.structs import TopicPartition

from newsmill.errors import BrokerError, ConfigError
from newsmill.settings import Settings

__all__ = [
    "admin_client",
    "client_options",
    "consumer",
    "end_offsets",
    "group_name",
    "group_offsets",
    "producer",
    "read_range",
    "transactional_id",
    "wait_for_broker",
]

_COORDINATOR_SECONDS = 15.0


def client_options(settings: Settings) -> dict[str, Any]:
    """Connection and security options that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "security_protocol": settings.security_protocol,
        "client_id": "newsmill",
    }
    if settings.security_protocol.endswith("SSL"):
        file = settings.ssl_ca_file
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=str(file) if file is not None else None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"NEWSMILL_SSL_CA_FILE is {file}: {error.strerror or error}") from error
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = (
            settings.sasl_password.get_secret_value() if settings.sasl_password is not None else None
        )
    return options


def group_name(settings: Settings, stage: str) -> str:
    """The consumer group of a stage."""
    return f"{settings.topic_prefix}newsmill-{stage}"


def transactional_id(settings: Settings, stage: str, partition: int, further_source: str = "") -> str:
    """The transactional id for one input partition of a stage; ``further_source`` if it is not of its main topic."""
    return "-".join(filter(None, (group_name(settings, stage), further_source, str(partition))))


def _no_broker(settings: Settings, error: BaseException) -> BrokerError:
    return BrokerError(
        f"no Kafka broker answers at {settings.bootstrap_servers} ({type(error).__name__}): start one "
        "(`newsmill broker`) or name another (--bootstrap-servers, NEWSMILL_BOOTSTRAP_SERVERS)"
    )


@asynccontextmanager
async def _started(client: Any, settings: Settings) -> AsyncIterator[Any]:
    try:
        await client.start()
    except (KafkaConnectionError, KafkaError, OSError) as error:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
        raise _no_broker(settings, error) from error
    try:
        yield client
    finally:
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def admin_client(settings: Settings) -> Any:
    """An admin client as an async context; `BrokerError` where no broker answers."""
    return _started(AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=20_000), settings)


def consumer(settings: Settings, **options: Any) -> Any:
    """A consumer of committed records as an async context; by default without a group."""
    defaults: dict[str, Any] = {
        "group_id": None,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": 10 << 20,
        "fetch_max_wait_ms": 100,
    }
    return _started(AIOKafkaConsumer(**client_options(settings), **(defaults | options)), settings)


def producer(settings: Settings, **options: Any) -> Any:
    """An idempotent producer as an async context."""
    defaults: dict[str, Any] = {
        "enable_idempotence": True,
        "acks": "all",
        "linger_ms": 5,
        "compression_type": "zstd",
        "max_request_size": 10 << 20,
        "max_batch_size": 900_000,
    }
    return _started(AIOKafkaProducer(**client_options(settings), **(defaults | options)), settings)


async def wait_for_broker(settings: Settings, seconds: float = 10.0) -> None:
    """Return when a broker answers; `BrokerError` after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            async with admin_client(settings):
                return
        except BrokerError:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(0.3)


async def group_offsets(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Committed offsets of a group; partitions that never committed are absent."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _COORDINATOR_SECONDS
    while True:
        try:
            committed = await admin.list_consumer_group_offsets(group)
            break
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
            if loop.time() >= deadline:  # a new broker makes its offsets topic with the first question
                raise
            await asyncio.sleep(0.2)
    return {tp: meta.offset for tp, meta in committed.items() if meta.offset >= 0}


async def read_range(
    client: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> AsyncIterator[tuple[TopicPartition, list[Any]]]:
    """Every committed record of these partitions from their beginning to where they end now, in log order.

    Compares the consumer's *position* with the read_committed end: commit markers take offsets too, so the last
    record's offset says nothing.
    """
    client.assign(partitions)
    await client.seek_to_beginning(*partitions)
    ends = await end_offsets(client, partitions)
    left = {tp for tp in partitions if await client.position(tp) < ends[tp]}
    while left:
        for tp, records in (await client.getmany(*left, timeout_ms=500, max_records=5000)).items():
            if records:
                yield tp, [record for record in records if record.offset < ends[tp]]
        for tp in list(left):
            if await client.position(tp) >= ends[tp]:
                left.discard(tp)


async def end_offsets(client: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The read_committed ends (last stable offsets): aiokafka's ``end_offsets`` honours the isolation level."""
    ends: dict[TopicPartition, int] = await client.end_offsets(list(partitions))
    return ends
