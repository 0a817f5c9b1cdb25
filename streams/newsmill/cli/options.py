"""The flags that every command takes, and what they turn into."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from newsmill.settings import Settings, load_settings

__all__ = ["AsJson", "Debug", "Servers", "errors", "output", "read_settings"]

Servers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers", metavar="HOST:PORT", help="Kafka to use [NEWSMILL_BOOTSTRAP_SERVERS, 127.0.0.1:9092]"
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]

output = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def read_settings(servers: str | None = None, debug: bool = False, **overrides: object) -> Settings:
    """Settings of the environment with the flags of this call on top."""
    return load_settings(bootstrap_servers=servers, log_level="debug" if debug else None, **overrides)
