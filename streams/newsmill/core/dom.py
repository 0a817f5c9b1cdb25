"""HTML markup → `Dom`: the page as flat columns in document order, built in one bounded pass.

Columns make every later question cheap and linear: a subtree is a range of rows, and the text and link text in it is
a difference of two prefix sums, so that no hostile nesting can make a walk quadratic.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from newsmill.core.chrome import ChromeRules
from newsmill.errors import Reason, Refused

__all__ = ["MAX_NODES", "MAX_OPEN_TAGS", "MAX_REOPENED", "Dom", "build_dom", "parse_markup"]

MIN_KNOWN_BODY = 400
"""Characters below which a well-known body id or class proves nothing."""

MAX_NODES = 200_000
"""Elements and texts walked in a page: about 0.3 s. News pages have 400-8,000."""

MAX_OPEN_TAGS = 10_000
"""Start tags of elements that can nest without bound. The parser's cost is quadratic in the depth of nesting, 3 ns a
pair (measured: 15 s for 100,000 nested divs; the same for the options of a select), so 10,000 cost at most 0.8 s."""

MAX_ATTRIBUTES = 1_000
"""Distinct attribute names of one tag: the parser compares each with all before it (measured: 21 s for 90,000; a body
full of tags with 1,000 costs 0.3 s). Scripts count as tags here, and those of news pages reach 520."""

MAX_ODD_TAGS = 100_000
"""Places where a tag seems to begin within another, and attributes read in them: 2 µs each. News pages have 0-500."""

MAX_DOCUMENT_TAGS = 20
"""Tags ``<html`` and ``<body``, whose attributes all gather in one element, as the standard demands. Pages have 2-4."""

MAX_STEPS = 200_000_000
"""Tags that can nest times all tags, closing ones too: each tag may walk all open elements (measured: 3.5 s for 9,000
times 100,000; 0.8 s at the limit). News pages have at most 3.6 million, a busy one of 1 MiB 150."""

MAX_REOPENED = 2_000_000
"""Formatting elements left open are opened again in each later block, as the HTML standard demands ("reconstruct the
active formatting elements"): distinct formatting tags times all tags bounds the nodes that the parser may create."""

_HARMLESS_TAGS = 3_000
"""Pages with fewer tags than this cannot reach either bound in an important amount of time."""

# These never nest in themselves without another element between, or are empty.
_FLAT_TAGS = frozenset({
    "a", "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "p", "param",
    "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
})  # fmt: skip
# A tag as the HTML standard's tokenizer reads it (13.2.5), with possessive loops: linear on any input.
_SPACE = r"\t\n\f\r "
_TAG_NAME = re.compile(rf"[^{_SPACE}/>]*+")
_ATTRIBUTE_NAME = rf"[^{_SPACE}/>][^{_SPACE}/>=]*+"
_ATTRIBUTE_VALUE = rf"(?:[{_SPACE}]*+=[{_SPACE}]*+(?:\"[^\"]*+\"|'[^']*+'|[^{_SPACE}>\"'][^{_SPACE}>]*+)?+)?+"
_ATTRIBUTE = re.compile(rf"[{_SPACE}/]*+({_ATTRIBUTE_NAME}){_ATTRIBUTE_VALUE}")
_FEW_ATTRIBUTES = re.compile(rf"(?:[{_SPACE}/]*+{_ATTRIBUTE_NAME}{_ATTRIBUTE_VALUE}){{0,{MAX_ATTRIBUTES - 1}}}+")
# A tag of the document (the group), or one with many attributes, or with a "<" before its end outside of quotes: a
# script, or a place to hide another tag. All in one pattern, for half its time goes into seeking the "<". The first
# loop is for speed. Few attributes are read ahead, because a "<" within quotes may be tried as a tag too.
_ODD_TAG = re.compile(
    rf"<(?:([hH][tT][mM][lL]|[bB][oO][dD][yY])[{_SPACE}/]"
    rf"|[a-zA-Z][^{_SPACE}/><]*+(?!>)(?: [a-z-]++=\"[^\"]*+\"){{0,16}}+(?!>)"
    rf"(?:[{_SPACE}/]*+[^{_SPACE}/><][^{_SPACE}/>=<]*+"
    rf"(?:[{_SPACE}]*+=[{_SPACE}]*+(?:\"[^\"]*+\"|'[^']*+'|[^{_SPACE}>\"'<][^{_SPACE}><]*+)?+)?+"
    rf"){{0,16}}+[{_SPACE}/]*+(?!>))"
)
_START_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)")
_FORMATTING_TAG = re.compile(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])[^>]*", re.IGNORECASE)


