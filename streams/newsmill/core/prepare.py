"""The prepare stage: a raw record → a clean article with identity, publisher, language, times and sketch; or a refusal.

Nothing is remembered between records. What cannot be decided falls back and says so: only a record without a body,
without an identity or without any text is refused.
"""

from __future__ import annotations

import html
import re
from typing import Any, Final, NamedTuple

from newsmill.core.article_body import article_lines
from newsmill.core.chrome import ChromeRules
from newsmill.core.decoding import decode_raw
from newsmill.core.dom import build_dom, parse_markup
from newsmill.core.fingerprint import pack, sketch_folded
from newsmill.core.folding import digest, fold, nfc, one_line, without_controls
from newsmill.core.html import extract_page, looks_like_html
from newsmill.core.identity import UrlRules, article_id, article_id_without_url, canonicalize_url, host_of
from newsmill.core.language import UNKNOWN, detect_language, primary_language, script_language
from newsmill.core.plaintext import clean_plain
from newsmill.core.publisher import MAX_NAME, PublisherRules, find_publisher, zone_for_host
from newsmill.core.rulebook import Rulebook
from newsmill.core.stage import Context, Facts, Output, Record, Result
from newsmill.core.times import format_utc, is_plausible, parse_time, zone
from newsmill.errors import Reason, Refused
from newsmill.events import Article, Outcome, Prepared, Provenance, RawArticle

__all__ = ["MAX_TITLE", "PREPARE_VERSION", "Prepare", "PrepareRules", "prepare_article"]

PREPARE_VERSION: Final = 2
"""Raised with every change that gives known articles another text: dedupe then compares by similarity, not by hash."""
MAX_TITLE: Final = 1_000
"""Characters of a title; what is longer is cut, for it is no title."""

_INLINE_TAGS = re.compile(r"</?(?:a|b|br|em|font|i|mark|span|strong|sub|sup|u)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
_SCRIPT_WITHIN = 300  # characters of a text that show its script
_NOT_WORDS = re.compile(r"[\W_]+")


class PrepareRules(NamedTuple):
    """All that prepare goes by; built once a process."""

    chrome: ChromeRules
    urls: UrlRules
    publishers: PublisherRules
    default_zone: str

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook, default_zone: str) -> PrepareRules:
        """Read the rule files; `ConfigError` for a mistake in one, and for a zone that does not exist."""
        return cls(
            ChromeRules.from_rulebook(rulebook),
            UrlRules.from_rulebook(rulebook),
            PublisherRules.from_rulebook(rulebook),
            zone(default_zone).key,
        )


class Prepare:
    """The stage as the shell calls it: ``prepare(record, None)`` returns a `Result` or raises `Refused`."""

    __slots__ = ("_context", "_rules", "_shards")

    def __init__(self, context: Context, rulebook: Rulebook) -> None:
        self._context = context
        self._rules = PrepareRules.from_rulebook(rulebook, context.default_timezone)
        self._shards: dict[str, int] | None = context.options.get("shard_of_language")
        detect_language("The model is loaded now, not in the middle of the first batch.")

    def __call__(self, record: Record, state: None) -> Result:
        raw = decode_raw(record.value)
        provenance = Provenance(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            newsmill_version=self._context.newsmill_version,
            run=self._context.run,
        )
        prepared, _ = prepare_article(raw, provenance, record.timestamp, self._rules)
        article = prepared.article
        output = Output(
            to="prepared",
            key=article.id.encode(),
            value=Prepared.__pydantic_serializer__.to_json(prepared),
            type="prepared",
            id=f"{article.id}-{article.version}",
            time_ms=record.timestamp,
            subject=article.id,
            partition=None if self._shards is None else self._shards.get(article.language, 0),
        )
        facts = Facts(article.id, source=article.source)
        return Result(Outcome.OK, outputs=(output,), raw_time_ms=record.timestamp, facts=facts)


class _Cleaned(NamedTuple):
    """A body without its chrome, and what it says about the article ("" for nothing)."""

    kind: str
    text: str
    title: str
    author: str
    source: str
    published: str
    language: str
    canonical_url: str


