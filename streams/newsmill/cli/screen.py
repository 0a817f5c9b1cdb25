"""A table or another view → standard output, wrapped to the terminal, or wide where there is none."""

from __future__ import annotations

from typing import Final

from rich.console import Console, RenderableType

from newsmill.cli.options import output

__all__ = ["columns", "show"]

_WIDE: Final = 160  # columns of a pipe or a file


def show(view: RenderableType) -> None:
    """Print a view; unlike lines of text, it is wrapped inside its columns."""
    console = output if output.is_terminal else Console(highlight=False, width=_WIDE)
    console.print(view, soft_wrap=False)


def columns() -> int:
    """How many columns `show` has."""
    return output.width if output.is_terminal else _WIDE
