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

WIDE = 2_000_000


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

    def place(self, value: int) -> tuple[int, int]:
        product = (value & 0xFFFFFFFF) * self.table.buckets
        return product >> 32, max(1, (product & 0xFFFFFFFF) >> (32 - self.table.tag_bits))

    def add(self, values: Any, number: int) -> None:
        for value in values.tolist():
            bucket, tag = self.place(value)
            self.buckets[bucket].append((number, tag))

    def postings(self) -> list[list[tuple[int, int]]]:
        return [self.buckets[bucket][-64:] for bucket in range(self.table.buckets)]


@given(
    st.sampled_from((900, 200_000, WIDE)),
    st.sampled_from((1, (1 << 16) - 50, (1 << 24) - 50)),
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(1, 64), st.integers(1, 9), st.sampled_from((0, 0, 0, 9, 70_000))),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from((20, 300, 10**6)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_it_holds_the_newest_postings(
    capacity: int, start: int, steps: list[tuple[int, int, int, int]], kinds: int
) -> None:
    """One by one and many at once, few kinds of hashes (buckets overflow) and many, over several epochs.

    Of the dead it may hold any, as long as it knows their numbers.
    """
    table = PostingTable(capacity, start, buckets=40)
    model = Model(table)
    number = start
    for seed, count, entries, gap in steps:
        number += gap
        many = [hashes(seed + n, count, kinds) for n in range(entries)]
        for n, values in enumerate(many):
            model.add(values, number + n)
        begin = 0
        while begin < entries:
            table.begin(number + begin)
            end = min(entries, table.together(number + begin) + 1 - number)
            if end == begin + 1:
                table.add(many[begin], len(many[begin]), number + begin)
            else:
                each = [np.full(len(many[n]), number + n) for n in range(begin, end)]
                table.add_many(np.concatenate(many[begin:end]), np.concatenate(each))
            begin = end
        number += entries
    living = number - capacity
    alive = [[posting for posting in bucket if posting[0] >= living] for bucket in table.postings()]
    assert alive == [[posting for posting in bucket if posting[0] >= living] for bucket in model.postings()]
    for held, all_of_them in zip(table.postings(), model.postings(), strict=True):
        assert held == all_of_them[len(all_of_them) - len(held) :]
    for seed, count, _, _ in steps[:5]:
        values = hashes(seed, count, kinds)
        probes, numbers = table.find(values, 1, 1)
        expected = []
        for probe, value in enumerate(values.tolist()):
            bucket, tag = model.place(value)
            expected += sorted((probe, n) for n, other in model.buckets[bucket][-64:] if other == tag and n >= living)
        assert sorted(met for met in zip(probes, numbers, strict=True) if met[1] >= living) == expected


def test_chance_tags_alone_are_nothing() -> None:
    """The quick answer: no number three times, no hash in five entries, and the first hash unknown."""
    table = PostingTable(1000, 1000)
    values = hashes(1, 60, 10**9)
    for number in range(1, 21):
        table.add(values[number + 10 :], 1, number)
    assert table.find(values, 3, 5) == ([], [])
    assert table.find(values[::-1], 3, 5) == ([], [])
    table.add(values[50:], 3, 30)
    assert table.find(values, 3, 5)[1].count(30) == 3
    table.add(values, 1, 31)
    assert table.find(values[:12], 3, 5)[1].count(31) == 1
    assert table.find(values[1:12], 3, 5) == ([], [])
    for number in range(32, 37):
        table.add(values[5:], 1, number)
    assert set(range(32, 37)) <= set(table.find(values[1:12], 3, 5)[1])


@pytest.mark.parametrize("capacity", [640, WIDE])
def test_growing_loses_nothing(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no bucket overflows, a table that began small is the one that had its full size from the first entry."""
    monkeypatch.setattr(posting_table, "_GROWS_FROM", 0)
    last = capacity // 4 + 100
    grown, large = PostingTable(capacity, 1, 1600), PostingTable(capacity, last, 1600)
    large._epoch = 0
    sizes = {grown.nbytes}
    for number in range(1, last, max(1, capacity // 640)):
        values = hashes(number, 40, 10**9)
        before = grown.buckets
        grown.begin(number)
        large.begin(number)
        if grown.buckets > before:
            assert grown.find(hashes(1, 40, 10**9), 3, 5)[1].count(1) == 40
        for table in (grown, large):
            table.add(values, 40, number)
        sizes.add(grown.nbytes)
    assert len(sizes) == 5
    assert grown.nbytes == large.nbytes
    assert grown.postings() == large.postings()


@pytest.mark.parametrize("capacity", [1, 1000, 65_536, 65_537, 10**6, WIDE])
def test_the_living_are_kept_and_numbers_never_come_again(capacity: int) -> None:
    """Epoch after epoch: an entry is there as long as it lives, and is forgotten before its counter is used again."""
    table = PostingTable(capacity, buckets=500)
    stride = max(1, capacity // 9)
    values = {number: hashes(number, 30, 10**9) for number in range(5, 5 + 40 * stride, stride)}
    for number, one in values.items():
        table.begin(number)
        table.add(one, 30, number)
        for earlier, other in values.items():
            if earlier > number:
                break
            there = table.find(other, 3, 5)[1].count(earlier)
            assert there >= 30 or earlier <= number - capacity, (number, earlier)
    assert min(min(bucket)[0] for bucket in table.postings() if bucket) > number - capacity - 3 * 65_536


def test_cleared_it_is_new() -> None:
    table = PostingTable(10**6, 1)
    small = table.nbytes
    table.add(hashes(1, 40, 10**9), 40, 1)
    table.clear(900_000)
    assert table.nbytes > 12 * small
    assert not any(map(len, table.postings()))
    table.clear(1)
    assert table.nbytes == small


def test_a_bucket_of_tags_is_one_cache_line() -> None:
    for capacity in (10, 5000, 10**5):
        assert PostingTable(capacity)._tags.ctypes.data % 64 == 0


def test_bytes_of_an_entry() -> None:
    assert PostingTable(10**6, 10**6).nbytes / 10**6 < 146
