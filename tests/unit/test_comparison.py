"""Two events of one article → same, changed, other original, missing, extra or newer; and what differs."""

from __future__ import annotations

from typing import Any

import pytest

from newsmill.core.comparison import (
    CONTENT_FIELDS,
    ENRICHMENT_FIELDS,
    Kind,
    Verdict,
    changed_fields,
    compare_verdicts,
    describe_difference,
    duplicate_verdict,
    enriched_verdict,
    excerpts,
    theme_moves,
)
from newsmill.core.times import format_utc
from newsmill.events import Article, EnrichedArticle

ID, OTHER, THIRD = "1" * 32, "2" * 32, "3" * 32
T0 = 1_790_000_000_000


def provenance(offset: int = 7, run: str = "live", rules: str | None = "r1") -> dict[str, Any]:
    return {
        "topic": "news.raw.v1", "partition": 2, "offset": offset, "rules_version": rules, "newsmill_version": "0.1.0",
        "run": run,
    }  # fmt: skip


def enriched(at: int = T0, offset: int = 7, run: str = "live", **fields: Any) -> dict[str, Any]:
    event = {
        "id": ID, "version": at, "url": "https://example.org/harbour", "canonical_url": "https://example.org/harbour",
        "source": "Example Wire", "title": "항만에 새 크레인", "author": None, "text": "새 크레인이 항만에 섰다.",
        "language": "ko", "published_at": "2026-09-21T03:00:00Z", "published_at_source": "article",
        "ingested_at": format_utc(at), "content_hash": "a" * 32, "updates": None, "verdict": "original", "extra": None,
        "provenance": provenance(offset, run), "themes": [], "entities": [], "amounts": [], "keywords": [],
        "summary": ["새 크레인이 항만에 섰다."], "kind": "article", "degraded": [],
    }  # fmt: skip
    return event | fields


def copy(at: int = T0, offset: int = 7, run: str = "live", of: str = OTHER) -> dict[str, Any]:
    return {
        "id": ID, "version": at, "url": None, "source": None, "title": "항만에 새 크레인", "language": "ko",
        "published_at": "2026-09-21T03:00:00Z", "duplicate_of": of, "similarity": 0.98, "method": "near",
        "published_first": False, "provenance": provenance(offset, run),
    }  # fmt: skip


def verdict(event: dict[str, Any] | None) -> Verdict | None:
    if event is None:
        return None
    return duplicate_verdict(event) if "duplicate_of" in event else enriched_verdict(event)


def kind(live: dict[str, Any] | None, replay: dict[str, Any] | None) -> Kind | None:
    return compare_verdicts(verdict(live), verdict(replay))


def test_every_field_is_content_or_known_not_to_be() -> None:
    """A field that is added to the event must be sorted into one of the two."""
    not_content = {"id", "version", "ingested_at", "updates", "verdict", "provenance"}
    assert set(CONTENT_FIELDS) | not_content == set(EnrichedArticle.model_fields)
    assert not set(CONTENT_FIELDS) & not_content
    assert set(EnrichedArticle.model_fields) - set(Article.model_fields) == set(ENRICHMENT_FIELDS)


def test_who_made_it_and_when_is_no_difference() -> None:
    replay = enriched(T0 - 5, 6, "again", verdict="revision")
    replay["provenance"] = provenance(6, "again", "r2") | {"newsmill_version": "0.2.0"}
    live = enriched(T0 - 9, 5)
    assert kind(live, replay) is Kind.SAME
    assert describe_difference(live, replay) == {}


@pytest.mark.parametrize("field", CONTENT_FIELDS)
def test_each_content_field_counts(field: str) -> None:
    values: dict[str, Any] = {
        "themes": [{"theme": "chips", "score": 0.5, "evidence": []}], "published_at_source": "page",
        "extra": {"a": 1}, "kind": "digest", "text": "다른 글이다.", "content_hash": "b" * 32,
    }  # fmt: skip
    replay = enriched(run="again", **{field: values.get(field, ["x"] if field in ENRICHMENT_FIELDS else "x")})
    ours, theirs = verdict(enriched()), verdict(replay)
    assert ours is not None
    assert theirs is not None
    assert compare_verdicts(ours, theirs) is Kind.CHANGED
    assert changed_fields(ours, theirs) == (field,)
    assert list(describe_difference(enriched(), replay)) == [field]


def test_order_of_keys_is_no_difference() -> None:
    live = enriched(extra={"a": 1, "b": [2]})
    assert kind(live, enriched(run="again", extra={"b": [2], "a": 1})) is Kind.SAME


def test_a_date_that_is_the_records_time_is_no_content() -> None:
    live = enriched(published_at="2026-09-21T03:00:00Z", published_at_source="record")
    replay = enriched(T0 + 4, 8, "again", published_at="2026-09-21T03:00:01Z", published_at_source="record")
    assert kind(live, replay) is Kind.SAME
    assert kind(live, enriched(run="again")) is Kind.CHANGED


