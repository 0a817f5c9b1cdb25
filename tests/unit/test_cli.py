"""The commands without a Kafka: help, wrong use, and ``explain``."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from rich.console import Console
from typer.testing import CliRunner

from newsmill.cli import app, main
from newsmill.cli.flow import STAGE_TOPICS
from newsmill.cli.status import StageStatus, _table, judge_stage
from newsmill.cli.text_diff import diff_texts
from newsmill.core.copies import load_copy_rules
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError
from newsmill.samples import FOLDER
from newsmill.settings import load_settings
from newsmill.stages import STAGES, build_stages

runner = CliRunner()

ARTICLE = {
    "url": "https://example.org/news/2026/harbor-chips?utm_source=feed",
    "title": "Harbor Semiconductor to build a chip plant for $1.2 billion",
    "body": "Harbor Semiconductor will build a semiconductor plant near the river, the chipmaker said on Monday. "
    "The plant will cost $1.2 billion and make memory chips for data centres. "
    "Its foundry customers asked for more wafers, the company said. Hiring begins in the spring.",
    "source": "Example Wire",
    "published_at": "2026-03-02T09:00:00+09:00",
}


def _call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of ``newsmill`` as a person calls it."""
    monkeypatch.setattr("sys.argv", ["newsmill", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", [
    ["explain"], ["trace"], ["deadletters"], ["deadletters", "list"], ["deadletters", "show"],
    ["deadletters", "requeue"], ["status"], ["reset"],
])  # fmt: skip
def test_every_command_has_help(command: list[str]) -> None:
    answer = runner.invoke(app, [*command, "--help"])
    assert answer.exit_code == 0
    if command != ["deadletters"]:
        assert "--bootstrap-servers" in answer.output
        assert "--debug" in answer.output


