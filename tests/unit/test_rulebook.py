"""Rule files and the overlay."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsmill.core.rulebook import RuleFile, load_rulebook
from newsmill.errors import ConfigError


def test_the_overlay_adds_and_replaces(tmp_path: Path) -> None:
    plain = load_rulebook()
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes/batteries.toml").write_text("threshold = 2.0\n", "utf-8")
    (tmp_path / "korean.toml").write_text("replaced = true\n", "utf-8")
    (tmp_path / "notes.txt").write_text("not a rule file", "utf-8")
    laid = load_rulebook(tmp_path)
    assert set(laid.files) - set(plain.files) == {"themes/batteries.toml"}
    assert laid.file("korean.toml").data == {"replaced": True}
    assert [file.name for file in laid.under("themes")] == sorted(
        ["themes/batteries.toml", *(file.name for file in plain.under("themes"))]
    )


def test_the_version_follows_the_text(tmp_path: Path) -> None:
    plain = load_rulebook().version
    assert plain == load_rulebook().version
    assert len(plain) == 12
    (tmp_path / "extra.toml").write_text("a = 1\n", "utf-8")
    first = load_rulebook(tmp_path).version
    (tmp_path / "extra.toml").write_text("a = 2\n", "utf-8")
    assert len({plain, first, load_rulebook(tmp_path).version}) == 3


def test_mistakes_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is no folder"):
        load_rulebook(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r"rule file absent\.toml is missing"):
        load_rulebook().file("absent.toml")
    (tmp_path / "bad.toml").write_text("a = 1\nb = \n", "utf-8")
    with pytest.raises(ConfigError, match=r"bad\.toml: .*line 2"):
        load_rulebook(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'\n")
    with pytest.raises(ConfigError, match=r"bad\.toml: not UTF-8 at byte 5"):
        load_rulebook(tmp_path)


def test_lines_of_tables_and_words() -> None:
    file = RuleFile("x.toml", "x.toml", "[[terms]]\nweight = 1\n\n[[terms]] # second\nweight = 2\n", {})
    assert file.line_of("weight") == 2
    assert file.line_of_table("terms", 1) == 4
    assert file.line_of("weight", file.line_of_table("terms", 1)) == 5
    assert file.line_of_table("absent") == 1
    assert str(file.error("no good", "weight", 4)) == "x.toml:5: no good"
