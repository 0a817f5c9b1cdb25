"""A comparison of a replay with live → what a person reads: counts, changed fields, moved themes, examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from newsmill.cli.replay.times import written_moment
from newsmill.core.comparison import Kind, describe_difference, excerpts
from newsmill.core.times import format_utc
from newsmill.replay.compare import Comparison

__all__ = ["MEANINGS", "Example", "diff_view"]

MEANINGS: Final = {
    Kind.SAME: "the replay says what live says",
    Kind.CHANGED: "the replay has other content",
    Kind.OTHER_ORIGINAL: "another article of the copies is the original: live decided in order of arrival",
    Kind.MISSING: "live has nothing of it",
    Kind.EXTRA: "the replay has nothing of it",
    Kind.NEWER: "live has gone on to a later version, so they cannot be compared",
}
_STYLES: Final = {
    Kind.SAME: "green", Kind.CHANGED: "yellow", Kind.OTHER_ORIGINAL: "magenta", Kind.MISSING: "cyan",
    Kind.EXTRA: "red", Kind.NEWER: "dim",
}  # fmt: skip
_SIDES: Final = dict.fromkeys((Kind.CHANGED, Kind.OTHER_ORIGINAL), " (- live, + the replay)")
_WIDTH: Final = 90  # characters of a value shown


class Example(NamedTuple):
    """An article with the event of each run, decoded; None where a run has none."""

    id: str
    kind: Kind
    live: dict[str, Any] | None
    replay: dict[str, Any] | None

    @property
    def title(self) -> str | None:
        """Its title, by the replay if it has it."""
        title: str | None = (self.replay or self.live or {}).get("title")
        return title


def diff_view(comparison: Comparison, examples: Iterable[Example]) -> RenderableType:
    """The whole view; examples of one kind stand together."""
    plan = comparison.plan
    parts: list[RenderableType] = [
        Text.assemble((f"replay {plan.name}", "bold"), f" of {plan.source_topic}, beside live"),
        Text(f"{written_moment(plan.from_ms)} to {written_moment(plan.to_ms)}, {', '.join(plan.stages)}", "dim"),
        Text(),
        _kinds(comparison),
    ]
    if comparison.fields:
        parts += [Text(), _fields(comparison)]
    if comparison.moves:
        parts += [Text(), _moves(comparison)]
    for kind, found in groupby(examples, lambda example: example.kind):
        shown = list(found)
        left = comparison.kinds[kind] - len(shown)
        parts += [Text(), Text.assemble((_name(kind), _STYLES[kind]), f": {MEANINGS[kind]}{_SIDES.get(kind, '')}")]
        parts += [line for example in shown for line in _example(example)]
        if left > 0:
            parts.append(Text(f"  … {left:,} more (--json has them all)", "dim"))
    return Group(*parts)


def _name(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "" else "right", no_wrap=column != "")
    return table


def _kinds(comparison: Comparison) -> Table:
    table = _table("articles", "count", "")
    for kind, count in comparison.kinds.items():
        table.add_row(Text(_name(kind), _STYLES[kind] if count else "dim"), f"{count:,}", Text(MEANINGS[kind], "dim"))
    return table


def _fields(comparison: Comparison) -> Table:
    table = _table("changed field", "articles", "share of all changed")
    changed = comparison.kinds[Kind.CHANGED]
    for field, count in comparison.fields.items():
        table.add_row(field, f"{count:,}", f"{count / changed:.0%}")
    return table


def _moves(comparison: Comparison) -> Table:
    table = _table("theme", "enter", "leave")
    for theme, move in comparison.moves.items():
        entered = Text(f"+{move.entered:,}", "green") if move.entered else Text("-", "dim")
        table.add_row(theme, entered, Text(f"−{move.left:,}", "red") if move.left else Text("-", "dim"))
    return table


def _example(example: Example) -> Iterator[RenderableType]:
    yield Text.assemble("  ", example.title or "(no title)", (f"  {example.id}", "dim"))
    if example.kind in (Kind.CHANGED, Kind.OTHER_ORIGINAL):
        for field, pair in describe_difference(example.live, example.replay).items():
            yield from _change(field, *_values(example, field, pair))
    elif example.kind is Kind.NEWER and example.live is not None and example.replay is not None:
        versions = (format_utc(event["version"]) for event in (example.live, example.replay))
        yield Text("    live has the version of {}, the replay that of {}".format(*versions), "dim")
    else:
        event = example.replay or example.live or {}
        said = f"a copy of {event['duplicate_of']}" if event.get("duplicate_of") else "an article"
        source = event.get("source") or "no publisher"
        themes = ", ".join(theme["theme"] for theme in event.get("themes", ()))
        yield Text(f"    {said}, {source}" + (f", {themes}" if themes else ""), "dim")


def _values(example: Example, field: str, pair: dict[str, Any]) -> tuple[str, str]:
    """From and to as one line each, cut around the first difference."""
    if field == "text" and example.live is not None and example.replay is not None:
        return excerpts(example.live["text"], example.replay["text"], _WIDTH)
    if field == "themes" and (before := _themes(pair["live"])) != (after := _themes(pair["replay"])):
        return before, after
    return excerpts(_written(pair["live"]), _written(pair["replay"]), _WIDTH)


def _change(field: str, before: str, after: str) -> Iterator[RenderableType]:
    yield Text.assemble("    ", (field, "bold"), ("  - ", "red"), before)
    yield Text.assemble(" " * (4 + len(field)), ("  + ", "green"), after)


def _themes(themes: list[dict[str, Any]]) -> str:
    return ", ".join(f"{theme['theme']} {theme['score']:.2f}" for theme in themes) or "none"


def _written(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
