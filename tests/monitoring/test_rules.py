"""promtool on configuration and rules: they are valid, and each alert fires and stays quiet as its tests say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

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


def test_a_replay_that_were_scraped_as_live_would_raise_every_alert(tmp_path: Path) -> None:
    """That the test of a replay beside live can fail: under live's job the same faults fire all that can fire."""
    path = OPS / "tests/beside.yml"
    content = yaml.safe_load(path.read_text("utf-8"))
    content["rule_files"] = [str(path.parent / file) for file in content["rule_files"]]
    test = content["tests"][0]
    replay = [one for one in test["input_series"] if 'job="newsmill-replay"' in one["series"]]
    for one in replay:
        one["series"] = one["series"].replace("newsmill-replay", "newsmill").replace('mode="replay"', 'mode="live"')
    rules = [yaml.safe_load((path.parent / file).read_text("utf-8")) for file in content["rule_files"]]
    alerts = {rule["alert"] for file in rules for group in file["groups"] for rule in group["rules"] if "alert" in rule}
    # one is about targets that are not there, two need a replay
    alerts -= {"NewsmillTargetAbsent", "NewsmillReplayStuck", "NewsmillReplayHurtsLive"}
    fired = 'group by (alertname) (max_over_time(ALERTS{alertstate="firing"}[330m]))'
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
    test |= {
        "input_series": replay,
        "promql_expr_test": [{"expr": fired, "eval_time": "330m", "exp_samples": expected}],
    }
    content["tests"] = [test]
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content), "utf-8")
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "test.yml")
