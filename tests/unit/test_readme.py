"""The README against the code: its tables are generated, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main

from newsmill.cli import app
from newsmill.settings import settings_table
from newsmill.topics import TOPICS

README = Path(__file__).parents[2] / "README.md"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def settings_markdown() -> str:
    rows = [
        f"| `{name}` | {f'`{default}`' if default else ''} | {_cell(text)} |"
        for name, default, text in settings_table()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def topics_markdown() -> str:
    rows = []
    for topic in TOPICS.values():
        kept = topic.cleanup if topic.retention_ms < 0 else f"{topic.cleanup}, {topic.retention_ms // 86_400_000} d"
        rows.append(f"| {topic.name} | {topic.key} | {topic.description} | {kept} | {topic.partitions} |")
    return "\n".join(["| topic | key | holds | cleanup | partitions |", "|---|---|---|---|---|", *rows])


def section(name: str) -> str:
    """What stands between a ``generated`` mark and the next empty line after its table."""
    match = re.search(rf"<!-- generated: {name} -->\n+(.*?)\n\n", README.read_text("utf-8"), re.S)
    assert match is not None, f"the README has no mark for {name}"
    return match.group(1)


def test_settings_table_is_generated() -> None:
    assert section("settings") == settings_markdown()


def test_topics_table_is_generated() -> None:
    assert section("topics") == topics_markdown()


def test_every_command_is_documented() -> None:
    text = README.read_text("utf-8")
    group: Any = typer.main.get_command(app)
    names = group.list_commands(None)
    assert names
    missing = [name for name in names if f"| `newsmill {name}` |" not in text]
    assert missing == []


def test_no_figure_is_missing() -> None:
    """A mark for figures is followed by a table."""
    text = README.read_text("utf-8")
    for match in re.finditer(r"<!-- figures: (\w+) -->\n+(.)", text):
        assert match.group(2) == "|", match.group(1)


if __name__ == "__main__":  # `python tests/unit/test_readme.py` writes the tables
    text = README.read_text("utf-8")
    for name, table in (("settings", settings_markdown()), ("topics", topics_markdown())):
        mark = f"<!-- generated: {name} -->"
        text = re.sub(rf"{mark}\n\n(\|[^\n]*\n)*", lambda _, new=f"{mark}\n\n{table}\n": new, text)
    README.write_text(text, "utf-8")
