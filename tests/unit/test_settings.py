"""Settings: the environment, flags on top, mistakes named, secrets kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from newsmill import kafka
from newsmill.errors import ConfigError
from newsmill.settings import Settings, load_settings, settings_table


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("NEWSMILL_"):
            monkeypatch.delenv(name)


def test_defaults_and_environment_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().bootstrap_servers == "127.0.0.1:9092"
    monkeypatch.setenv("NEWSMILL_BOOTSTRAP_SERVERS", "a:1,b:2")
    assert load_settings().bootstrap_servers == "a:1,b:2"
    assert load_settings(bootstrap_servers="c:3").bootstrap_servers == "c:3"
    assert load_settings(bootstrap_servers=None).bootstrap_servers == "a:1,b:2"


def test_an_unknown_variable_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_TOPIC_PREFX", "x.")
    with pytest.raises(ConfigError, match=r"NEWSMILL_TOPIC_PREFX is no setting.*did you mean NEWSMILL_TOPIC_PREFIX\?"):
        load_settings()


def test_variables_of_the_test_suite_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_TEST_KAFKA", "embedded")
    load_settings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PARTITIONS", "none", "NEWSMILL_PARTITIONS: Input should be a valid integer"),
        ("PARTITIONS", "0", "NEWSMILL_PARTITIONS: Input should be greater than or equal to 1"),
        ("DEFAULT_TIMEZONE", "Mars/Olympus", "NEWSMILL_DEFAULT_TIMEZONE: Mars/Olympus is no time zone"),
        ("TOPIC_PREFIX", "with space", "NEWSMILL_TOPIC_PREFIX"),
        ("SECURITY_PROTOCOL", "SASL_SSL", "needs NEWSMILL_SASL_USERNAME and NEWSMILL_SASL_PASSWORD"),
        ("MIN_INSYNC_REPLICAS", "2", "above NEWSMILL_REPLICATION_FACTOR"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"NEWSMILL_{name}", value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSMILL_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("NEWSMILL_PARTITIONS", "none")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    monkeypatch.delenv("NEWSMILL_PARTITIONS")
    settings = load_settings()
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert all("hunter2" not in " ".join(row) for row in settings_table())


def test_security_reaches_every_client(tmp_path: Path) -> None:
    """The options that consumers, producers and admin clients are made with; the certificate file is read."""
    plain = kafka.client_options(Settings())
    assert plain["security_protocol"] == "PLAINTEXT"
    assert "ssl_context" not in plain
    sasl = kafka.client_options(
        Settings(security_protocol="SASL_SSL", sasl_username="mill", sasl_password=SecretStr("hunter2"))
    )
    assert sasl["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (sasl["sasl_plain_username"], sasl["sasl_plain_password"]) == ("mill", "hunter2")
    assert sasl["ssl_context"].check_hostname
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"NEWSMILL_SSL_CA_FILE.*ca\.pem"):
        kafka.client_options(Settings(security_protocol="SSL", ssl_ca_file=broken))
    with pytest.raises(ConfigError, match=r"NEWSMILL_SSL_CA_FILE.*missing\.pem"):
        kafka.client_options(Settings(security_protocol="SSL", ssl_ca_file=tmp_path / "missing.pem"))


def test_groups_and_transactional_ids_carry_the_prefix() -> None:
    settings = Settings(topic_prefix="blue.")
    assert kafka.group_name(settings, "dedupe") == "blue.newsmill-dedupe"
    assert kafka.transactional_id(settings, "dedupe", 3) == "blue.newsmill-dedupe-3"
