"""Every record that travels on a topic, as a frozen pydantic model: the one source of fields, types and schemas.

Times are ISO 8601 strings in UTC with ``Z``; what is absent is null; consumers ignore fields they do not know.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "LIVE",
    "Amount",
    "Article",
    "ArticleId",
    "CopyNote",
    "Duplicate",
    "EnrichedArticle",
    "Enrichment",
    "Entity",
    "Keyword",
    "LedgerEntry",
    "Outcome",
    "Prepared",
    "Promotion",
    "Provenance",
    "RawArticle",
    "Story",
    "StoryEvent",
    "StoryItem",
    "Theme",
    "UtcTime",
]

LIVE = "live"
"""The run that is no replay."""

ArticleId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="32 hex digits")]
UtcTime = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$",
        description="ISO 8601 in UTC with Z",
        json_schema_extra={"format": "date-time"},
    ),
]
Unit = Annotated[float, Field(ge=0, le=1)]
ThemeId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class Outcome(StrEnum):
    """What became of one input record in one stage: exactly one of these, counted in the ledger and the metrics."""

    OK = "ok"
    ORIGINAL = "original"
    UPDATE = "update"
    REVISION = "revision"
    REPEAT = "repeat"
    STALE = "stale"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead_letter"


def _is_none(value: object) -> bool:
    return value is None


def _is_false(value: object) -> bool:
    return value is False


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class RawArticle(_Record):
    """One article as a producer sends it; unknown fields are ignored, and no number is taken for a text."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    body: str = Field(description="plain text or HTML as scraped; at most 1 MiB of UTF-8")
    url: str | None = Field(None, description="required unless title and source are given")
    title: str | None = None
    source: str | None = Field(None, description="the publisher, if the producer knows it")
    author: str | None = None
    language: str | None = Field(None, description="BCP 47")
    content_type: str | None = Field(None, description="text/plain or text/html; sniffed if absent")
    published_at: Any = Field(
        None,
        description="ISO 8601; if unreadable or impossible, the page's or the record's time is used instead",
        json_schema_extra={"type": ["string", "null"]},
    )
    fetched_at: Any = Field(
        None, description="ISO 8601; when the article was fetched", json_schema_extra={"type": ["string", "null"]}
    )
    extra: dict[str, Any] | None = Field(None, description="passed through unchanged")


class Provenance(_Record):
    """Where an event comes from: the raw record, and the code and rules that made it."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    rules_version: str | None = None
    newsmill_version: str
    run: str = Field(LIVE, description='"live", or the name of the replay')


class Article(_Record):
    """An article that readers should see: clean text, once."""

    id: ArticleId
    version: int = Field(description="the raw record's Kafka time in milliseconds; only grows for an id")
    url: str | None
    canonical_url: str | None
    source: str | None = Field(description="publisher: as given, else from the page, else the host")
    title: str | None
    author: str | None
    text: str = Field(description="the article's own text, NFC, no page chrome; paragraphs separated by newlines")
    language: str = Field(description='BCP 47; "und" where unknown')
    published_at: UtcTime
    published_at_source: Literal["article", "page", "record"]
    ingested_at: UtcTime
    content_hash: str = Field(description="32 hex digits of the folded text")
    updates: ArticleId | None = Field(None, description="id of the article that this one extends")
    verdict: Literal["original", "update", "revision"] | None = Field(
        None, description="what dedupe decided; null before it"
    )
    extra: dict[str, Any] | None = None
    provenance: Provenance


class Theme(_Record):
    """One theme of an article with the words that decided."""

    theme: ThemeId
    score: Unit
    evidence: list[str]


class Entity(_Record):
    """An organization, person, product or place; the same id in every language."""

    id: str
    name: str
    type: Literal["organization", "person", "product", "place"]
    mentions: int = Field(ge=1)
    surfaces: list[str]


class Amount(_Record):
    """A sum of money: exact decimal value, ISO 4217 currency, offsets into ``text`` in code points."""

    text: str
    value: str = Field(pattern=r"^\d+(\.\d+)?$")
    value_max: str | None = Field(None, pattern=r"^\d+(\.\d+)?$")
    qualifier: Literal["about", "up_to", "at_least"] | None = None
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class Keyword(_Record):
    """A ranked term."""

    term: str
    score: Unit


class EnrichedArticle(Article):
    """An article with themes, entities, amounts, keywords and summary."""

    themes: list[Theme]
    entities: list[Entity]
    amounts: list[Amount]
    keywords: list[Keyword] = Field(max_length=10)
    summary: list[str] = Field(max_length=3)
    kind: Literal["article", "digest"]
    degraded: list[str] = Field(description="names of steps that failed for this article")


class Enrichment(_Record):
    """What a replay's enrich stage found: the fields that an `EnrichedArticle` has beyond an `Article`."""

    themes: list[Theme]
    entities: list[Entity]
    amounts: list[Amount]
    keywords: list[Keyword] = Field(max_length=10)
    summary: list[str] = Field(max_length=3)
    kind: Literal["article", "digest"]
    degraded: list[str]


