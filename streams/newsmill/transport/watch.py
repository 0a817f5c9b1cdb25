"""What nobody counts by working: the lag that the broker tells, and how late the event loop is.

The lag is asked for by a thread with a loop and a client of its own, so that it goes on while a stage stalls.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.errors import BrokerError
from newsmill.metrics import Metrics
from newsmill.settings import Settings
from newsmill.transport.shell import StageShell

__all__ = ["watch_event_loop", "watch_lag"]

log = logging.getLogger("newsmill.watch")

_LOOP_SECONDS = 0.25
_ANSWER_SECONDS = 5.0


def watch_lag(shells: Sequence[StageShell], settings: Settings, metrics: Metrics) -> None:
    """Show the lag of every assigned partition from now on, on a daemon thread."""
    for shell in shells:
        for short, name in zip(shell.stage.sources, shell.sources, strict=True):
            retention = shell.topics[short].retention_ms
            if retention > 0:
                metrics.retention.labels(shell.stage.name, name).set(retention / 1000)
    thread = threading.Thread(target=lambda: asyncio.run(_watch(shells, settings, metrics)), name="lag", daemon=True)
    thread.start()


async def _watch(shells: Sequence[StageShell], settings: Settings, metrics: Metrics) -> None:
    shown: set[tuple[str, str, str]] = set()
    while True:
        try:
            async with kafka.consumer(settings, request_timeout_ms=int(_ANSWER_SECONDS * 1000)) as client:
                while True:
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        shown = await _show_lag(client, shells, metrics, shown)
                    await asyncio.sleep(settings.metrics_lag_seconds)
        except (BrokerError, KafkaError, OSError, TimeoutError) as error:
            metrics.lag_failures.inc()
            log.warning("the broker was asked for the lag and did not answer: %s", type(error).__name__)
        await asyncio.sleep(settings.metrics_lag_seconds)


async def _show_lag(
    client: object, shells: Sequence[StageShell], metrics: Metrics, shown: set[tuple[str, str, str]]
) -> set[tuple[str, str, str]]:
    """Ask once; returns the labels that stand now."""
    places = [(shell.group, tp, at) for shell in shells for tp, at in shell.places()]
    ends = await kafka.end_offsets(client, [tp for _, tp, _ in places]) if places else {}
    unknown: list[TopicPartition] = [tp for _, tp, at in places if at is None]
    begins = await client.beginning_offsets(unknown) if unknown else {}  # type: ignore[attr-defined]
    standing = set()
    for group, tp, at in places:
        labels = (group, tp.topic, str(tp.partition))
        metrics.lag.labels(*labels).set(max(0, ends[tp] - (at if at is not None else begins[tp])))
        standing.add(labels)
    for labels in shown - standing:
        metrics.lag.remove(*labels)
    return standing


async def watch_event_loop(metrics: Metrics) -> None:
    """Four times a second, note how much later than asked the loop wakes this task."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LOOP_SECONDS
        await asyncio.sleep(_LOOP_SECONDS)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
