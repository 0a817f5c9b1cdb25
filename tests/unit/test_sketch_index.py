"""The inverted index: what it finds, what leaves it, the wrap of its numbers, and that the living alone decide."""

from __future__ import annotations

import random

import numpy as np
import pytest

from newsmill.core.fingerprint import Sketch, sketch
from newsmill.core.sketch_index import MAX_CAPACITY, Entry, SketchIndex

VOCABULARY = ["".join(random.Random(n).choices("abcdefghijklmnop", k=6)) for n in range(3000)]


def text(seed: int, count: int = 120) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def ident(number: int) -> bytes:
    return number.to_bytes(16, "little")


def entry(index: SketchIndex, name: int, value: Sketch, *, time: int = 0, cluster: int | None = None) -> Entry:
    number = index.next_number
    return Entry(
        number,
        ident(name),
        ident(name),
        number if cluster is None else cluster,
        value.level,
        value.words,
        value.bitmap,
        name + 7_000_000_000,
        0,
        time,
        value.hashes,
    )


def roots(index: SketchIndex, value: Sketch, since: int = 0, owner: int = 999_999, exact: int = 1) -> list[bytes]:
    return [match.root for match in index.find(value, exact, ident(owner), since).matches]


def test_it_finds_what_shares_shingles_and_nothing_else() -> None:
    index = SketchIndex(1000, 5)
    for name in range(300):
        index.add(entry(index, name, sketch(text(name))))
    for name in range(0, 300, 17):
        found = index.find(sketch(text(name)), 1, ident(5000), 0)
        assert found.matches[0].root == ident(name)
        assert found.matches[0].mine == found.matches[0].theirs == len(sketch(text(name)).hashes)
        assert found.matches[0].hits >= 0.95 * found.matches[0].mine  # two of an entry may meet in one bucket
        assert len(found.matches) == 1
    assert roots(index, sketch(text(7000))) == []


def test_a_short_and_a_long_text_meet_at_the_higher_level() -> None:
    index = SketchIndex(100, 5)
    long = text(1, 1500)
    index.add(entry(index, 1, sketch(long)))
    part = " ".join(long.split()[200:700])
    match = index.find(sketch(part), 1, ident(2), 0).matches[0]
    assert match.hits >= 0.9 * match.mine
    assert match.mine < match.theirs


def test_a_flash_is_found_in_the_beginning_of_a_long_report() -> None:
    index = SketchIndex(100, 5)
    long = text(1, 900)
    index.add(entry(index, 1, sketch(" ".join(long.split()[:12]))))
    match = index.find(sketch(long), 1, ident(2), 0).matches[0]
    assert (match.hits, match.theirs, match.mine) == (10, 10, sketch(long).shingles)


def test_the_same_text_is_found_by_its_hash_however_short() -> None:
    index = SketchIndex(100, 5)
    index.add(entry(index, 1, sketch("word")))
    assert [m.exact for m in index.find(sketch("word"), 7_000_000_001, ident(2), 0).matches] == [True]
    assert roots(index, sketch("word"), exact=5) == []


def test_own_entries_and_old_ones_are_passed_over() -> None:
    index = SketchIndex(100, 5)
    index.add(entry(index, 1, sketch(text(1)), time=100))
    assert roots(index, sketch(text(1)), owner=1) == []
    assert roots(index, sketch(text(1)), since=101) == []
    assert roots(index, sketch(text(1)), since=100) == [ident(1)]


def test_boilerplate_of_many_families_links_nobody() -> None:
    footer = text(5000, 30)
    index = SketchIndex(100, 5)
    for name in range(5):
        index.add(entry(index, name, sketch(f"{text(name, 25)} {footer}")))
    value = sketch(f"{text(77, 25)} {footer}")
    found = index.find(value, 1, ident(9), 0)
    assert found.matches == []
    assert len(found.fresh) <= len(value.hashes) - 28
    one_family = SketchIndex(100, 5)
    for name in range(5):
        one_family.add(entry(one_family, name, sketch(f"{text(name, 25)} {footer}"), cluster=1))
    assert len(one_family.find(value, 1, ident(9), 0).matches) == 5


def test_entries_leave_in_order() -> None:
    index = SketchIndex(3, 5)
    for name in range(3):
        index.add(entry(index, name, sketch(text(name))))
    with pytest.raises(ValueError, match="full"):
        index.add(entry(index, 3, sketch(text(3))))
    with pytest.raises(ValueError, match="would leave before"):
        index.expire(index.head + 1)
    index.expire(1)
    index.expire(1)  # gone already
    assert len(index) == 2
    assert roots(index, sketch(text(0))) == []
    index.add(entry(index, 3, sketch(text(3))))
    assert roots(index, sketch(text(3))) == [ident(3)]
    with pytest.raises(ValueError, match="follows"):
        index.add(entry(index, 4, sketch(text(4)))._replace(number=99))


@pytest.mark.parametrize("start", [1, (1 << 24) - 150, (1 << 32) - 150])
def test_numbers_wrap(start: int) -> None:
    """The same history gives the same answers wherever the 24-bit numbers begin."""
    index = SketchIndex(80, 5, next_number=start)
    plain = SketchIndex(80, 5)
    for name in range(400):
        for one in (index, plain):
            if len(one) == one.capacity:
                one.expire(one.head)
            one.add(entry(one, name, sketch(text(name, 70))))
        for other in (name, name - 40, name - 79, name - 80, name - 150):
            assert roots(index, sketch(text(other, 70))) == roots(plain, sketch(text(other, 70))), (name, other)
        if name >= 80:
            assert roots(index, sketch(text(name - 79, 70))) == [ident(name - 79)]
            assert roots(index, sketch(text(name - 80, 70))) == []


