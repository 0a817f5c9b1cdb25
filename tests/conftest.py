"""Fixtures of every tier: one Kafka for the whole run, and a topic prefix of its own for each test.

Which Kafka, in this order:
    NEWSMILL_BOOTSTRAP_SERVERS            the one it names
    NEWSMILL_TEST_KAFKA=container         apache/kafka in a container (needs a Docker engine and the dev packages)
    otherwise                             the embedded broker
No test is ever skipped for want of a Kafka: a broker that cannot start fails the tests that need it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator

import pytest

from newsmill.broker import KAFKA_VERSION, EmbeddedKafka
from newsmill.broker.layout import BROKER_PROPERTIES
from newsmill.broker.wire import can_create_topics
from newsmill.errors import BrokerError


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """HOST:PORT of a running Kafka, shared by all tests of the run: take `prefix` for your topics and groups."""
    servers = os.environ.get("NEWSMILL_BOOTSTRAP_SERVERS")
    if servers:
        yield servers
        return
    kind = os.environ.get("NEWSMILL_TEST_KAFKA", "embedded")
    if kind == "container":
        yield from _container()
    elif kind == "embedded":
        with EmbeddedKafka() as broker:
            yield broker.bootstrap
    else:
        raise pytest.UsageError(f"NEWSMILL_TEST_KAFKA is {kind!r}; it may be 'embedded' or 'container'")


def _container() -> Iterator[str]:
    # Unproved: no Docker engine was at hand when this was written. testcontainers' own KafkaContainer knows Confluent's
    # image only; this is the image of docker-compose.yml, with the embedded broker's settings.
    from testcontainers.core.container import DockerContainer

    with socket.create_server(("127.0.0.1", 0)) as free:  # Kafka must know its address before Docker would choose one
        port = free.getsockname()[1]
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}")
    container.ports["9092/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment]  # docker takes (address, port)
    properties = dict(BROKER_PROPERTIES) | {
        "listeners": "HOST://:9092,INTERNAL://localhost:19092,CONTROLLER://localhost:9093",
        "advertised.listeners": f"HOST://127.0.0.1:{port},INTERNAL://localhost:19092",
        "listener.security.protocol.map": "HOST:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.quorum.voters": "1@localhost:9093",
        "log.dirs": "/var/lib/kafka/data",
    }
    for name, value in properties.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), str(value))
    with container:
        deadline = time.monotonic() + 90
        while not can_create_topics("127.0.0.1", port):
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka in the container is not ready after 90 s: {container.get_logs()}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"


@pytest.fixture
def prefix() -> str:
    """A topic prefix of this test alone, such as ``t3f9a1c.``; it also goes before groups and transactional ids."""
    return f"t{secrets.token_hex(3)}."
