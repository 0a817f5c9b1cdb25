"""``newsmill themes``: what it lists, learns and refuses; a model in the rules folder comes into effect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from newsmill.cli.themes import app
from newsmill.core.rulebook import load_rulebook
from newsmill.core.themes import ThemeRules, classify
from newsmill.errors import ConfigError

RUNNER = CliRunner()
LABELS = [
    ("GPU price rises", ["chips"]),
    ("GPU rental cloud opens", ["cloud"]),
    ("GPU price falls again", ["chips"]),
    ("A cloud for GPU hours", ["cloud"]),
    ("Market day in the old town", []),
]


def labelled(folder: Path, lines: list[str] | None = None) -> Path:
    rows = lines or [
        json.dumps({"title": f"{title} {n}", "themes": themes}) for n in range(8) for title, themes in LABELS
    ]
    path = folder / "labels.jsonl"
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def train(folder: Path, labels: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NEWSMILL_RULES_DIR", str(folder))
    result = RUNNER.invoke(app, ["train", str(labels), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_trained_model_comes_into_effect_in_the_rules_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules_folder = tmp_path / "rules"
    rules_folder.mkdir()
    packaged = load_rulebook()
    said = train(rules_folder, labelled(tmp_path), rules_folder / "theme_model.toml", monkeypatch)
    assert "learned from 40 articles" in said
    assert "industrial-ai" in said
    rulebook = load_rulebook(rules_folder)
    assert rulebook.version != packaged.version  # it covers the model
    rules = ThemeRules.from_rulebook(rulebook)
    assert rules.model is not None
    assert rules.model != ThemeRules.from_rulebook(packaged).model
    assert [theme.theme for theme in classify("GPU price slips", "", rules)] == ["chips"]
    first = (rules_folder / "theme_model.toml").read_bytes()
    train(rules_folder, labelled(tmp_path), rules_folder / "theme_model.toml", monkeypatch)
    assert (rules_folder / "theme_model.toml").read_bytes() == first


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "labels.jsonl:1: no JSON"),
        ("[]", "labels.jsonl:1: a line must be an object"),
        ('{"title": "x"}', "labels.jsonl:1: themes is missing"),
        ('{"title": "x", "themes": ["nope"]}', "labels.jsonl:1: there is no theme 'nope'"),
        ('{"title": "x", "themes": "chips"}', "labels.jsonl:1: themes must be a list"),
        ('{"title": 7, "themes": []}', "labels.jsonl:1: title and text must be strings"),
        ('{"title": "x", "themes": []}', "1 labelled articles are too few"),
    ],
)
def test_a_bad_label_names_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    monkeypatch.delenv("NEWSMILL_RULES_DIR", raising=False)
    with pytest.raises(ConfigError) as caught:
        RUNNER.invoke(
            app,
            ["train", str(labelled(tmp_path, [line])), "--out", str(tmp_path / "model.toml")],
            catch_exceptions=False,
        )
    assert message in str(caught.value)
    assert not (tmp_path / "model.toml").exists()


def test_out_must_be_a_toml_file_in_a_folder_that_exists(tmp_path: Path) -> None:
    for out in (tmp_path / "model.npz", tmp_path / "nowhere" / "theme_model.toml"):
        with pytest.raises(ConfigError, match="--out must be"):
            RUNNER.invoke(app, ["train", str(labelled(tmp_path)), "--out", str(out)], catch_exceptions=False)


@pytest.mark.parametrize("content", ['npz = "AAAA"', 'npz = "?"', "npz = 7", "other = 1"])
def test_a_broken_model_names_its_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "theme_model.toml").write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"theme_model\.toml:1: npz"):
        ThemeRules.from_rulebook(load_rulebook(tmp_path))


def test_list_says_what_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEWSMILL_RULES_DIR", raising=False)
    rows = [json.loads(line) for line in RUNNER.invoke(app, ["list", "--json"]).stdout.splitlines()]
    assert [row["theme"] for row in rows] == ["chips", "cloud", "industrial-ai"]
    assert {row["decided_by"] for row in rows} == {"model"}
    assert all(row["terms"] > 100 for row in rows)
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "cloud.toml").write_text(
        'labels = { en = "Cloud" }\nthreshold = 2\nslope = 1\n[[terms]]\nweight = 3\nterms = ["cloud"]\n', "utf-8"
    )
    monkeypatch.setenv("NEWSMILL_RULES_DIR", str(tmp_path))
    shown = RUNNER.invoke(app, ["list"]).stdout
    assert "Cloud" in shown
    assert "model" not in shown
