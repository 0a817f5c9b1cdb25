"""The ``newsmill`` command: arguments → one of the commands below; errors are one clear line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperGroup

from newsmill import __version__
from newsmill.errors import NewsmillError

__all__ = ["app", "main"]

# typer carries a click of its own; what all its errors have in common has no public name
_UsageError: Any = typer.BadParameter.__mro__[2]

# in the order of the help; each is a module of this package with an ``app`` (of several commands) or a ``run``
_COMMANDS = (
    "demo", "broker", "topics", "ingest", "worker", "tail", "explain", "trace", "deadletters", "status", "reset",
    "replay", "themes", "settings",
)  # fmt: skip


class _Commands(TyperGroup):
    """Imports a command when it is asked for: a worker's parent must not load what its processes load."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"newsmill.cli.{cmd_name}")
        commands: typer.Typer | None = getattr(module, "app", None)
        if commands is None:
            commands = typer.Typer(add_completion=False)
            commands.command(cmd_name)(module.run)
        command = typer.main.get_command(commands)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="newsmill",
    cls=_Commands,
    help="Raw news articles on a Kafka topic → clean, deduplicated, classified, clustered events.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"newsmill {__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Raw news articles on a Kafka topic → clean, deduplicated, classified, clustered events."""


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
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        if message := error.format_message():  # empty where help was shown for want of arguments
            _say(f"newsmill: {message.rstrip('.')}{hint}")
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
