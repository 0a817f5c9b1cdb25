"""An HTML page → `Page`: the article's text without the page's chrome, and what the page says about the article."""

from __future__ import annotations

import re
from typing import NamedTuple

from newsmill.core.article_body import article_lines, choose_body, heading
from newsmill.core.bylines import read_credits
from newsmill.core.chrome import ChromeRules
from newsmill.core.dom import build_dom, parse_markup
from newsmill.core.embedded_json import framework_bodies, linked_data
from newsmill.core.folding import nfc
from newsmill.core.page_metadata import page_statements, read_metadata
from newsmill.core.plaintext import normalize_lines, strip_chrome

__all__ = ["Page", "extract_page", "looks_like_html"]

SNIFFED = 4_096
"""Characters in which a page shows itself as HTML, or is none."""

MIN_TEXT = 250
"""Characters of visible text below which a body is sought in the page's scripts."""

_DOCUMENT = re.compile(r"<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|article|b|blockquote|br|div|em|figure|font|h[1-6]|hr|i|img|li|main|meta|ol|p|script|section|span|strong"
    r"|style|table|td|title|tr|u|ul)(?:\s[^<>]{0,2000})?/?>",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<[a-zA-Z/][^<>]{0,2000}>")


class Page(NamedTuple):
    """An article page. ``text`` is NFC, one paragraph a line; every field is "" where unknown.

    ``published`` is as found on the page, unparsed; ``source`` is the publisher's name.
    """

    text: str
    title: str
    author: str
    source: str
    published: str
    language: str
    canonical_url: str


def looks_like_html(text: str) -> bool:
    """Whether a text is markup: a document's tags at its beginning, or several HTML tags, one of them in its pair.

    Prose that mentions a tag, or uses "<" and ">" as brackets, is no markup.
    """
    head = text[:SNIFFED]
    if "<" not in head:
        return False
    if _DOCUMENT.search(head):
        return True
    tags = _TAG.findall(head)
    return len(tags) >= 3 or (len(tags) >= 2 and any(tag.startswith("</") for tag in tags))


def extract_page(markup: str, rules: ChromeRules) -> Page:
    """The article of an HTML page.

    Raises `Refused` (too_expensive) where the page is beyond the bounds of core/dom.py.
    """
    parser = parse_markup(markup)
    meta, scripts = page_statements(parser)
    linked = linked_data(scripts)
    dom = build_dom(parser, rules)
    lines: list[str] = []
    for row in choose_body(dom, rules):
        lines += article_lines(dom, row, rules)
    text = "\n".join(strip_chrome(lines, rules))
    if len(text) < 0.5 * len(linked.body):
        text = _embedded_text(linked.body, rules)
    if len(text) < MIN_TEXT and ("__NEXT_DATA__" in markup or "__next_f" in markup):
        for body in framework_bodies(parser):
            candidate = _embedded_text(body, rules)
            if len(candidate) > 2 * len(text):
                text = candidate
    metadata = read_metadata(parser, meta, linked, heading(dom))
    if not (metadata.author and metadata.source and metadata.published):
        seen = read_credits(normalize_lines(article_lines(dom, 0, rules, whole=True)))
        metadata = metadata._replace(
            author=metadata.author or seen.author,
            source=metadata.source or seen.source,
            published=metadata.published or seen.published,
        )
    return Page(text, *map(nfc, metadata))


def _embedded_text(body: str, rules: ChromeRules) -> str:
    """A body from a script, plain or markup, as lines."""
    if not _MARKUP.search(body):
        lines = normalize_lines(body.split("\n"))
    else:
        dom = build_dom(parse_markup(body), rules)
        lines = article_lines(dom, 0, rules, whole=True)
    return "\n".join(strip_chrome(lines, rules))
