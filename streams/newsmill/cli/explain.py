"""``newsmill explain``: articles of a file through the pure core, without Kafka, and how each thing was decided."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from newsmill.cli.explain_view import explanation_view
from newsmill.cli.explanation import Explainer, Explanation
from newsmill.cli.options import AsJson, Debug, Servers, errors, output, read_settings
from newsmill.cli.screen import show
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError
from newsmill.readers import Refusal, read_path

__all__ = ["run"]


def run(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder, or - for JSON lines on stdin.")],
    source: Annotated[str | None, typer.Option(help="Publisher of articles that name none.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show the whole text of an article.")] = False,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Explain what becomes of articles, without Kafka: every decision with its evidence; exit code 1 if one is refused.

    Whether an article is a copy, and its story, depend on other articles: `newsmill trace` shows those.
    """
    settings = read_settings(bootstrap_servers, debug)
    if path != "-" and not Path(path).exists():
        raise ConfigError(f"{path}: no such file or folder")
    explainer = Explainer.from_rulebook(load_rulebook(settings.rules_dir), settings.default_timezone)
    explained = refused = 0
    for item in read_path(path, source):
        if isinstance(item, Refusal):
            errors.print(str(item), style="dim" if item.notice else "red", markup=False)
            refused += not item.notice
            continue
        explanation: Explanation = explainer.explain(item.data, item.place)
        refused += explanation.reason is not None
        if as_json:
            print(orjson.dumps(explanation.for_programs()).decode())
        else:
            if explained:
                output.print()
            show(explanation_view(explanation, full))
        explained += 1
    if not explained and not refused:
        raise ConfigError(f"{path}: there is no article in it")
    if refused:
        raise typer.Exit(1)
