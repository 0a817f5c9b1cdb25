"""Promotions, rule by rule: what prepare passes on, dedupe accepts, enrich writes and stories change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.enrich import Enrich, EnrichRules, enrich_article
from newsmill.core.folding import content_hash
from newsmill.core.prepare import Prepare
from newsmill.core.promotion import ForwardPromotion
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record, Result
from newsmill.core.stories import Stories, StoriesOptions
from newsmill.core.stories_state import StoriesState
from newsmill.errors import Reason, Refused, UnreadableFormat
from newsmill.events import (
    Article,
    EnrichedArticle,
    Enrichment,
    Outcome,
    Prepared,
    Promotion,
    Story,
    StoryEvent,
    StoryItem,
)
from newsmill.settings import load_settings
from newsmill.stages import build_stages
from newsmill.transport import Stage

BOOK = load_rulebook()
RULES = EnrichRules.from_rulebook(BOOK)
LIVE = Context("live", "0.1.0", "Asia/Seoul", {})
REPLAY = Context("harvest", "0.1.0", "Asia/Seoul", {})
FORWARD = ForwardPromotion(LIVE)
ENRICH = Enrich(LIVE, BOOK)
T0 = 1_760_000_000_000
LATER = T0 + 40 * 86_400_000  # when promotions are written: longer than any topic on the way keeps its records
SOON = T0 + 3_600_000  # or within the window in which copies are found
URL = "https://press.example/harbour"
CHIPS = (
    "한빛반도체가 고대역폭메모리(HBM) 반도체 공장에 62억달러(약 9조원)를 투자한다고 밝혔다.\n"
    "새 반도체 공장은 HBM 생산량을 두 배로 늘린다. 파운드리 라인도 함께 들어선다.\n"
    "회사는 내년 하반기에 반도체 양산을 시작한다고 설명했다."
)
OTHER = (
    "The ferry between the two islands will sail every hour from Monday, the harbour office said.\n"
    "Three boats were repaired over the winter, and a fourth one is being painted by volunteers.\n"
    "Tickets stay at the price of last year. Children under seven travel free on all of the lines."
)


def raw(body: str, url: str = URL, at: int = T0, **more: Any) -> Record:
    value = {"url": url, "title": "A title", "source": "The Example", "body": body} | more
    return Record("news.raw.v1", 0, 1, at, None, orjson.dumps(value), ())


def prepared(record: Record, context: Context = LIVE) -> Prepared:
    (output,) = Prepare(context, BOOK)(record, None).outputs
    return Prepared.model_validate_json(output.value or b"")


def enrichment(article: Article) -> Enrichment:
    return Enrichment.model_validate(enrich_article(article, RULES).model_dump(include=set(Enrichment.model_fields)))


def promotion(
    record: Record, replaces: int | None, replaces_hash: str | None = None, found: Enrichment | None = None
) -> Prepared:
    """As `newsmill replay promote` writes it."""
    told = Promotion(replaces=replaces, replaces_hash=replaces_hash, enrichment=found)
    return prepared(record, REPLAY).model_copy(update={"format": 2, "promotion": told})


def on_promote(value: Prepared | bytes | None, at: int = LATER) -> Record:
    written = value.model_dump_json().encode() if isinstance(value, Prepared) else value
    return Record("news.promote.v1", 0, 5, at, b"k", written, ())


class Judge:
    """Dedupe with its state, over what prepare passes on."""

    def __init__(self) -> None:
        self.stage = Dedupe(LIVE, DedupeOptions(max_entries=1000), BOOK)
        self.state = self.stage.new_state()

    def feed(self, record: Record) -> Result:
        result = self.stage(record, self.state)
        for change in result.changes:
            self.state.apply(change)
        return result

    def arrive(self, record: Record) -> Result:
        (output,) = Prepare(LIVE, BOOK)(record, None).outputs
        return self.feed(Record("news.prepared.v1", 0, 1, output.time_ms, output.key, output.value, ()))

    def promote(self, value: Prepared, at: int = LATER) -> Result:
        (output,) = FORWARD(on_promote(value, at)).outputs
        return self.feed(Record("news.prepared.v1", 0, 1, output.time_ms, output.key, output.value, ()))


def unique(result: Result) -> Article:
    (output,) = [output for output in result.outputs if output.to == "unique"]
    return Article.model_validate_json(output.value or b"")


# records


def test_an_arrival_is_written_as_before() -> None:
    """Promotions cost other records not a byte, and an older worker reads those."""
    (output,) = Prepare(LIVE, BOOK)(raw(CHIPS), None).outputs
    data = orjson.loads(output.value or b"")
    assert list(data) == ["format", "prepare_version", "sketch", "fetched_at", "article"]
    assert data["format"] == 1
    article = prepared(raw(CHIPS)).article.model_copy(update={"verdict": "original"})
    items = [
        orjson.loads(output.value or b"")
        for output in ENRICH(Record("u", 0, 0, T0, None, article.model_dump_json().encode(), ())).outputs
        if output.to == "story-input"
    ]
    assert [(item["format"], "promoted" in item) for item in items] == [(1, False)]


# prepare


def test_a_promotion_is_passed_on_byte_for_byte() -> None:
    value = promotion(raw(CHIPS), None)
    record = on_promote(value)
    result = FORWARD(record)
    (output,) = result.outputs
    assert (output.to, output.key, output.value) == ("prepared", value.article.id.encode(), record.value)
    assert (output.time_ms, output.partition) == (LATER, None)
    assert (result.outcome, result.raw_time_ms) == (Outcome.OK, None)
    assert result.facts is not None
    assert (result.facts.source, result.facts.published_at) == (None, None)


def test_a_promotion_goes_to_the_shard_of_its_language() -> None:
    forward = ForwardPromotion(LIVE._replace(options={"shard_of_language": {"ko": 2}}))
    assert forward(on_promote(promotion(raw(CHIPS), None))).outputs[0].partition == 2
    assert forward(on_promote(promotion(raw(OTHER), None))).outputs[0].partition == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.WRONG_TYPE),
        (b"{", Reason.BAD_JSON),
        (b"{}", Reason.WRONG_TYPE),
        (prepared(raw(CHIPS), REPLAY).model_copy(update={"format": 2}), Reason.WRONG_TYPE),
        (promotion(raw(CHIPS), 1).model_copy(update={"format": 1}), Reason.WRONG_TYPE),
        (
            prepared(raw(CHIPS)).model_copy(update={"format": 2, "promotion": Promotion(replaces=None)}),
            Reason.WRONG_TYPE,
        ),
        (promotion(raw(CHIPS, at=LATER + 90_000_000), None), Reason.WRONG_TYPE),
    ],
    ids=["tombstone", "no JSON", "empty", "no promotion", "format 1", "of live", "of tomorrow"],
)
def test_what_is_no_promotion_is_refused(value: Prepared | bytes | None, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        FORWARD(on_promote(value))
    assert refused.value.reason is reason


def test_a_promotion_of_a_newer_newsmill_stops_the_stage() -> None:
    with pytest.raises(UnreadableFormat):
        FORWARD(on_promote(promotion(raw(CHIPS), None).model_copy(update={"format": 3})))


def test_prepare_of_live_reads_promotions_and_tells_them_by_their_topic() -> None:
    settings = load_settings(topic_prefix="blue.")
    (stage,) = build_stages(settings, BOOK, ("prepare",))
    assert stage.sources == ("raw", "promote")
    assert [stage.sources for stage in build_stages(settings, BOOK, ("prepare",), run="harvest")] == [("raw",)]
    (passed,) = stage.process(
        on_promote(promotion(raw(CHIPS), None))._replace(topic="blue.news.promote.v1"), None
    ).outputs
    assert orjson.loads(passed.value or b"")["promotion"] == {
        "replaces": None,
        "replaces_hash": None,
        "enrichment": None,
    }
    (cleaned,) = stage.process(raw(CHIPS)._replace(topic="blue.news.raw.v1"), None).outputs
    assert orjson.loads(cleaned.value or b"")["format"] == 1


def test_a_stage_with_state_reads_one_topic() -> None:
    (dedupe,) = build_stages(load_settings(), BOOK, ("dedupe",))
    with pytest.raises(AssertionError, match="one topic only"):
        replace(dedupe, more_sources=("promote",))


def test_each_source_has_transactional_ids_of_its_own() -> None:
    settings = load_settings(topic_prefix="blue.")
    assert kafka.transactional_id(settings, "prepare", 0, "promote") == "blue.newsmill-prepare-promote-0"
    assert kafka.transactional_id(settings, "prepare", 0) == "blue.newsmill-prepare-0"


# dedupe: what live does not know


def test_an_unknown_article_is_judged_as_an_arrival() -> None:
    judge = Judge()
    result = judge.promote(promotion(raw(CHIPS), None))
    assert result.outcome is Outcome.ORIGINAL
    assert (unique(result).verdict, unique(result).version, unique(result).provenance.run) == (
        "original",
        T0,
        "harvest",
    )
    assert [output.time_ms for output in result.outputs] == [LATER]  # else the topic would expire it unread
    assert result.raw_time_ms is None
    copy = judge.arrive(raw(CHIPS, "https://copy.example/1", LATER + 60_000))
    assert (copy.outcome, copy.raw_time_ms) == (Outcome.DUPLICATE, LATER + 60_000)


def test_an_unknown_copy_is_a_duplicate_with_its_note() -> None:
    judge = Judge()
    first = unique(judge.arrive(raw(CHIPS)))
    result = judge.promote(promotion(raw(CHIPS, "https://copy.example/1", T0 + 5), None), SOON)
    assert (result.outcome, result.raw_time_ms) == (Outcome.DUPLICATE, None)
    assert [output.to for output in result.outputs] == ["duplicate", "story-input"]
    assert {orjson.loads(output.value or b"")["duplicate_of"] for output in result.outputs} == {first.id}
    assert {output.time_ms for output in result.outputs} == {SOON}


def test_a_longer_report_that_live_missed_updates_the_shorter() -> None:
    judge = Judge()
    first = unique(judge.arrive(raw(OTHER)))
    longer = OTHER + "\nThe mayor thanked all crews. " + " ".join(f"berth{n} opens on day {n * 7}." for n in range(30))
    result = judge.promote(promotion(raw(longer, "https://press.example/longer"), None), SOON)
    assert (result.outcome, unique(result).updates) == (Outcome.UPDATE, first.id)


def test_what_live_learned_since_is_not_new() -> None:
    judge = Judge()
    judge.arrive(raw(OTHER, at=T0 + 9))
    result = judge.promote(promotion(raw(CHIPS), None))
    assert result == Result(Outcome.STALE, facts=result.facts)
    assert not result.outputs
    assert not result.changes


# dedupe: what live knows


def test_another_text_of_what_live_has_is_a_revision() -> None:
    judge = Judge()
    before = unique(judge.arrive(raw(OTHER)))
    result = judge.promote(promotion(raw(CHIPS), T0))
    after = unique(result)
    assert (result.outcome, after.verdict) == (Outcome.REVISION, "revision")
    assert (after.id, after.version) == (before.id, T0 + 1)  # a version only grows
    assert [output.time_ms for output in result.outputs] == [LATER]
    assert judge.arrive(raw(CHIPS, at=T0 + 5_000)).outcome is Outcome.REPEAT  # state is updated as by a revision


def test_the_same_text_with_other_findings_is_a_revision_too() -> None:
    judge = Judge()
    article = unique(judge.arrive(raw(CHIPS)))
    result = judge.promote(promotion(raw(CHIPS), T0, found=enrichment(article)))
    assert (result.outcome, unique(result).version) == (Outcome.REVISION, T0 + 1)


def test_the_version_of_the_replay_counts_where_it_is_larger() -> None:
    judge = Judge()
    judge.arrive(raw(OTHER))
    assert unique(judge.promote(promotion(raw(CHIPS, at=T0 + 77), T0))).version == T0 + 77


def test_a_promotion_that_is_sent_again_is_stale() -> None:
    for replaces in (None, T0):
        judge = Judge()
        if replaces is not None:
            judge.arrive(raw(OTHER))
        value = promotion(raw(CHIPS), replaces)
        assert judge.promote(value).outcome is not Outcome.STALE
        entries = judge.state.entries
        for _ in range(2):
            again = judge.promote(value)
            assert (again.outcome, again.outputs, again.changes) == (Outcome.STALE, (), ())
            assert again.raw_time_ms is None
        assert judge.state.entries == entries


def test_what_live_revised_since_stays() -> None:
    judge = Judge()
    judge.arrive(raw(OTHER))
    judge.arrive(raw(CHIPS, at=T0 + 60_000))
    for replaces in (T0, T0 + 60_001, T0 - 1):
        result = judge.promote(promotion(raw(OTHER + " Or not."), replaces))
        assert (result.outcome, result.outputs, result.changes) == (Outcome.STALE, (), ())
    assert judge.promote(promotion(raw(OTHER), T0 + 60_000)).outcome is Outcome.REVISION


def test_what_live_has_forgotten_cannot_be_replaced() -> None:
    assert Judge().promote(promotion(raw(CHIPS), T0)).outcome is Outcome.STALE


def test_a_repeat_since_is_no_other_decision_if_the_hash_is_told() -> None:
    """A repeat raises the version that live knows, though what it published is what the replay was compared with."""
    value = promotion(raw(CHIPS), T0)
    told = promotion(raw(CHIPS), T0, content_hash(OTHER))
    for given, verdict in ((value, Outcome.STALE), (told, Outcome.REVISION)):
        judge = Judge()
        judge.arrive(raw(OTHER))
        assert judge.arrive(raw(OTHER, at=T0 + 60_000)).outcome is Outcome.REPEAT
        result = judge.promote(given)
        assert result.outcome is verdict
        if verdict is Outcome.REVISION:
            assert unique(result).version == T0 + 60_001
            assert judge.promote(given).outcome is Outcome.STALE
    judge = Judge()
    judge.arrive(raw(OTHER))
    judge.arrive(raw(OTHER, at=T0 + 60_000))
    same = promotion(raw(OTHER), T0, content_hash(OTHER))  # it would hold again after itself
    assert judge.promote(same).outcome is Outcome.STALE
    judge = Judge()
    judge.arrive(raw(OTHER))
    judge.arrive(raw(CHIPS, at=T0 + 60_000))  # a revision, not a repeat: the hash is another
    assert judge.promote(told).outcome is Outcome.STALE


def test_a_copy_is_judged_afresh() -> None:
    """Live took it for a copy; the replay's cleaner found another text: an original of its own."""
    judge = Judge()
    judge.arrive(raw(CHIPS))
    copy = "https://copy.example/1"
    assert judge.arrive(raw(CHIPS, copy, T0 + 5)).outcome is Outcome.DUPLICATE
    assert judge.promote(promotion(raw(OTHER, copy, T0 + 5), T0 + 4), SOON).outcome is Outcome.STALE
    assert judge.promote(promotion(raw(CHIPS, copy, T0 + 5), T0 + 5), SOON).outcome is Outcome.DUPLICATE
    result = judge.promote(promotion(raw(OTHER, copy, T0 + 5), T0 + 6), SOON)
    assert (result.outcome, unique(result).version) == (Outcome.ORIGINAL, T0 + 7)


