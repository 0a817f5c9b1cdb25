"""The id table answers like an ordered dict, through growth, removal and rewriting."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict

import pytest

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


def test_it_is_compact() -> None:
    table = IdTable(100)
    for number in range(50_000):
        table.put(ident(number), bytes(100))
    assert table.nbytes / 50_000 < 116 * 1.25 + 40


def test_rows_of_another_size_are_refused() -> None:
    table = IdTable(8)
    with pytest.raises(ValueError, match="do not fit"):
        table.put(bytes(16), b"short")
    with pytest.raises(ValueError, match="do not fit"):
        table.put(b"short", bytes(8))
