"""docker-compose.yml and ops/Dockerfile, checked by structure: the same Kafka as the embedded one, closed to others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import newsmill
from newsmill.broker import KAFKA_VERSION
from newsmill.broker.layout import BROKER_PROPERTIES
from newsmill.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

# what a container sets in its own way: addresses, folders, listener names; and tuning for a small machine
OWN = {
    "controller.listener.names",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "log.dirs",
    "offsets.topic.num.partitions",
    "transaction.state.log.num.partitions",
    "share.coordinator.state.topic.num.partitions",
    "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
    "num.network.threads",
    "num.io.threads",
    "background.threads",
    "log.cleaner.dedupe.buffer.size",
}


def test_kafka_is_the_version_of_the_embedded_one() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("name", sorted(set(BROKER_PROPERTIES) - OWN))
def test_broker_settings_are_those_of_the_embedded_one(name: str) -> None:
    variable = "KAFKA_" + name.upper().replace(".", "_")
    assert SERVICES["kafka"]["environment"][variable] == str(BROKER_PROPERTIES[name])


def test_every_published_port_is_on_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert all("network_mode" not in service for service in SERVICES.values())


def test_no_password_is_written_down() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search("PASS|SECRET|TOKEN|KEY", variable), (name, variable, value)


def test_order_of_start() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["topics"]["command"] == ["topics", "create"]
    assert SERVICES["worker"]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    for name in ("kafka", "worker"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_data_are_kept_in_named_volumes() -> None:
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert sources == set(COMPOSE["volumes"])


def test_variables_are_settings_of_newsmill() -> None:
    known = {"NEWSMILL_" + field.upper() for field in Settings.model_fields}
    for name in ("topics", "worker"):
        assert set(SERVICES[name]["environment"]) <= known


def test_image_is_of_this_version_and_not_root() -> None:
    assert SERVICES["worker"]["image"] == f"newsmill:{newsmill.__version__}"
    dockerfile = (ROOT / SERVICES["worker"]["build"]["dockerfile"]).read_text("utf-8")
    stages = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    assert re.findall(r"^USER (\d+)$", stages[-1], re.MULTILINE) == ["10001"]
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    ]
    assert [path for path in copied if not (ROOT / path).exists()] == []
