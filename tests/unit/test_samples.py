"""The shipped samples: what is among them, that they can be published, and what the pure core makes of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import orjson
import pytest

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import Rulebook, load_rulebook
from newsmill.core.stage import Context, Record, Result
from newsmill.core.themes import ThemeRules, classify
from newsmill.errors import Reason, Refused
from newsmill.events import Article, Outcome, Prepared, RawArticle
from newsmill.readers import RawItem, read_path
from newsmill.samples import FOLDER, Sample, samples

ALL = list(samples())
Decided = dict[str, tuple[Article, Result] | Refused]
BY_LABEL = {sample.label: sample for sample in ALL}
GOOD = [sample for sample in ALL if sample.outcome is not Outcome.DEAD_LETTER]
BAD = [sample for sample in ALL if sample.outcome is Outcome.DEAD_LETTER]
KINDS = {
    "AMP URL",
    "HTML page",
    "HTML page of another publisher",
    "another report of the event",
    "article",
    "bad record",
    "digest",
    "exact repeat",
    "impossible date",
    "mobile URL",
    "no date",
    "retitled copy",
    "revision",
    "same template, other numbers",
    "same text elsewhere",
    "scraped text",
    "scraped text, CP949",
    "syndicated, in another site's chrome",
    "tracking URL",
    "trimmed copy",
    "view counter",
    "wire update",
}


# ---------------------------------------------------------------- what is among them


def test_there_are_enough_of_every_kind() -> None:
    assert len(GOOD) >= 48
    assert {sample.kind for sample in ALL} == KINDS
    counts = Counter(sample.outcome for sample in ALL)
    assert counts[Outcome.ORIGINAL] >= 40
    assert counts[Outcome.DUPLICATE] >= 10
    assert counts[Outcome.REPEAT] >= 6
    assert counts[Outcome.UPDATE] >= 3
    assert counts[Outcome.REVISION] >= 2
    assert set(counts) == set(Outcome) - {Outcome.OK, Outcome.STALE}


def test_languages_are_in_balance() -> None:
    counts = Counter(sample.language for sample in GOOD)
    assert set(counts) == {"ko", "en"}
    assert abs(counts["ko"] - counts["en"]) <= len(GOOD) * 0.1


def test_each_theme_fires_in_both_languages_and_much_is_of_none() -> None:
    found = Counter((theme, sample.language) for sample in GOOD for theme in sample.themes or ())
    for theme in ("chips", "cloud", "industrial-ai"):
        assert all(found[theme, language] >= 3 for language in ("ko", "en")), theme
    assert sum(sample.themes == () for sample in GOOD) >= 20


def test_most_articles_have_the_length_of_news() -> None:
    lengths: dict[str, list[int]] = {"ko": [], "en": []}
    for sample in GOOD:
        lengths[str(sample.language)].append(len(RawArticle.model_validate_json(sample.value).body))
    for language, shortest in (("ko", 450), ("en", 600)):
        within = [shortest <= length <= 5000 for length in lengths[language]]
        assert sum(within) >= 0.75 * len(within)


def test_stories_join_publishers_and_languages() -> None:
    stories: dict[str, set[str | None]] = {}
    for sample in GOOD:
        if sample.story is not None:
            stories.setdefault(sample.story, set()).add(sample.language)
    assert sum(len(languages) == 2 for languages in stories.values()) >= 3
    assert sum(languages == {"ko"} for languages in stories.values()) >= 1
    assert sum(languages == {"en"} for languages in stories.values()) >= 1


def test_sums_of_money_are_written_in_many_ways() -> None:
    text = "\n".join(RawArticle.model_validate_json(sample.value).body for sample in GOOD)
    for amount in (
        "62억달러",
        "9조원",
        "40억 달러(약 5조8000억원)",
        "$6.2bn",
        "€450m",
        "1,200만 유로",
        "£300",
        "1,870억원",
    ):
        assert amount in text


# ---------------------------------------------------------------- that they hold together


def test_labels_are_unique_and_references_point_to_earlier_waves() -> None:
    assert len(BY_LABEL) == len(ALL)
    assert [sample.wave for sample in ALL] == sorted(sample.wave for sample in ALL)
    assert ALL[0].wave == 1
    derived = {Outcome.UPDATE, Outcome.REVISION, Outcome.REPEAT, Outcome.DUPLICATE}
    for sample in ALL:
        assert (sample.of is not None) == (sample.outcome in derived), sample.label
        if sample.of is not None:
            origin = BY_LABEL[sample.of]
            assert origin.wave < sample.wave, sample.label
            assert (origin.group, origin.story) == (sample.group, sample.story), sample.label


def test_within_a_wave_no_group_appears_twice_with_new_text() -> None:
    """Otherwise the outcome would depend on the order of partitions."""
    new = (Outcome.ORIGINAL, Outcome.UPDATE, Outcome.REVISION)
    counts = Counter((sample.wave, sample.group) for sample in GOOD if sample.outcome in new)
    assert max(counts.values()) == 1


def test_samples_are_the_same_bytes_each_time() -> None:
    assert list(samples()) == ALL


@pytest.mark.parametrize("sample", GOOD, ids=lambda sample: sample.label)
def test_good_sample_is_a_raw_article(sample: Sample) -> None:
    article = RawArticle.model_validate_json(sample.value)
    assert article.extra == {"sample": sample.label}
    assert article.url is not None
    assert sample.key
    assert article.body.strip()


def test_every_file_is_used_and_none_other_is_shipped() -> None:
    expected = json.loads((FOLDER / "expected.json").read_text("utf-8"))
    used = {entry["file"] for entry in expected}
    assert used == {
        path.relative_to(FOLDER).as_posix()
        for folder in ("articles", "bad")
        for path in (FOLDER / folder).rglob("*")
        if path.is_file()
    }
    assert [sample.label for sample in ALL] == [entry["label"] for entry in expected]


def test_ingest_reads_every_article_file_without_refusal() -> None:
    items = list(read_path(FOLDER / "articles"))
    assert all(isinstance(item, RawItem) for item in items)
    assert len(items) == len(GOOD)


def test_cp949_sample_is_not_utf8_and_reads_as_korean() -> None:
    sample = next(sample for sample in GOOD if sample.kind == "scraped text, CP949")
    (file,) = (FOLDER / "articles").rglob("*.cp949.txt")
    with pytest.raises(UnicodeDecodeError):
        file.read_bytes().decode("utf-8")
    assert "자율주행 트랙터" in RawArticle.model_validate_json(sample.value).body


def test_no_address_is_of_a_domain_that_somebody_could_own() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in (".jsonl", ".html", ".txt", ".json", ".bin")]
    hosts = set()
    for path in files:
        text = path.read_bytes().decode("utf-8" if ".cp949" not in path.name else "cp949", "replace")
        hosts |= {urlsplit(url).hostname for url in re.findall(r"https?://[^\s\"'<>\\]+", text)}
    hosts -= {"schema.org"}  # the vocabulary that JSON-LD names
    assert hosts
    assert [host for host in hosts if host is None or not host.endswith(".example")] == []


def test_bad_samples_show_every_reason_that_bytes_can_have() -> None:
    assert {sample.reason for sample in BAD} == {
        Reason.BAD_UTF8,
        Reason.BAD_JSON,
        Reason.WRONG_TYPE,
        Reason.NO_BODY,
        Reason.NO_IDENTITY,
        Reason.ONLY_MARKUP,
    }
    assert all(sample.themes is None and sample.of is None for sample in BAD)


# ---------------------------------------------------------------- what the pure core makes of them


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rulebook()


def decide(order: list[Sample], rulebook: Rulebook) -> Decided:
    """Samples in this order through prepare and dedupe: each one's article and dedupe's result, or the refusal."""
    context = Context("live", "0.0.0", "Asia/Seoul", {})
    prepare, dedupe = Prepare(context, rulebook), Dedupe(context, DedupeOptions(), rulebook)
    state = dedupe.new_state()
    found: Decided = {}
    for offset, sample in enumerate(order):
        time = 1_780_000_000_000 + 1000 * offset
        try:
            raw = Record("news.raw.v1", 0, offset, time, sample.key, sample.value, ())
            output = prepare(raw, None).outputs[0]
        except Refused as refused:
            found[sample.label] = refused
            continue
        result = dedupe(Record("news.prepared.v1", 0, offset, time, output.key, output.value, ()), state)
        for change in result.changes:
            state.apply(change)
        assert output.value is not None
        found[sample.label] = Prepared.model_validate_json(output.value).article, result
    return found


@pytest.fixture(scope="module")
def decided(rulebook: Rulebook) -> Decided:
    return decide(ALL, rulebook)


def accepted(decided: Decided) -> Iterator[tuple[Sample, Article, Result]]:
    for sample in GOOD:
        found = decided[sample.label]
        assert not isinstance(found, Refused), f"{sample.label}: {found}"
        yield sample, *found


def test_prepare_refuses_the_bad_samples_for_the_expected_reasons(
    decided: Decided,
) -> None:
    for sample in BAD:
        found = decided[sample.label]
        assert isinstance(found, Refused), sample.label
        assert found.reason is sample.reason, f"{sample.label}: {found}"


def test_dedupe_decides_as_expected(decided: Decided) -> None:
    wrong: list[str] = []
    labels: dict[str, str] = {}
    for sample, article, result in accepted(decided):
        labels.setdefault(article.id, sample.label)
        origin = None
        for output in result.outputs:
            if output.to in ("duplicate", "unique") and output.value is not None:
                record = orjson.loads(output.value)
                origin = labels.get(record.get("duplicate_of") or record.get("updates"))
        if result.outcome is not sample.outcome:
            wrong.append(f"{sample.label}: {result.outcome}, not {sample.outcome}")
        elif sample.outcome in (Outcome.DUPLICATE, Outcome.UPDATE) and origin != sample.of:
            wrong.append(f"{sample.label}: of {origin}, not {sample.of}")
        elif sample.outcome is Outcome.ORIGINAL and origin is not None:
            wrong.append(f"{sample.label}: said to extend {origin}")
    assert wrong == []


def test_outcomes_do_not_depend_on_the_order_within_a_wave(decided: Decided, rulebook: Rulebook) -> None:
    """The raw topic has several partitions: only waves keep their order."""
    waves = sorted({sample.wave for sample in ALL})
    order = [sample for wave in waves for sample in reversed(ALL) if sample.wave == wave]
    assert order != ALL
    backwards = decide(order, rulebook)
    for sample, _, result in accepted(decided):
        found = backwards[sample.label]
        assert not isinstance(found, Refused)
        assert found[1].outcome is result.outcome, sample.label


def test_prepare_finds_language_date_and_clean_text(decided: Decided) -> None:
    chrome = re.compile("관련기사|많이 본|개인정보처리방침|로그인|Most read|Privacy|Sign up|Advertisement|cookies")
    for sample, article, _ in accepted(decided):
        assert article.language == sample.language, sample.label
        assert not chrome.search(article.text), sample.label
        if sample.published_at_source is not None:
            assert article.published_at_source == sample.published_at_source, sample.label


FALSE_ALARMS = 0
"""Themes too many, of all samples together: a floor, to be lowered only."""


def test_expected_themes_fire_and_hardly_others(decided: Decided, rulebook: Rulebook) -> None:
    rules = ThemeRules.from_rulebook(rulebook)
    missed: list[str] = []
    alarms: list[str] = []
    for sample, article, _ in accepted(decided):
        if sample.themes is None:
            continue
        found = {theme.theme for theme in classify(article.title, article.text, rules)}
        missed += [f"{sample.label}: {theme}" for theme in sorted(set(sample.themes) - found)]
        alarms += [f"{sample.label}: {theme}" for theme in sorted(found - set(sample.themes))]
    assert missed == []
    assert len(alarms) <= FALSE_ALARMS, alarms
