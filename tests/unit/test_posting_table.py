"""The posting table against a plain model: a list of numbers for each bucket, of which the newest 64 count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.core import posting_table
from newsmill.core.posting_table import PostingTable

WIDE = 2_000_000  # a capacity whose numbers take 24 bits


def hashes(seed: int, count: int, kinds: int) -> Any:
    """Distinct hashes out of so many kinds, anywhere in 64 bits."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(kinds, min(count, kinds), replace=False).astype(np.uint64)
    return kind * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(0x5555555555555555)


class Model:
    """What a table of so many buckets must hold, from the definition."""

    def __init__(self, table: PostingTable) -> None:
        self.table = table
        self.buckets: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def add(self, values: Any, number: int) -> None:
        for value in values.tolist():
            product = (value & 0xFFFFFFFF) * self.table.buckets
            tag = max(1, (product & 0xFFFFFFFF) >> (32 - self.table._tag_bits))
            self.buckets[product >> 32].append((number, tag))

    def postings(self) -> list[list[int]]:
        mask, bits = self.table.number_mask, self.table._tag_bits
        newest = (self.buckets[bucket][-64:] for bucket in range(self.table.buckets))
        return [[(number & mask) << bits | tag for number, tag in bucket] for bucket in newest]


@given(
    st.sampled_from((900, 1_015_808, WIDE)),
    st.sampled_from((1, (1 << 20) - 50, (1 << 24) - 50)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 64), st.integers(1, 9)), min_size=1, max_size=60),
    st.sampled_from((20, 300, 10**6)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_it_holds_the_newest_postings(capacity: int, start: int, steps: list[tuple[int, int, int]], kinds: int) -> None:
    """One by one and many at once, few kinds of hashes (buckets overflow) and many, however long its numbers are."""
    table = PostingTable(capacity, max(start, capacity), buckets=40)
    model = Model(table)
    number = start
    for seed, count, entries in steps:
        many = [hashes(seed + n, count, kinds) for n in range(entries)]
        for n, values in enumerate(many):
            model.add(values, number + n)
        if entries == 1:
            table.add(many[0], number)
        else:
            low = [np.full(len(values), number + n & table.number_mask, np.uint32) for n, values in enumerate(many)]
            table.add_many(np.concatenate(many), np.concatenate(low))
        number += entries
    assert table.postings() == model.postings()
    for seed, count, _ in steps[:5]:
        values = hashes(seed, count, kinds)
        probes, numbers = table.find(values, 1, 1)
        expected = []
        for probe, value in enumerate(values.tolist()):
            product = (value & 0xFFFFFFFF) * table.buckets
            tag = max(1, (product & 0xFFFFFFFF) >> (32 - table._tag_bits))
            met = model.buckets[product >> 32][-64:]
            expected += sorted((probe, n & table.number_mask) for n, other in met if other == tag)
        assert sorted(zip(probes, numbers, strict=True)) == expected


def test_chance_tags_alone_are_nothing() -> None:
    """The quick answer: no number three times, no hash in five entries, and the first hash unknown."""
    table = PostingTable(1000, 1000)
    values = hashes(1, 60, 10**9)
    for number in range(1, 21):
        table.add(values[number + 10 : number + 11], number)
    assert table.find(values, 3, 5) == ([], [])
    assert table.find(values[::-1], 3, 5) == ([], [])
    table.add(values[50:53], 30)
    assert table.find(values, 3, 5)[1].count(30) == 3
    table.add(values[:1], 31)
    assert table.find(values[:12], 3, 5)[1].count(31) == 1
    assert table.find(values[1:12], 3, 5) == ([], [])
    for number in range(32, 37):
        table.add(values[5:6], number)
    assert set(range(32, 37)) <= set(table.find(values[1:12], 3, 5)[1])


@pytest.mark.parametrize("capacity", [640, WIDE])
def test_growing_loses_nothing(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no bucket overflows, a table that began small is the one that had its full size from the first entry."""
    monkeypatch.setattr(posting_table, "_GROWS_FROM", 0)
    last = capacity // 4 + 100
    grown, large = PostingTable(capacity, 1, 1600), PostingTable(capacity, last, 1600)
    sizes = {grown.nbytes}
    for number in range(1, last, max(1, capacity // 640)):
        values = hashes(number, 40, 10**9)
        before = grown.buckets
        grown.grow(number)
        if grown.buckets > before:
            assert grown.find(hashes(1, 40, 10**9), 3, 5)[1].count(1) == 40
        for table in (grown, large):
            table.add(values, number)
        sizes.add(grown.nbytes)
    assert len(sizes) == 5
    assert grown.nbytes == large.nbytes
    assert grown.doubles_at == large.doubles_at == 0
    assert grown.postings() == large.postings()


@pytest.mark.parametrize(("capacity", "bits"), [(1000, 20), (1_015_808, 20), (1_015_809, 24), (WIDE, 24)])
def test_the_dead_are_swept_before_their_numbers_come_again(capacity: int, bits: int) -> None:
    """From the death of an entry to the return of its number every stripe is swept once, and the living are spared."""
    table = PostingTable(capacity, 1 << 25, buckets=2000)
    first = 1 << 25
    for number in range(first, first + 60):
        table.add(hashes(number, 40, 10**9), number)
    full = table.postings()
    table.sweep(first + 60, first + 60 + (1 << bits), 60 + (1 << bits))
    assert table.postings() == full  # all alive
    for stripe in range(1024):
        table.sweep_stripe(stripe, first + 60, 20)
    alive = {number & table.number_mask for number in range(first + 40, first + 60)}
    kept = [word >> 8 for bucket in table.postings() for word in bucket]
    assert set(kept) == alive
    assert len(kept) == sum(word >> 8 in alive for bucket in full for word in bucket)
    # the last one dies when so many more have come; its number comes again when 2^bits have
    dead = first + 59 + capacity
    table.sweep(dead, first + 59 + (1 << bits) - 4096, capacity)
    assert not any(table.postings())


def test_cleared_it_is_new() -> None:
    table = PostingTable(10**6, 1)
    small = table.nbytes
    table.add(hashes(1, 40, 10**9), 1)
    table.clear(900_000)
    assert table.nbytes > 15 * small
    assert not any(map(len, table.postings()))
    table.clear(1)
    assert table.nbytes == small


def test_a_bucket_of_tags_is_one_cache_line() -> None:
    for capacity in (10, 5000, 10**5):
        assert PostingTable(capacity)._planes[0].ctypes.data % 64 == 0


def test_bytes_of_an_entry() -> None:
    assert PostingTable(10**6, 10**6).nbytes / 10**6 < 153
