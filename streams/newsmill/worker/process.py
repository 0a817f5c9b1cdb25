"""One worker process: reads its plan from standard input, runs its stages' Faust apps, exits by the book.

Exit codes: 0 told to stop and everything committed; 75 begin again (anything but a confirmed commit); 2 or 3 a person
must look (settings, state). The end of standard input means that the parent is gone: the process ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import orjson
import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # before faust: its threads make loops of their own

import faust  # noqa: E402

from newsmill import __version__, kafka  # noqa: E402
from newsmill.app import build_app  # noqa: E402
from newsmill.core.rulebook import Rulebook, load_rulebook  # noqa: E402
from newsmill.errors import NewsmillError, TopicError  # noqa: E402
from newsmill.logs import configure_logs  # noqa: E402
from newsmill.marker import Marker  # noqa: E402
from newsmill.metrics import Metrics, serve_metrics  # noqa: E402
from newsmill.settings import Settings  # noqa: E402
from newsmill.topic_admin import missing_topics  # noqa: E402
from newsmill.topics import Topic, registry, replay_registry  # noqa: E402
from newsmill.transport import (  # noqa: E402
    Bounds,
    Stage,
    StageShell,
    TransactionFailed,
    context_of,
    watch_event_loop,
    watch_lag,
)
from newsmill.worker.carried import Carried  # noqa: E402
from newsmill.worker.plan import EXIT_AGAIN, ProcessPlan  # noqa: E402

log = logging.getLogger("newsmill.worker")
_working = False

_STOP_SECONDS = 8.0
# a first start tells soon that there is no broker; one that had a broker waits for it to come back
_BROKER_SECONDS, _BROKER_SECONDS_AGAIN = 10.0, 60.0


def _end(error: BaseException) -> NoReturn:
    """Say what happened in one line and end at once: nothing may be committed any more."""
    code = error.exit_code if isinstance(error, NewsmillError) else EXIT_AGAIN
    if isinstance(error, NewsmillError) and not _working:  # a person has just started it and reads this
        print(f"newsmill: {error}", file=sys.stderr, flush=True)
        os._exit(code)
    log.error("%s: %s", type(error).__name__, error, exc_info=error if log.isEnabledFor(logging.DEBUG) else None)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(code)


def _watch_parent() -> None:
    """End when standard input ends: an orphan must not go on beside its successor."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(EXIT_AGAIN)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _load_stages(plan: ProcessPlan, settings: Settings, rulebook: Rulebook) -> list[Stage]:
    module, _, name = plan.factory.partition(":")
    make: Callable[..., list[Stage]] = getattr(importlib.import_module(module), name)
    if plan.bounds is not None:
        return make(settings, rulebook, plan.stages, run=plan.bounds.run)
    return make(settings, rulebook, plan.stages)


async def _check_topics(
    settings: Settings, topics: Mapping[str, Topic], stages: list[Stage], bounds: Bounds | None, seconds: float
) -> None:
    """`BrokerError` if none answers in time, `TopicError` that names what is missing."""
    needed = {"ledger", "deadletter"}
    for stage in stages:
        needed |= {*stage.sinks, *([stage.state_topic] if stage.state_topic else ())}
        if bounds is None or bounds.first != stage.name:  # what that one reads is not of the replay
            needed |= {*stage.sources}
    library = logging.getLogger("aiokafka")
    level = library.level
    library.setLevel(logging.CRITICAL)  # one line at the end of the wait tells what each of its attempts would
    await kafka.wait_for_broker(settings, seconds)
    library.setLevel(level)
    async with kafka.admin_client(settings) as admin:
        missing = await missing_topics(admin, [topics[short] for short in sorted(needed)], settings)
    if missing:
        remedy = "run `newsmill topics create`"
        if bounds is not None:
            remedy = f"`newsmill replay drop {bounds.run}`, then run it again"
        raise TopicError(f"topics are missing: {', '.join(missing)}; {remedy}")


def _raise_first(done: set[asyncio.Future[Any]]) -> None:
    for task in done:
        task.result()


