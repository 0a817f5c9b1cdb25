"""The worker: a parent that supervises one process per core, each running the stages it is told to."""

from newsmill.worker.supervisor import WorkerPlan, supervise

__all__ = ["WorkerPlan", "supervise"]
