"""What the metrics of a worker process must not forget when it ends: restarts, and transactions that failed.

A failed transaction ends the process before anybody can ask it. So its count is written to a small file beside the
marker, and the process that is started in its place begins to count there.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from newsmill.metrics import Metrics

__all__ = ["Carried"]


class Carried(BaseModel):
    """Counts of one worker process over all its lives under one parent."""

    starts: int = 0
    failed: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, metrics: Metrics) -> Carried:
        """Read what earlier lives left, show it, and note this start."""
        try:
            carried = cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):  # the first life; or killed in the middle of writing
            carried = cls()
        metrics.restarts.inc(carried.starts)
        for stage, count in carried.failed.items():
            metrics.transactions.labels(stage, "failed").inc(count)
        carried.starts += 1
        carried.save(path)
        return carried

    def fail(self, path: Path, stage: str) -> None:
        """A transaction of this stage failed, and the process is about to end."""
        self.failed[stage] = self.failed.get(stage, 0) + 1
        self.save(path)

    def save(self, path: Path) -> None:
        """Write; a few bytes."""
        path.write_text(self.model_dump_json(), "utf-8")
