"""The inverted index: what it finds, what leaves it, the wrap of its numbers, and that the living alone decide."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from newsmill.core.fingerprint import Sketch, sketch
from newsmill.core.sketch_index import MAX_CAPACITY, Entries, Entry, SketchIndex

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


@pytest.mark.parametrize("start", [1, (1 << 16) - 150, (1 << 24) - 150, (1 << 32) - 150])
def test_numbers_wrap(start: int) -> None:
    """The same history gives the same answers wherever the numbers begin: the table keeps 16 bits of them."""
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


@pytest.mark.parametrize("seed", range(3))
def test_an_index_of_the_living_answers_like_the_one_that_saw_the_dead(seed: int) -> None:
    """Overfull buckets too: far more postings than places."""
    rng = random.Random(seed)
    lived = SketchIndex(600, 5, buckets=80)  # a fifth of what the capacity needs
    log: dict[int, Entry] = {}
    for name in range(1500):
        if len(lived) == 600 or (rng.random() < 0.3 and len(lived)):
            log.pop(lived.head)
            lived.expire(lived.head)
        one = entry(lived, name, sketch(text(rng.randrange(700), 90)))
        lived.add(one)
        log[one.number] = one
    rebuilt = SketchIndex(600, 5, buckets=80)
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
    assert SketchIndex(1_000_000, 5).nbytes < 12_000_000


@pytest.mark.parametrize("gone", [0, 30, 61, 200])
def test_a_rebuilt_index_grows_at_the_same_entries(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.core.posting_table._GROWS_FROM", 0)
    lived = SketchIndex(400, 5, buckets=100)  # overfull: what a bucket gave up must be given up again
    entries = [entry(lived, 0, sketch(text(name % 350, 70)))._replace(number=name + 1) for name in range(320)]
    for one in entries:
        lived.add(one)
    for one in entries[:gone]:
        lived.expire(one.number)
    rebuilt = SketchIndex(400, 5, buckets=100)
    for one in entries[gone:]:
        rebuilt.add(one)
    for name in range(350):
        value = sketch(text(name, 70))
        a, b = (index.find(value, 1, ident(9999), 0) for index in (lived, rebuilt))
        assert (a.matches, a.known) == (b.matches, b.known)


def columns(entries: list[Entry]) -> Entries:
    """The same entries for `SketchIndex.add_all`."""

    def of(name: str, kind: type = np.uint64) -> Any:
        return np.array([getattr(one, name) for one in entries], kind)

    def ids(name: str) -> Any:
        return np.frombuffer(b"".join(getattr(one, name) for one in entries), np.uint8).reshape(-1, 16)

    return Entries(
        entries[0].number,
        ids("owner"),
        ids("root"),
        of("cluster"),
        of("level", np.uint8),
        of("words", np.uint32),
        of("bitmap"),
        of("exact"),
        of("published"),
        of("time"),
        np.array([len(one.hashes) for one in entries], np.uint8),
        np.concatenate([one.hashes for one in entries]),
    )


def living(index: SketchIndex) -> list[list[tuple[int, int]]]:
    """The postings of the live entries."""
    return [[posting for posting in bucket if posting[0] >= index.head] for bucket in index._table.postings()]


@pytest.mark.parametrize("start", [1, (1 << 16) - 700, (1 << 24) - 700])
@pytest.mark.parametrize("buckets", [80, 1 << 13])
def test_entries_added_together_are_the_same(start: int, buckets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many entries at once or one by one: the same rows and postings, overfull, growing and wrapped too."""
    monkeypatch.setattr("newsmill.core.posting_table._GROWS_FROM", 1 << 13)
    monkeypatch.setattr("newsmill.core.sketch_index._POSTED_AT_ONCE", 90)
    single, many = (SketchIndex(900, 5, start, buckets) for _ in range(2))
    rng = random.Random(start)
    waiting: list[Entry] = []
    limit = 1
    for name in range(1500):
        value = sketch(text(name % 1100, rng.choice((0, 3, 60, 90, 400))))
        one = entry(single, name, value, cluster=name // 2, time=name)
        if len(single) == single.capacity:
            single.expire(single.head)
        single.add(one)
        waiting.append(one)
        if len(waiting) == limit or name == 1499:
            while many.head < single.head:
                many.expire(many.head)
            many.add_all(columns(waiting))
            waiting, limit = [], rng.randint(1, 250)
    assert (single.head, single.next_number) == (many.head, many.next_number)
    assert living(single) == living(many)
    assert sum(map(len, living(single))) > 4000
    assert (single._rows == many._rows).all()
    assert (single._times == many._times).all()
    assert (single._clusters == many._clusters).all()


def test_entries_added_together_must_fit() -> None:
    index = SketchIndex(3, 5)
    entries = [entry(index, name, sketch(text(name)))._replace(number=name + 1) for name in range(4)]
    with pytest.raises(ValueError, match="full"):
        index.add_all(columns(entries))
    index.add_all(columns(entries[:2]))
    with pytest.raises(ValueError, match="follows"):
        index.add_all(columns(entries[:1]))
    index.restart(100)
    assert (len(index), index.next_number) == (0, 100)
    assert roots(index, sketch(text(0))) == []
