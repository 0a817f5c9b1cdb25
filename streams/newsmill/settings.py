"""Environment variables (``NEWSMILL_…``) → one frozen, validated Settings; an unknown variable is an error."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from newsmill.errors import ConfigError

__all__ = ["Settings", "load_settings", "settings_table"]

PREFIX = "NEWSMILL_"
# set by people for the test suite, read by tests/conftest.py
TEST_PREFIX = "NEWSMILL_TEST_"


class Settings(BaseSettings):
    """Everything that can be set from outside. The README's table is generated from these descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, `host:port`, comma separated")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients talk to the broker; applies to every client"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol is a SASL one"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password; never printed")
    ssl_ca_file: Path | None = Field(None, description="PEM file of the certificate authorities to trust")

    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="goes before every topic, group and transactional id"
    )
    partitions: int = Field(4, ge=1, le=1000, description="partitions of topics that scale (ordered inputs have 1)")
    replication_factor: int = Field(1, ge=1, le=15, description="copies of each partition; 3 on a real cluster")
    min_insync_replicas: int = Field(1, ge=1, le=15, description="replicas that must confirm; 2 on a real cluster")
    retention_days: int = Field(30, ge=1, description="days that raw, unique, duplicate, ledger and event topics keep")
    deadletter_retention_days: int = Field(90, ge=1, description="days that dead letters are kept")

    default_timezone: str = Field("Asia/Seoul", description="zone of publication times that carry no offset")
    rules_dir: Path | None = Field(None, description="folder of rule files that replace or add to the packaged ones")

    dedupe_window_days: float = Field(14, gt=0, le=366, description="event time within which copies are found")
    dedupe_max_entries: int = Field(
        1_000_000, ge=1000, le=16_000_000, description="cap on texts held; the oldest leave first"
    )
    dedupe_shards: int = Field(
        1, ge=1, le=64, description="ordered shards of dedupe; copies are found within one shard"
    )
    dedupe_shard_map: str = Field(
        "",
        pattern=r"^([a-z]{2,3}=\d+(,[a-z]{2,3}=\d+)*)?$",
        description="language to shard, as `ko=0,en=1`; languages that are not named go to shard 0",
    )
    stories_window_hours: float = Field(72, gt=0, description="a story without news for so long is closed")
    stories_max_articles: int = Field(
        50_000, ge=100, description="cap on articles that new ones are compared with; the oldest leave first"
    )

    batch_max_records: int = Field(2000, ge=1, le=20_000, description="most records in one transaction")
    batch_max_kib: int = Field(
        0, ge=0, description="most KiB of input in one transaction; 0: by stage, so that a batch takes under 0.5 s"
    )
    fetch_wait_ms: int = Field(25, ge=1, le=5000, description="longest wait of a fetch for new records")
    session_timeout_ms: int = Field(6000, ge=1000, description="a worker silent for so long loses its partitions")
    transaction_timeout_ms: int = Field(10_000, ge=1000, description="an open transaction is aborted after so long")
    instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="unique name of this worker in its groups (static membership); default: host name and a free slot",
    )

    metrics_host: str = Field("127.0.0.1", description="address that the metrics endpoint listens on")
    metrics_lag_seconds: float = Field(5, ge=0.2, le=300, description="how often the broker is asked for the lag")
    metrics_source_groups: dict[str, list[str]] = Field(
        {},
        max_length=50,
        description='publishers by group, watched for silence, as JSON: `{"wire": ["Publisher A", "Publisher B"]}`',
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["auto", "plain", "json"] = Field(
        "auto", description="log lines: plain, JSON, or plain on a terminal and JSON elsewhere"
    )

    @field_validator("default_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value} is no time zone of the tz database") from error
        return value

    @property
    def shard_of_language(self) -> dict[str, int]:
        """The languages that have a shard of dedupe named for them."""
        return _pairs(self.dedupe_shard_map)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError("a SASL protocol needs NEWSMILL_SASL_USERNAME and NEWSMILL_SASL_PASSWORD")
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError("NEWSMILL_MIN_INSYNC_REPLICAS is above NEWSMILL_REPLICATION_FACTOR")
        shards = self.shard_of_language
        if any(shard >= self.dedupe_shards for shard in shards.values()):
            raise ValueError("NEWSMILL_DEDUPE_SHARD_MAP names a shard that NEWSMILL_DEDUPE_SHARDS does not have")
        if len(shards) < self.dedupe_shard_map.count("="):
            raise ValueError("NEWSMILL_DEDUPE_SHARD_MAP names a language twice")
        if len({0, *shards.values()}) < self.dedupe_shards:
            raise ValueError("NEWSMILL_DEDUPE_SHARD_MAP leaves a shard of NEWSMILL_DEDUPE_SHARDS without a language")
        return self


def _pairs(text: str) -> dict[str, int]:
    return {name: int(shard) for name, _, shard in (pair.partition("=") for pair in text.split(",") if pair)}


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; ``overrides`` (of command-line flags; None is "not given") win. `ConfigError` if wrong."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{name} is no setting of newsmill{hint} (`newsmill settings` lists them)")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_input=False):
            where = PREFIX + str(item["loc"][0]).upper() if item["loc"] else "settings"
            problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
        raise ConfigError("; ".join(problems)) from error


def settings_table() -> list[tuple[str, str, str]]:
    """Rows of (variable, default, description) for the README and ``newsmill settings``."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        rows.append((PREFIX + name.upper(), default, field.description or ""))
    return rows
