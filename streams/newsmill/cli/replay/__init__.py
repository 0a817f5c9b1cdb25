"""``newsmill replay``: any stretch of the past again, beside live; nothing of live changes until it is promoted."""

from __future__ import annotations

import typer

from newsmill.cli.replay import diff, drop, promote, run, status

__all__ = ["app"]

app = typer.Typer(
    help="Process a stretch of the past again, beside live; compare it with live; hand over what changed.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("status")(status.run)
app.command("diff")(diff.run)
app.command("promote")(promote.run)
app.command("drop")(drop.run)
