"""``newsmill settings``: every environment variable with its default and meaning."""

from __future__ import annotations

from rich.table import Table

from newsmill.cli.options import Debug, Servers, output
from newsmill.settings import settings_table

__all__ = ["run"]


def run(bootstrap_servers: Servers = None, debug: Debug = False) -> None:
    """List the settings: environment variable, default, meaning."""
    table = Table(box=None, pad_edge=False)
    for column in ("variable", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for row in settings_table():
        table.add_row(*row)
    output.print(table)
