"""promtool on configuration and rules: they are valid, and each alert fires and stays quiet as its tests say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

OPS = Path(__file__).parents[2] / "ops/prometheus"


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_configuration_is_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", OPS / "prometheus.yml")


def test_rules_are_valid() -> None:
    files = sorted((OPS / "rules").glob("*.yml"))
    assert promtool("check", "rules", *files).count("SUCCESS") == len(files)


@pytest.mark.parametrize("path", sorted((OPS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_alerts_fire_and_stay_quiet(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


def test_a_broken_rule_is_noticed(tmp_path: Path) -> None:
    text = (OPS / "rules/alerts.yml").read_text("utf-8").replace('up{job="newsmill"} == 0', 'up{job="newsmill"} == 2')
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules/alerts.yml").write_text(text, "utf-8")
    for name in ("rules/recording.yml", "tests/workers.yml"):
        (tmp_path / name).write_text((OPS / name).read_text("utf-8"), "utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "tests/workers.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "NewsmillWorkerDown" in done.stdout + done.stderr
