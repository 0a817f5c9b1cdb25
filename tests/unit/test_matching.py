"""Words of their own, in one pass, at the offsets of the text as given."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.korean import Particles
from newsmill.core.matching import Matcher, Pattern, fold
from newsmill.core.reading import find_hits
from newsmill.core.rulebook import load_rulebook

PARTICLES = Particles.from_rulebook(load_rulebook())


def found(text: str, *patterns: Pattern, latin: bool = False) -> list[str]:
    matcher = Matcher(patterns, PARTICLES, particles_after_latin=latin)
    return [text[hit.start : hit.end] for hit in find_hits(text, matcher)]


def test_latin_words_have_edges() -> None:
    assert found("By laws, AWS grew; aws2 and xAWS did not.", Pattern("aws")) == ["AWS"]
    assert found("the café", Pattern("caf")) == []


def test_korean_words_carry_particles_but_not_other_words() -> None:
    assert found("인텔이 인텔과의 인텔리전스 주인텔", Pattern("인텔")) == ["인텔", "인텔"]


def test_open_edges() -> None:
    assert found("차량용반도체주", Pattern("반도체", "inside")) == ["반도체"]
    assert found("반도체주와 비반도체", Pattern("반도체", "prefix")) == ["반도체"]
    assert found("비반도체는 반도체주의자", Pattern("반도체", "suffix")) == ["반도체"]


def test_case_counts_where_it_is_said_to() -> None:
    assert found("Apple apple APPLE aPPLE", Pattern("Apple", exact=True)) == ["Apple", "APPLE"]


def test_hangul_after_latin_is_free_or_a_particle() -> None:
    assert found("AI칩과 KT위즈와 KT는", Pattern("kt"), Pattern("ai")) == ["AI", "KT", "KT"]
    assert found("AI칩과 KT위즈와 KT는", Pattern("kt"), Pattern("ai"), latin=True) == ["KT"]


def test_overlapping_hits_come_by_start_the_longest_first() -> None:
    assert found("New York Times", Pattern("york"), Pattern("new york"), Pattern("new york times")) == [
        "New York Times",
        "New York",
        "York",
    ]


def test_offsets_hold_where_lower_case_is_longer_and_forms_are_wide() -> None:
    text = "İstanbul’s 😀 ＡＷＳ 데이터\u3000센터"
    assert found(text, Pattern("aws"), Pattern("데이터 센터"), Pattern("istanbul's")) == ["ＡＷＳ", "데이터\u3000센터"]


@pytest.mark.parametrize("pattern", [Pattern(""), Pattern("  "), Pattern("chip", "anywhere")])
def test_a_bad_pattern_is_refused(pattern: Pattern) -> None:
    with pytest.raises(ValueError, match="bad pattern"):
        Matcher([pattern], PARTICLES)


@given(st.text())
def test_folding_keeps_the_length(text: str) -> None:
    assert len(fold(text)) == len(text)


@given(st.text(alphabet="삼성전자가는 AIai칩,", max_size=60))
def test_every_hit_is_the_pattern(text: str) -> None:
    patterns = [Pattern("삼성"), Pattern("삼성전자"), Pattern("ai"), Pattern("칩", "inside")]
    for hit in find_hits(text, Matcher(patterns, PARTICLES)):
        assert fold(text[hit.start : hit.end]) == patterns[hit.pattern].text


def test_hostile_repeats_take_linear_time() -> None:
    matcher = Matcher([Pattern("가" * n) for n in range(1, 6)], PARTICLES)
    times = []
    for size in (20_000, 80_000):
        text = "가" * size
        start = time.process_time()
        find_hits(text, matcher)
        times.append(time.process_time() - start)
    assert times[1] < 12 * times[0] + 0.05  # four times the text; quadratic would be 16 times
