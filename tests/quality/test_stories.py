"""Stories of real two-day windows, in time order, scored against labels: pairwise F1 and BCubed F1, with floors.

Pairwise F1 counts pairs of articles in one story (Korean-English ones are shown too); BCubed is by Bagga and Baldwin
(1998), as in Amigó et al. (2009). All singletons would score a high BCubed and a pairwise F1 of 0, so both have floors.
Run as a program for the table: ``python tests/quality/test_stories.py``.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from newsmill.core.entities import EntityRules, find_entities
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record
from newsmill.core.stories import Stories, StoriesOptions
from newsmill.core.stories_state import StoriesState
from newsmill.core.story_features import StoryRules, story_terms

DATA = Path(__file__).parents[2] / "../shared/data"
BOOK = load_rulebook()
RULES = StoryRules.from_rulebook(BOOK)
ENTITIES = EntityRules.from_rulebook(BOOK)
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the labelled articles are not beside the project")


class Scores(NamedTuple):
    """0..1 all; ``across`` is the recall of pairs between two languages."""

    precision: float
    recall: float
    f1: float
    bcubed: float
    across: float


def score(gold: Sequence[Hashable], found: Sequence[Hashable], languages: Sequence[str]) -> Scores:
    """Pairwise and BCubed scores of one clustering against another of the same items."""
    right, made = _groups(gold), _groups(found)
    shared = [(len(right[g] & made[f]), len(made[f]), len(right[g])) for g, f in zip(gold, found, strict=True)]
    bp = sum(both / size for both, size, _ in shared) / len(shared)
    br = sum(both / size for both, _, size in shared) / len(shared)
    wanted, given = _pairs(right), _pairs(made)
    hit = len(wanted & given)
    precision, recall = hit / max(1, len(given)), hit / max(1, len(wanted))
    mixed = {pair for pair in wanted if languages[pair[0]] != languages[pair[1]]}
    return Scores(
        precision,
        recall,
        2 * hit / max(1, len(given) + len(wanted)),
        2 * bp * br / (bp + br),
        len(mixed & given) / max(1, len(mixed)),
    )


def _groups(labels: Sequence[Hashable]) -> dict[Hashable, set[int]]:
    groups: dict[Hashable, set[int]] = defaultdict(set)
    for at, label in enumerate(labels):
        groups[label].add(at)
    return groups


def _pairs(groups: dict[Hashable, set[int]]) -> set[tuple[int, int]]:
    return {pair for members in groups.values() for pair in combinations(sorted(members), 2)}


def items_of(name: str) -> list[dict[str, Any]]:
    with (DATA / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def story_item(at: int, row: dict[str, Any]) -> bytes:
    """The StoryItem of a labelled row, as enrich makes it. A title that is the whole text counts once."""
    title, language = row.get("title"), row.get("lang") or "en"
    text = row["text"] if row["text"] != title else ""
    moment = datetime.fromisoformat(row.get("published") or "2020-01-01T00:00:00Z").astimezone(UTC)
    entities = find_entities(title, text, ENTITIES)
    return orjson.dumps(
        {
            "format": 1,
            "kind": "item",
            "id": hashlib.md5(f"{at}".encode()).hexdigest(),
            "version": int(moment.timestamp() * 1000),
            "verdict": "original",
            "updates": None,
            "title": title,
            "source": row.get("source"),
            "language": language,
            "published_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "themes": [],
            "keywords": [],
            "terms": story_terms(title, text, language, entities, [], RULES),
        }
    )


def run(values: Sequence[bytes], **options: Any) -> tuple[list[str], StoriesState]:
    """The story of each item in the end, by its place in ``values``, and the state."""
    stage = Stories(Context("live", "0", "Asia/Seoul", {}), StoriesOptions(**options), BOOK)
    state = stage.new_state()
    ids = []
    for at, value in enumerate(values):
        result = stage(Record("news.story-input.v1", 0, at, 0, None, value, ()), state)
        for change in result.changes:
            state.apply(change)
        ids.append(orjson.loads(value)["id"])
    return [state.articles[name].story for name in ids], state


def score_window(name: str) -> Scores:
    rows = items_of(name)
    found, _ = run([story_item(at, row) for at, row in enumerate(rows)])
    return score([row["story"] for row in rows], found, [row["lang"] for row in rows])


def score_ecbplus(seed: int) -> Scores:
    rows = items_of("stories_ecbplus.jsonl")
    random.Random(seed).shuffle(rows)
    found, _ = run([story_item(at, row) for at, row in enumerate(rows)])
    return score([row["story"] for row in rows], found, ["en"] * len(rows))


def random_items(count: int) -> list[bytes]:
    """StoryItems with 64 terms of a Zipf-like vocabulary: a load with no texts."""
    chance = random.Random(7)
    values = []
    for at in range(count):
        words = {f"w{int(60_000 ** chance.random()) * 7 + chance.randrange(7)}" for _ in range(72)}
        terms = {word: round(chance.uniform(2, 12), 4) for word in sorted(words)[:64]}
        item = {
            "format": 1,
            "kind": "item",
            "id": hashlib.md5(f"{at}".encode()).hexdigest(),
            "version": 1_900_000_000_000 + at * 4000,
            "verdict": "original",
            "updates": None,
            "title": "t",
            "source": "s",
            "language": "en",
            "published_at": "2030-03-17T17:46:40Z",
            "themes": [],
            "keywords": [],
            "terms": terms,
        }
        values.append(orjson.dumps(item))
    return values


def test_scores_of_known_clusterings() -> None:
    gold = ["a", "a", "a", "b", "c"]
    assert score(gold, gold, ["ko"] * 5) == (1, 1, 1, 1, 0)
    alone = score(gold, range(5), ["ko", "en", "ko", "ko", "ko"])
    assert (alone.f1, alone.across) == (0, 0)
    assert alone.bcubed == pytest.approx(0.75)
    one = score(gold, [0] * 5, ["ko", "en", "ko", "ko", "ko"])
    assert (one.precision, one.recall, one.across) == (0.3, 1, 1)


@needs_data
@pytest.mark.parametrize(
    ("name", "f1", "bcubed"),
    # the first two were used to choose the thresholds, the third was not; measured 0.34/0.90, 0.39/0.91, 0.63/0.95
    [("stories.jsonl", 0.32, 0.89), ("stories_2.jsonl", 0.36, 0.89), ("stories_3.jsonl", 0.58, 0.94)],
)
def test_stories_of_a_two_day_window(name: str, f1: float, bcubed: float) -> None:
    scores = score_window(name)
    assert scores.f1 >= f1, scores
    assert scores.bcubed >= bcubed, scores


@needs_data
def test_look_alike_events_of_ecbplus() -> None:
    scores = [score_ecbplus(seed) for seed in range(1, 6)]
    assert sum(s.bcubed for s in scores) / 5 >= 0.82, scores


def test_cost_of_an_item_among_twenty_thousand() -> None:
    values = random_items(20_400)
    _, state = run(values[:20_000])
    assert state.index.articles > 15_000
    stage = Stories(Context("live", "0", "Asia/Seoul", {}), StoriesOptions(), BOOK)
    begin = time.process_time()
    for at, value in enumerate(values[20_000:]):
        for change in stage(Record("news.story-input.v1", 0, at, 0, None, value, ()), state).changes:
            state.apply(change)
    assert (time.process_time() - begin) / 400 < 0.002


if __name__ == "__main__":
    if not DATA.is_dir():
        sys.exit("no labelled data beside the project: nothing to score stories on")
    print("window             P      R      F1     BCubed across")
    for window in ("stories.jsonl", "stories_2.jsonl", "stories_3.jsonl"):
        print(f"{window:18}", *(f"{value:.3f} " for value in score_window(window)))
    for shuffle in range(1, 6):
        print(f"ecb+ shuffle {shuffle}    ", *(f"{value:.3f} " for value in score_ecbplus(shuffle)))
    load = random_items(20_400)
    _, filled = run(load[:20_000])
    last = Stories(Context("live", "0", "Asia/Seoul", {}), StoriesOptions(), BOOK)
    started = time.process_time()
    for number, loaded in enumerate(load[20_000:]):
        for made in last(Record("news.story-input.v1", 0, number, 0, None, loaded, ()), filled).changes:
            filled.apply(made)
    print(f"{(time.process_time() - started) / 400 * 1e6:.0f} us an item at 20,000; state {filled.nbytes / 1e6:.0f} MB")