class Promotion(_Record):
    """What makes a `Prepared` a promotion: a result of the replay that ``article.provenance.run`` names, for live.

    It counts only while live still has what the replay was compared with.
    """

    replaces: int | None = Field(
        description="version of the article that live had then; null: live did not know the article"
    )
    replaces_hash: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{32}$",
        description="content_hash of that version: if the promotion changes the text, it holds after repeats too, "
        "which raise only the version",
    )
    enrichment: Enrichment | None = Field(None, description="passed on as it is; null: live enriches the article anew")


class Prepared(_Record):
    """prepare → dedupe (internal): the clean article with its near-duplicate sketch.

    One with a promotion has format 2, so that a worker that knows no promotions stops at it.
    """

    format: int = 1
    prepare_version: int
    sketch: str = Field(description="base64 of the packed sketch; see core/fingerprint.py")
    fetched_at: UtcTime | None = None
    article: Article
    promotion: Promotion | None = Field(None, exclude_if=_is_none)


class Duplicate(_Record):
    """A copy of an earlier article."""

    id: ArticleId
    version: int
    url: str | None
    source: str | None
    title: str | None
    language: str
    published_at: UtcTime
    duplicate_of: ArticleId
    similarity: Unit
    method: Literal["exact", "near"]
    published_first: bool = Field(description="published before the article it is a copy of, though it arrived later")
    provenance: Provenance


class StoryItem(_Record):
    """enrich → stories (internal): the features of an original, an update or a revision; no text.

    A promoted one has format 2, so that a worker that knows no promotions stops at it.
    """

    format: int = 1
    kind: Literal["item"] = "item"
    id: ArticleId
    version: int
    verdict: Literal["original", "update", "revision"]
    updates: ArticleId | None
    title: str | None
    source: str | None
    language: str
    published_at: UtcTime
    themes: list[str]
    keywords: list[str]
    terms: dict[str, float] = Field(description="weighted terms of title and lead; see core/story_features.py")
    digest: bool = False
    promoted: bool = Field(False, exclude_if=_is_false)


class CopyNote(_Record):
    """dedupe → stories (internal): one more copy of an article, so that stories can count publishers."""

    format: int = 1
    kind: Literal["copy"] = "copy"
    id: ArticleId
    duplicate_of: ArticleId
    source: str | None
    published_at: UtcTime
    version: int


class Story(_Record):
    """Articles of several publishers and languages that report the same event."""

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    title: str | None
    article_ids: list[ArticleId] = Field(max_length=500, description="the last 500")
    article_count: int = Field(ge=1)
    copy_count: int = Field(ge=0)
    sources: list[str]
    languages: list[str]
    themes: list[str]
    keywords: list[str]
    first_seen: UtcTime
    last_seen: UtcTime
    status: Literal["open", "closed", "merged"]
    merged_into: str | None = None


class StoryEvent(_Record):
    """One change of a story."""

    event: Literal["opened", "updated", "merged", "closed"]
    story_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    sequence: int = Field(ge=1, description="1 for the first event of a story, then one more each time")
    article_id: ArticleId | None = Field(description="the article that caused it")
    reason: str = Field(description="why, in words: the shared terms, the update, the copy")
    similarity: Unit | None = None
    merged_into: str | None = None
    at: UtcTime


class LedgerEntry(_Record):
    """What one transaction did: offsets consumed and a count for each disposition."""

    stage: str
    topic: str
    partition: int = Field(ge=0)
    first_offset: int = Field(ge=0)
    next_offset: int = Field(ge=1)
    records: int = Field(ge=0, description="input records of this transaction; the sum of counts")
    counts: dict[str, int] = Field(description="disposition → records")
    outputs: dict[str, int] = Field(description="topic → records written")
    run: str = "live"
    newsmill_version: str
