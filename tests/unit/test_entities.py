"""Entities under one id across languages, spellings and particles."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from newsmill.core.entities import EntityRules, find_entities
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError

RULES = EntityRules.from_rulebook(load_rulebook())
EXTRA = """type = "organization"
entities = [
  { id = "org:nimbara", name = "Nimbara", aliases = ["Nimbara", "님바라"], wikidata = "Q1" },
  { id = "org:alder", name = "Alder", ambiguous = ["Alder"], context = ["foundry"] },
]
"""


def ids(text: str, title: str | None = None) -> list[str]:
    return [entity.id for entity in find_entities(title, text, RULES)]


@pytest.mark.parametrize(
    ("names", "entity"),
    [
        (["엔비디아", "Nvidia", "NVIDIA"], "org:nvidia"),
        (["삼성전자", "Samsung Electronics", "삼성 전자"], "org:samsung-electronics"),
        (["SK하이닉스", "SK 하이닉스", "SK hynix", "하이닉스"], "org:sk-hynix"),
        (["오픈AI", "오픈 AI", "OpenAI"], "org:openai"),
        (["앤스로픽", "앤트로픽", "Anthropic"], "org:anthropic"),
        (["일론 머스크", "엘론 머스크", "일론머스크", "Elon Musk"], "person:elon-musk"),
        (["샘 알트만", "올트먼", "Sam Altman"], "person:sam-altman"),
        (["젠슨 황", "젠슨황", "Jensen Huang"], "person:jensen-huang"),
        (["아마존웹서비스", "AWS", "Amazon Web Services"], "org:aws"),
        (["미국", "美 정부", "U.S.", "United States"], "place:us"),
    ],
)
def test_one_id_for_all_its_names(names: list[str], entity: str) -> None:
    for name in names:
        assert ids(f"오늘 {name} 소식") == [entity], name


def test_particles_are_no_part_of_a_name() -> None:
    found = find_entities(None, "삼성전자가 엔비디아와의 협력을 인텔에서도 논의했다", RULES)
    assert [(entity.id, entity.surfaces) for entity in found] == [
        ("org:samsung-electronics", ["삼성전자"]),
        ("org:nvidia", ["엔비디아"]),
        ("org:intel", ["인텔"]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The new laws and jaws",
        "인텔리전스 보고서",
        "메타버스 열풍",
        "붉은 노을이 졌다",
        "KT위즈 야구",
        "he told us about it",
        "an apple a day",
        "회의 진행 中.",
        "사용中인 좌석",
        "10日 오후",
        "東北 지방",
        "'초격차'이란 무엇인가",
        "AI이란 무엇인가",
        "신차 인도 시점이 늦어졌다",
    ],
)
def test_no_entity_inside_other_words(text: str) -> None:
    assert ids(text) == []


def test_the_longest_name_wins() -> None:
    assert ids("The New York Times building moved") == ["org:nyt"]
    assert ids("아마존강 수위와 아마존 주가") == ["place:amazon-river", "org:amazon"]
    assert ids("North Korea and South Korea") == ["place:north-korea", "place:south-korea"]
    assert ids("삼성전자와 삼성SDI") == ["org:samsung-electronics", "org:samsung-sdi"]


def test_an_ambiguous_name_needs_corroboration() -> None:
    assert ids("노을은 진단 기기 마이랩을 판다") == ["org:noul", "product:mylab"]
    assert ids("Chef Cook opened a kitchen") == []
    found = find_entities("Tim Cook speaks", "Then Cook left.", RULES)
    assert [(entity.id, entity.mentions, entity.surfaces) for entity in found] == [
        ("person:tim-cook", 2, ["Tim Cook", "Cook"])
    ]


def test_hanja_of_countries() -> None:
    assert ids("美中 정상, 北 문제 논의… 日 반발, 中 침묵") == [
        "place:china",
        "place:us",
        "place:north-korea",
        "place:japan",
    ]
    assert ids("訪中 일정 공개") == ["place:china"]


def test_a_cited_source_is_no_subject() -> None:
    assert ids("블룸버그통신에 따르면 공장이 문을 닫는다.") == []
    assert ids("Reuters reported that the plant will close.") == []
    assert ids("The plant will close, according to the Wall Street Journal.") == []
    assert ids("(사진=AFP) 공장 앞") == []
    assert ids("뉴욕타임스 사옥에 새 카페가 문을 열었다.") == ["org:nyt"]


def test_a_dateline_is_no_subject() -> None:
    assert ids("(워싱턴·서울=가람뉴스) 공장이 부산에 섰다") == ["place:busan"]
    assert ids("서울(수도)에서 열린 행사") == ["place:seoul"]


def test_short_forms_of_korean_papers_only_in_korean() -> None:
    assert ids("MS 클라우드가 커졌다") == ["org:microsoft"]
    assert ids("She has MS and moved on") == []


def test_mentions_and_surfaces_over_title_and_text() -> None:
    found = find_entities("Nvidia rises", "엔비디아가 올랐다. NVIDIA는 또 올랐다. 엔비디아의 날.", RULES)
    assert [(e.id, e.type, e.mentions, e.surfaces) for e in found] == [
        ("org:nvidia", "organization", 4, ["Nvidia", "엔비디아", "NVIDIA"])
    ]
    assert find_entities("Samsung", "Electronics", RULES)[0].id == "org:samsung"  # none spans title and text


def test_most_mentions_first_then_first_appearance() -> None:
    assert ids("구글, 애플, 테슬라, 애플") == ["org:apple", "org:google", "org:tesla"]


@pytest.mark.parametrize("piece", ["中", "(서울=", "서울·", "Reuters ", "Cook ", "삼성전자의", "([【"])
def test_hostile_repeats_take_linear_time(piece: str) -> None:
    times = []
    for size in (10_000, 40_000):
        start = time.process_time()
        find_entities(None, piece * size, RULES)
        times.append(time.process_time() - start)
    assert times[1] < 12 * times[0] + 0.2  # four times the text; quadratic would be 16 times


def test_nothing_in_nothing() -> None:
    assert find_entities(None, "", RULES) == []


def test_the_packaged_list() -> None:
    entities = RULES.lexicon.entities
    assert len(entities) >= 400
    assert len({entity.id for entity in entities}) == len(entities)
    items = [entity.wikidata for entity in entities if entity.wikidata]
    assert len(set(items)) == len(items)
    assert all(re.fullmatch(r"Q\d+", item) for item in items)


def test_an_overlay_adds_entities(tmp_path: Path) -> None:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities/extra.toml").write_text(EXTRA, "utf-8")
    rules = EntityRules.from_rulebook(load_rulebook(tmp_path))
    assert [e.id for e in find_entities(None, "님바라가 Alder foundry를 샀다", rules)] == ["org:nimbara", "org:alder"]
    assert find_entities(None, "Alder trees", rules) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('wikidata = "Q1"', 'wiki = "Q1"', 3, "unknown key 'wiki'"),
        ('wikidata = "Q1"', 'wikidata = "1"', 3, "must be an item"),
        ('"org:nimbara"', '"person:nimbara"', 3, "must be org: and a slug"),
        ('name = "Nimbara"', 'name = ""', 3, "name is missing"),
        ('"님바라"', '""', 3, "must be a list of words"),
        ('"님바라"', '"엔비디아"', 3, "already names org:nvidia"),
        ('ambiguous = ["Alder"], ', "", 4, "no name to look for"),
        ('"org:alder"', '"org:nvidia"', 4, "is defined twice"),
        ('"organization"', '"company"', 1, "type must be one of"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities/private.toml").write_text(EXTRA.replace(old, new), "utf-8")
    with pytest.raises(ConfigError) as caught:
        EntityRules.from_rulebook(load_rulebook(tmp_path))
    assert f"private.toml:{line}: " in str(caught.value)
    assert message in str(caught.value)
