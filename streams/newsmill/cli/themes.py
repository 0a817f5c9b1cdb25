"""``newsmill themes``: list the themes of the rules; labelled articles → learned weights for their terms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from rich.table import Table

from newsmill.cli.options import AsJson, Debug, errors, output, read_settings
from newsmill.core.folding import nfc
from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.theme_model import Example, ThemeModel, dump_model, rules_digest, train_model
from newsmill.core.theme_scores import Judged, ThemeScore, score_themes
from newsmill.core.themes import ThemeRules, classify, features_of
from newsmill.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(
    help="List the themes; learn weights for their terms from labelled articles.",
    no_args_is_help=True,
    add_completion=False,
)

_FEWEST = 20  # labelled articles; of fewer nothing can be learned
_MOST_BYTES = 1 << 30


class _Labelled(NamedTuple):
    """One labelled article; ``ignore`` are themes to leave out, ``unsure`` those its annotator was unsure of."""

    title: str | None
    text: str
    themes: frozenset[str]
    ignore: frozenset[str]
    unsure: frozenset[str]


@app.command("list")
def show(as_json: AsJson = False, debug: Debug = False) -> None:
    """List the themes: id, label, threshold, how many terms, and whether learned weights decide or the rules alone."""
    rules = ThemeRules.from_rulebook(load_rulebook(read_settings(None, debug).rules_dir))
    learned = rules.model.themes if rules.model else ()
    table = Table(box=None, pad_edge=False)
    for column in ("theme", "label", "threshold", "terms", "decided by"):
        table.add_column(column, justify="right" if column in ("threshold", "terms") else "left", overflow="fold")
    for index, theme in enumerate(rules.lexicon.themes):
        terms = sum(effect.theme == index for effect in rules.lexicon.effects)
        by = "model" if theme.id in learned else "rules"
        if as_json:
            row = {"theme": theme.id, "labels": dict(theme.labels), "threshold": theme.threshold, "terms": terms}
            print(orjson.dumps(row | {"decided_by": by}).decode())
        else:
            label = theme.labels.get("en") or next(iter(theme.labels.values()))
            table.add_row(theme.id, label, f"{theme.threshold:g}", str(terms), by)
    if not as_json:
        output.print(table)


@app.command()
def train(
    labels: Annotated[Path, typer.Argument(metavar="LABELS.jsonl", help="Labelled articles, one JSON object a line.")],
    out: Annotated[Path, typer.Option(help="Where to write the model; in NEWSMILL_RULES_DIR it comes into effect.")],
    debug: Debug = False,
) -> None:
    """Learn weights for the terms of the theme rules from labelled articles, and write theme_model.toml.

    A line has "title", "text" and "themes" (a list of ids, empty for none); "unsure" or "borderline" lists themes that
    count half, "ignore" themes to leave out. Printed scores are of articles that the scored model was not trained on.
    Train anew after a change of a theme file: a model serves only the very rules that it was trained on.
    """
    rulebook = load_rulebook(read_settings(None, debug).rules_dir)
    rules = ThemeRules.from_rulebook(rulebook, use_model=False)
    if out.suffix != ".toml" or not out.parent.is_dir():
        raise ConfigError(f"{out}: --out must be a .toml file in a folder that exists")
    items = _read(labels, rules.themes)
    if len(items) < _FEWEST:
        raise ConfigError(f"{labels}: {len(items)} labelled articles are too few, {_FEWEST} is the least")
    output.print(_scores(items, rules, rulebook))
    packed = dump_model(_train(items, rules, rulebook))
    temporary = out.with_suffix(".toml.part")
    temporary.write_bytes(packed)
    temporary.replace(out)
    print(f"{out}: {len(packed):,} bytes, learned from {len(items):,} articles")
    if out.name != "theme_model.toml":
        errors.print("the name under which it comes into effect is theme_model.toml", style="dim")


def _read(path: Path, known: Sequence[str]) -> list[_Labelled]:
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{path}: no such file, or one of more than 1 GiB")
    items = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                items.append(_item(line, f"{path}:{number}", known))
    return items


def _item(line: bytes, place: str, known: Sequence[str]) -> _Labelled:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{place}: no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{place}: a line must be an object")
    title, text = row.get("title"), row.get("text") or ""
    if not isinstance(title, str | None) or not isinstance(text, str) or not (title or text):
        raise ConfigError(f"{place}: title and text must be strings, one of them not empty")
    if "themes" not in row:
        raise ConfigError(f"{place}: themes is missing; [] says that none applies")
    unsure = _themes(row, "unsure", place, known) | _themes(row, "borderline", place, known)
    wanted = _themes(row, "themes", place, known)
    return _Labelled(nfc(title) if title else None, nfc(text), wanted, _themes(row, "ignore", place, known), unsure)


def _themes(row: dict[str, Any], key: str, place: str, known: Sequence[str]) -> frozenset[str]:
    themes = row.get(key, [])
    if not isinstance(themes, list) or not all(isinstance(theme, str) for theme in themes):
        raise ConfigError(f"{place}: {key} must be a list of theme ids")
    for theme in themes:
        if theme not in known:
            raise ConfigError(f"{place}: there is no theme {theme!r}; known are {', '.join(known)}")
    return frozenset(themes)


def _train(items: Iterable[_Labelled], rules: ThemeRules, rulebook: Rulebook) -> ThemeModel:
    examples = [
        Example(features_of(item.title, item.text, rules), item.themes, item.ignore, item.unsure) for item in items
    ]
    return train_model(examples, rules.themes, rules_digest(rulebook, rules.themes))


def _half(item: _Labelled) -> int:
    """0 or 1, by a hash of title and text, so that the order of the file does not matter."""
    return hashlib.sha256(f"{item.title}\n{item.text}".encode("utf-8", "surrogatepass")).digest()[0] % 2


def _scores(items: Sequence[_Labelled], rules: ThemeRules, rulebook: Rulebook) -> Table:
    """Each theme by the rules alone, and by models of which each judges the half that it was not trained on."""
    halves = [[item for item in items if _half(item) == half] for half in (0, 1)]
    models = [ThemeRules(rules.lexicon, _train(half, rules, rulebook)) for half in reversed(halves)]
    by_rules = _score(halves, [rules, rules])
    by_model = _score(halves, models)
    table = Table(box=None, pad_edge=False)
    for column in ("theme", "rules P", "R", "F1", "model P", "R", "F1"):
        table.add_column(column, justify="left" if column == "theme" else "right")
    for theme in rules.themes:
        table.add_row(theme, *(f"{value:.3f}" for value in (*by_rules[theme], *by_model[theme])))
    return table


def _score(halves: Sequence[Sequence[_Labelled]], judges: Sequence[ThemeRules]) -> dict[str, ThemeScore]:
    judged = (
        Judged(item.themes, item.ignore, {theme.theme for theme in classify(item.title, item.text, judge)})
        for half, judge in zip(halves, judges, strict=True)
        for item in half
    )
    return score_themes(judged, judges[0].themes)