async def _watch(app: faust.App) -> None:
    """Raise when the app crashes, or when its group coordinator refuses it for good, which nobody else notices."""
    crashed = asyncio.create_task(app._crashed.wait())
    while not (await asyncio.wait({crashed}, timeout=1))[0]:
        if app.consumer is not None and app.consumer.started:
            await app.consumer.check_errors()
    raise app.crash_reason or RuntimeError(f"{app.conf.id} crashed and gave no reason")


async def _run(plan: ProcessPlan, settings: Settings) -> None:
    global _working
    _working = plan.again
    rulebook = load_rulebook(settings.rules_dir)
    stages = _load_stages(plan, settings, rulebook)
    themes = sorted({sink[6:] for stage in stages for sink in stage.sinks if sink.startswith("theme.")})
    bounds = plan.bounds
    topics = registry(themes, settings)
    if bounds is not None:
        topics |= replay_registry(themes, settings)
    groups = {name.casefold(): group for group, names in settings.metrics_source_groups.items() for name in names}
    metrics = Metrics("live" if bounds is None else "replay", themes, groups)
    metrics.expect(stage.name for stage in stages)
    metrics.build.labels(__version__, rulebook.version).set(1)
    marker = Marker(Path(plan.marker), tuple(stage.name for stage in stages))
    kept = Path(f"{plan.marker}.carried")
    folder = Path(plan.marker).parent
    carried = Carried.begin(kept, metrics)

    def end(stage: str, error: BaseException) -> NoReturn:
        if isinstance(error, TransactionFailed):
            carried.fail(kept, stage)
        _end(error)

    shells = [
        StageShell(
            stage, settings, context_of(settings, bounds.run if bounds is not None else "live"), topics, metrics,
            marker, partial(end, stage.name),
            frozenset((number, offset, source) for name, number, offset, source in plan.crashers if name == stage.name),
            bounds,
        )
        for stage in stages
    ]  # fmt: skip
    if plan.metrics_port is not None:
        watch_lag(shells, settings, metrics)
        serve_metrics(metrics, settings.metrics_host, plan.metrics_port, lambda: all(shell.ready for shell in shells))
    await _check_topics(settings, topics, stages, bounds, _BROKER_SECONDS_AGAIN if plan.again else _BROKER_SECONDS)
    apps = [build_app(shell, settings, f"{plan.instance}-{shell.stage.name}", folder) for shell in shells]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    watches: list[asyncio.Future[Any]] = [asyncio.create_task(_watch(app)) for app in apps]
    starting: asyncio.Future[Any] = asyncio.gather(*(app.start() for app in apps))
    lateness = asyncio.create_task(watch_event_loop(metrics))
    done, _ = await asyncio.wait({stopping, starting, *watches}, return_when=asyncio.FIRST_COMPLETED)
    _raise_first(done)
    if starting in done:
        _working = True
        Path(plan.started).touch()  # noqa: ASYNC240 - once, a local file
        # what lives now lives as long as the process: not worth looking at in every collection
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        done, _ = await asyncio.wait({stopping, *watches}, return_when=asyncio.FIRST_COMPLETED)
        _raise_first(done)
    for task in (lateness, *watches):
        task.cancel()
    await asyncio.gather(*(shell.drain() for shell in shells))
    log.info("stopping: every batch in hand is committed")
    try:
        await asyncio.wait_for(asyncio.gather(*(app.stop() for app in apps)), _STOP_SECONDS)
    except TimeoutError:
        log.warning("the groups were not left within %g s; their partitions move when the session times out",
                    _STOP_SECONDS)  # fmt: skip


def main() -> NoReturn:
    """Entry point of ``python -m newsmill.worker.process``."""
    raw = bytearray()
    while not raw.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(EXIT_AGAIN)
        raw += byte
    plan = ProcessPlan.model_validate(orjson.loads(raw))
    settings = Settings(**plan.settings)
    configure_logs(settings, f"worker-{plan.index}")
    _watch_parent()
    asyncio.run(_run_and_exit(plan, settings))
    raise AssertionError("unreachable: the process has ended")


async def _run_and_exit(plan: ProcessPlan, settings: Settings) -> NoReturn:
    """End from within the loop: closing it would wait for tasks and threads of the libraries, for some of them long."""
    try:
        await _run(plan, settings)
    except Exception as error:  # noqa: BLE001 - whatever it was, it ends the process, in one line
        _end(error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