def test_what_was_fetched_last_stays_known() -> None:
    judge = Judge()
    judge.arrive(raw(OTHER, fetched_at="2025-10-09T08:00:00Z"))
    judge.promote(promotion(raw(CHIPS, fetched_at="2025-10-01T08:00:00Z"), T0))
    older = raw(OTHER, at=T0 + 90_000_000, fetched_at="2025-10-05T08:00:00Z")
    assert judge.arrive(older).outcome is Outcome.STALE


def test_the_clock_of_an_archive_is_not_that_of_live() -> None:
    """A version of an hour ahead passes, but does not let live's memory grow old."""
    judge = Judge()
    judge.promote(promotion(raw(CHIPS, at=LATER + 3_600_000), None))
    assert judge.state.clock == LATER


def test_findings_go_along_with_the_article() -> None:
    judge = Judge()
    article = unique(judge.arrive(raw(CHIPS)))
    found = enrichment(article)
    (output,) = judge.promote(promotion(raw(CHIPS), T0, found=found)).outputs
    data = orjson.loads(output.value or b"")
    assert data["themes"] == [theme.model_dump() for theme in found.themes] != []
    whole = EnrichedArticle.model_validate(data)
    assert (whole.verdict, whole.version) == ("revision", T0 + 1)
    assert Enrichment.model_validate(data) == found
    (plain,) = judge.promote(promotion(raw(OTHER), T0 + 1)).outputs
    assert set(orjson.loads(plain.value or b"")) == set(Article.model_fields)


