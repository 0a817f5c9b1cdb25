"""One raw article → everything that the pure core decides about it, with the evidence and the time of each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from newsmill import __version__
from newsmill.core.amounts import find_amounts
from newsmill.core.decoding import decode_raw
from newsmill.core.digest import is_digest
from newsmill.core.enrich import EnrichRules, enrich_article
from newsmill.core.entities import find_entities
from newsmill.core.fingerprint import Sketch, sketch, unpack
from newsmill.core.keywords import rank_keywords
from newsmill.core.prepare import PrepareRules, prepare_article
from newsmill.core.rulebook import Rulebook
from newsmill.core.story_features import story_terms
from newsmill.core.summary import summarize
from newsmill.core.themes import ThemeTrace, explain_themes
from newsmill.errors import Reason, Refused
from newsmill.events import EnrichedArticle, Provenance

__all__ = ["Explainer", "Explanation", "SketchFacts"]

T = TypeVar("T")
_RUNS: Final = 3  # of each step; the fastest counts, the first also fills caches
_STORY_TERMS: Final = 20


class SketchFacts(NamedTuple):
    """What dedupe remembers of a text: sizes of its sketch (core/fingerprint.py)."""

    level: int
    hashes: int
    lead: int
    words: int
    letters: int
    shingles: int
    numbers: int

    @classmethod
    def of(cls, made: Sketch) -> SketchFacts:
        """The sizes of a sketch; ``numbers`` is counted in 64 bits, so many distinct ones look like fewer."""
        return cls(
            made.level, len(made.hashes), len(made.lead), made.words, made.letters, made.shingles,
            made.bitmap.bit_count(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """One article explained. A refused one has ``reason`` and ``detail`` and nothing else but its timings.

    ``decisions`` say what each part was decided by; ``story_terms`` are the heaviest features by which stories are
    found; ``microseconds`` is the fastest of three runs of each step, on this machine; prepare's holds the sketch's.
    """

    place: str
    reason: Reason | None
    detail: str
    microseconds: dict[str, int]
    decisions: Mapping[str, Any] = field(default_factory=dict)
    article: EnrichedArticle | None = None
    sketch: SketchFacts | None = None
    themes: tuple[ThemeTrace, ...] = ()
    story_terms: Mapping[str, float] = field(default_factory=dict)
    rules_version: str = ""

    def for_programs(self) -> dict[str, Any]:
        """A JSON object."""
        head: dict[str, Any] = {"place": self.place, "rules_version": self.rules_version}
        if self.article is None:
            return head | {
                "outcome": "dead_letter",
                "reason": self.reason,
                "detail": self.detail,
                "microseconds": self.microseconds,
            }
        fields = self.article.model_dump(mode="json", exclude={"themes", "provenance", "verdict", "updates", "version"})
        themes = [
            {
                "theme": trace.theme,
                "label": trace.label,
                "applies": trace.applies,
                "score": trace.score,
                "total": trace.total,
                "threshold": trace.threshold,
                "terms": [term._asdict() for term in trace.terms],
            }
            for trace in self.themes
        ]
        return head | {
            "outcome": "ok",
            "decisions": dict(self.decisions),
            "article": fields,
            "themes": themes,
            "sketch": self.sketch._asdict() if self.sketch else None,
            "story_terms": dict(self.story_terms),
            "microseconds": self.microseconds,
        }


@dataclass(frozen=True)
class Explainer:
    """The rules of prepare and enrich; ``explain`` goes the way of one article with them."""

    prepare: PrepareRules
    enrich: EnrichRules

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook, default_zone: str) -> Explainer:
        """Read the rules; `ConfigError` names file and line of a mistake."""
        return cls(PrepareRules.from_rulebook(rulebook, default_zone), EnrichRules.from_rulebook(rulebook))

    def explain(self, data: Mapping[str, Any], place: str, record_time_ms: int | None = None) -> Explanation:
        """Explain the fields of a raw article; ``record_time_ms`` stands for its Kafka time (by default now)."""
        now = int(time.time() * 1000) if record_time_ms is None else record_time_ms
        took: dict[str, int] = {}
        provenance = Provenance(topic=place or "-", partition=0, offset=0, newsmill_version=__version__)
        try:
            value = orjson.dumps(data)
            raw = _timed(took, "decode", decode_raw, value)
            prepared, decisions = _timed(took, "prepare", prepare_article, raw, provenance, now, self.prepare)
        except Refused as refusal:
            return Explanation(place, refusal.reason, refusal.detail, took, rules_version=self.enrich.version)
        article, rules = prepared.article, self.enrich
        title, text, language = article.title, article.text, article.language
        _timed(took, "sketch", sketch, text)
        enriched = enrich_article(article, rules)
        themes = _guarded(took, enriched, "themes", list[ThemeTrace](), explain_themes, title, text, rules.themes)
        _guarded(took, enriched, "entities", None, find_entities, title, text, rules.entities)
        _guarded(took, enriched, "amounts", None, find_amounts, text, rules.amounts)
        _guarded(took, enriched, "keywords", None, rank_keywords, title, text, language, rules.keywords)
        _guarded(took, enriched, "summary", None, summarize, title, text, language)
        _guarded(took, enriched, "digest", None, is_digest, title, text)
        terms = _guarded(
            took, enriched, "story_terms", dict[str, float](),
            story_terms, title, text, language, enriched.entities, enriched.amounts, rules.stories,
        )  # fmt: skip
        heaviest = sorted(terms.items(), key=lambda pair: (-pair[1], pair[0]))[:_STORY_TERMS]
        return Explanation(
            place,
            None,
            "",
            took,
            decisions,
            enriched,
            SketchFacts.of(unpack(prepared.sketch)),
            tuple(themes),
            {term: round(weight, 4) for term, weight in heaviest},
            rules.version,
        )


def _timed(took: dict[str, int], step: str, function: Callable[..., T], *arguments: Any) -> T:
    """The step's result, with the microseconds of its fastest run."""
    fastest: int | None = None
    for _ in range(_RUNS):
        began = time.perf_counter_ns()
        result = function(*arguments)
        spent = time.perf_counter_ns() - began
        fastest = spent if fastest is None else min(fastest, spent)
    took[step] = round((fastest or 0) / 1000)
    return result


def _guarded(
    took: dict[str, int],
    enriched: EnrichedArticle,
    step: str,
    empty: Any,
    function: Callable[..., Any],
    *arguments: Any,
) -> Any:
    """As `_timed`, but a step that enrich named as degraded is not run again."""
    return empty if step in enriched.degraded else _timed(took, step, function, *arguments)
