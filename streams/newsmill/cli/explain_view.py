"""An explanation → what a person reads: decisions, the text with its evidence marked, themes term by term."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from newsmill.cli.explanation import Explanation
from newsmill.core.themes import ThemeTrace
from newsmill.events import EnrichedArticle

__all__ = ["explanation_view"]

_SHOWN: Final = 1200  # characters of a text, unless all of it is asked for
_TERMS: Final = 12  # of each theme; --json has all
_LEAST: Final = 0.05  # weight of a term that is shown


def explanation_view(explanation: Explanation, full: bool) -> RenderableType:
    """The whole view of one article."""
    place = Text(explanation.place, "dim")
    if explanation.article is None:
        refusal = Text.assemble(("refused ", "bold red"), (str(explanation.reason), "red"), f": {explanation.detail}")
        return Group(place, refusal)
    article = explanation.article
    parts: list[RenderableType] = [
        place,
        Text(article.title or "(no title)", "bold"),
        _decisions(explanation, article),
        Text(),
        _text(explanation, article, full),
        Text(),
    ]
    parts += [_theme(trace) for trace in explanation.themes]
    parts += [Text(), _findings(explanation, article)]
    return Group(*parts)


def _rows() -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _by(value: str | None, origin: str) -> Text:
    return Text.assemble(value or "none", (f"   {origin}", "dim"))


def _decisions(explanation: Explanation, article: EnrichedArticle) -> Table:
    decisions = explanation.decisions
    table = _rows()
    table.add_row("id", _by(article.id, f"from {decisions['id']}"))
    table.add_row("address", Text(article.canonical_url or "none"))
    table.add_row("title", Text(f"{decisions['title']}", "dim"))
    table.add_row("publisher", _by(article.source, decisions["source"]))
    table.add_row("author", _by(article.author, decisions["author"]))
    table.add_row("language", _by(article.language, decisions["language"]))
    table.add_row("published", _by(article.published_at, f"{decisions['published_at']}, {decisions['time_zone']}"))
    table.add_row("kind", Text(article.kind))
    return table


def _text(explanation: Explanation, article: EnrichedArticle, full: bool) -> RenderableType:
    sizes = explanation.decisions["characters"]
    share = sizes["cut"] / sizes["body"] if sizes["body"] else 0.0
    head = Text(
        f"text   {sizes['text']:,} of {sizes['body']:,} characters, {share:.0%} cut as {_body(explanation)}", "dim"
    )
    text = Text(article.text)
    for trace in explanation.themes:
        if trace.applies:
            text.highlight_words([term.surface for term in trace.terms if term.weight > 0], "cyan")
    for entity in article.entities:
        text.highlight_words(entity.surfaces, "blue")
    for amount in article.amounts:
        text.stylize("yellow", amount.start, amount.end)
    hidden = len(article.text) - _SHOWN
    if hidden > 0 and not full:
        text = text[:_SHOWN]
        text.append(f"… {hidden:,} more characters (--full shows them)", "dim")
    return Group(head, Padding(text, (0, 0, 0, 2)))


def _body(explanation: Explanation) -> str:
    return "page chrome and markup" if explanation.decisions["body"] == "page" else "page chrome"


def _theme(trace: ThemeTrace) -> RenderableType:
    style = "bold cyan" if trace.applies else "dim"
    sign = "≥" if trace.applies else "<"
    head = Text.assemble(
        (f"{trace.theme:15}", style),
        (f"score {trace.score:.2f}", "cyan" if trace.applies else ""),
        (f"   {trace.total:.2f} {sign} {trace.threshold:g}", "dim"),
    )
    sums: dict[str, tuple[float, int, dict[str, None]]] = {}
    for term in trace.terms:
        weight, times, zones = sums.get(term.surface, (0.0, 0, {}))
        sums[term.surface] = weight + term.weight, times + 1, zones | {term.zone: None}
    told = [(surface, *sums[surface]) for surface in sums if abs(sums[surface][0]) >= _LEAST]
    told.sort(key=lambda part: (-abs(part[1]), part[0]))
    terms = Text()
    for surface, weight, times, zones in told[:_TERMS]:
        terms.append(f"{weight:+.2f} ", "green" if weight > 0 else "red").append(surface)
        terms.append(f"{f' ×{times}' if times > 1 else ''} {'/'.join(zones)}   ", "dim")
    if len(told) > _TERMS:
        terms.append(f"and {len(told) - _TERMS} more", "dim")
    return Group(head, Padding(terms, (0, 0, 0, 2))) if told else head


def _findings(explanation: Explanation, article: EnrichedArticle) -> Table:
    table = _rows()
    for entity in article.entities:
        surfaces = ", ".join(entity.surfaces)
        table.add_row("entity", Text.assemble((entity.name, "blue"), (f"   {entity.id}, {entity.type}, "
                      f"{entity.mentions}×: {surfaces}", "dim")))  # fmt: skip
    for amount in article.amounts:
        upto = f" to {amount.value_max}" if amount.value_max else ""
        qualifier = f"{amount.qualifier.replace('_', ' ')} " if amount.qualifier else ""
        table.add_row("amount", Text.assemble((amount.text, "yellow"), (
            f"   {qualifier}{amount.value}{upto} {amount.currency}, {amount.start}-{amount.end}", "dim")))  # fmt: skip
    table.add_row("keywords", Text(", ".join(f"{word.term} {word.score:.2f}" for word in article.keywords) or "none"))
    for number, sentence in enumerate(article.summary, 1):
        table.add_row(f"summary {number}", Text(sentence))
    if article.degraded:
        table.add_row("degraded", Text(", ".join(article.degraded), "red"))
    facts = explanation.sketch
    if facts is not None:
        table.add_row("sketch", Text(
            f"{facts.words} words, {facts.shingles} word triples, {facts.hashes} of them kept (1 in {1 << facts.level})"
            f", {facts.numbers} distinct numbers", "dim"))  # fmt: skip
    terms = ", ".join(f"{term} {weight:g}" for term, weight in list(explanation.story_terms.items())[:10])
    table.add_row("story terms", Text(terms or "none", "dim"))
    took = dict(explanation.microseconds)
    parts = f"{took.pop('sketch', 0)} of them the sketch"
    steps = ", ".join(
        f"{step} {spent:,} ({parts})" if step == "prepare" else f"{step} {spent:,}" for step, spent in took.items()
    )
    table.add_row("microseconds", Text(f"{steps}; {sum(took.values()):,} in all", "dim"))
    return table
