"""``newsmill worker``: run stages until told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from newsmill.cli.options import Debug, Servers, read_settings
from newsmill.logs import configure_logs
from newsmill.topics import STAGES
from newsmill.worker import WorkerPlan, supervise

__all__ = ["parse_stages", "run"]


def parse_stages(text: str) -> tuple[str, ...]:
    """ "prepare,enrich" → stages in the order of the flow; a usage error names what is no stage."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    wrong = sorted(names - set(STAGES))
    if wrong or not names:
        raise typer.BadParameter(f"{', '.join(wrong) or 'nothing'} is no stage; there are {', '.join(STAGES)}")
    return tuple(name for name in STAGES if name in names)


def run(
    stages: Annotated[str, typer.Option(help="Stages to run, comma separated.")] = ",".join(STAGES),
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes; one a core is right.")] = 1,
    metrics_port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the metrics endpoint; process i of N takes port + i; 0: none."),
    ] = 9464,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Run the stages until SIGTERM or Ctrl-C, which finish the batch in hand."""
    settings = read_settings(bootstrap_servers, debug)
    plan = WorkerPlan(parse_stages(stages), workers, metrics_port or None)
    configure_logs(settings, "worker")
    raise typer.Exit(supervise(settings, plan))
