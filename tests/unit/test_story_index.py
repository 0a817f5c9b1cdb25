"""StoryIndex against the plain sum of products, whatever was added and removed before."""

from __future__ import annotations

import math
import random

import pytest

from newsmill.core.story_index import StoryIndex

ALL = 10**9


def unit(chance: random.Random, words: list[str]) -> dict[str, float]:
    terms = {word: chance.uniform(0.1, 1.0) for word in chance.sample(words, chance.randint(1, 8))}
    length = math.sqrt(sum(w * w for w in terms.values()))
    return {term: weight / length for term, weight in terms.items()}


def plain(vectors: dict[int, dict[str, float]], query: dict[str, float], least: float) -> list[tuple[int, float]]:
    scored = ((slot, sum(w * v[t] for t, w in query.items() if t in v)) for slot, v in sorted(vectors.items()))
    return [(slot, score) for slot, score in scored if score >= least]


@pytest.mark.parametrize("seed", range(5))
def test_search_is_the_sum_of_products_through_any_history(seed: int) -> None:
    chance = random.Random(seed)
    words = [f"w{n}" for n in range(30)]
    index, vectors = StoryIndex(), dict[int, dict[str, float]]()
    for slot in range(600):
        vectors[slot] = unit(chance, words)
        index.add(slot, vectors[slot])
        # the oldest leave, and sometimes one from the middle
        while len(vectors) > 120:
            gone = min(vectors) if chance.random() < 0.8 else chance.choice(sorted(vectors))
            index.remove(gone, vectors.pop(gone))
        if slot % 20 == 0:
            query = unit(chance, words)
            found = index.search(query, min(vectors), slot + 1, 0.2, ALL)
            expected = plain(vectors, query, 0.2)
            assert [s for s, _ in found] == [s for s, _ in expected]
            assert [x for _, x in found] == pytest.approx([x for _, x in expected], abs=1e-12)
    assert index.articles == len(vectors)
    for word in words:
        assert index.frequency(word) == sum(word in v for v in vectors.values())


def test_a_rebuilt_index_gives_the_same_bits() -> None:
    chance = random.Random(1)
    words = [f"w{n}" for n in range(12)]
    vectors = {slot: unit(chance, words) for slot in range(300)}
    lived, rebuilt = StoryIndex(), StoryIndex()
    for slot, vector in vectors.items():
        lived.add(slot, vector)
    for slot in range(0, 200, 3):
        lived.remove(slot, vectors.pop(slot))
    for slot, vector in vectors.items():
        rebuilt.add(slot, vector)
    query = unit(chance, words)
    assert lived.search(query, 0, 300, 0.0001, ALL) == rebuilt.search(query, 0, 300, 0.0001, ALL)
    assert lived.search(query, 0, 300, 0.0001, 40) == rebuilt.search(query, 0, 300, 0.0001, 40)


def test_frequent_terms_are_passed_over() -> None:
    index = StoryIndex()
    for slot in range(10):
        index.add(slot, {"common": 0.6, f"own{slot}": 0.8})
    assert len(index.search({"common": 1.0}, 0, 10, 0.1, 10)) == 10
    assert index.search({"common": 1.0}, 0, 10, 0.1, 9) == []


def test_nothing_is_left_of_what_was_removed() -> None:
    index = StoryIndex()
    empty = index.nbytes
    for slot in range(200):
        index.add(slot, {"a": 0.6, f"b{slot}": 0.8})
    for slot in range(200):
        index.remove(slot, ["a", f"b{slot}"])
    assert index.articles == 0
    assert index.nbytes == empty
    assert index.search({"a": 1.0}, 0, 200, 0.0001, ALL) == []
