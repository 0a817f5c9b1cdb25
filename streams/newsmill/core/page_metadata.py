"""A parsed page's head and linked data → title, author, publisher, time, language and canonical URL."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser

from newsmill.core.embedded_json import LinkedData

__all__ = ["PageMetadata", "page_statements", "read_metadata", "strip_publisher"]

_SEPARATOR = re.compile(r"\s+[-–—|:<»·]{1,2}\s+|\s*(?:::|\|)\s*")
_PUBLISHED = (
    "article:published_time",
    "datepublished",
    "og:article:published_time",
    "article.published",
    "parsely-pub-date",
    "sailthru.date",
    "pubdate",
    "publish-date",
    "publish_date",
    "dc.date.issued",
    "dc.date",
    "date",
    "og:regdate",
)
_AUTHOR = (
    "author",
    "dable:author",
    "article:author",
    "og:article:author",
    "byl",
    "parsely-author",
    "sailthru.author",
    "dc.creator",
)
_SOURCE = ("og:site_name", "article:media_name", "og:article:author:publisher", "dc.publisher")
_READ = frozenset({*_PUBLISHED, *_AUTHOR, *_SOURCE, "og:title", "og:url", "og:locale"})
_STATEMENTS = 'meta[content], script[type="application/ld+json"]'  # each selector alone would walk the page once more
MIN_TITLE = 12  # characters that must be left of a title when a part is cut off
MAX_SITE_NAME = 30
_BY = re.compile(r"^by\s+", re.IGNORECASE)


class PageMetadata(NamedTuple):
    """What a page says about its article; "" where it does not."""

    title: str
    author: str
    source: str
    published: str
    language: str
    canonical_url: str


def _squeeze(text: str) -> str:
    """Inner whitespace collapsed; entities that were escaped twice are read (``&amp;#8217;``)."""
    return " ".join((html.unescape(text) if "&" in text else text).split())


def page_statements(parser: LexborHTMLParser) -> tuple[dict[str, str], list[str]]:
    """What a page states for machines: its meta elements (lower-case name, property or itemprop → first non-empty
    content, of those that are read here), and its scripts of linked data."""
    meta: dict[str, str] = {}
    scripts: list[str] = []
    for node in parser.css(_STATEMENTS):
        if node.tag == "script":
            scripts.append(node.text())
            continue
        attributes = node.attributes
        content = attributes.get("content")
        key = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        if key and content and (key := key.lower()) in _READ and key not in meta and content.strip():
            meta[key] = _squeeze(content)
    return meta, scripts


def _first(meta: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((meta[key] for key in keys if key in meta), "")


def _attribute(parser: LexborHTMLParser, selector: str, name: str) -> str:
    node = parser.css_first(selector)
    return (node.attributes.get(name) or "").strip() if node is not None else ""


def _fold(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def strip_publisher(title: str, known: tuple[str, ...], *, shorter: str = "") -> str:
    """The title without " - Publisher" at its end (or "Publisher | " at its start).

    A part is cut when it is one of the ``known`` names, or when what is left is ``shorter``, a shorter form of the
    same title that the page gives elsewhere.
    """
    names = {_fold(name) for name in known if name} - {""}
    for _ in range(3):
        cuts = [m for m in _SEPARATOR.finditer(title) if m.start() > 0 and m.end() < len(title)]
        if not cuts:
            break
        head, tail = title[: cuts[-1].start()], title[cuts[-1].end() :]
        if _fold(tail) in names or (
            shorter and _fold(title) != _fold(shorter) and _fold(title).startswith(_fold(shorter))
        ):
            title = head
        elif _fold(title[: cuts[0].start()]) in names:
            title = title[cuts[0].end() :]
        else:
            break
    return title.strip()


def _strip_tail(title: str) -> str:
    """The title of a document without a short last part, which names the site."""
    cuts = [m for m in _SEPARATOR.finditer(title) if m.start() >= MIN_TITLE]
    return title[: cuts[-1].start()] if cuts and len(title) - cuts[-1].end() <= MAX_SITE_NAME else title


def read_metadata(parser: LexborHTMLParser, meta: dict[str, str], linked: LinkedData, heading: str) -> PageMetadata:
    """Merge what a page says: linked data first, then meta elements, then what readers see (``heading`` is its h1)."""
    source = linked.publisher or _first(meta, _SOURCE)
    site = meta.get("og:site_name", "")
    author = linked.author or _first(meta, _AUTHOR)
    author = _BY.sub("", _squeeze(author))
    if author.startswith(("http:", "https:", "//", "www.")):
        author = ""
    published = (
        linked.published
        or _first(meta, _PUBLISHED)
        or _attribute(parser, "time[datetime]", "datetime")
        or _attribute(parser, "[itemprop=datePublished]", "content")
    )
    root = parser.root
    written = (root.attributes.get("lang") or "").strip() if root is not None else ""
    language = written or linked.language or meta.get("og:locale", "")
    title_node = parser.css_first("head title")
    document_title = _squeeze(title_node.text()) if title_node is not None else ""
    names = {_fold(source), _fold(site)} - {""}
    candidates = [_squeeze(linked.headline), meta.get("og:title", "")]
    if not document_title or _fold(heading) in _fold(document_title):
        candidates.append(heading)  # else it is the name of the site or of a section
    best = next((c for c in candidates if c and _fold(c) not in names), "")
    if best:
        title = strip_publisher(best, (source, site), shorter=heading if best != heading else "")
    else:
        title = _strip_tail(strip_publisher(document_title, (source, site)))
    canonical = _attribute(parser, 'link[rel="canonical"]', "href") or meta.get("og:url", "")
    return PageMetadata(title, author, _squeeze(source), published, language.replace("_", "-"), canonical)
