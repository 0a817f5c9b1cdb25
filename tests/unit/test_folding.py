"""Folding: other typography, same words, same hash."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.folding import content_hash, digest, fold, nfc


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("“다리”가 ‘열렸다’", "\"다리\"가 '열렸다'"),
        ("철도ㆍ항만·공항・도로‧교량", "철도·항만·공항·도로·교량"),
        ("１２３％ 늘어（전년 대비）", "123% 늘어(전년 대비)"),
        ("한\u00a0칸\u3000띄고\u200b붙이고\ufeff끝", "한 칸 띄고붙이고끝"),
        ("2024–25 — next", "2024-25 - next"),
        ("기다려… 봐⋯", "기다려... 봐..."),
        ("3～4월", "3~4월"),
        ("  two\n\n lines\t", "two lines"),
        ("don`t", "don't"),
        ("ﬁrst", "first"),
        (unicodedata.normalize("NFD", "한글"), "한글"),
    ],
)
def test_fold(written: str, folded: str) -> None:
    assert fold(written) == folded


def test_case_digits_and_order_stay() -> None:
    hashes = {content_hash(text) for text in ("Tram 12 opens", "tram 12 opens", "Tram 13 opens", "opens Tram 12")}
    assert len(hashes) == 4


def test_typography_does_not_change_the_hash() -> None:
    assert content_hash("“항만ㆍ공항”\n１곳") == content_hash('"항만·공항" 1곳')


@given(st.text(st.characters(exclude_categories=())))
def test_any_string_folds_once_and_hashes(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert len(content_hash(text)) == 32


def test_parts_of_a_digest_are_kept_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("\ud800") != digest("\ud801")


MARKS = "\u0301\u0316"


@pytest.mark.parametrize(
    "run",
    [
        MARKS * 500_000,
        "\u0301" * 500_000 + "\uff9e" * 500_000,
        "\u0f73" * 1_000_000,
        (MARKS * 14 + "\u200b") * 35_000,
        "\U0001e944\U0001e94a\u0316" * 300_000,
    ],
    ids=range(5),
)
@pytest.mark.timeout(20)  # without the bound these take hours
def test_long_runs_of_marks_are_cut(run: str) -> None:
    text = f"a{run}b"
    assert len(nfc(text)) <= 100
    assert len(fold(text)) <= 100
    assert nfc(text)[0] in "aá"
    assert nfc(text)[-1] == "b"


def test_marks_of_languages_stay() -> None:
    text = "การประชุมที่กรุงเทพฯ हिन्दी में समाचार שָׁלוֹם"
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_nfc() -> None:
    assert nfc(unicodedata.normalize("NFD", "가나다")) == "가나다"


def test_hash_is_frozen() -> None:
    assert content_hash("강을 건너는 새 다리가 열렸다.") == "6b3cb3250ce923cb3c428f5d7bc5a00a"
