"""One worker process: reads its plan from standard input, runs its stages' Faust apps, exits by the book.

Exit codes: 0 told to stop and everything committed; 75 begin again (anything but a confirmed commit); 2 or 3 a person
must look (settings, state). The end of standard input means that the parent is gone: the process ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import NoReturn

import orjson
import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # before faust: its threads make loops of their own

from newsmill import __version__, kafka  # noqa: E402
from newsmill.app import build_app  # noqa: E402
from newsmill.core.rulebook import load_rulebook  # noqa: E402
from newsmill.errors import NewsmillError  # noqa: E402
from newsmill.logs import configure_logs  # noqa: E402
from newsmill.metrics import Metrics, serve_metrics  # noqa: E402
from newsmill.settings import Settings  # noqa: E402
from newsmill.topics import registry, theme_topic  # noqa: E402
from newsmill.transport import Marker, StageShell, TransactionFailed, context_of, watch_event_loop, watch_lag  # noqa: E402
from newsmill.worker.carried import Carried  # noqa: E402
from newsmill.worker.plan import EXIT_AGAIN, ProcessPlan, load_factory  # noqa: E402

log = logging.getLogger("newsmill.worker")

_STOP_SECONDS = 8.0


def _end(error: BaseException) -> NoReturn:
    """Say what happened in one line and end at once: nothing may be committed any more."""
    code = error.exit_code if isinstance(error, NewsmillError) else EXIT_AGAIN
    if code == 1:  # no broker: worth another try
        code = EXIT_AGAIN
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


async def _run(plan: ProcessPlan, settings: Settings) -> None:
    rulebook = load_rulebook(settings.rules_dir)
    stages = load_factory(plan.factory)(settings, rulebook, plan.stages)
    themes = sorted({sink[6:] for stage in stages for sink in stage.sinks if sink.startswith("theme.")})
    topics = registry(themes, settings)
    assert all(topics[f"theme.{theme}"].name == theme_topic(theme) for theme in themes)
    groups = {name.casefold(): group for group, names in settings.metrics_source_groups.items() for name in names}
    metrics = Metrics("live", themes, groups)
    metrics.expect(stage.name for stage in stages)
    metrics.build.labels(__version__, rulebook.version).set(1)
    marker = Marker(Path(plan.marker), tuple(stage.name for stage in stages))
    kept = Path(f"{plan.marker}.carried")
    carried = Carried.begin(kept, metrics)

    def end(stage: str, error: BaseException) -> NoReturn:
        if isinstance(error, TransactionFailed):
            carried.fail(kept, stage)
        _end(error)

    shells = [
        StageShell(
            stage, settings, context_of(settings), topics, metrics, marker, partial(end, stage.name),
            frozenset((partition, offset) for name, partition, offset in plan.crashers if name == stage.name),
        )
        for stage in stages
    ]  # fmt: skip
    if plan.metrics_port is not None:
        watch_lag(shells, settings, metrics)
        serve_metrics(metrics, settings.metrics_host, plan.metrics_port, lambda: all(shell.ready for shell in shells))
    await kafka.wait_for_broker(settings, seconds=20)
    apps = [build_app(shell, settings, f"{plan.instance}-{shell.stage.name}") for shell in shells]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent says what to do
    await asyncio.gather(*(app.start() for app in apps))
    # what lives now lives as long as the process: not worth looking at in every collection
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    crashed = [asyncio.create_task(app._crashed.wait()) for app in apps]
    stopping = asyncio.create_task(stop.wait())
    lateness = asyncio.create_task(watch_event_loop(metrics))
    done, _ = await asyncio.wait({stopping, *crashed}, return_when=asyncio.FIRST_COMPLETED)
    if stopping not in done:
        reason = next((app.crash_reason for app in apps if app.crash_reason is not None), None)
        _end(reason or RuntimeError("a Faust app crashed and gave no reason"))
    lateness.cancel()
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
    try:
        asyncio.run(_run(plan, settings))
    except Exception as error:  # noqa: BLE001 - whatever it was, it ends the process, in one line
        _end(error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    # threads of the libraries may linger; everything is committed and closed
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
