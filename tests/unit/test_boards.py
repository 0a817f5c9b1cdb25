"""Boards, rules and runbooks: they are what build.py makes, every query parses, every metric exists and is watched."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import promql_parser as promql
import pytest
import typer.main
import yaml

from newsmill.cli import app
from newsmill.metrics import Metrics, ReplayMetrics

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
BOARDS: dict[str, Any] = {
    path.stem: orjson.loads(path.read_bytes()) for path in sorted((OPS / "grafana/dashboards").glob("*.json"))
}
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((OPS / "prometheus/rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = [
    test
    for path in sorted((OPS / "prometheus/tests").glob("*.yml"))
    for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
]
# what Prometheus and its client library make by themselves
OTHERS = {"up", "ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "3h"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def queries() -> Iterator[tuple[str, str]]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel.get("targets") or ():
                yield f"{name}: {panel['title']}", target["expr"]


PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board) if panel["type"] != "row"]
QUERIES = list(queries())
EXPRESSIONS = QUERIES + [(str(rule.get("alert") or rule.get("record")), rule["expr"]) for rule in RULES]


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def selectors(expression: str) -> list[promql.VectorSelector]:
    """Every selector in a query."""
    found: list[promql.VectorSelector] = []
    todo: list[Any] = [promql.parse(filled(expression))]
    while todo:
        node = todo.pop()
        match node:
            case promql.VectorSelector():
                found.append(node)
            case promql.MatrixSelector():
                found.append(node.vector_selector)
            case promql.BinaryExpr():
                todo += [node.lhs, node.rhs]
            case promql.Call():
                todo += node.args
            case promql.NumberLiteral() | promql.StringLiteral():
                pass
            case _:
                todo.append(node.expr)
    return found


def exported() -> set[str]:
    """Every series name that a worker or a replay can serve, with the suffixes of histograms and counters."""
    names = set()
    for family in (*Metrics("live", ("chips",)).registry.collect(), *ReplayMetrics("july", 1).registry.collect()):
        if not family.name.startswith("news_"):
            continue
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def base(name: str) -> str:
    return re.sub(r"_(total|bucket|sum|count)$", "", name)


# ---- queries


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_query_parses_and_every_metric_in_it_exists(where: str, expression: str) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = {str(selector.name) for selector in selectors(expression)}
    assert used, where
    assert used - exported() - recorded - OTHERS == set(), where


def test_every_metric_is_on_a_board_or_in_a_rule() -> None:
    used = {base(str(selector.name)) for _, expression in EXPRESSIONS for selector in selectors(expression)}
    assert {base(name) for name in exported()} - used == set()


def test_every_recorded_series_is_used() -> None:
    used = {str(selector.name) for _, expression in EXPRESSIONS for selector in selectors(expression)}
    assert {rule["record"] for rule in RULES if "record" in rule} - used == set()


def matchers(selector: promql.VectorSelector) -> set[tuple[str, str, str]]:
    """(label, how, value) of a selector."""
    how = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
    return {(one.name, how[str(one.op)], one.value) for one in selector.matchers.matchers}


LIVE = {("job", "=~", "$job"), ("job", "!=", "newsmill-replay"), ("instance", "=~", "$instance")}
REPLAY = ("job", "=", "newsmill-replay")


@pytest.mark.parametrize(("where", "expression"), QUERIES, ids=[where for where, _ in QUERIES])
def test_boards_look_at_live_by_job_and_instance_and_the_replay_board_at_replays_too(
    where: str, expression: str
) -> None:
    for selector in selectors(expression):
        if selector.name == "ALERTS":  # made by rules that add workers up: it has neither label
            continue
        found = matchers(selector)
        if where.startswith("replay: ") and REPLAY in found:
            assert not {("job", "=~", "$job"), ("mode", "=", "live")} & found, where
        else:
            assert found >= LIVE, where
        if str(selector.name).startswith("news_replay_"):
            assert found >= {REPLAY, ("run", "=~", "$run")}, where
    queried = {str(selector.name) for selector in selectors(expression)}
    assert where.startswith("replay: ") or not any(name.startswith("news_replay_") for name in queried)


@pytest.mark.parametrize(("where", "expression"), QUERIES, ids=[where for where, _ in QUERIES])
def test_rates_look_back_by_the_rate_interval(where: str, expression: str) -> None:
    looking = re.findall(r"\b(\w+)\((?:[^\[(]*)\[([^\]]+)\]", expression)
    assert len(looking) == expression.count("[")
    for function, window in looking:
        steady = {"$__rate_interval"}
        allowed = {"rate": steady, "deriv": steady, "increase": {"$__range", "30d"}, "last_over_time": {"$__range"}}
        assert window in allowed[function], (where, function, window)


@pytest.mark.parametrize("rule", RULES, ids=[str(rule.get("alert") or rule.get("record")) for rule in RULES])
def test_rules_look_at_live_only_and_at_how_far_a_replay_is(rule: dict[str, Any]) -> None:
    for selector in selectors(rule["expr"]):
        name = str(selector.name)
        if name.startswith("news_replay_"):
            assert str(rule.get("alert")).startswith("NewsmillReplay")
            assert REPLAY in matchers(selector)
        elif not name.startswith("newsmill:"):
            assert ("job", "=", "newsmill") in matchers(selector)


# ---- boards


def test_boards_are_what_the_code_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(OPS / "grafana/build.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(BOARDS) == {"overview", "stages", "newsroom", "replay"}


def test_uids_and_ids_are_unique() -> None:
    uids = [board["uid"] for board in BOARDS.values()]
    assert len(set(uids)) == len(uids)
    for name, board in BOARDS.items():
        ids = [panel["id"] for panel in panels(board)]
        assert len(set(ids)) == len(ids), name
        assert all(isinstance(number, int) and number > 0 for number in ids), name


@pytest.mark.parametrize("name", BOARDS)
def test_board_has_its_variables_and_names_no_data_source_of_its_own(name: str) -> None:
    board = BOARDS[name]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    own = ["run"] if name == "replay" else []
    assert list(variables) == ["datasource", "job", "instance", *own]
    assert variables["datasource"]["query"] == "prometheus"
    text = orjson.dumps(board).decode()
    assert "${DS_" not in text
    assert set(re.findall(r'"uid":"([^"]*)"', text)) - {board["uid"], "-- Grafana --"} == {"${datasource}"}
    assert all(
        variables[label]["includeAll"] and variables[label]["allValue"] == ".+" for label in ("job", "instance", *own)
    )
    assert all('job!="newsmill-replay"' in variables[label]["query"] for label in ("job", "instance"))


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_panel_says_what_it_shows(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 15
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]
    if panel["type"] != "table":
        assert all(target["legendFormat"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(BOARDS[name]):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]


# ---- alerts


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_alert_has_all_that_a_person_needs(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page = (ROOT / rule["annotations"]["runbook_url"]).read_text("utf-8")
    assert page.startswith(f"# {rule['alert']}\n")
    sections = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert sections == ["What it means", "How to see it", "What to do first"]
    assert "newsmill " in page.replace("newsmill_", ""), "it names newsmill's own commands"


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in (OPS / "runbooks").glob("*.md")} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_alert_has_a_test_that_it_fires_and_one_that_it_stays_quiet(rule: dict[str, Any]) -> None:
    mine = [test for test in TESTS if test["name"].split()[0] == rule["alert"]]
    samples = [[check["exp_samples"] for check in test["promql_expr_test"]] for test in mine]
    assert any(any(found) for found in samples), "fires"
    assert any(not any(found) for found in samples), "stays quiet"


# ---- commands in runbooks


def test_commands_in_runbooks_exist() -> None:
    group: Any = typer.main.get_command(app)
    commands = set(group.list_commands(None))
    named = {
        (path.name, word)
        for path in (OPS / "runbooks").glob("*.md")
        for word in re.findall(r"`newsmill ([a-z]+)", path.read_text("utf-8"))
    }
    assert named
    assert {(file, word) for file, word in named if word not in commands} == set()
    replay: Any = group.get_command(None, "replay")
    runbooks = " ".join(path.read_text("utf-8") for path in (OPS / "runbooks").glob("*.md"))
    assert set(re.findall(r"`newsmill replay ([a-z]+)", runbooks)) <= set(replay.list_commands(None))
    flags = {flag for one in replay.commands["run"].params for flag in one.opts}
    assert set(re.findall(r"`newsmill replay run [^`]*?(--[a-z-]+)", runbooks)) <= flags
