"""The ``newsmill`` command: arguments → one of the commands below; errors are one clear line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, NoReturn

import typer

from newsmill.cli import (
    broker,
    deadletters,
    demo,
    explain,
    ingest,
    reset,
    settings,
    status,
    tail,
    topics,
    trace,
    worker,
)
from newsmill.errors import NewsmillError

__all__ = ["app", "main"]

# typer carries a click of its own; what all its errors have in common has no public name
_UsageError: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="newsmill",
    help="Raw news articles on a Kafka topic → clean, deduplicated, classified, clustered events.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.run)
app.command("broker")(broker.run)
app.add_typer(topics.app, name="topics")
app.command("ingest")(ingest.run)
app.command("worker")(worker.run)
app.command("tail")(tail.run)
app.command("explain")(explain.run)
app.command("trace")(trace.run)
app.add_typer(deadletters.app, name="deadletters")
app.command("status")(status.run)
app.command("reset")(reset.run)
app.command("settings")(settings.run)


def main() -> NoReturn:
    """Run a command and exit: 0 done, 1 failed, 2 wrong arguments or settings, 3 a stage's state, 130 interrupted."""
    debug = "--debug" in sys.argv
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except NewsmillError as error:
        if debug:
            traceback.print_exc()
        _say(f"newsmill: {error}")
        code = error.exit_code
    except _UsageError as error:
        _say(f"newsmill: {error.format_message()}")
        context = getattr(error, "ctx", None)
        if context is not None:
            _say(f"Try `{context.command_path} --help`.")
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        _say("newsmill: interrupted")
        code = 130
    except BrokenPipeError:  # `newsmill tail … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # noqa: BLE001 - a defect: one line for the person, all of it with --debug
        if debug:
            traceback.print_exc()
        _say(f"newsmill: {type(error).__name__}: {error} (a defect; --debug shows where)")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
