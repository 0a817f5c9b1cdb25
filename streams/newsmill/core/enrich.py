"""A unique article → the enriched article, its copies on theme topics, and the features by which stories are found.

What live gets from a replay is passed on with the replay's findings.

Enrich drops nothing. Each step is guarded on its own: one that fails leaves its field empty and is named in
``degraded``, and the article goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from newsmill.core.amounts import AmountRules, find_amounts
from newsmill.core.digest import is_digest
from newsmill.core.entities import EntityRules, find_entities
from newsmill.core.keywords import KeywordRules, rank_keywords
from newsmill.core.reading import Scanner
from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Context, Facts, Output, Record, Result
from newsmill.core.story_features import StoryRules, story_terms
from newsmill.core.summary import summarize
from newsmill.core.themes import ThemeRules, classify
from newsmill.errors import Reason, Refused
from newsmill.events import (
    LIVE,
    Amount,
    Article,
    EnrichedArticle,
    Enrichment,
    Entity,
    Keyword,
    Outcome,
    Provenance,
    StoryItem,
    Theme,
)

__all__ = ["Enrich", "EnrichRules", "enrich_article"]

T = TypeVar("T")
M = TypeVar("M", EnrichedArticle, StoryItem)

_ARTICLE: Final = TypeAdapter(Article)
_ADAPTERS: Final[dict[type, TypeAdapter[Any]]] = {model: TypeAdapter(model) for model in (EnrichedArticle, StoryItem)}


class _Found(NamedTuple):
    """What the steps found in one article."""

    themes: list[Theme]
    entities: list[Entity]
    amounts: list[Amount]
    keywords: list[Keyword]
    summary: list[str]
    digest: bool
    terms: dict[str, float]
    degraded: list[str]


@dataclass(frozen=True)
class EnrichRules:
    """The rules of all steps, and the version of the rulebook they come from."""

    version: str
    themes: ThemeRules
    entities: EntityRules
    amounts: AmountRules
    keywords: KeywordRules
    stories: StoryRules
    scanner: Scanner

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> EnrichRules:
        """Read and check every rule file that enrich uses; `ConfigError` names file and line of a mistake."""
        themes, entities = ThemeRules.from_rulebook(rulebook), EntityRules.from_rulebook(rulebook)
        keywords = KeywordRules.from_rulebook(rulebook)
        return cls(
            version=rulebook.version,
            themes=themes,
            entities=entities,
            amounts=AmountRules.from_rulebook(rulebook),
            keywords=keywords,
            stories=StoryRules.from_rulebook(rulebook),
            scanner=Scanner([themes.lexicon.matcher, entities.lexicon.matcher], keywords.words_of),
        )


class Enrich:
    """The enrich stage: stateless, one record at a time. Themes of ``rulebook`` are the themes it may write to."""

    def __init__(self, context: Context, rulebook: Rulebook) -> None:
        self.context = context
        self.rules = EnrichRules.from_rulebook(rulebook)

    def __call__(self, record: Record, state: None = None) -> Result:
        """One article of ``news.unique`` → its outputs. Raises `Refused` if the value is no `Article`."""
        article = _read(record)
        run = self.context.run
        promoted = run == LIVE != article.provenance.run
        if run not in (LIVE, article.provenance.run):  # a replay that begins here: it reads what live prepared
            article = article.model_copy(update={"provenance": article.provenance.model_copy(update={"run": run})})
        if promoted and (enrichment := _read_enrichment(record)) is not None:
            found, rules_version = self._passed_on(article, enrichment), article.provenance.rules_version
        else:
            found, rules_version = _find(article, self.rules), self.rules.version
        key, subject = article.id.encode(), article.id
        event = f"{article.id}-{article.version}"
        time_ms = max(article.version, record.timestamp) if promoted else article.version

        def output(to: str, value: bytes | None, kind: str = "enriched") -> Output:
            return Output(to, key, value, kind, event, time_ms, subject)

        value = _dump(_fields(article, found, rules_version), EnrichedArticle)
        themes = [theme.theme for theme in found.themes]
        outputs = [output("enriched", value)]
        outputs += [output(f"theme.{theme}", value) for theme in themes]
        if (promoted or article.verdict == "revision") and "themes" not in found.degraded:
            # the earlier version may have been in any of them; live may have forgotten the one of a promoted original
            outputs += [output(f"theme.{theme}", None) for theme in self.rules.themes.themes if theme not in themes]
        item = _dump(_story_item(article, found, themes, promoted), StoryItem)
        outputs.append(output("story-input", item, "story-input"))
        raw = article.provenance
        facts = Facts(
            article.id,
            origin=(raw.topic, raw.partition, raw.offset),
            language=article.language,
            published_at=None if promoted else article.published_at,
            themes=themes,
        )
        return Result(Outcome.OK, outputs, raw_time_ms=None if promoted else article.version, facts=facts)

    def _passed_on(self, article: Article, given: Enrichment) -> _Found:
        """The replay's findings; terms for stories are this worker's own. `Refused` for a theme that it has not."""
        unknown = sorted({theme.theme for theme in given.themes} - set(self.rules.themes.themes))
        if unknown:
            raise Refused(
                Reason.PROCESSING_ERROR,
                f"promoted from {article.provenance.run} with themes that this worker does not know: "
                f"{', '.join(unknown)}; give it their rule files (NEWSMILL_RULES_DIR), run `newsmill topics create` "
                "and requeue this record",
            )
        terms, failed = dict[str, float](), list[str]()
        try:
            terms = story_terms(
                article.title, article.text, article.language, given.entities, given.amounts, self.rules.stories
            )
        except Exception:  # noqa: BLE001 - as in `_find`: it costs its own field only
            failed = [step for step in ("story_terms",) if step not in given.degraded]
        return _Found(
            given.themes,
            given.entities,
            given.amounts,
            given.keywords,
            given.summary,
            given.kind == "digest",
            terms,
            [*given.degraded, *failed],
        )


def enrich_article(article: Article, rules: EnrichRules) -> EnrichedArticle:
    """The article with everything that the rules find in it; pure: the same article and rules give the same bytes."""
    return _model(EnrichedArticle, _fields(article, _find(article, rules), rules.version))


def _read(record: Record) -> Article:
    if record.value is None:
        raise Refused(Reason.WRONG_TYPE, "a tombstone where an article should be")
    try:
        return _ARTICLE.validate_json(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = Reason.BAD_JSON if first["type"] == "json_invalid" else Reason.WRONG_TYPE
        where = ".".join(map(str, first["loc"])) or "the record"
        raise Refused(reason, f"no article: {where}: {first['msg']}") from None


def _read_enrichment(record: Record) -> Enrichment | None:
    """The enrichment that dedupe wrote beside a promoted article; None if the promotion had none."""
    data = from_json(record.value or b"")
    if Enrichment.model_fields.keys().isdisjoint(data):
        return None
    try:
        return Enrichment.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused(
            Reason.WRONG_TYPE, f"a promoted article: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None


def _find(article: Article, rules: EnrichRules) -> _Found:
    title, text, language = article.title, article.text, article.language
    degraded: list[str] = []
    reading = rules.scanner.read(title, text)  # lazy: what fails in it fails in the steps

    def attempt(step: str, empty: T, function: Callable[..., T], *arguments: Any) -> T:
        try:
            return function(*arguments)
        except Exception:  # noqa: BLE001 - enrich drops nothing: whatever a step raises costs its own field only
            degraded.append(step)
            return empty

    themes = attempt("themes", list[Theme](), classify, title, text, rules.themes, reading)
    entities = attempt("entities", list[Entity](), find_entities, title, text, rules.entities, reading)
    amounts = attempt("amounts", list[Amount](), find_amounts, text, rules.amounts, reading)
    keywords = attempt("keywords", list[Keyword](), rank_keywords, title, text, language, rules.keywords, reading)
    summary = attempt("summary", list[str](), summarize, title, text, language)
    digest = attempt("digest", False, is_digest, title, text)
    terms = attempt(
        "story_terms", dict[str, float](), story_terms, title, text, language, entities, amounts, rules.stories
    )
    return _Found(themes, entities, amounts, keywords, summary, digest, terms, degraded)


def _fields(article: Article, found: _Found, rules_version: str | None) -> dict[str, Any]:
    """The fields of an `EnrichedArticle`, in their order."""
    return {
        **vars(article),
        "provenance": {**vars(article.provenance), "rules_version": rules_version},
        "themes": found.themes,
        "entities": found.entities,
        "amounts": found.amounts,
        "keywords": found.keywords,
        "summary": found.summary,
        "kind": "digest" if found.digest else "article",
        "degraded": found.degraded,
    }


def _story_item(article: Article, found: _Found, themes: list[str], promoted: bool) -> dict[str, Any]:
    """The fields of a `StoryItem`, in their order."""
    item = {
        "format": 2 if promoted else 1,
        "kind": "item",
        "id": article.id,
        "version": article.version,
        "verdict": article.verdict or "original",
        "updates": article.updates,
        "title": article.title,
        "source": article.source,
        "language": article.language,
        "published_at": article.published_at,
        "themes": themes,
        "keywords": [keyword.term for keyword in found.keywords],
        "terms": found.terms,
        "digest": found.digest,
    }
    return item | {"promoted": True} if promoted else item


def _dump(fields: dict[str, Any], model: type[EnrichedArticle] | type[StoryItem]) -> bytes:
    """The JSON that the model of these fields dumps, byte for byte, without making the model: a third of the time."""
    try:
        return orjson.dumps(fields, default=vars)
    except orjson.JSONEncodeError:  # ``extra`` may hold whole numbers beyond 64 bits
        return _ADAPTERS[model].dump_json(_model(model, fields))  # type: ignore[type-var]


def _model(model: type[M], fields: dict[str, Any]) -> M:
    if "provenance" in fields:
        fields = {**fields, "provenance": Provenance.model_construct(**fields["provenance"])}
    return model.model_construct(**fields)
