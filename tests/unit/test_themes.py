"""Themes with their scores and evidence, from invented headlines."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.theme_model import Example, Feature, dump_model, load_model, rules_digest, train_model
from newsmill.core.themes import ThemeRules, classify, explain_themes, features_of
from newsmill.errors import ConfigError

BATTERIES = """labels = { ko = "배터리", en = "Batteries" }
threshold = 2.0
slope = 1.6

[[terms]]
weight = 3
match = "prefix"
terms = ["전고체", "battery cell"]

[[terms]]
weight = 1
terms = ["lithium"]

[[masks]]
terms = ["battery cell phone"]
"""


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook()


@pytest.fixture(scope="module", params=[False, True], ids=["rules alone", "with the model"])
def rules(request: pytest.FixtureRequest, rulebook: Rulebook) -> ThemeRules:
    return ThemeRules.from_rulebook(rulebook, use_model=request.param)


def themes(rules: ThemeRules, title: str | None, text: str = "") -> list[str]:
    return [theme.theme for theme in classify(title, text, rules)]


def overlaid(folder: Path, text: str, name: str = "themes/batteries.toml") -> ThemeRules:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return ThemeRules.from_rulebook(load_rulebook(folder))


def test_the_ids_are_sorted(rules: ThemeRules) -> None:
    assert rules.themes == ("chips", "cloud", "industrial-ai")


@pytest.mark.parametrize(
    ("title", "theme"),
    [
        ("가람전자, 차세대 HBM 반도체 양산 돌입", "chips"),
        ("Foundry Alder Silicon opens second wafer fab for memory chips", "chips"),
        ("한빛클라우드, 공공 데이터센터 서비스 개시", "cloud"),
        ("Outage at cloud provider Nimbara takes hospitals offline", "cloud"),
        ("조선소 용접 로봇, 자율주행 운반차와 함께 투입", "industrial-ai"),
        ("Humanoid robots start work on a car assembly line", "industrial-ai"),
    ],
)
def test_a_headline_goes_to_its_theme(rules: ThemeRules, title: str, theme: str) -> None:
    assert theme in themes(rules, title)


@pytest.mark.parametrize(
    "title",
    [
        "가을 하늘에 구름 한 점 없는 주말",
        "Storm clouds gather over the coast",
        "Recipe: potato chips with vinegar",
        "신제품 로봇청소기 할인 행사",
        "Blue chip firms lift dividends",
        "동네 도서관, 주말 낭독회 연다",
    ],
)
def test_other_news_has_no_theme(rules: ThemeRules, title: str) -> None:
    assert themes(rules, title) == []


def test_score_and_evidence(rules: ThemeRules) -> None:
    found = classify("반도체 공장 증설", "메모리 반도체와 파운드리 투자가 늘었다.", rules)
    assert [theme.theme for theme in found] == ["chips"]
    assert 0.5 <= found[0].score <= 1
    assert found[0].evidence[0] == "반도체"
    assert len(found[0].evidence) == len(set(found[0].evidence)) <= 8


def test_evidence_is_the_text_as_it_stands(rules: ThemeRules) -> None:
    title, text = (
        "ＴＳＭＣ and Semiconductors",
        "The CHIP shortage’s end; chipmakers expand. HBM4, DRAM, NAND, GPU, wafers, EUV.",
    )
    for theme in classify(title, text, rules):
        assert all(surface in title or surface in text for surface in theme.evidence)


def test_highest_score_first(rules: ThemeRules) -> None:
    found = classify(
        "Semiconductor chipmaker TSMC and memory chips", "A cloud service is mentioned. Cloud computing.", rules
    )
    assert [theme.score for theme in found] == sorted((theme.score for theme in found), reverse=True)


def test_a_missing_title_is_the_first_line(rules: ThemeRules) -> None:
    assert themes(rules, None, "반도체 수출 호조\n그 밖의 소식") == ["chips"]
    assert themes(rules, None, "") == []
    assert themes(rules, "", "") == []


def test_support_alone_never_decides(rulebook: Rulebook) -> None:
    rules = ThemeRules.from_rulebook(rulebook, use_model=False)
    traces = {trace.theme: trace for trace in explain_themes("server storage hosting cooling", "server " * 50, rules)}
    assert not traces["cloud"].applies
    assert traces["cloud"].total < traces["cloud"].threshold


def test_explain_gives_every_theme_and_the_weight_of_every_term(rules: ThemeRules) -> None:
    traces = explain_themes("Robots in the game of chip makers", "", rules)
    assert sorted(trace.theme for trace in traces) == list(rules.themes)
    for trace in traces:
        assert trace.applies == (trace.score >= 0.5)
        assert [term.weight for term in trace.terms] == sorted((term.weight for term in trace.terms), reverse=True)
    industrial = next(trace for trace in traces if trace.theme == "industrial-ai")
    assert {"Robots", "game"} <= {term.surface for term in industrial.terms}


def test_score_at_the_threshold_is_one_half(tmp_path: Path) -> None:
    rules = overlaid(tmp_path, BATTERIES.replace("weight = 3", "weight = 2"))
    trace = next(t for t in explain_themes("전고체", "", rules) if t.theme == "batteries")
    assert trace.total == trace.threshold
    assert trace.score == 0.5
    assert trace.applies


def test_a_new_theme_is_one_file(tmp_path: Path) -> None:
    rules = overlaid(tmp_path, BATTERIES)
    assert rules.themes == ("batteries", "chips", "cloud", "industrial-ai")
    assert [theme.theme for theme in classify("전고체배터리 시제품 공개", "", rules)] == ["batteries"]
    assert classify("The battery cell phone", "", rules) == []
    assert rules.model is not None  # the other themes keep their learned weights


def test_a_changed_theme_is_decided_by_its_rules_alone(tmp_path: Path) -> None:
    rules = overlaid(tmp_path, BATTERIES, "themes/cloud.toml")
    assert rules.model is None
    assert [theme.theme for theme in classify("전고체배터리 시제품", "", rules)] == ["cloud"]


def test_classes_of_a_theme_combine(tmp_path: Path) -> None:
    rules = overlaid(
        tmp_path,
        BATTERIES
        + '[[combinations]]\nclasses = ["cars", "power"]\nweight = 2.5\n'
        + '[[classes.cars]]\nterms = ["automaker"]\n[[classes.power]]\nterms = ["volts"]\n',
    )
    assert "batteries" in themes(rules, "An automaker and its volts")
    assert "batteries" not in themes(rules, "An automaker alone")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("slope = 1.6", "slope = 1.6\nslop = 2", 4, "unknown key 'slop'"),
        ("weight = 3", 'weight = "3"', 6, "weight must be a number"),
        ("weight = 3", "weight = true", 6, "weight must be a number"),
        ("weight = 1", "weight = 0", 11, "weight 0 has no effect"),
        ('"lithium"', '"lithium", ""', 12, "must be a word"),
        ('"lithium"', "7", 12, "must be a word"),
        ('"lithium"', "", 12, "terms must be a list"),
        ('match = "prefix"', 'match = "fuzzy"', 7, "match must be one of"),
        ("threshold = 2.0", "threshold = 0", 2, "threshold must be above 0"),
        ("threshold = 2.0\n", "", 1, "threshold must be a number, and is missing"),
        ('{ ko = "배터리", en = "Batteries" }', '"Batteries"', 1, "labels must name"),
        ("[[masks]]", "[[masks]]\nweight = 1", 15, "unknown key 'weight'"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overlaid(tmp_path, BATTERIES.replace(old, new))
    assert f"batteries.toml:{line}: " in str(caught.value)
    assert message in str(caught.value)


def test_bad_and_double_theme_ids(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="theme id 'Big_Theme'"):
        overlaid(tmp_path / "a", BATTERIES, "themes/Big_Theme.toml")
    with pytest.raises(ConfigError, match="theme 'chips' is defined twice"):
        overlaid(tmp_path / "b", BATTERIES, "themes/more/chips.toml")


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no class 'nope'"):
        overlaid(tmp_path, BATTERIES + '[[combinations]]\nclasses = ["ai", "nope"]\nweight = 1\n')


def test_the_packaged_model_is_for_the_packaged_rules(rulebook: Rulebook) -> None:
    model = load_model(rulebook)
    assert model is not None, "rules changed: run tests/quality/train_theme_model.py"
    assert model.themes == ("chips", "cloud", "industrial-ai")
    assert dump_model(model) == dump_model(model)


def test_training_learns_and_repeats_itself(rulebook: Rulebook) -> None:
    rules = ThemeRules.from_rulebook(rulebook, use_model=False)
    titles = [("GPU price", True), ("GPU rental cloud", False), ("GPU price falls", True), ("GPU in the cloud", False)]
    examples = [
        Example(features_of(title, "", rules), frozenset({"chips"} if wanted else ())) for title, wanted in titles * 5
    ]
    digest = rules_digest(rulebook, rules.themes)
    model = train_model(examples, rules.themes, digest)
    assert dump_model(model) == dump_model(train_model(examples, rules.themes, digest))
    taught = ThemeRules(rules.lexicon, model)
    assert "chips" in themes(taught, "GPU price")
    assert "chips" not in themes(taught, "GPU in the cloud")
    assert all(trace.by_model for trace in explain_themes("GPU price", "", taught))


def test_examples_to_ignore_teach_nothing() -> None:
    right = [Example([Feature("a", 1.0)], frozenset({"x"})), Example([Feature("b", 1.0)], frozenset())] * 10
    wrong = [Example([Feature("b", 1.0)], frozenset({"x"}), frozenset({"x"}))] * 50
    assert train_model(right + wrong, ["x"], "d").margins([Feature("b", 1.0)], 0)[0][0] < 0


def test_a_very_long_text_is_read_in_bounded_part(rules: ThemeRules) -> None:
    text = "소식 " * 200_000 + "반도체 " * 1000
    assert themes(rules, "소식", text) == []
