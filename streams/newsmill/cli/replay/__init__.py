"""``newsmill replay``: run a stretch of the past again, compare it with live, promote what is better."""

from __future__ import annotations

import typer

from newsmill.cli.replay import diff, promote

__all__ = ["app"]

app = typer.Typer(help="Run the past again, compare it with live, and promote it.", no_args_is_help=True)
app.command("diff")(diff.run)
app.command("promote")(promote.run)
