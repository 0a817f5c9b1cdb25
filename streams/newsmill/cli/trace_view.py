"""An article's trace → what a person reads: the way in order, the texts side by side, the stories."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from newsmill.cli.article_trace import ArticleTrace, Relation
from newsmill.core.times import format_utc

__all__ = ["trace_view"]

_SENTENCES: Final = 6  # shown of each kind
_LONGEST: Final = 160  # characters of a sentence shown
_COLOURS: Final = {
    "unique": "green", "duplicate": "yellow", "enriched": "cyan", "theme": "cyan", "story-event": "magenta",
    "deadletter": "red",
}  # fmt: skip


def trace_view(trace: ArticleTrace) -> RenderableType:
    """The whole view."""
    latest = trace.latest()
    parts: list[RenderableType] = [Text(latest.get("title") or "(no title)", "bold")]
    about = (latest.get("source"), latest.get("language"), latest.get("url"))
    parts += [Text("  ".join([trace.id, *(part for part in about if part)]), "dim"), Text()]
    parts.append(_way(trace))
    for relation in trace.relations:
        parts += [Text(), *_relation(relation)]
    if trace.stories:
        parts += [Text(), _stories(trace)]
    return Group(*parts)


def _way(trace: ArticleTrace) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for raw in trace.raw:
        held = "expired" if raw.size is None else f"{raw.size:,} bytes, key {raw.key}"
        table.add_row(raw.time or "", Text(f"{raw.topic}-{raw.partition}-{raw.offset}"), Text(held, "dim"))
    for found, step in zip(trace.records, trace.steps, strict=True):
        kind = next((kind for kind in _COLOURS if f"news.{kind}." in found.topic), "")
        place = Text(f"{found.topic}-{found.partition}-{found.offset}")
        table.add_row(format_utc(found.time_ms), place, Text(step, _COLOURS.get(kind, "")))
    return table


def _relation(relation: Relation) -> list[RenderableType]:
    heads = {"duplicate": "copy of", "update": "extends", "revision": "its version before:"}
    title = Text.assemble((f"{heads[relation.kind]} ", "yellow"), relation.title or "(no title)")
    title.append("  ".join(["", *(part for part in (relation.source, relation.of) if part)]), "dim")
    diff = relation.diff
    if diff is None:
        return [title, Text("  one of the texts has expired, so they cannot be compared", "dim")]
    seen = diff.measured
    numbers = "no numbers" if seen.numbers_shared is None else f"{seen.numbers_shared:.0%} of the numbers"
    parts: list[RenderableType] = [
        title,
        Text(
            f"  {seen.a_in_b:.0%} of the earlier text is in this one, {seen.b_in_a:.0%} of this one in the earlier; "
            f"{numbers} shared; {seen.reason}"
        ),
        Text(
            f"  {diff.shared} sentences shared, {len(diff.changed)} changed, {len(diff.only_a)} only in the earlier, "
            f"{len(diff.only_b)} only in this one",
            "dim",
        ),
    ]
    for before, after in diff.changed[:_SENTENCES]:
        parts += [Text(f"  ~ {_clip(before)}", "yellow"), Text(f"    {_clip(after)}", "yellow")]
    parts += [Text(f"  - {_clip(sentence)}", "red") for sentence in diff.only_a[:_SENTENCES]]
    parts += [Text(f"  + {_clip(sentence)}", "green") for sentence in diff.only_b[:_SENTENCES]]
    hidden = sum(max(0, len(part) - _SENTENCES) for part in (diff.changed, diff.only_a, diff.only_b))
    if hidden:
        parts.append(Text(f"  … {hidden} more (--json has them all)", "dim"))
    return parts


def _stories(trace: ArticleTrace) -> Text:
    view = Text()
    for found in trace.stories:
        story = found.value or {}
        view.append("story ", "magenta").append(story["title"] or "(no title)").append(f"  {story['id']}\n", "dim")
        copies = f", {_many(story['copy_count'], 'copy', 'copies')}" if story["copy_count"] else ""
        articles = _many(story["article_count"], "article", "articles")
        merged = f" into {story['merged_into']}" if story["merged_into"] else ""
        view.append(
            f"  {story['status']}{merged}; {articles}{copies} of {', '.join(story['sources'])}; "
            f"{', '.join(story['languages'])}; {', '.join(story['keywords'][:6])}\n",
            "dim",
        )
    view.right_crop(1)
    return view


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _clip(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST else sentence[: _LONGEST - 1] + "…"
