"""What is remembered of pieces gives the very hits that looking at the whole text would give."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core import reading as module
from newsmill.core.korean import Particles
from newsmill.core.matching import MATCH_KINDS, Matcher, Pattern, Place, fold
from newsmill.core.reading import Scanner, find_hits
from newsmill.core.rulebook import load_rulebook

PARTICLES = Particles.from_rulebook(load_rulebook())
TEXTS = st.text(alphabet="삼성전자가는 의AIaithe칩,\n\u00a0.", max_size=60)
WORDS = ["ai", "삼성", "삼성전자", "칩", "성전"]
WORDS += ["the ai", "ai 칩", "ai the", "in the ai", "삼성 전자", "a i", "the the ai"]


def sought(text: str, matcher: Matcher) -> list[Place]:
    """The plain way: every key at every place, then the edges."""
    folded = fold(text) + " "
    candidates = [
        (key, at, at + len(word))
        for word, key in matcher.keys.items()
        for at in range(len(text))
        if folded.startswith(word, at) and at + len(word) <= len(text)
    ]
    return matcher.decide(candidates, text, folded)


PLAIN = Matcher([Pattern(word) for word in WORDS], PARTICLES)
OPEN = Matcher(
    [Pattern(word, kind, exact) for word in WORDS for kind in MATCH_KINDS for exact in (False, True)],
    PARTICLES,
    particles_after_latin=True,
)
SHARED = Scanner([PLAIN, OPEN])


@given(TEXTS, st.none() | TEXTS)
def test_hits_are_those_of_the_whole_text(text: str, title: str | None) -> None:
    reading = SHARED.read(title, text)
    for matcher in (PLAIN, OPEN):
        assert reading.places(matcher) == sought(reading.whole, matcher)
    assert reading.whole[reading.begin :] == text


@given(TEXTS)
def test_pieces_are_counted_as_they_are_cut(text: str) -> None:
    assert Scanner([]).read(None, text).pieces == [module.Piece(None, ())] * (module.Reading.count(text) + 1)


def test_a_phrase_goes_on_over_a_line_break() -> None:
    hits = [(hit.start, hit.end) for hit in find_hits("On\nthe\nAI 칩이", PLAIN)]
    assert hits == [(3, 9), (7, 11), (7, 9), (10, 11)]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 50)
    scanner = Scanner([PLAIN], lambda piece: (piece,))
    for start in range(0, 1000, 10):
        texts = [f"ai{n}" for n in range(start, start + 10)]
        assert [piece.words for piece in scanner.look_up(texts)] == [(text,) for text in texts]
        assert scanner.remembered <= 50
    long = "가" * 1000
    assert scanner.look_up([long, long])[1].words == (long,)
    held = scanner.remembered
    scanner.look_up([long])
    assert scanner.remembered == held


def test_hostile_text_takes_linear_time() -> None:
    times = []
    for size in (20_000, 80_000):
        start = time.process_time()
        for text in ("the " * size, "ai\n" * size, "\u00a0ai" * size, "삼성" * size):
            SHARED.read(None, text).places(OPEN)
        times.append(time.process_time() - start)
    assert times[1] < 12 * times[0] + 0.05  # four times the text; quadratic would be 16 times