# enrich


def promoted_article(found: Enrichment | None, verdict: str = "revision", run: str = "harvest", **more: Any) -> Record:
    article = prepared(raw(CHIPS), REPLAY).article
    provenance = article.provenance.model_copy(update={"run": run, "rules_version": "of the replay"})
    data = article.model_copy(update={"verdict": verdict, "provenance": provenance}).model_dump()
    if found is not None:
        data |= found.model_dump()
    return Record("news.unique.v1", 0, 7, LATER, None, orjson.dumps(data | more), ())


FOUND = Enrichment.model_validate(
    {
        "themes": [{"theme": "cloud", "score": 0.9, "evidence": ["HBM"]}],
        "entities": [],
        "amounts": [],
        "keywords": [{"term": "메모리", "score": 0.5}],
        "summary": ["회사는 내년 하반기에 반도체 양산을 시작한다고 설명했다."],
        "kind": "article",
        "degraded": ["summary"],
    }
)


@pytest.mark.parametrize("verdict", ["original", "update", "revision"])
def test_the_findings_of_a_replay_are_passed_on(verdict: str) -> None:
    result = ENRICH(promoted_article(FOUND, verdict))
    outputs = {output.to: output for output in result.outputs}
    value = EnrichedArticle.model_validate_json(outputs["enriched"].value or b"")
    assert {name: getattr(value, name) for name in Enrichment.model_fields} == dict(FOUND)
    assert (value.provenance.run, value.provenance.rules_version) == ("harvest", "of the replay")
    written = {name[6:]: output.value for name, output in outputs.items() if name.startswith("theme.")}
    assert written == dict.fromkeys(RULES.themes.themes) | {"cloud": outputs["enriched"].value}
    assert {output.time_ms for output in result.outputs} == {LATER}
    item = StoryItem.model_validate_json(outputs["story-input"].value or b"")
    assert (item.promoted, item.format, item.themes, item.keywords) == (True, 2, ["cloud"], ["메모리"])
    assert item.terms
    assert (result.outcome, result.raw_time_ms) == (Outcome.OK, None)
    assert result.facts is not None
    assert result.facts.published_at is None
    assert outputs["enriched"].value == value.model_dump_json().encode()


