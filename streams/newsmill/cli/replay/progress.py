"""How far a replay is → a bar on a terminal, or a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from newsmill.replay.run import Phase

__all__ = ["Bars", "Lines"]

_LINE_SECONDS: Final = 5.0


class Bars:
    """A bar for each stage and sort, with records, records a second and the time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:20}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} records"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._tasks: dict[str, tuple[TaskID, float, int]] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, phase: Phase, number: int, of: int) -> None:
        """A phase begins; its bars appear as its stages do."""

    def advance(self, step: str, done: int, total: int) -> None:
        """Move the bar of a stage or sort."""
        now = time.monotonic()
        if step not in self._tasks:
            self._tasks[step] = (self._progress.add_task(step, total=max(total, 1), rate=""), now, done)
        task, began, first = self._tasks[step]
        rate = (done - first) / (now - began) if now - began > 1 else 0
        self._progress.update(task, completed=done, total=max(total, done, 1), rate=f"{rate:,.0f}/s" if rate else "")


class Lines:
    """A line when a phase begins, one every few seconds, and one when a stage or sort is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = ""
        self._began = self._told = 0.0
        self._first = 0
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def begin(self, phase: Phase, number: int, of: int) -> None:
        """Name the phase."""
        self._console.print(f"{number}/{of} {phase.name}", markup=False)

    def advance(self, step: str, done: int, total: int) -> None:
        """Tell how far a stage or sort is, if the last line is some seconds old."""
        now = time.monotonic()
        if step != self._step:
            self._step, self._began, self._told, self._first, self._over = step, now, now, done, False
        over = total > 0 and done >= total
        if self._over or (now - self._told < _LINE_SECONDS and not over):
            return
        self._told, self._over = now, over
        rate = (done - self._first) / (now - self._began) if now - self._began > 1 else 0.0
        left = f", {(total - done) / rate:,.0f} s left" if rate and not over else ""
        speed = f", {rate:,.0f}/s" if rate else ""
        share = f" ({done / total:.0%})" if total else ""
        self._console.print(f"  {step}: {done:,} of {total:,} records{share}{speed}{left}", markup=False)
