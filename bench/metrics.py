"""What counting costs: the whole pipeline's CPU an article with metrics and without, and what runs beside it.

Batches as the shell makes them: every stage's records are processed, then counted as after a commit. Kafka is left out,
so the share shown is higher than in a worker, which also pays for its transport: 25 µs a record and about 2.8 ms a
transaction in each stage, which is 11 ms an article where each batch has one.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from prometheus_client.openmetrics.exposition import generate_latest

from bench.articles import make_articles
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Record, Result
from newsmill.metrics import Metrics
from newsmill.settings import load_settings
from newsmill.stages import STAGES, build_stages
from newsmill.transport import Stage

__all__ = ["CountingCost", "measure_counting"]


@dataclass(frozen=True)
class CountingCost:
    """CPU in microseconds a raw article: of all four stages' work, of counting it, and its share in percent.

    ``scrape_ms`` is the CPU of one scrape.
    """

    batch: int
    articles: int
    work_us: float
    counting_us: float
    share_percent: float
    scrape_ms: float


def _count(metrics: Metrics, stage: Stage, results: Sequence[Result], records: Sequence[Record], state: object) -> None:
    """What the shell does with the results of one batch."""
    counts: Counter[str] = Counter()
    facts = []
    times = []
    for result in results:
        counts[result.outcome] += 1
        if result.facts is not None:
            facts.append(result.facts)
        if stage.reports_latency and result.raw_time_ms is not None:
            times.append(result.raw_time_ms)
    metrics.batch(stage.name, counts, {}, 0.001 * len(records), 0.01, times, records[-1].timestamp, facts)
    if state is not None:
        metrics.state(stage.name, 0, state)  # type: ignore[arg-type]


def measure_counting(batches: Sequence[int] = (1, 20, 1000), count: int = 2000) -> list[CountingCost]:
    """Process the same articles in batches of these sizes."""
    return [_measure(batch, count) for batch in batches]


def _measure(batch: int, count: int) -> CountingCost:
    settings, rulebook = load_settings(), load_rulebook()
    stages = build_stages(settings, rulebook)
    metrics = Metrics("live", ("chips", "cloud", "industrial-ai"), {"publisher 1": "wire"})
    metrics.expect(STAGES)
    values = [orjson.dumps(article) for article in make_articles(count, seed=3)]
    records = [Record("raw", 0, n, 1_780_000_000_000 + n * 50, b"", value, ()) for n, value in enumerate(values)]
    work = counting = 0.0
    stages[0].process(records[0], None)  # what is loaded at the first call is not an article's cost
    for stage in stages:
        state = stage.new_state() if stage.new_state is not None else None
        outputs = []
        gc.collect()
        gc.disable()
        for start in range(0, len(records), batch):
            chunk = records[start : start + batch]
            began = time.process_time()
            results = []
            for record in chunk:
                result = stage.process(record, state)
                for change in result.changes:
                    assert state is not None
                    state.apply(change)
                results.append(result)
            between = time.process_time()
            _count(metrics, stage, results, chunk, state)
            counting += time.process_time() - between
            work += between - began
            outputs += [output for result in results for output in result.outputs]
        gc.enable()
        sink = {"prepare": "prepared", "dedupe": "unique", "enrich": "story-input", "stories": ""}[stage.name]
        records = [
            Record(sink, 0, n, o.time_ms, o.key, o.value, ()) for n, o in enumerate(o for o in outputs if o.to == sink)
        ]
    began = time.process_time()
    for _ in range(20):
        generate_latest(metrics.registry)
    scrape = (time.process_time() - began) / 20
    return CountingCost(batch, count, work / count * 1e6, counting / count * 1e6, 100 * counting / work, scrape * 1e3)
