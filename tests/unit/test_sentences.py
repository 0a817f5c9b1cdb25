"""split_sentences: spans in order, abbreviations, decimals, quotations, Korean without spaces, linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.sentences import split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("매출은 3.5% 늘었다. 이익은 줄었다.", ["매출은 3.5% 늘었다.", "이익은 줄었다."]),
        ("공장은 멈췄다.노조는 반발했다.", ["공장은 멈췄다.", "노조는 반발했다."]),
        ("“곧 간다. 기다려라.”라고 그는 말했다. 끝이다.", ["“곧 간다. 기다려라.”라고 그는 말했다.", "끝이다."]),
        ("그는 “간다.” 그리고 떠났다.", ["그는 “간다.”", "그리고 떠났다."]),
        ("정말? 그렇다! 좋다…", ["정말?", "그렇다!", "좋다…"]),
        ("첫 줄\n둘째 줄", ["첫 줄", "둘째 줄"]),
        ("Mr. Park of Acme Inc. left. Sales rose 3.5%.", ["Mr. Park of Acme Inc. left.", "Sales rose 3.5%."]),
        ("The U.S. Army moved. It rained.", ["The U.S. Army moved.", "It rained."]),
        ("It moved to the U.S. The rest stayed.", ["It moved to the U.S.", "The rest stayed."]),
        ('"We stay," she said. "It is over."', ['"We stay," she said.', '"It is over."']),
        ("J. R. Bloggs spoke at 2 p.m. today. See example.com now!",
         ["J. R. Bloggs spoke at 2 p.m. today.", "See example.com now!"]),
        ("1. 첫째 소식이다. 2. 둘째 소식이다.", ["1. 첫째 소식이다.", "2. 둘째 소식이다."]),
        ("  \n\n ", []),
    ],
)  # fmt: skip
def test_splits(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="가나다. \n“”\"'!?…aA1", max_size=80))
def test_spans_cover_all_but_white_space(text: str) -> None:
    spans = split_sentences(text)
    last = 0
    for start, end in spans:
        assert last <= start < end
        assert not text[last:start].strip()
        assert text[start:end] == text[start:end].strip()
        last = end
    assert not text[last:].strip()


@pytest.mark.parametrize("piece", ["a. ", '"', "“a. ”", ". ", "A. B. ", "다.", '"a. '])
def test_time_is_linear(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    spent = []
    for size in (len(text) // 8, len(text)):
        begin = time.process_time()
        split_sentences(text[:size])
        spent.append(time.process_time() - begin)
    assert spent[1] < max(24 * spent[0], 1.0)
