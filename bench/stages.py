"""CPU of each stage an article, over a seeded mix of Korean and English, and how it grows with length."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from bench.articles import make_articles
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Record, Result
from newsmill.settings import load_settings
from newsmill.stages import build_stages
from newsmill.transport import Stage

__all__ = ["StageCost", "measure_growth", "measure_stages"]


@dataclass(frozen=True)
class StageCost:
    """CPU in microseconds a record of this stage; ``body_bytes`` is the mean size of the raw bodies."""

    stage: str
    records: int
    body_bytes: int
    cpu_us: float


def _run(stage: Stage, records: Sequence[Record]) -> tuple[list[Result], float]:
    state = stage.new_state() if stage.new_state is not None else None
    results = []
    gc.collect()
    gc.disable()
    began = time.process_time()
    for record in records:
        result = stage.process(record, state)
        if state is not None:
            for change in result.changes:
                state.apply(change)
        results.append(result)
    took = time.process_time() - began
    gc.enable()
    return results, took


def _inputs(results: Sequence[Result], to: str) -> list[Record]:
    outputs = [output for result in results for output in result.outputs if output.to == to]
    return [Record(to, 0, n, o.time_ms, o.key, o.value, ()) for n, o in enumerate(outputs)]


def measure_stages(count: int, seed: int = 1, repeat_body: int = 1) -> list[StageCost]:
    """All four stages in the order of the flow, each on what the one before it made."""
    settings = load_settings()
    stages = {stage.name: stage for stage in build_stages(settings, load_rulebook())}
    bodies = 0
    records = []
    for number, article in enumerate(make_articles(count, seed)):
        article["body"] = "\n\n".join([article["body"]] * repeat_body)
        bodies += len(article["body"].encode())
        value = orjson.dumps(article)
        records.append(Record("raw", 0, number, 1_780_000_000_000 + number * 50, b"", value, ()))
    size = bodies // count
    costs = []
    _run(stages["prepare"], records[:50])  # what is loaded at the first call is not an article's cost
    prepared, took = _run(stages["prepare"], records)
    costs.append(StageCost("prepare", count, size, took / count * 1e6))
    after_prepare = _inputs(prepared, "prepared")
    decided, took = _run(stages["dedupe"], after_prepare)
    costs.append(StageCost("dedupe", len(after_prepare), size, took / len(after_prepare) * 1e6))
    unique = _inputs(decided, "unique")
    enriched, took = _run(stages["enrich"], unique)
    costs.append(StageCost("enrich", len(unique), size, took / len(unique) * 1e6))
    items = _inputs(enriched, "story-input")
    _, took = _run(stages["stories"], items)
    costs.append(StageCost("stories", len(items), size, took / len(items) * 1e6))
    return costs


def measure_growth(factors: Sequence[int] = (1, 2, 4, 8, 16)) -> list[StageCost]:
    """Cost against length: the same articles with their bodies so many times as long."""
    return [cost for factor in factors for cost in measure_stages(200, seed=2, repeat_body=factor)]
