"""rank_keywords: nouns without particles, phrases that repeat, common words left out, deterministic order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.keywords import KeywordRules, rank_keywords
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError
from newsmill.events import Keyword

RULES = KeywordRules.from_rulebook(load_rulebook())

KOREAN = """누리조선이 쇄빙선을 수주했다. 쇄빙선은 북극 항로를 오간다. 누리조선의 쇄빙선 수주는 이번이 처음이다.
회사는 지난해 북극 항로에서 쇄빙선을 시험했다고 밝혔다. 관계자는 “앞으로 북극 항로가 중요하다”고 말했다."""
ENGLISH = """Harbour Robotics will open a plant for warehouse robots. The warehouse robots lift crates.
Harbour Robotics said on Monday that warehouse robots were expected to sell well, and that the plants would grow."""


def terms(title: str | None, text: str, language: str) -> list[str]:
    return [keyword.term for keyword in rank_keywords(title, text, language, RULES)]


def test_korean_nouns_without_particles() -> None:
    found = terms("누리조선, 쇄빙선 수주", KOREAN, "ko")
    assert "누리조선" in found[:4]
    assert any("쇄빙선" in term for term in found[:4])
    assert "북극 항로" in found
    assert not [term for term in found if term.endswith(("을", "를", "은", "는", "했다", "에서"))]
    assert not {"회사는", "지난해", "이번", "관계자", "말했다", "앞으로"} & set(found)


def test_english_phrases() -> None:
    found = terms("Harbour Robotics to open plant", ENGLISH, "en")
    assert "Harbour Robotics" in found[:3]
    assert "warehouse robots" in found[:3]
    assert not {"said", "Monday", "The", "the", "will", "expected"} & set(found)
    assert not {"Harbour", "Robotics", "robots", "warehouse"} & set(found)  # said by the phrases already


def test_singular_and_plural_are_one_term() -> None:
    found = [term.lower() for term in terms(None, "Turbines spin. A turbine spins. The turbines stop.", "en")]
    assert len([term for term in found if term.startswith("turbine")]) == 1


def test_title_counts_more() -> None:
    text = "나팔꽃과 해바라기와 민들레가 들판에 가득 피었다"
    assert terms("민들레", text, "ko")[0] == "민들레"
    assert terms("해바라기", text, "ko")[0] == "해바라기"


def test_numbers_dates_and_sums_are_no_keywords() -> None:
    assert not [term for term in terms(None, "2024년 5월 3일 62억달러 30% 1,200 3.5", "ko") if term[0].isdigit()]


def test_scores_fall_from_one() -> None:
    keywords = rank_keywords("누리조선, 쇄빙선 수주", KOREAN, "ko", RULES)
    scores = [keyword.score for keyword in keywords]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_ties_by_place_then_term() -> None:
    assert terms(None, "zyxwva zyxwvb zyxwvc", "en") == ["zyxwva", "zyxwvb", "zyxwvc"]


def test_languages_without_spaces_give_latin_words_only() -> None:
    assert terms(None, "半導体メーカーのAcmeSemi 半導体", "ja") == ["AcmeSemi"]


def test_nothing_to_rank() -> None:
    assert terms(None, "", "ko") == []
    assert terms("", "the and of", "en") == []


@given(st.text(alphabet="가나다라를은이 abcABC'’.-&\n012", max_size=120), st.sampled_from(["ko", "en", "und", "zh"]))
def test_always_valid(text: str, language: str) -> None:
    keywords = rank_keywords(text[:20], text, language, RULES)
    assert len(keywords) <= 10
    assert len({keyword.term for keyword in keywords}) == len(keywords)
    for keyword in keywords:
        assert Keyword.model_validate(keyword.model_dump()) == keyword
    fresh = KeywordRules.from_rulebook(load_rulebook()) if len(text) == 120 else RULES
    assert rank_keywords(text[:20], text, language, fresh) == keywords


@pytest.mark.parametrize(
    ("old", "new"), [("[english]", "[englisch]"), ("suffixes =", "suffix ="), ("[documents_per_10000]", "[documents]")]
)
def test_bad_rules_are_named_with_file_and_line(tmp_path: Path, old: str, new: str) -> None:
    text = load_rulebook().file("stopwords.toml").text
    assert old in text
    (tmp_path / "stopwords.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"stopwords\.toml:\d+: "):
        KeywordRules.from_rulebook(load_rulebook(tmp_path))