@pytest.mark.parametrize(("arguments", "says"), [
    (["reset", "printing", "--yes"], "printing is no stage"),
    (["deadletters", "list", "--stage", "printing"], "printing is no stage"),
    (["deadletters", "show", "17"], "17 is no PARTITION:OFFSET"),
    (["deadletters", "requeue"], "name dead letters"),
    (["deadletters", "requeue", "0:1", "--all"], "name dead letters"),
    (["deadletters", "list", "--reason", "boredom"], "boredom"),
    (["status", "--watch-seconds", "0"], "watch-seconds"),
    (["explain"], "PATH"),
    (["trace"], "ID|URL"),
])  # fmt: skip
def test_wrong_use_is_exit_2(arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens there: a usage error must come before any connection
    monkeypatch.setenv("NEWSMILL_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    answer = runner.invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    assert answer.exit_code == 2
    assert says in answer.output


@pytest.mark.parametrize("arguments", [
    ["status"], ["trace", "0" * 32], ["deadletters", "list"], ["deadletters", "requeue", "--all", "--yes"],
    ["reset", "dedupe", "--yes"],
])  # fmt: skip
def test_no_broker_is_one_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _call([*arguments, "--bootstrap-servers", "127.0.0.1:1"], monkeypatch)
    said = capsys.readouterr().err
    assert code == 1
    assert said.count("\n") == 1
    assert said.startswith("newsmill: no Kafka broker answers at 127.0.0.1:1")


def test_error_of_a_process_is_one_line() -> None:
    """In a process of its own nobody captures what the Kafka client logs."""
    command = [sys.executable, "-m", "newsmill.cli", "status", "--bootstrap-servers", "127.0.0.1:1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1


def test_stage_topics_agree_with_the_stages() -> None:
    built = build_stages(load_settings(), load_rulebook())
    assert tuple(STAGE_TOPICS) == STAGES
    assert {stage.name: (stage.sources, stage.state_topic) for stage in built} == dict(STAGE_TOPICS)


# ---- explain ----------------------------------------------------------------------------------------------------


def _explain(path: Path, *more: str) -> list[dict[str, Any]]:
    answer = runner.invoke(app, ["explain", str(path), "--json", *more])
    assert answer.exit_code in (0, 1), answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "articles.jsonl"
    copy = {key: value for key, value in ARTICLE.items() if key != "source"}
    path.write_text("\n".join(json.dumps(article) for article in (ARTICLE, copy)), "utf-8")
    return path


def test_explain_says_what_was_decided_by_what(file: Path) -> None:
    first, second = _explain(file, "--source", "Given Gazette")
    assert first["outcome"] == second["outcome"] == "ok"
    article, decisions = first["article"], first["decisions"]
    assert article["id"] == second["article"]["id"]
    assert article["canonical_url"] == "https://example.org/news/2026/harbor-chips"
    assert (article["source"], second["article"]["source"]) == ("Example Wire", "Given Gazette")
    assert article["published_at"] == "2026-03-02T00:00:00Z"
    assert (decisions["id"], decisions["body"], decisions["published_at"]) == ("url", "text", "article")
    chips = next(theme for theme in first["themes"] if theme["theme"] == "chips")
    assert chips["applies"]
    assert chips["total"] >= chips["threshold"]
    assert {"semiconductor", "chip"} & {term["surface"].lower() for term in chips["terms"]}
    assert {theme["theme"] for theme in first["themes"]} >= {"chips", "cloud", "industrial-ai"}  # the rejected ones too
    for amount in article["amounts"]:
        assert article["text"][amount["start"] : amount["end"]] == amount["text"]
    assert [(amount["value"], amount["currency"]) for amount in article["amounts"]] == [("1200000000", "USD")]
    assert article["summary"]
    assert article["degraded"] == []
    assert first["sketch"]["words"] > 30
    steps = {"decode", "prepare", "sketch", "themes", "entities", "amounts", "keywords", "summary", "digest"}
    assert steps <= first["microseconds"].keys()


def test_explain_for_people(file: Path) -> None:
    answer = runner.invoke(app, ["explain", str(file)])
    assert answer.exit_code == 0
    for part in (ARTICLE["title"], "chips", "$1.2 billion", "1200000000 USD", "summary 1", "microseconds"):
        assert part in answer.output


def test_explain_shows_a_page_and_how_much_was_cut() -> None:
    (page,) = _explain(FOLDER / "articles" / "pages" / "ko-cloud-saebyeok-outage.html")
    sizes = page["decisions"]["characters"]
    assert page["decisions"]["body"] == "page"
    assert sizes["cut"] == sizes["body"] - sizes["text"] > 0
    assert sizes["text"] == len(page["article"]["text"])
    assert page["article"]["language"] == "ko"


def test_refused_article_is_exit_1(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"url": "https://example.org/1", "body": "<div></div>", "content_type": "text/html"}\n', "utf-8")
    answer = runner.invoke(app, ["explain", str(path)])
    assert answer.exit_code == 1
    assert "refused only_markup: no text is left" in answer.output
    (row,) = _explain(path)
    assert (row["outcome"], row["reason"]) == ("dead_letter", "only_markup")


def test_unreadable_line_is_exit_1_and_the_rest_goes_on(file: Path) -> None:
    file.write_text(file.read_text("utf-8") + "\nno json\n", "utf-8")
    answer = runner.invoke(app, ["explain", str(file), "--json"])
    assert answer.exit_code == 1
    assert len(answer.stdout.splitlines()) == 2
    assert f"{file}:3: not JSON" in answer.stderr


def test_missing_file_and_empty_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        assert isinstance(runner.invoke(app, ["explain", str(path)]).exception, ConfigError)


# ---- what status and trace are made of --------------------------------------------------------------------------


@pytest.mark.parametrize(("members", "before", "after", "moved", "state"), [
    (0, 0, 0, False, "idle"),
    (2, 0, 0, False, "up to date"),
    (0, 5, 5, False, "stalled"),
    (1, 5, 5, False, "stalled"),
    (1, 5, 3, True, "working"),
    (1, 5, 9, True, "working"),  # falls behind, but works
    (1, 0, 4, False, "working"),  # came in while watched: no time to say
    (1, 5, 0, True, "working"),
])  # fmt: skip
def test_stage_is_stalled_only_if_records_wait_and_nothing_moves(
    members: int, before: int, after: int, moved: bool, state: str
) -> None:
    tp = TopicPartition("news.raw.v1", 0)
    found, why = judge_stage(members, {tp: before}, {tp: after}, {tp} if moved else set())
    assert found == state
    assert (why is not None) == (state == "stalled")


def test_one_stuck_partition_is_enough() -> None:
    good, stuck = TopicPartition("news.raw.v1", 0), TopicPartition("news.raw.v1", 1)
    state, why = judge_stage(1, {good: 9, stuck: 2}, {good: 3, stuck: 2}, {good})
    assert state == "stalled"
    assert why is not None
    assert "2 unread in news.raw.v1-1," in why


def test_texts_are_compared_sentence_by_sentence() -> None:
    earlier = "The bridge opens on Monday. It cost 40 million won. Ferries stop in May."
    later = "Ferries stop in May. The bridge opens on Monday. It cost 42 million won. Tolls are not planned."
    diff = diff_texts(earlier, later, load_copy_rules(load_rulebook()))
    assert diff.shared == 2  # in another order
    assert diff.changed == [("It cost 40 million won.", "It cost 42 million won.")]
    assert (diff.only_a, diff.only_b) == ([], ["Tolls are not planned."])
    assert not diff.measured.numbers_equal


def test_status_leaves_columns_out_before_it_cuts_them() -> None:
    """On a narrow terminal every column that is shown is whole."""
    stage = StageStatus(
        "prepare", "stalled", "", "newsmill-prepare", "Empty", 0, 5, 123_456, None, 0.0, None, None, {"ok": 9}, None
    )
    for width in (60, 80, 100, 160):
        console = Console(width=width, file=io.StringIO(), highlight=False)
        console.print(_table([stage], width))
        [head, line, *_] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        for word in ("stage", "state", "lag", "last event"):
            assert word in head, (width, head)
        for word in ("prepare", "stalled", "123,456", "never"):
            assert word in line, (width, line)
        assert ("so far" in head) == (width >= 100)
