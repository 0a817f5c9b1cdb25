"""The transport of all stages: one Faust event a fetched batch, one Kafka transaction a batch."""

from newsmill.transport.bounded import ORDER_HEADER, Bounds
from newsmill.transport.consumer import Batch, BatchTransport
from newsmill.transport.shell import StageShell
from newsmill.transport.stage import Stage, context_of
from newsmill.transport.transaction import TransactionFailed, Writer
from newsmill.transport.watch import watch_event_loop, watch_lag

__all__ = [
    "ORDER_HEADER",
    "Batch",
    "BatchTransport",
    "Bounds",
    "Stage",
    "StageShell",
    "TransactionFailed",
    "Writer",
    "context_of",
    "watch_event_loop",
    "watch_lag",
]