@pytest.mark.parametrize(("live", "replay", "expected"), [
    (copy(), copy(run="again"), Kind.SAME),
    (copy(), copy(run="again", of=THIRD), Kind.OTHER_ORIGINAL),
    (copy(), enriched(run="again"), Kind.OTHER_ORIGINAL),
    (enriched(), copy(run="again"), Kind.OTHER_ORIGINAL),
    (enriched(updates=OTHER), enriched(run="again"), Kind.OTHER_ORIGINAL),
    (enriched(updates=OTHER), enriched(run="again", title="새 제목"), Kind.CHANGED),
    (None, enriched(run="again"), Kind.MISSING),
    (None, copy(run="again"), Kind.MISSING),
    (enriched(), None, Kind.EXTRA),
    (copy(), None, Kind.EXTRA),
    (enriched(T0 + 1, 8), enriched(run="again", title="새 제목"), Kind.NEWER),
    (enriched(T0 + 1, 8), enriched(run="again"), Kind.SAME),
    (copy(T0 + 1, 8), enriched(run="again"), Kind.NEWER),
    (enriched(T0 + 1, 8), copy(run="again"), Kind.NEWER),
    # live's version of the same raw record may be higher: two revisions within a millisecond, or a promotion
    (copy(T0 + 1, 7), enriched(run="again"), Kind.OTHER_ORIGINAL),
    # live read an older record of the same article, and the later one was a repeat to it
    (enriched(T0 - 1000, 3), enriched(run="again"), Kind.SAME),
    (None, None, None),
])  # fmt: skip
def test_kinds(live: dict[str, Any] | None, replay: dict[str, Any] | None, expected: Kind | None) -> None:
    assert kind(live, replay) is expected


def test_versions_of_a_replay_of_dedupes_own_output_are_lives() -> None:
    """What was promoted meanwhile has the same raw record and a higher version: an older text must not replace it."""
    live, replay = verdict(enriched(title="올려진 제목", version=T0 + 1)), verdict(enriched())
    assert compare_verdicts(live, replay) is Kind.CHANGED
    assert compare_verdicts(live, replay, by_version=True) is Kind.NEWER
    # its own promotion raised the version too
    assert compare_verdicts(verdict(enriched(version=T0 + 1)), replay, by_version=True) is Kind.SAME


def test_only_what_was_to_be_replayed_is_extra() -> None:
    assert compare_verdicts(verdict(enriched()), None, expected=False) is None


def test_a_promoted_version_is_the_same() -> None:
    """Live keeps its own verdict, and raises the version; what readers get is the replay's."""
    replay = enriched(run="again", title="새 제목")
    live = replay | {"version": T0 + 1, "verdict": "revision"}
    assert kind(live, replay) is Kind.SAME


def test_differences_are_complete_but_for_the_text() -> None:
    keywords = [{"term": f"용어 {number}", "score": 0.5} for number in range(10)]
    long = "첫 문장이다. " * 2000
    found = describe_difference(enriched(text=long), enriched(run="again", text=long + "끝이다.", keywords=keywords))
    assert found["keywords"] == {"live": [], "replay": keywords}
    assert found["text"]["live"] == {"characters": len(long)}
    assert found["text"]["replay"] == {"characters": len(long) + 4}
    assert f"@@ character {len(long)} @@\n-" in found["text"]["excerpt"]
    assert "끝이다." in found["text"]["excerpt"]
    assert len(found["text"]["excerpt"]) < 400


def test_differences_of_copies_name_the_originals() -> None:
    assert describe_difference(copy(), enriched()) == {"duplicate_of": {"live": OTHER, "replay": None}}
    assert describe_difference(enriched(updates=OTHER), enriched()) == {"updates": {"live": OTHER, "replay": None}}
    assert describe_difference(copy(), copy(of=THIRD)) == {"duplicate_of": {"live": OTHER, "replay": THIRD}}
    assert describe_difference(None, copy()) == {}


@pytest.mark.parametrize(("a", "b"), [
    ("", ""), ("", "글"), ("같다", "같다"), ("a" * 500 + "b", "a" * 500 + "c"), ("한\n줄", "두\n줄"), ("x" * 300, ""),
])  # fmt: skip
def test_excerpts_show_the_first_difference(a: str, b: str) -> None:
    left, right = excerpts(a, b, 60)
    assert (left == right) == (a == b)
    assert len(left) <= 62
    assert len(right) <= 62
    assert "\n" not in left + right


def test_themes_entered_and_left() -> None:
    assert theme_moves(["chips", "cloud"], ["cloud", "industrial-ai"]) == ({"industrial-ai"}, {"chips"})
