"""Enrich: outputs, tombstones, degraded steps, refusals; the same article gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import orjson
import pytest

from newsmill.core import enrich as module
from newsmill.core.enrich import Enrich, enrich_article
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Output, Record
from newsmill.errors import Reason, Refused
from newsmill.events import Article, EnrichedArticle, Outcome, StoryItem

RULEBOOK = load_rulebook()
STAGE = Enrich(Context("live", "0.1.0", "Asia/Seoul", {}), RULEBOOK)
ID = "0123456789abcdef0123456789abcdef"
VERSION = 1_760_000_000_123
TEXT = (
    "한빛반도체가 고대역폭메모리(HBM) 반도체 공장에 62억달러(약 9조원)를 투자한다고 밝혔다.\n"
    "새 반도체 공장은 HBM 생산량을 두 배로 늘린다. 파운드리 라인도 함께 들어선다.\n"
    "회사는 내년 하반기에 반도체 양산을 시작한다고 설명했다."
)


def article(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "version": VERSION,
        "url": "https://news.example/1",
        "canonical_url": "https://news.example/1",
        "source": "Example",
        "title": "한빛반도체, HBM 반도체 공장에 62억달러 투자",
        "author": None,
        "text": TEXT,
        "language": "ko",
        "published_at": "2025-10-09T08:00:00Z",
        "published_at_source": "article",
        "ingested_at": "2025-10-09T08:01:00Z",
        "content_hash": "f" * 32,
        "updates": None,
        "verdict": "original",
        "extra": {"desk": 7},
        "provenance": {"topic": "news.raw.v1", "partition": 2, "offset": 41, "newsmill_version": "0.1.0"},
    } | changes


def record(value: bytes | None) -> Record:
    return Record("news.unique.v1", 0, 7, VERSION, ID.encode(), value, ())


def run(**changes: Any) -> dict[str, Output]:
    result = STAGE(record(orjson.dumps(article(**changes))), None)
    assert result.outcome is Outcome.OK
    assert result.raw_time_ms == VERSION
    assert not result.changes
    outputs = {output.to: output for output in result.outputs}
    assert len(outputs) == len(result.outputs)
    return outputs


def enriched(outputs: dict[str, Output]) -> EnrichedArticle:
    value = outputs["enriched"].value
    assert value is not None
    return EnrichedArticle.model_validate_json(value, strict=True)


def test_an_original() -> None:
    outputs = run()
    assert set(outputs) == {"enriched", "theme.chips", "story-input"}
    assert outputs["theme.chips"].value is outputs["enriched"].value
    for output in outputs.values():
        assert output.key == ID.encode()
        assert output.subject == ID
        assert output.id == f"{ID}-{VERSION}"
        assert output.time_ms == VERSION
    assert outputs["enriched"].type == outputs["theme.chips"].type == "enriched"
    assert outputs["story-input"].type == "story-input"


def test_the_enriched_article() -> None:
    seen = enriched(run())
    assert seen.degraded == []
    assert [theme.theme for theme in seen.themes] == ["chips"]
    assert ("6200000000", "USD") in [(amount.value, amount.currency) for amount in seen.amounts]
    assert all(seen.text[amount.start : amount.end] == amount.text for amount in seen.amounts)
    assert seen.keywords
    assert seen.summary
    assert all(sentence in seen.text for sentence in seen.summary)
    assert seen.kind == "article"
    assert seen.provenance.rules_version == RULEBOOK.version
    assert (seen.provenance.topic, seen.provenance.partition, seen.provenance.offset) == ("news.raw.v1", 2, 41)
    assert seen.extra == {"desk": 7}
    assert seen.text == TEXT


@pytest.mark.parametrize(
    "extra",
    [
        None,
        {},
        {"a": [1, 2.5, 1e-7, 1e300, -0.0, True, None, "“따옴표” \x7f\u2028\t\x01/<>", {"b": {}}]},
        {"many digits": 2**70, "few": [-(2**63), 2**64 - 1]},
    ],
)
@pytest.mark.parametrize(
    "text", [TEXT, "", "A quiet day without any news. Nobody spoke of $3 million or ‘five’ pounds."]
)
def test_the_bytes_are_those_of_the_models(text: str, extra: dict[str, Any] | None) -> None:
    value = json.dumps(article(text=text, extra=extra, author='O"Neill \\ \U0001f600')).encode()
    outputs = {output.to: output.value for output in STAGE(record(value), None).outputs}
    for to, model in (("enriched", EnrichedArticle), ("story-input", StoryItem)):
        written = outputs[to]
        assert written is not None
        assert model.model_validate_json(written).model_dump_json().encode() == written
    assert (
        enrich_article(Article.model_validate_json(value), STAGE.rules).model_dump_json().encode()
        == outputs["enriched"]
    )


def test_the_story_item() -> None:
    value = run(updates="a" * 32, verdict="update")["story-input"].value
    assert value is not None
    item = StoryItem.model_validate_json(value, strict=True)
    assert (item.id, item.version, item.verdict, item.updates) == (ID, VERSION, "update", "a" * 32)
    assert item.themes == ["chips"]
    assert item.terms
    assert not item.digest
    assert b'"text"' not in value


def test_a_revision_leaves_the_other_themes() -> None:
    outputs = run(verdict="revision")
    assert set(outputs) == {"enriched", "story-input", *(f"theme.{theme}" for theme in STAGE.rules.themes.themes)}
    for name, output in outputs.items():
        assert (output.value is None) == (name.startswith("theme.") and name != "theme.chips")


def test_the_same_article_gives_the_same_bytes() -> None:
    other = Enrich(Context("live", "0.1.0", "Asia/Seoul", {}), RULEBOOK)
    value = orjson.dumps(article())
    assert STAGE(record(value), None) == other(record(value), None)


def test_bytes_do_not_depend_on_hash_randomisation() -> None:
    script = (
        "import sys; from newsmill.core.enrich import *; from newsmill.core.rulebook import load_rulebook;"
        "from newsmill.core.stage import *; context = Context('live', '0.1.0', 'Asia/Seoul', {});"
        "record = Record('news.unique.v1', 0, 7, 0, None, sys.stdin.buffer.read(), ());"
        "outputs = Enrich(context, load_rulebook())(record).outputs;"
        "sys.stdout.buffer.write(b'|'.join([output.value for output in outputs]))"
    )
    value = orjson.dumps(article(provenance=article()["provenance"] | {"rules_version": "x"}))
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            input=value,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
    assert seen != {b""}


def test_enrich_article_is_what_the_stage_writes() -> None:
    seen = enrich_article(Article.model_validate(article()), STAGE.rules)
    assert seen.model_dump_json().encode() == run()["enriched"].value


STEPS = {
    "themes": "classify",
    "entities": "find_entities",
    "amounts": "find_amounts",
    "keywords": "rank_keywords",
    "summary": "summarize",
    "digest": "is_digest",
    "story_terms": "story_terms",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_raises_costs_only_its_field(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("planted")

    whole = enriched(run(verdict="revision"))
    monkeypatch.setattr(module, STEPS[step], broken)
    outputs = run(verdict="revision")
    seen = enriched(outputs)
    assert seen.degraded == [step]
    fields = {"themes", "entities", "amounts", "keywords", "summary"}
    for field in fields - {step}:
        assert getattr(seen, field) == getattr(whole, field)
    if step in fields:
        assert getattr(seen, step) == []
    if step == "themes":
        # unknown is not gone: no theme is left on the ground of a failure
        assert set(outputs) == {"enriched", "story-input"}
    if step == "story_terms":
        value = outputs["story-input"].value
        assert value is not None
        assert StoryItem.model_validate_json(value).terms == {}


def test_all_steps_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RecursionError

    for name in STEPS.values():
        monkeypatch.setattr(module, name, broken)
    assert enriched(run()).degraded == list(STEPS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.WRONG_TYPE),
        (b"{", Reason.BAD_JSON),
        (b"[]", Reason.WRONG_TYPE),
        (b"{}", Reason.WRONG_TYPE),
        (orjson.dumps(article(id="x")), Reason.WRONG_TYPE),
    ],
)
def test_what_is_no_article_is_refused(value: bytes | None, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        STAGE(record(value), None)
    assert refused.value.reason is reason
    assert "한빛" not in refused.value.detail


def test_an_empty_text_is_no_failure() -> None:
    seen = enriched(run(text="", title=None))
    assert seen.degraded == []
    assert (seen.amounts, seen.keywords, seen.summary, seen.kind) == ([], [], [], "article")


def test_a_replay_that_begins_with_enrich_signs_what_it_finds() -> None:
    """What live prepared is read, and what comes of it says which replay it is of; live itself changes no name."""
    live = record(orjson.dumps(article()))
    for run, named in (("again", "again"), ("live", "live")):
        stage = Enrich(Context(run, "0.1.0", "Asia/Seoul", {}), RULEBOOK)
        [event] = [output for output in stage(live).outputs if output.to == "enriched"]
        assert orjson.loads(event.value or b"")["provenance"]["run"] == named
