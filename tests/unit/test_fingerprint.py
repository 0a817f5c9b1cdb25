"""The sketch of a text: frozen bytes, what changes it and what does not, and what it estimates."""

from __future__ import annotations

import base64
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.core.fingerprint import (
    LEAD_SIZE,
    SKETCH_FORMAT,
    SKETCH_SIZE,
    Sketch,
    pack,
    parity_resemblance,
    same_numbers,
    sketch,
    unpack,
)
from newsmill.errors import UnreadableFormat

KOREAN = (
    "가람시가 3월 12일부터 시내버스 요금을 300원 올린다. 시는 적자가 1,200억 원까지 늘어 더는 미룰 수 없다고 밝혔다. "
    "청소년과 어린이 요금은 그대로 둔다."
)
ENGLISH = "Eastmoor will raise bus fares by 30 cents on 12 March. The city said losses had reached 120 million."
# the golden sketches
GOLDEN_KOREAN = (
    "AQAVABcAAABCAAAAFQAAAH1npeIgAgQAAACAAIAAAAAQAAACBAgAAACIAgAAAAuiAAAIAAAAAAg0AADAQBr24ZfZrgpbFe9o0+ND"
    "Gz4//E/OvIccY6m4scE0Hh22/f5eNCITIezx0fWiUTVHWHeXG9DP3U1GCawTKuKQWJDLsKkm44RauFM/1jrVq2ARn9IdFIH6Y8E7"
    "P77fgEJnFKl+gDg4kn69EyWrptxYh2wnDEi9bbyUm+YNcIsIOLC+lFPARHYbujImer1Y94y8uoUGCt6DwOGCMlEbvhbc4TUo96Ut"
    "spD9"
)
GOLDEN_ENGLISH = (
    "AQARABMAAABQAAAAEQAAAPS4yhkAAAABAAAAEUAAAABAAAhMAAAJAAAAAAAgAQACAAAAgAACAAAAEAQAkbdSuMbffyolPQT+1y5x"
    "LZzWWFPrRzgyKJQ3SCnZaDNckMnUfim5Uijjbqnkd1BgIeTwUWWmYIJfZfcKFwiki/zpfByxBMKTFsW5J3HgBLuBrCJH+VzUvhIx"
    "t4oT24jIof02WpH8pM1YsgjKF/LJ6t2FclEVqC7r0BW3gB8AtfOCVaaoFlMQ/Q=="
)
GOLDEN_EMPTY = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
GOLDEN_LONG = (
    4,
    59,
    1000,
    998,
    267990592885792,
    1129566386641974287,
    21,
    87911716467831557980234494228702687319216085885875638549493130266037254556058,
)


def words(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(count)]


def same(a: Sketch, b: Sketch) -> bool:
    return pack(a) == pack(b)


def test_golden() -> None:
    """Frozen: sketches lie in topics and state, so a change needs a new format byte (and prepare version)."""
    assert pack(sketch(KOREAN)) == GOLDEN_KOREAN
    assert pack(sketch(ENGLISH)) == GOLDEN_ENGLISH
    assert pack(sketch("")) == GOLDEN_EMPTY


def test_golden_of_a_long_text() -> None:
    value = sketch(" ".join(words(1000, 5)))
    assert (value.level, len(value.hashes), value.words, value.shingles) == GOLDEN_LONG[:4]
    assert (int(value.hashes[0]), int(value.hashes[-1]), len(value.lead), value.parity) == GOLDEN_LONG[4:]


@pytest.mark.parametrize("text", ["", " ", "하나", "둘 셋", "one two three", KOREAN, ENGLISH, KOREAN * 40])
def test_pack_and_unpack(text: str) -> None:
    value = sketch(text)
    again = unpack(pack(value))
    assert same(value, again)
    assert again.hashes.tolist() == value.hashes.tolist()
    assert again.lead.tolist() == value.lead.tolist()
    assert again[2:8] == value[2:8]