def test_unknown_themes_are_not_gone_ones() -> None:
    found = FOUND.model_copy(update={"themes": [], "degraded": ["themes"]})
    assert {output.to for output in ENRICH(promoted_article(found)).outputs} == {"enriched", "story-input"}


def test_a_theme_that_this_worker_does_not_know_is_refused() -> None:
    found = FOUND.model_copy(update={"themes": [FOUND.themes[0].model_copy(update={"theme": "tides"})]})
    with pytest.raises(Refused, match="tides") as refused:
        ENRICH(promoted_article(found))
    assert "newsmill topics create" in refused.value.detail
    assert "harvest" in refused.value.detail


def test_half_an_enrichment_is_refused() -> None:
    with pytest.raises(Refused, match="entities") as refused:
        ENRICH(promoted_article(None, themes=[]))
    assert refused.value.reason is Reason.WRONG_TYPE


def test_without_findings_it_is_enriched_here() -> None:
    result = ENRICH(promoted_article(None, "original"))
    outputs = {output.to: output for output in result.outputs}
    value = EnrichedArticle.model_validate_json(outputs["enriched"].value or b"")
    assert [theme.theme for theme in value.themes] == ["chips"]
    assert (value.provenance.run, value.provenance.rules_version) == ("harvest", BOOK.version)
    assert {name for name, output in outputs.items() if output.value is None} == {
        f"theme.{theme}" for theme in RULES.themes.themes if theme != "chips"
    }
    assert StoryItem.model_validate_json(outputs["story-input"].value or b"").promoted
    assert result.raw_time_ms is None