class Dom(NamedTuple):
    """A page in document order. Row i's subtree is rows i to ``ends[i]`` - 1; row 0 is the root.

    ``tags`` is "" for a text. ``names`` is "class id" of an element as written. ``texts`` holds the text of text rows.
    ``length`` and ``linked`` are prefix sums of characters (of texts, stripped; of those within ``<a>``).
    ``body_rows`` are the elements of more than `MIN_KNOWN_BODY` characters that are marked as an article's body.
    """

    tags: list[str]
    names: list[str]
    texts: list[str]
    parents: list[int]
    ends: list[int]
    body_rows: list[int]
    length: list[int]
    linked: list[int]

    def characters(self, row: int) -> int:
        """Characters of text in the subtree of a row."""
        return self.length[self.ends[row]] - self.length[row]

    def link_characters(self, row: int) -> int:
        """Characters of link text in the subtree of a row."""
        return self.linked[self.ends[row]] - self.linked[row]


def parse_markup(markup: str) -> LexborHTMLParser:
    """Parse a page; `Refused` (too_expensive) where its tags could cost the parser more than a bounded time."""
    _check_cost(markup)
    return LexborHTMLParser(markup)


def _check_cost(markup: str) -> None:
    _check_attributes(markup)
    tags = markup.count("<")
    if tags <= _HARMLESS_TAGS:
        return
    nesting = tags  # no more than that
    if tags > MAX_OPEN_TAGS or tags * tags > MAX_STEPS:
        nesting = sum([name not in _FLAT_TAGS for name in map(str.lower, _START_TAG.findall(markup))])
    if nesting > MAX_OPEN_TAGS or nesting * tags > MAX_STEPS:
        raise Refused(Reason.TOO_EXPENSIVE, f"{nesting} tags that may nest, among {tags}; the limit is {MAX_OPEN_TAGS}")
    formatting = len(set(_FORMATTING_TAG.findall(markup)))
    if formatting * tags > MAX_REOPENED:
        raise Refused(Reason.TOO_EXPENSIVE, f"{formatting} distinct formatting tags among {tags} tags")


def _check_attributes(markup: str) -> None:
    """Refuse a page that may hold a tag of `MAX_ATTRIBUTES` distinct attributes, wherever a tag may begin, or more
    than `MAX_DOCUMENT_TAGS` tags of the document.

    Whether "<" opens a tag depends on all that stands before it (comments, scripts, foreign elements), and a hostile
    page hides that, so every "<" with a letter is taken for one. A tag that begins after the attributes that were
    read last is read in one go; only one with too many, or one within others, is read name by name.
    """
    seen = of_document = 0
    name_end = 0  # of the name at hand: a "<" within a name has the same end
    read_to = 0
    names_from: dict[int, int] = {}
    odd = _ODD_TAG.search(markup)
    while odd is not None:
        start = odd.start()
        if odd[1]:
            of_document += 1
            if of_document > MAX_DOCUMENT_TAGS:
                raise Refused(Reason.TOO_EXPENSIVE, f"more than {MAX_DOCUMENT_TAGS} tags of html and body")
        if start >= name_end:
            name_end = _end(_TAG_NAME, markup, start)
        few = False
        if name_end >= read_to:
            read_to = _end(_FEW_ATTRIBUTES, markup, name_end)
            few = _ATTRIBUTE.match(markup, read_to) is None
        if not few and _distinct_names(markup, name_end, names_from) >= MAX_ATTRIBUTES:
            raise Refused(Reason.TOO_EXPENSIVE, f"a tag with {MAX_ATTRIBUTES} attributes or more")
        seen += 1
        if seen > MAX_ODD_TAGS or len(names_from) > MAX_ODD_TAGS:
            raise Refused(Reason.TOO_EXPENSIVE, f"more than {MAX_ODD_TAGS} tags begin within others")
        odd = _ODD_TAG.search(markup, start + 1)