def test_dead_postings_are_swept_before_their_numbers_come_again() -> None:
    """Simulated: one posting dies, and 2^22 insertions sweep the whole table once."""
    index = SketchIndex(64, 5)
    for name in range(64):
        index.add(entry(index, name, sketch(text(name))))
    for number in range(1, 65):
        index.expire(number)
    assert np.count_nonzero(index._table)
    for stripe in range(4096):
        index._sweep(stripe * index._stripe)
    assert not np.count_nonzero(index._table)


def test_the_sweep_spares_the_living() -> None:
    index = SketchIndex(64, 5, next_number=(1 << 24) - 30)
    for name in range(64):
        index.add(entry(index, name, sketch(text(name))))
    before = index._table.copy()
    for stripe in range(4096):
        index._sweep(stripe * index._stripe)
    assert (index._table == before).all()


@pytest.mark.parametrize("seed", range(3))
def test_an_index_of_the_living_answers_like_the_one_that_saw_the_dead(seed: int) -> None:
    """Overfull buckets too: far more postings than places."""
    rng = random.Random(seed)
    lived = SketchIndex(600, 5)
    lived._size_table(400)  # a tenth of what the capacity needs
    log: dict[int, Entry] = {}
    for name in range(1500):
        if len(lived) == 600 or (rng.random() < 0.3 and len(lived)):
            log.pop(lived.head)
            lived.expire(lived.head)
        one = entry(lived, name, sketch(text(rng.randrange(700), 90)))
        lived.add(one)
        log[one.number] = one
    rebuilt = SketchIndex(600, 5)
    rebuilt._size_table(400)
    for one in log.values():
        rebuilt.add(one)
    assert (rebuilt.head, rebuilt.next_number) == (lived.head, lived.next_number)
    for name in range(700):
        a = lived.find(sketch(text(name, 90)), 1, ident(10**6), 0)
        b = rebuilt.find(sketch(text(name, 90)), 1, ident(10**6), 0)
        assert a.matches == b.matches
        assert a.known == b.known
        assert a.fresh.tolist() == b.fresh.tolist()


def test_limits() -> None:
    for capacity in (0, MAX_CAPACITY + 1):
        with pytest.raises(ValueError, match="capacity"):
            SketchIndex(capacity, 5)
    assert SketchIndex(100_000, 5, next_number=100_001).nbytes / 100_000 <= 300
    assert SketchIndex(100_000, 5).nbytes < 2_000_000


def test_growing_loses_nothing() -> None:
    """Where no bucket overflows, an index that began small is the one that had its full size from the first entry."""
    grown = SketchIndex(640, 5)
    grown._size_table(1 << 16)
    large = SketchIndex(640, 5, next_number=600)
    large._size_table(1 << 16)
    large.head = large.next_number = 1
    sizes = set()
    for name in range(640):
        for index in (grown, large):
            index.add(entry(index, name, sketch(text(name, 70)), cluster=name // 3))
        sizes.add(grown._table.nbytes)
    assert len(sizes) == 5
    assert sorted(sizes)[-1] == large._table.nbytes == 16 * sorted(sizes)[0]
    # two hashes of one entry may meet in a bucket of the small table, and only one of them stays
    buckets = list(zip(grown._table.tolist(), large._table.tolist(), strict=True))
    assert all(set(few) <= set(all_of_them) for few, all_of_them in buckets)
    assert np.count_nonzero(grown._table) >= 0.995 * np.count_nonzero(large._table)
    for name in range(0, 640, 7):
        assert roots(grown, sketch(text(name, 70))) == roots(large, sketch(text(name, 70)))


@pytest.mark.parametrize("gone", [0, 30, 61, 200])
def test_a_rebuilt_index_grows_at_the_same_entries(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.core.sketch_index._GROWS_FROM", 0)
    lived = SketchIndex(400, 5)
    lived._size_table(600)  # overfull: what a bucket gave up must be given up again
    entries = [entry(lived, 0, sketch(text(name % 350, 70)))._replace(number=name + 1) for name in range(320)]
    for one in entries:
        lived.add(one)
    for one in entries[:gone]:
        lived.expire(one.number)
    rebuilt = SketchIndex(400, 5)
    rebuilt._size_table(600)
    for one in entries[gone:]:
        rebuilt.add(one)
    for name in range(350):
        value = sketch(text(name, 70))
        a, b = (index.find(value, 1, ident(9999), 0) for index in (lived, rebuilt))
        assert (a.matches, a.known) == (b.matches, b.known)


@pytest.mark.parametrize(("start", "buckets"), [(1, 400), (1, 1 << 16), ((1 << 24) - 700, 400)])
def test_postings_written_later_are_the_same(start: int, buckets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many entries at once or one by one: every bucket ends with the same postings, overfull and wrapped too."""
    monkeypatch.setattr("newsmill.core.sketch_index._POSTED_AT_ONCE", 90)
    single, many = (SketchIndex(900, 5, next_number=start) for _ in range(2))
    for index in (single, many):
        index._size_table(buckets)
    for name in range(1500):
        one = entry(single, name, sketch(text(name % 1100, 90)))
        for index, add in ((single, single.add), (many, many.add_later)):
            if len(index) == index.capacity:
                index.expire(index.head)
            add(one)
        if name % 401 == 0:
            assert roots(many, sketch(text(name, 90))) == roots(single, sketch(text(name, 90)))
    many.post()
    assert np.count_nonzero(single._table) > 10_000 or buckets == 400
    assert (np.sort(single._table, 1) == np.sort(many._table, 1)).all()
