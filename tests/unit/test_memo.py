"""Memo: the function's values, computed once, in bounded memory."""

from __future__ import annotations

from newsmill.core.memo import Memo


def test_a_word_is_computed_once() -> None:
    calls: list[str] = []

    def upper(word: str) -> str:
        calls.append(word)
        return word.upper()

    memo = Memo(upper, 10)
    assert [memo["a"], memo["b"], memo["a"]] == ["A", "B", "A"]
    assert calls == ["a", "b"]


def test_memory_is_bounded_in_number_and_length() -> None:
    memo = Memo(len, 100)
    for number in range(1000):
        assert memo[str(number)] == len(str(number))
        assert len(memo) <= 100
    held = len(memo)
    assert memo["x" * 100_000] == 100_000
    assert len(memo) == held
