"""``newsmill worker`` whose prepare stage hangs on a body that begins with !hang: hang_worker.py METRICS_PORT."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Record, Result
from newsmill.logs import configure_logs
from newsmill.settings import Settings, load_settings
from newsmill.stages import build_stages
from newsmill.transport import Stage
from newsmill.worker import WorkerPlan, supervise


def stages(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    [prepare] = build_stages(settings, rulebook, ("prepare",))

    def process(record: Record, state: Any) -> Result:
        if b"!hang" in (record.value or b""):
            time.sleep(600)
        return prepare.process(record, state)

    return [replace(prepare, process=process)]


if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings, "parent")
    sys.exit(supervise(settings, WorkerPlan(("prepare",), 1, int(sys.argv[1]), "hang_worker:stages")))
