"""``newsmill trace``: one article through the topics, with every verdict and why."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from newsmill.cli.article_trace import ArticleTrace, trace_article
from newsmill.cli.flow import call
from newsmill.cli.options import AsJson, Debug, Servers, read_settings
from newsmill.cli.screen import show
from newsmill.cli.trace_view import trace_view
from newsmill.core.times import format_utc
from newsmill.errors import NewsmillError

__all__ = ["run"]


def run(
    article: Annotated[str, typer.Argument(metavar="ID|URL", help="Id, 8 or more of its first digits, or address.")],
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Follow one article through the topics: every record, verdict, theme and story, and why; exit code 1 for none."""
    settings = read_settings(bootstrap_servers, debug)
    trace = call(settings, trace_article(settings, article))
    if trace is None:
        raise NewsmillError(f"nothing on the topics is about {article}")
    if as_json:
        print(orjson.dumps(_for_programs(trace)).decode())
    else:
        show(trace_view(trace))


def _for_programs(trace: ArticleTrace) -> dict[str, Any]:
    latest = trace.latest()
    return {
        "id": trace.id,
        "title": latest.get("title"),
        "source": latest.get("source"),
        "url": latest.get("url"),
        "raw": [record._asdict() for record in trace.raw],
        "records": [
            {
                "topic": found.topic,
                "partition": found.partition,
                "offset": found.offset,
                "time": format_utc(found.time_ms),
                "decision": step,
                "bytes": found.size,
                "headers": found.headers,
                "value": found.value,
            }
            for found, step in zip(trace.records, trace.steps, strict=True)
        ],
        "relations": [
            relation._asdict() | {"diff": relation.diff.for_programs() if relation.diff else None}
            for relation in trace.relations
        ],
        "stories": [found.value for found in trace.stories],
    }
