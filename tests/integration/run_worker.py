"""``newsmill worker`` with stages of a test's own: run_worker.py FACTORY STAGES PROCESSES."""

from __future__ import annotations

import sys

from newsmill.errors import NewsmillError
from newsmill.logs import configure_logs
from newsmill.settings import load_settings
from newsmill.worker import WorkerPlan, supervise

if __name__ == "__main__":
    factory, stages, processes = sys.argv[1:4]
    settings = load_settings()
    configure_logs(settings, "parent")
    try:
        code = supervise(settings, WorkerPlan(tuple(stages.split(",")), int(processes), None, factory))
    except NewsmillError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    sys.exit(code)