@given(st.text(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_text_has_a_lawful_sketch(text: str) -> None:
    value = sketch(text)
    hashes = value.hashes.tolist()
    assert hashes == sorted(set(hashes))
    assert len(hashes) <= SKETCH_SIZE
    assert len(value.lead) <= LEAD_SIZE
    assert all(h < 1 << (64 - value.level) for h in hashes)
    assert not set(value.lead.tolist()) & set(hashes)
    assert value.level or len(hashes) == value.shingles
    assert (value.words == 0) == (value.shingles == 0)
    assert same(value, unpack(pack(value)))


def test_the_level_is_the_smallest_that_fits() -> None:
    for count in (66, 67, 68, 130, 300, 3000):
        text = words(count, count)
        value = sketch(" ".join(text))
        assert value.words == count
        assert value.shingles == count - 2
        assert (value.level == 0) == (count - 2 <= SKETCH_SIZE)
        assert 16 <= len(value.hashes) <= SKETCH_SIZE


def test_typography_case_and_punctuation_change_nothing() -> None:
    assert same(sketch("Eastmoor’s mayor — said: “No.”"), sketch("eastmoor's MAYOR - said, 'no'!"))
    assert same(sketch("가람시가\u200b 올린다３０"), sketch("가람시가 올린다30"))
    assert same(sketch("가람시가 올린다"), sketch("가람시가 올린다"))  # decomposed


def test_visit_counters_are_no_numbers_and_no_words() -> None:
    for before, after in (("조회수 1,234", "조회수 90,118"), ("댓글 5", "댓글 17"), ("1,204 views", "98 views")):
        a, b = sketch(f"{KOREAN} {before}"), sketch(f"{KOREAN} {after}")
        assert same(a._replace(letters=0), b._replace(letters=0))
        assert same(a._replace(letters=0), sketch(KOREAN)._replace(letters=0))
    a, b = sketch(f"{KOREAN} 사망 5명"), sketch(f"{KOREAN} 사망 6명")
    assert not same_numbers(a, b)


def test_numbers() -> None:
    a, b = sketch("up 3 points to 2,100 on 7 May"), sketch("on 7 May up to 2,100 points, by 3")
    assert same_numbers(a, b)
    assert a.bitmap == b.bitmap
    assert not same_numbers(a, sketch("up 4 points to 2,100 on 7 May"))
    assert sketch("no figures here").bitmap == 0


def test_containment_is_estimated_between_lengths() -> None:
    text = words(800, 1)
    whole, part, other = sketch(" ".join(text)), sketch(" ".join(text[100:400])), sketch(" ".join(words(300, 2)))
    level = max(whole.level, part.level)
    kept = {h for h in part.hashes.tolist() if h < 1 << (64 - level)}
    assert kept <= set(whole.hashes.tolist()) | set()
    assert not set(other.hashes.tolist()) & set(whole.hashes.tolist())


@pytest.mark.parametrize("changed", [0, 1, 3, 6, 12, 20])
def test_parity_estimates_the_resemblance_of_versions(changed: int) -> None:
    errors = []
    for seed in range(20):
        text = words(400, seed)
        edited = list(text)
        for position in random.Random(seed).sample(range(400), changed):
            edited[position] = "changed" + edited[position]
        a, b = sketch(" ".join(text)), sketch(" ".join(edited))
        grams = [{tuple(t[i : i + 3]) for i in range(398)} for t in (text, edited)]
        true = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
        errors.append(parity_resemblance(a.parity, a.shingles, b.parity, b.shingles) - true)
    assert abs(float(np.mean(errors))) < 0.03
    assert max(map(abs, errors)) < 0.12


def test_unrelated_texts_have_no_resemblance() -> None:
    a, b = sketch(" ".join(words(300, 1))), sketch(" ".join(words(300, 2)))
    assert parity_resemblance(a.parity, a.shingles, b.parity, b.shingles) < 0.5
    assert parity_resemblance(0, 0, 0, 0) == 1.0


def test_scripts_without_spaces_are_split_into_characters() -> None:
    value = sketch("東京で新しい橋が開通した。")
    assert value.words == 12
    assert value.shingles == 10
    assert sketch("美 연준").hashes.tolist() == sketch("美연준").hashes.tolist()


def test_long_and_hostile_texts_are_bounded() -> None:
    for text in ("가" * 300_000, "a b " * 200_000, "1 " * 400_000, "\U000e0100" * 100_000, "\ud800 x" * 1000):
        value = sketch(text)
        assert len(value.hashes) <= SKETCH_SIZE
    halves = words(20_000, 3)
    long = " ".join(halves)
    assert len(long) > 1 << 16
    assert sketch(long).words == 20_000
    assert sketch(long).shingles == 19_998


def test_a_newer_format_stops_and_damage_is_named() -> None:
    raw = bytearray(base64.b64decode(pack(sketch(KOREAN))))
    raw[0] = SKETCH_FORMAT + 1
    with pytest.raises(UnreadableFormat):
        unpack(base64.b64encode(bytes(raw)).decode())
    good = pack(sketch(KOREAN))
    for broken in ("", "AA==", good[:-4], good + "AAAA", "한글", "*" * 80):
        with pytest.raises(ValueError, match="sketch"):
            unpack(broken)
