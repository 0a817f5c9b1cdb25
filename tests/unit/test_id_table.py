"""The id table answers like an ordered dict, through growth, removal, rewriting and the closing of holes."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.core import id_table
from newsmill.core.id_table import IdTable


def ident(number: int) -> bytes:
    return hashlib.blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


@pytest.mark.parametrize("seed", range(4))
def test_it_answers_like_an_ordered_dict(seed: int) -> None:
    rng = random.Random(seed)
    table, model = IdTable(8), OrderedDict[bytes, bytes]()
    for step in range(12_000):
        key = ident(rng.randrange(200 if seed % 2 else 6000))
        if rng.random() < 0.35:
            table.pop(key)
            model.pop(key, None)
        else:
            value = step.to_bytes(8, "big")
            table.put(key, value)
            model[key] = value
            model.move_to_end(key)
        if step % 997 == 0:
            assert list(table.oldest()) == list(model.items())
    assert len(table) == len(model)
    assert list(table.oldest()) == list(model.items())
    for number in range(6000):
        key = ident(number)
        assert table.get(key) == model.get(key)
        assert (key in table) == (key in model)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 255), st.booleans()), max_size=300),
    st.sampled_from((0, 3, 15)),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_neighbours_in_the_index_and_holes_in_the_log(steps: list[tuple[int, int, bool]], spread: int) -> None:
    """Ids that crowd the same slots, in chunks so small that rows move together all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_table, "_CHUNK_SHIFT", 2)
        patch.setattr(id_table, "_CHUNK", 4)
        patch.setattr(id_table, "_SMALLEST", 16)
        table, model = IdTable(1), OrderedDict[bytes, bytes]()
        for number, value, gone in steps:
            key = (number << spread).to_bytes(3, "big") + bytes(12) + b"\x01"
            if gone:
                table.pop(key)
                model.pop(key, None)
            else:
                table.put(key, bytes([value]))
                model[key] = bytes([value])
                model.move_to_end(key)
            assert len(table) == len(model)
        assert list(table.oldest()) == list(model.items())
        assert all(table.get(key) == value for key, value in model.items())
        assert table.nbytes <= 17 * 4 * (len(model) // 4 + len(model) // 16 + 4) + 4 * (1024 + 16 + 3 * len(model))


def test_it_is_compact() -> None:
    table = IdTable(100)
    for number in range(50_000):
        table.put(ident(number), bytes(100))
    assert table.nbytes / 50_000 < 116 + 6 + 0.1 * 116  # index, and at most one chunk that is not full


def test_rewriting_takes_no_more_room() -> None:
    """Half of the rows are written again and again: a seventeenth of the log is holes at most, and a chunk."""
    table = IdTable(50)
    rng = random.Random(1)
    for number in range(30_000):
        table.put(ident(number), bytes(50))
    before = table.nbytes
    for _ in range(60_000):
        table.put(ident(rng.randrange(15_000)), bytes(50))
        assert table.nbytes <= before * 1.07 + 2 * 4096 * 66
    for number in range(30_000):
        table.pop(ident(number))
    assert (len(table), list(table.oldest())) == (0, [])
    assert table.nbytes < before / 4


def test_rows_of_another_size_are_refused() -> None:
    table = IdTable(8)
    with pytest.raises(ValueError, match="do not fit"):
        table.put(bytes(16), b"short")
    with pytest.raises(ValueError, match="do not fit"):
        table.put(b"short", bytes(8))
    with pytest.raises(ValueError, match="no id"):
        table.put(bytes(16), bytes(8))


def test_ids_that_are_no_hashes_are_refused() -> None:
    table = IdTable(1)

    def fill() -> None:
        for number in range(5000):
            table.put(b"\xff" * 14 + number.to_bytes(2, "big"), b"v")

    with pytest.raises(ValueError, match="spread evenly"):
        fill()