def prepare_article(
    raw: RawArticle, provenance: Provenance, record_time_ms: int, rules: PrepareRules
) -> tuple[Prepared, dict[str, Any]]:
    """The clean article of a decoded record with its sketch, and how each part was decided (for ``explain``).

    ``record_time_ms`` is the record's Kafka time: the article's version and, where nothing better is known, its date.
    Raises `Refused`: only_markup and no_body where no text is left, too_expensive for a page built to cost.
    """
    given_title = _title(raw.title)
    cleaned = _clean_body(raw, given_title, rules)
    title, title_source = _first_of((given_title, "given"), (_title(cleaned.title), cleaned.kind))
    text = _without_title(_plain_lines(cleaned.text), title)
    folded = fold(text)
    if not folded:
        raise Refused(*_nothing_left(cleaned.kind))

    given_url = raw.url.strip() if raw.url else ""
    canonical_url = canonicalize_url(given_url, rules.urls) if given_url else ""
    host = host_of(canonical_url) or host_of(canonicalize_url(cleaned.canonical_url, rules.urls))
    if canonical_url:
        identity = article_id(canonical_url)
    else:
        identity = article_id_without_url(raw.source or "", raw.title or "", text)

    publisher = find_publisher(raw.source, cleaned.source, host, rules.publishers, canonical_url)
    zone_name = zone_for_host(host, rules.publishers, rules.default_zone)
    published_ms, published_source = _published(raw, cleaned, record_time_ms, zone_name)
    language, language_source = _language(raw.language, cleaned.language, text, title)
    author, author_source = _first_of(
        (one_line(raw.author, MAX_NAME), "given"), (one_line(cleaned.author, MAX_NAME), cleaned.kind)
    )
    fetched_ms = parse_time(raw.fetched_at, rules.default_zone) if raw.fetched_at is not None else None

    ingested_at = format_utc(record_time_ms)
    article = Article(
        id=identity,
        version=record_time_ms,
        url=given_url or None,
        canonical_url=canonical_url or None,
        source=publisher.name or None,
        title=title or None,
        author=author or None,
        text=text,
        language=language,
        published_at=format_utc(published_ms),
        published_at_source=published_source,
        ingested_at=ingested_at,
        content_hash=digest(folded),
        updates=None,
        verdict=None,
        extra=raw.extra,
        provenance=provenance,
    )
    prepared = Prepared(
        prepare_version=PREPARE_VERSION,
        sketch=pack(sketch_folded(folded)),
        fetched_at=format_utc(fetched_ms)
        if fetched_ms is not None and is_plausible(fetched_ms, record_time_ms)
        else None,
        article=article,
    )
    decisions = {
        "id": "url" if canonical_url else "source, title and text",
        "body": cleaned.kind,
        "title": title_source,
        "author": author_source,
        "source": publisher.origin,
        "published_at": published_source,
        "time_zone": zone_name,
        "language": language_source,
        "characters": {"body": len(raw.body), "text": len(text), "cut": max(0, len(raw.body) - len(text))},
    }
    return prepared, decisions


def _clean_body(raw: RawArticle, title: str, rules: PrepareRules) -> _Cleaned:
    if not _is_html(raw):
        return _clean_text(raw.body, title, rules)
    page = extract_page(raw.body, rules.chrome)
    if page.text.strip():
        return _Cleaned("page", *page)
    # no prose was found: every line of the page as if it had been scraped, before the article is given up
    lines = article_lines(build_dom(parse_markup(raw.body), rules.chrome), 0, rules.chrome, whole=True)
    whole = "\n".join(lines)
    if not whole.strip():
        raise Refused(*_nothing_left("page"))
    scraped = _clean_text(whole, title or page.title, rules)
    return _Cleaned("page", scraped.text, *(own or other for own, other in zip(page[1:], scraped[2:], strict=True)))


def _clean_text(body: str, title: str, rules: PrepareRules) -> _Cleaned:
    plain = clean_plain(body, rules.chrome, title or None)
    # an article is never lost to a rule: where nothing would be left, everything is
    text = plain.text if plain.text.strip() else nfc(body)
    return _Cleaned("text", text, plain.title, plain.author, plain.source, plain.published, "", "")


def _is_html(raw: RawArticle) -> bool:
    declared = (raw.content_type or "").partition(";")[0].strip().lower()
    if declared in ("text/html", "application/xhtml+xml"):
        return True
    return declared != "text/plain" and looks_like_html(raw.body)


def _nothing_left(kind: str) -> tuple[Reason, str]:
    if kind == "page":
        return Reason.ONLY_MARKUP, "no text is left without markup and page chrome"
    return Reason.NO_BODY, "body has no visible character"


def _plain_lines(text: str) -> str:
    """NFC, ``\\n`` as the only line break, no control characters, no blank ends."""
    text = nfc(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return without_controls(text).strip()


def _title(title: str | None) -> str:
    """A title as a reader sees it: feeds send it with entities and tags."""
    if not title:
        return ""
    if "&" in title:
        title = html.unescape(title)
    if "<" in title:
        title = _INLINE_TAGS.sub("", title)
    return one_line(title, MAX_TITLE)


def _without_title(text: str, title: str) -> str:
    """The text without a first line that only repeats the title; a text of nothing else stays."""
    first, _, rest = text.partition("\n")
    if not title or not rest or len(first) > 2 * len(title) + 20 or not rest.strip():
        return text
    return rest.strip() if _words(first) == _words(title) else text


def _words(line: str) -> str:
    return _NOT_WORDS.sub("", fold(line)).lower()


def _first_of(*choices: tuple[str, str]) -> tuple[str, str]:
    """The first that is not empty, with where it comes from; ("", "none") if all are."""
    for value, origin in choices:
        if value:
            return value, origin
    return "", "none"


def _published(raw: RawArticle, cleaned: _Cleaned, record_time_ms: int, zone_name: str) -> tuple[int, Any]:
    for value, origin in ((raw.published_at, "article"), (cleaned.published, "page")):
        ms = parse_time(value, zone_name) if value else None
        if ms is not None and is_plausible(ms, record_time_ms):
            return ms, origin
    return record_time_ms, "record"


def _language(given: str | None, page: str, text: str, title: str) -> tuple[str, str]:
    """The script where it decides, else as given, else as detected, else as the page says.

    A given ko, ja or zh is a crawler's default where the text has none of that script.
    """
    by_script = script_language(text[:_SCRIPT_WITHIN]) or ("" if text else script_language(title))
    if by_script:
        return by_script, "script"
    declared = primary_language(given)
    if declared and declared not in ("ko", "ja", "zh"):
        return declared, "given"
    detected = detect_language(text)
    if detected == UNKNOWN and title:
        detected = detect_language(title)
    if detected != UNKNOWN:
        return detected, "detected"
    found, origin = _first_of((declared, "given"), (primary_language(page), "page"))
    return found or UNKNOWN, origin
