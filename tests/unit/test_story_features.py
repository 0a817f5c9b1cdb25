"""story_terms: what meets across languages, what never meets, bounds and errors of the rule files."""

from __future__ import annotations

import timeit
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.entities import EntityRules, find_entities
from newsmill.core.rulebook import Rulebook, RuleFile, load_rulebook
from newsmill.core.story_features import StoryRules, story_terms
from newsmill.errors import ConfigError
from newsmill.events import Amount, Entity

BOOK = load_rulebook()
RULES = StoryRules.from_rulebook(BOOK)
ENTITIES = EntityRules.from_rulebook(BOOK)

KOREAN = (
    "가람국 하천 폭발 사고로 어린이 12명 부상",
    "가람국 구조대는 9일 다리 붕괴 현장에서 부상자를 구조했다고 밝혔다.",
)
ENGLISH = ("Explosion at Garam river injures 12 children", "Rescue crews pulled the injured from the collapsed bridge.")


def terms(title: str | None, text: str, language: str = "ko") -> dict[str, float]:
    return story_terms(title, text, language, find_entities(title, text, ENTITIES), [], RULES)


def test_concepts_and_places_meet_across_languages() -> None:
    korean = terms("일본, 철강 관세 인상 발표", "일본 정부는 12일 수입 철강의 관세를 올린다고 밝혔다.")
    english = terms("Japan raises steel tariffs", "Tokyo said on Friday it would raise duties on imported steel.", "en")
    shared = set(korean) & set(english)
    assert {"@place:japan", "=tariff", "=steel", "@place:japan+=tariff"} <= shared


def test_particles_endings_and_inflections_do_not_matter() -> None:
    assert set(terms("교량이 붕괴했다", "")) & set(terms("교량을 붕괴한", "")) >= {"교량", "붕괴"}
    assert set(terms("bridges collapsed", "", "en")) == set(terms("bridge collapse", "", "en"))


def test_joined_countries_are_two_places() -> None:
    found = terms("한미정상회담 열린다", "")
    assert {"@place:south-korea", "@place:us", "=summit"} <= set(found)
    assert "@place:us" not in terms("한미그린 새 제품", "")


def test_numbers_meet_by_value_and_dates_are_left_out() -> None:
    korean = set(terms("15억 달러 계약, 3% 증가, 2031년 5월 12일", ""))
    english = set(terms("$1.5 billion contract, 3% more, 12 May 2031", "", "en"))
    assert {"~1.5e+09", "~3%"} <= korean & english
    assert not {t for t in korean | english if t.startswith("~")} - {"~1.5e+09", "~3%"}


def test_amounts_of_the_lead_are_terms() -> None:
    amount = Amount(text="two billion won", value="2000000000", currency="KRW", start=10, end=25)
    late = replace_amount(amount, start=5000, end=5015)
    assert "~2e+09" in story_terms("A deal", "It costs two billion won.", "en", [], [amount], RULES)
    assert "~2e+09" not in story_terms("A deal", "It costs two billion won.", "en", [], [late], RULES)


def replace_amount(amount: Amount, **changes: int) -> Amount:
    return amount.model_copy(update=changes)


def test_capitals_tell_a_country_from_a_pronoun() -> None:
    assert "=ai" in terms("AI for all", "", "en")
    assert "=ai" not in terms("ai for all", "", "en")


def test_dateline_and_tags_are_no_terms() -> None:
    plain = terms("다리 붕괴 사고", "구조대가 도착했다.")
    wrapped = terms("[속보] 다리 붕괴 사고(종합2보)", "(부산=가람통신) 홍길동 기자 = 구조대가 도착했다.")
    assert set(plain) == set(wrapped)


def test_the_title_counts_more_than_the_lead() -> None:
    assert terms("등대", "")["등대"] > terms(None, "등대")["등대"]


def test_a_lead_that_repeats_the_title_adds_nothing() -> None:
    assert terms("다리 붕괴 사고", "다리 붕괴 사고") == terms("다리 붕괴 사고", "")


def test_rare_words_weigh_more() -> None:
    found = terms("정부 물수제비", "")
    assert found["물수제비"] > found["정부"]


def test_an_entity_counts_only_where_it_is_named_early() -> None:
    entity = Entity(id="org:acme", name="Acme", type="organization", mentions=1, surfaces=["Acme"])
    early = story_terms("Acme opens a plant", "", "en", [entity], [], RULES)
    late = story_terms("A plant opens", "word " * 200 + "Acme", "en", [entity], [], RULES)
    assert "@org:acme" in early
    assert "@org:acme" not in late
    alone = story_terms("Acme opens a plant", "", "en", [], [], RULES)["acme"]
    assert early.get("acme", 0.0) < alone, "the word is no evidence of its own beside the entity"


def test_empty_input_has_no_terms() -> None:
    assert terms(None, "") == {}
    assert terms("", "  \n ") == {}


@given(st.text(max_size=400), st.text(max_size=1500))
def test_any_text_gives_bounded_ordered_positive_terms(title: str, text: str) -> None:
    found = story_terms(title, text, "und", [], [], RULES)
    assert len(found) <= RULES.weights.count
    weights = list(found.values())
    assert all(weight > 0 for weight in weights)
    assert weights == sorted(weights, reverse=True)
    assert list(found.items()) == list(story_terms(title, text, "und", [], [], RULES).items())


def test_text_beyond_the_lead_changes_nothing() -> None:
    lead = "다리가 무너졌다. " * 60
    assert terms("다리", lead) == terms("다리", lead + "전혀 다른 이야기 " * 50_000)


def test_cost_of_hostile_text_is_bounded() -> None:
    for text in ("1" * 100_000, "가" * 100_000, "a." * 50_000, "[" * 100_000, "(" * 100_000, "한미" * 50_000):
        assert timeit.timeit(partial(story_terms, text, text, "ko", [], [], RULES), number=3) < 1.0


def test_every_place_of_the_rules_is_an_entity() -> None:
    known = {f"@{entity.id}" for entity in ENTITIES.lexicon.entities}
    assert set(RULES.abbreviations.values()) <= known
    assert {*RULES.stands_for, *RULES.stands_for.values()} <= known


def broken(name: str, old: str, new: str) -> Rulebook:
    file = BOOK.file(name)
    assert old in file.text
    text = file.text.replace(old, new, 1)
    import tomllib

    return replace(BOOK, files={**BOOK.files, name: RuleFile(name, name, text, tomllib.loads(text))})


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("stories.toml", "title_weight = 2.0", "title_weight = -1", "title_weight"),
        ("stories.toml", "title_weight = 2.0", "titel_weight = 2.0", "titel_weight"),
        ("stories.toml", "unseen = ", "unsean = ", "unseen"),
        ("concepts.toml", "trade = { ko", "trade = { kr", "trade"),
        ("concepts.toml", '"한미일", ', '"한프", ', "한프"),
        ("concepts.toml", '"미" = "place:us"', '"미" = "us"', "미"),
        ("background.toml", '"@place:us"', "3", "1"),
    ],
)
def test_a_mistake_in_a_rule_file_is_named(name: str, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}:\\d+: .*{message}"):
        StoryRules.from_rulebook(broken(name, old, new))
