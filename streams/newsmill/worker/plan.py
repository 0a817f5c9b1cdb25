"""What a parent tells a worker process: one JSON line on its standard input, so no secret is in an argument list."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from newsmill.settings import Settings
from newsmill.transport.bounded import Bounds

__all__ = ["DEFAULT_FACTORY", "EXIT_AGAIN", "ProcessPlan"]

DEFAULT_FACTORY = "newsmill.stages:build_stages"
# sysexits' EX_TEMPFAIL: begin again. Exit codes 2 and 3 (errors.py) are for a person: the parent stops too.
EXIT_AGAIN = 75


class ProcessPlan(BaseModel):
    """One worker process."""

    model_config = ConfigDict(frozen=True)

    index: int
    instance: str
    stages: tuple[str, ...]
    metrics_port: int | None
    marker: str
    # made by the process when its groups are joined for the first time
    started: str
    # whether this index has worked before: what is missing now was there, and may come back
    again: bool = False
    # (stage, partition, offset, index of the source) of records that killed a process natively, twice
    crashers: tuple[tuple[str, int, int, int], ...] = ()
    # where the stages come from: "module:function"
    factory: str = DEFAULT_FACTORY
    settings: dict[str, Any]
    # of a replay; None: live
    bounds: Bounds | None = None

    def line(self) -> bytes:
        """The JSON line."""
        return orjson.dumps(self.model_dump(mode="json")) + b"\n"

    @staticmethod
    def plain(settings: Settings) -> dict[str, Any]:
        """Settings as JSON values, secrets included: for the pipe to the process only."""
        values = settings.model_dump(mode="json")
        if settings.sasl_password is not None:
            values["sasl_password"] = settings.sasl_password.get_secret_value()
        return values
