"""docker-compose.yml and ops/Dockerfile, checked by structure: the same Kafka as the embedded one, closed to others."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import newsmill
import newsmill.cli.replay
from newsmill.broker import KAFKA_VERSION
from newsmill.broker.layout import BROKER_PROPERTIES
from newsmill.cli.replay.run import run
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
    for name in ("kafka", "worker", "prometheus", "grafana"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_data_are_kept_in_named_volumes() -> None:
    sources = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_mounted_files_exist_and_cannot_be_written() -> None:
    mounted = [v.split(":") for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounted
    assert [(source, mode) for source, _, mode in mounted if not (ROOT / source).is_dir() or mode != "ro"] == []


def test_compose_file_follows_the_specification() -> None:
    schema = json.loads((Path(__file__).parent / "compose_spec/compose-spec.json").read_text("utf-8"))
    found = list(jsonschema.Draft202012Validator(schema).iter_errors(COMPOSE))
    assert [(error.json_path, error.message) for error in found] == []
    broken = {**COMPOSE, "services": {"kafka": {"image": 1}}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(broken)


def test_images_are_pinned_by_tag() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_prometheus_finds_its_rules_and_the_workers() -> None:
    command, volumes = SERVICES["prometheus"]["command"], SERVICES["prometheus"]["volumes"]
    target = next(volume.split(":")[1] for volume in volumes if volume.startswith("./ops/prometheus:"))
    assert f"--config.file={target}/prometheus.yml" in command
    assert "--enable-feature=exemplar-storage" in command
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text("utf-8"))
    assert [list((ROOT / "ops/prometheus").glob(pattern)) for pattern in config["rule_files"]] != [[]]
    worker = next(job for job in config["scrape_configs"] if job["job_name"] == "newsmill")
    [found] = worker["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert [str(found["port"])] == SERVICES["worker"]["expose"]


def test_prometheus_finds_a_replay_and_all_the_ports_it_serves() -> None:
    replay = SERVICES["replay"]
    assert replay["profiles"] == ["replay"], "it does not start with the others"
    assert replay["entrypoint"] == ["newsmill", "replay"]
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text("utf-8"))
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "newsmill-replay")
    assert {name for found in job["dns_sd_configs"] for name in found["names"]} == {"replay"}
    ports = sorted(found["port"] for found in job["dns_sd_configs"])
    first = inspect.signature(run).parameters["metrics_port"].default
    assert ports == list(range(first, first + 5))
    assert replay["expose"] == [f"{ports[0]}-{ports[-1]}"]
    said = re.findall(r"docker compose run (.+?) replay (\w+)", (ROOT / "ops/README.md").read_text("utf-8"))
    assert ("--rm --use-aliases", "run") in said, "without the alias Prometheus does not find it"
    assert all(hasattr(newsmill.cli.replay, command) for _, command in said)


def test_a_sort_of_a_replay_does_not_fill_memory() -> None:
    replay = SERVICES["replay"]
    assert replay["tmpfs"] == []
    assert [volume.split(":")[1] for volume in replay["volumes"]] == ["/tmp"]


def test_grafana_finds_its_boards_and_prometheus_and_has_no_login() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounts["./ops/grafana/provisioning"] == "/etc/grafana/provisioning"
    folder = ROOT / "ops/grafana/provisioning"
    provider = yaml.safe_load((folder / "dashboards/newsmill.yml").read_text("utf-8"))["providers"][0]
    assert provider["options"]["path"] == mounts["./ops/grafana/dashboards"]
    source = yaml.safe_load((folder / "datasources/prometheus.yml").read_text("utf-8"))["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "ops/grafana/dashboards" / Path(home).name).exists()
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_variables_are_settings_of_newsmill() -> None:
    known = {"NEWSMILL_" + field.upper() for field in Settings.model_fields}
    for name in ("topics", "worker", "replay"):
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