def _distinct_names(markup: str, start: int, names_from: dict[int, int]) -> int:
    """How many distinct attribute names stand from a position between attributes to the end of the tag, or more.

    From such a position all tags read on alike, so each is read once (``names_from``), and the whole is linear.
    """
    path: list[tuple[int, str]] = []
    position = start
    while position not in names_from:
        attribute = _ATTRIBUTE.match(markup, position)
        if attribute is None:
            names_from[position] = 0
            break
        path.append((position, attribute[1]))
        position = attribute.end()
        if len(path) > MAX_ODD_TAGS:
            break
    following = names_from.get(position, 0)
    names: set[str] = set()
    for place, name in reversed(path):
        names.add(name)
        names_from[place] = following + len(names)
    return names_from[start]


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found is not None else start


def _is_known_body(attributes: dict[str, str | None], rules: ChromeRules) -> bool:
    return (
        (attributes.get("id") or "").lower() in rules.body_ids
        or not rules.body_classes.isdisjoint((attributes.get("class") or "").lower().split())
        or "articlebody" in (attributes.get("itemprop") or "").lower()
    )


def build_dom(parser: LexborHTMLParser, rules: ChromeRules) -> Dom:
    """Walk the parsed page once, without the elements of ``rules.skip_tags``.

    Raises `Refused` (too_expensive) beyond `MAX_NODES`.
    """
    skip, blocks = rules.skip_tags, rules.block_tags
    tags: list[str] = ["html"]
    names: list[str] = [""]
    texts: list[str] = [""]
    parents: list[int] = [0]
    ends: list[int] = [0]
    length: list[int] = [0, 0]
    linked: list[int] = [0, 0]
    body_rows: list[int] = []
    root = parser.body
    node = root.first_child if root is not None else None
    open_nodes: list[LexborNode] = []  # the ancestors of the node at hand
    open_rows = [0]  # and the row of each
    parent = row = 0
    link_depth = 0  # how many ancestors are links
    characters = link_characters = 0
    line_empty = True  # no text yet since a block began or ended: white space there is none of the text
    while node is not None:
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            size = len(text.strip())
            if size or not line_empty:
                row += 1
                tags.append("")
                names.append("")
                texts.append(text)
                parents.append(parent)
                ends.append(row + 1)
                if size:
                    line_empty = False
                    characters += size
                    if link_depth:
                        link_characters += size
                length.append(characters)
                linked.append(link_characters)
        elif tag is not None and tag not in skip and node.is_element_node:
            row += 1
            if row > MAX_NODES:
                break
            if tag in blocks:
                line_empty = True
            name = ""
            attributes = node.attributes
            if attributes:
                class_ = attributes.get("class") or ""
                id_ = attributes.get("id") or ""
                if class_ or id_:
                    name = f"{class_} {id_}"
            tags.append(tag)
            names.append(name)
            texts.append("")
            parents.append(parent)
            ends.append(row + 1)
            length.append(characters)
            linked.append(link_characters)
            child = node.first_child
            if child is not None:
                open_nodes.append(node)
                open_rows.append(row)
                parent = row
                link_depth += tag == "a"
                node = child
                continue
        node = node.next
        while node is None and open_nodes:
            closed = open_rows.pop()
            ends[closed] = row + 1
            node = open_nodes.pop()
            if characters - length[closed] > MIN_KNOWN_BODY and _is_known_body(node.attributes, rules):
                body_rows.append(closed)
            tag = tags[closed]
            if tag == "a":
                link_depth -= 1
            elif tag in blocks:
                line_empty = True
            parent = open_rows[-1]
            node = node.next
    if row > MAX_NODES:
        raise Refused(Reason.TOO_EXPENSIVE, f"more than {MAX_NODES} nodes")
    ends[0] = row + 1
    body_rows.sort()
    return Dom(tags, names, texts, parents, ends, body_rows, length, linked)
