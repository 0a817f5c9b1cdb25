"""The three ways to do one hop that the transport benchmark compares; run as processes of their own.

    candidates.py newsmill FACTORY   a newsmill stage under its shell (one transaction a batch)
    candidates.py bare               an aiokafka loop: fetch, parse, send; idempotent, offsets committed now and then
    candidates.py faust              stock Faust: ``async for`` with an awaited send, at least once

Each reads JSON articles from SOURCE and writes a small verdict (or the whole article) to SINK, and writes the CPU
seconds it had used when the first record came to the file named by BENCH_FIRST.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import Any

import orjson

from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Facts, Output, Record, Result
from newsmill.events import Outcome
from newsmill.metrics import Metrics
from newsmill.settings import Settings, load_settings
from newsmill.transport import Stage

_first = True


def _mark() -> None:
    global _first
    if _first:
        _first = False
        usage = resource.getrusage(resource.RUSAGE_SELF)
        Path(os.environ["BENCH_FIRST"]).write_text(str(usage.ru_utime + usage.ru_stime))


def verdict(value: bytes) -> bytes:
    """Parse an article and tell little of it."""
    article = orjson.loads(value)
    return orjson.dumps({"id": article["id"], "title": article["title"], "theme": "chips"})


def _small(record: Record, state: None) -> Result:
    _mark()
    key = record.key or b""
    name = key.decode()
    output = Output("unique", key, verdict(record.value or b""), "article", name, record.timestamp, name)
    return Result(Outcome.OK, (output,), (), record.timestamp)


def _whole(record: Record, state: None) -> Result:
    _mark()
    key = record.key or b""
    name = key.decode()
    article = orjson.loads(record.value or b"")
    article["theme"] = "chips"
    output = Output("unique", key, orjson.dumps(article), "article", name, record.timestamp, name)
    return Result(Outcome.OK, (output,), (), record.timestamp)


def small(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    return [Stage("prepare", "raw", ("unique",), _small, 4000, 16 << 20)]


def whole(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    return [Stage("prepare", "raw", ("unique",), _whole, 4000, 16 << 20)]


def _told(record: Record, state: None) -> Result:
    """As `_small`, with all that the stage with the most to count tells of an article."""
    _mark()
    key = record.key or b""
    name = key.decode()
    output = Output("unique", key, verdict(record.value or b""), "article", name, record.timestamp, name)
    facts = Facts(name, (record.topic, record.partition, record.offset), None, "ko", "2026-03-01T00:00:00Z", ("chips",))
    return Result(Outcome.OK, (output,), (), record.timestamp, facts)


def counted(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    return [Stage("prepare", "raw", ("unique",), _told, 4000, 16 << 20, reports_latency=True)]


def uncounted(settings: Settings, rulebook: Rulebook, names: tuple[str, ...]) -> list[Stage]:
    """Built before the process counts anything: from here on it counts nothing."""
    Metrics.batch = lambda *_: None  # type: ignore[method-assign]
    return [Stage("prepare", "raw", ("unique",), _small, 4000, 16 << 20, reports_latency=True)]


def run_newsmill(factory: str) -> None:
    from newsmill.logs import configure_logs
    from newsmill.worker import WorkerPlan, supervise

    settings = load_settings()
    configure_logs(settings, "bench")
    sys.exit(supervise(settings, WorkerPlan(("prepare",), 1, 0 if factory.endswith(":counted") else None, factory)))


async def run_bare(source: str, sink: str) -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    servers = os.environ["NEWSMILL_BOOTSTRAP_SERVERS"]
    group = f"{os.environ['NEWSMILL_TOPIC_PREFIX']}bare"
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=servers, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
        fetch_max_wait_ms=25, max_partition_fetch_bytes=4 << 20,
    )  # fmt: skip
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, enable_idempotence=True, compression_type="zstd", max_batch_size=900_000
    )
    await consumer.start()
    await producer.start()
    while True:
        sent = []
        for records in (await consumer.getmany(timeout_ms=1000, max_records=2000)).values():
            for record in records:
                _mark()
                sent.append(await producer.send(sink, verdict(record.value), key=record.key))
        if sent:
            await asyncio.gather(*sent)
            await consumer.commit()


def run_faust(source: str, sink: str) -> None:
    import faust

    app = faust.App(
        f"{os.environ['NEWSMILL_TOPIC_PREFIX']}stock",
        broker=f"kafka://{os.environ['NEWSMILL_BOOTSTRAP_SERVERS']}",
        store="memory://", autodiscover=False, web_enabled=False, topic_disable_leader=True,
        broker_session_timeout=6, broker_heartbeat_interval=2, broker_request_timeout=20,
        datadir=os.path.dirname(os.environ["BENCH_FIRST"]),
    )  # fmt: skip
    inbox = app.topic(source, key_serializer="raw", value_serializer="raw")
    outbox = app.topic(sink, key_serializer="raw", value_serializer="raw")

    async def work(stream: Any) -> None:
        async for event in stream.events():
            _mark()
            await outbox.send(key=event.key, value=verdict(event.value))

    app.agent(inbox, name="stock")(work)
    sys.argv = ["faust", "worker", "-l", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    kind = sys.argv[1]
    if kind == "newsmill":
        run_newsmill(sys.argv[2])
    elif kind == "bare":
        asyncio.run(run_bare(os.environ["BENCH_SOURCE"], os.environ["BENCH_SINK"]))
    else:
        run_faust(os.environ["BENCH_SOURCE"], os.environ["BENCH_SINK"])
