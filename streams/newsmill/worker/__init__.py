"""The worker: a parent that supervises one process per core, each running the stages it is told to."""

from newsmill.worker.supervisor import WorkerPlan, run_processes, supervise

__all__ = ["WorkerPlan", "run_processes", "supervise"]
