"""CPU of each stage an article, over a seeded mix of Korean and English, and how it grows with length."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import orjson

from bench.articles import make_articles
from newsmill.core import enrich
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Record, Result
from newsmill.settings import load_settings
from newsmill.stages import build_stages
from newsmill.transport import Stage

__all__ = ["StageCost", "StepCost", "measure_growth", "measure_stages", "measure_steps"]

# The functions of core/enrich.py by what `degraded` calls them; "read" and "write" are the JSON.
_STEPS = {
    "read": "_read",
    "themes": "classify",  # looks at every word for the entities, amounts and keywords too
    "entities": "find_entities",
    "amounts": "find_amounts",
    "keywords": "rank_keywords",
    "summary": "summarize",
    "digest": "is_digest",
    "story_terms": "story_terms",
    "write": "_dump",
}


@dataclass(frozen=True)
class StageCost:
    """CPU in microseconds a record of this stage; ``body_bytes`` is the mean size of the raw bodies."""

    stage: str
    records: int
    body_bytes: int
    cpu_us: float


@dataclass(frozen=True)
class StepCost:
    """CPU in microseconds an article of this step of enrich: Korean and English apart, words seen before."""

    step: str
    korean_us: float
    english_us: float


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


def measure_steps(count: int, seed: int = 1, repeat: int = 5) -> list[StepCost]:
    """The steps of enrich where they stand, one article after the other: the least of some rounds of each article."""
    settings = load_settings()
    stages = {stage.name: stage for stage in build_stages(settings, load_rulebook())}
    records = []
    for number, article in enumerate(make_articles(2 * count, seed)):
        records.append(Record("raw", 0, number, 1_780_000_000_000 + number * 50, b"", orjson.dumps(article), ()))
    prepared, _ = _run(stages["prepare"], records)
    decided, _ = _run(stages["dedupe"], _inputs(prepared, "prepared"))
    unique = _inputs(decided, "unique")
    by_language = {
        language: [record for record in unique if record.value and orjson.loads(record.value)["language"] == language]
        for language in ("ko", "en")
    }
    costs = {language: _least_of_rounds(stages["enrich"], of, repeat) for language, of in by_language.items()}
    return [StepCost(step, costs["ko"][step], costs["en"][step]) for step in costs["ko"]]


def _least_of_rounds(stage: Stage, records: Sequence[Record], repeat: int) -> dict[str, float]:
    took = dict.fromkeys((*_STEPS, "all"), 0.0)

    def timed(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                took[step] += time.process_time() - began

        return call

    least = [dict.fromkeys(took, math.inf) for _ in records]
    with ExitStack() as stack:
        for step, name in _STEPS.items():
            stack.enter_context(patch.object(enrich, name, timed(step, getattr(enrich, name))))
        process = timed("all", stage.process)
        for _ in range(repeat):
            gc.collect()
            gc.disable()
            for record, best in zip(records, least, strict=True):
                took.update(dict.fromkeys(took, 0.0))
                process(record, None)
                best.update({step: min(best[step], spent) for step, spent in took.items()})
            gc.enable()
    return {step: sum(best[step] for best in least) / len(least) * 1e6 for step in took}


def measure_growth(factors: Sequence[int] = (1, 2, 4, 8, 16)) -> list[StageCost]:
    """Cost against length: the same articles with their bodies so many times as long."""
    return [cost for factor in factors for cost in measure_stages(200, seed=2, repeat_body=factor)]
