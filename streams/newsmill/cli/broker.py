"""``newsmill broker``: the embedded Kafka in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from newsmill.broker import DEFAULT_PORT, serve
from newsmill.cli.options import Debug, Servers

__all__ = ["run"]


def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for data; by default a temporary one.")] = None,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Run the embedded Kafka until Ctrl-C; prints "bootstrap: HOST:PORT" once it accepts clients."""
    if bootstrap_servers is not None:
        host, _, number = bootstrap_servers.rpartition(":")
        if host not in ("127.0.0.1", "localhost") or not number.isdigit():
            raise typer.BadParameter("the embedded broker listens on 127.0.0.1 only; use --port")
        port = int(number)
    serve(port, data_dir)