def test_a_replay_enriches_anew_and_so_does_live_its_own() -> None:
    for context, run in ((REPLAY, "harvest"), (REPLAY, "spring"), (REPLAY, "live"), (LIVE, "live")):
        result = Enrich(context, BOOK)(promoted_article(FOUND, "original", run))
        outputs = {output.to: output.value for output in result.outputs}
        value = EnrichedArticle.model_validate_json(outputs["enriched"] or b"")
        assert [theme.theme for theme in value.themes] == ["chips"]
        assert b"promoted" not in (outputs["story-input"] or b"")
        assert result.raw_time_ms == T0


def test_story_terms_that_fail_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("newsmill.core.enrich.story_terms", broken)
    outputs = {output.to: output.value for output in ENRICH(promoted_article(FOUND)).outputs}
    assert orjson.loads(outputs["enriched"] or b"")["degraded"] == ["summary", "story_terms"]
    assert orjson.loads(outputs["story-input"] or b"")["terms"] == {}


# stories


def item(name: str, version: int, *, promoted: bool = False, **more: Any) -> StoryItem:
    fields: dict[str, Any] = {
        "format": 2 if promoted else 1,
        "id": content_hash(name),
        "version": version,
        "verdict": "revision" if promoted else "original",
        "updates": None,
        "title": f"Title {name}",
        "source": "Alpha",
        "language": "en",
        "published_at": "2025-10-09T08:00:00Z",
        "themes": ["chips"],
        "keywords": ["wafer"],
        "terms": {"a": 1.0, "b": 1.0, "c": 1.0},
        "promoted": promoted,
    }
    return StoryItem.model_validate(fields | more)


