"""JSON in a page's scripts → what it says of the article: schema.org (JSON-LD) and the payloads of Next.js."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
from selectolax.lexbor import LexborHTMLParser

__all__ = ["LinkedData", "framework_bodies", "linked_data"]

MAX_VALUES = 50_000
"""JSON values visited in a page: about 10 ms."""

_ARTICLE_TYPES = (
    "article",
    "newsarticle",
    "reportagenewsarticle",
    "blogposting",
    "posting",
    "report",
    "liveblogposting",
)
_CONTROL = re.compile(r"[\x00-\x1f]")
_COMMENT_WRAP = re.compile(r"^\s*(?://)?\s*(?:<!\[CDATA\[|<!--)|(?://)?\s*(?:\]\]>|-->)\s*;?\s*$")
_FLIGHT_PUSH = "self.__next_f.push("
_FLIGHT_TEXT = re.compile(r"(?:^|\n)[0-9a-f]{1,6}:T([0-9a-f]{1,6}),")
_BODY_KEYS = ("articlebody", "body", "content", "contents", "text", "html", "articlecontent", "bodyhtml", "newscontent")
MIN_BODY = 200  # characters of an embedded string that can be a body
MIN_RENDERED = 30  # characters of a rendered text node of Next.js that can be a paragraph


class LinkedData(NamedTuple):
    """The article as schema.org markup describes it; "" where it does not. Values are as written."""

    headline: str = ""
    author: str = ""
    publisher: str = ""
    published: str = ""
    language: str = ""
    body: str = ""


def _parse(text: str) -> Any:
    """The JSON value, or None where it is malformed or nested deeper than orjson allows (1,024)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:  # raw line breaks within strings are the commonest mistake of publishers
        return orjson.loads(_COMMENT_WRAP.sub("", _CONTROL.sub(" ", text)))
    except orjson.JSONDecodeError:
        return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a JSON value, outer before inner, in document order; at most `MAX_VALUES` values."""
    stack = [value]
    visited = 0
    while stack and visited < MAX_VALUES:
        item = stack.pop()
        visited += 1
        if isinstance(item, dict):
            yield item
            stack.extend(v for v in reversed(list(item.values())) if isinstance(v, dict | list))
        elif isinstance(item, list):
            stack.extend(v for v in reversed(item) if isinstance(v, dict | list))


def _name(value: Any) -> str:
    """The names in an author or publisher: a string, an object with a name, or a list of these."""
    items = value if isinstance(value, list) else [value]
    names: list[str] = []
    for item in items[:10]:
        name = item.get("name") if isinstance(item, dict) else item
        if isinstance(name, list):
            name = name[0] if name else None
        if isinstance(name, str) and name.strip() and not name.startswith(("http:", "https:")):
            names.append(" ".join(name.split()))
    return ", ".join(dict.fromkeys(names))


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_article(item: dict[str, Any]) -> bool:
    kinds = item.get("@type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return any(isinstance(k, str) and k.lower().endswith(_ARTICLE_TYPES) for k in kinds)


def linked_data(scripts: Iterable[str]) -> LinkedData:
    """Merge a page's scripts of JSON-LD: the first article object that has a field gives it, the longest body wins."""
    fields = {"headline": "", "author": "", "publisher": "", "published": "", "language": ""}
    body = ""
    for script in scripts:
        for item in _objects(_parse(script)):
            text = _string(item.get("articleBody"))
            if len(text) > len(body):
                body = text
            if _is_article(item):
                found = {
                    "headline": _string(item.get("headline")),
                    "author": _name(item.get("author")),
                    "publisher": _name(item.get("publisher")),
                    "published": _string(item.get("datePublished")),
                    "language": _string(item.get("inLanguage")),
                }
                for key, value in found.items():
                    fields[key] = fields[key] or value
    return LinkedData(**fields, body=body)


def framework_bodies(parser: LexborHTMLParser) -> Iterator[str]:
    """Candidate bodies, text or markup, from the payloads of Next.js: ``__NEXT_DATA__`` and ``self.__next_f.push``."""
    script = parser.css_first("script#__NEXT_DATA__")
    if script is not None:
        yield from _long_strings(_parse(script.text()))
    chunks: list[str] = []
    for node in parser.css("script"):
        text = node.text()
        if _FLIGHT_PUSH in text:
            start = text.index(_FLIGHT_PUSH) + len(_FLIGHT_PUSH)
            pushed = _parse(text[start : text.rfind(")")])
            if isinstance(pushed, list) and len(pushed) > 1 and isinstance(pushed[1], str):
                chunks.append(pushed[1])
    if chunks:
        yield from _flight_bodies("".join(chunks))


def _long_strings(value: Any) -> Iterator[str]:
    for item in _objects(value):
        for key, text in item.items():
            if isinstance(text, str) and len(text) >= MIN_BODY and key.lower() in _BODY_KEYS:
                yield text


def _flight_bodies(payload: str) -> Iterator[str]:
    """Text rows (``id:Tlength,text``; the length is in bytes) and the text nodes of rendered elements."""
    rest = []
    position = 0
    for match in _FLIGHT_TEXT.finditer(payload):
        if match.start() < position:
            continue
        rest.append(payload[position : match.start()])
        size = int(match.group(1), 16)
        text = payload[match.end() : match.end() + size].encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
        position = match.end() + len(text)
        if size >= MIN_BODY:
            yield text
    rest.append(payload[position:])
    rendered: list[str] = []
    for line in "".join(rest).split("\n"):
        head, _, row = line.partition(":")
        if len(head) <= 6 and row[:1] in "[{":
            value = _parse(row)
            yield from _long_strings(value)
            for item in _objects(value):
                children = item.get("children")
                if isinstance(children, str) and len(children) >= MIN_RENDERED:
                    rendered.append(children)
    if rendered:
        yield "\n".join(rendered)