class Desk:
    """The stories stage with its state."""

    def __init__(self) -> None:
        self.stage = Stories(LIVE, StoriesOptions(), BOOK)
        self.state: StoriesState = self.stage.new_state()
        self.log: dict[bytes, bytes | None] = {}

    def take(self, entry: StoryItem, at: int = 0) -> Result:
        value = entry.model_dump_json().encode()
        result = self.stage(Record("news.story-input.v1", 0, 0, at, None, value, ()), self.state)
        for change in result.changes:
            self.state.apply(change)
            self.log.pop(change.key, None)
            self.log[change.key] = change.value
        return result


def test_old_news_opens_no_story() -> None:
    desk = Desk()
    assert desk.take(item("x", T0, promoted=True), LATER) == Result(
        Outcome.OK, facts=desk.take(item("x", T0, promoted=True), LATER).facts
    )
    assert desk.state.entries == 0
    desk.take(item("y", T0 + 5))
    assert not desk.take(item("x", T0 + 9, promoted=True, verdict="original"), LATER).changes
    assert [story.article_count for story in desk.state.stories.values()] == [1]


def test_an_article_of_the_window_is_replaced_in_place() -> None:
    desk = Desk()
    desk.take(item("x", T0))
    changed = item(
        "x",
        T0 + 1,
        promoted=True,
        title="Other",
        themes=["cloud"],
        keywords=["server"],
        source="Beta",
        terms={"z": 1.0},
    )
    result = desk.take(changed, LATER)
    assert result.raw_time_ms is None
    told = {output.to: output for output in result.outputs}
    story = Story.model_validate_json(told["story"].value or b"")
    assert (story.title, story.themes, story.keywords, story.sources) == ("Other", ["cloud"], ["server"], ["Beta"])
    assert (story.article_ids, story.article_count) == ([changed.id], 1)
    event = StoryEvent.model_validate_json(told["story-event"].value or b"")
    assert (event.event, event.article_id) == ("updated", changed.id)
    assert "replay" in event.reason
    assert {output.time_ms for output in result.outputs} == {LATER}
    assert desk.state.now == T0  # the clock is that of arrivals
    (entry,) = desk.state.articles.values()
    assert (entry.arrived, entry.version, entry.terms) == (T0, T0 + 1, {"z": 1.0})
    assert not desk.take(changed, LATER).changes  # twice is once
    again = desk.stage.new_state()
    for key, value in desk.log.items():
        again.load(key, value)
    again.loaded()
    assert (again.articles, again.stories, again.now) == (desk.state.articles, desk.state.stories, desk.state.now)


def test_a_story_of_several_keeps_what_the_others_may_have() -> None:
    desk = Desk()
    desk.take(item("x", T0))
    desk.take(item("y", T0 + 5, source="Gamma", keywords=["wafer", "fab"]))
    result = desk.take(item("x", T0 + 1, promoted=True, themes=["cloud"], keywords=["server", "wafer"], source="Beta"))
    story = Story.model_validate_json({output.to: output for output in result.outputs}["story"].value or b"")
    assert (story.themes, story.sources) == (["chips", "cloud"], ["Alpha", "Beta", "Gamma"])
    assert story.keywords == ["wafer", "fab", "server"]
    assert story.article_count == 2
    assert next(iter(desk.state.stories.values())).keywords == {"wafer": 2, "fab": 1, "server": 1}


# the shell


def test_partitions_of_two_topics_are_told_apart() -> None:
    """Partition 0 of each source has its place in the marker, and what killed a process is asked for by source."""
    from newsmill.marker import Place
    from newsmill.worker.plan import ProcessPlan

    (stage,) = build_stages(load_settings(), BOOK, ("prepare",))
    assert isinstance(stage, Stage)
    assert len({TopicPartition(short, 0) for short in stage.sources}) == 2
    place = Place("prepare", 0, 7, 1)
    assert place != Place("prepare", 0, 7)
    plan = ProcessPlan(
        index=0, instance="i", stages=("prepare",), metrics_port=None, marker="m", started="s",
        crashers=(tuple(place),), settings={},
    )  # fmt: skip
    assert ProcessPlan.model_validate(orjson.loads(plan.line())).crashers == (("prepare", 0, 7, 1),)
