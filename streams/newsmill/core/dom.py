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

MAX_NODES = 200_000
"""Elements and texts walked in a page: about 0.3 s. News pages have 400-8,000."""

MAX_OPEN_TAGS = 10_000
"""Start tags of elements that can nest without bound. The parser's cost is quadratic in the depth of nesting, 3 ns a
pair (measured: 15 s for 100,000 nested divs; the same for the options of a select), so 10,000 cost at most 0.8 s."""

MAX_ATTRIBUTES = 400
"""Attributes of one tag: the parser compares each with all before it (measured: 21 s for 90,000; a body full of tags
with 400 costs 0.5 s)."""

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
# A tag exactly as the HTML standard's tokenizer reads it (13.2.5), with possessive loops: linear on any input.
_ATTRIBUTE_PATTERN = (
    r"[^\t\n\f\r />][^\t\n\f\r />=]*+"
    r"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+)?+)?+"
)
_CROWDED_TAG = re.compile(rf"<[a-zA-Z][^\t\n\f\r />]*+(?:[\t\n\f\r /]*+{_ATTRIBUTE_PATTERN}){{{MAX_ATTRIBUTES}}}")
_SCRIPT = re.compile(r"<(script|style)(?=[\s/>]).*?(?:</\1|\Z)", re.DOTALL | re.IGNORECASE)
_START_TAG = re.compile(r"<([a-zA-Z][a-zA-Z0-9]*)")
_FORMATTING_TAG = re.compile(r"<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])[^>]*", re.IGNORECASE)


class Dom(NamedTuple):
    """A page in document order. Row i's subtree is rows i to ``ends[i]`` - 1; row 0 is the root.

    ``tags`` is "" for a text. ``names`` is "class id" of an element as written. ``texts`` holds the text of text rows.
    ``length`` and ``linked`` are prefix sums of characters (of texts, stripped; of those within ``<a>``).
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
    # "i<n" in a script looks like a tag, so scripts are set aside, but only on the rare page where something was found
    if _CROWDED_TAG.search(markup) and _CROWDED_TAG.search(_SCRIPT.sub(" ", markup)):
        raise Refused(Reason.TOO_EXPENSIVE, f"a tag with {MAX_ATTRIBUTES} attributes or more")
    if markup.count("<") <= _HARMLESS_TAGS:
        return
    starts = _START_TAG.findall(markup)
    if len(starts) > MAX_OPEN_TAGS:
        nesting = sum(1 for name in starts if name.lower() not in _FLAT_TAGS)
        if nesting > MAX_OPEN_TAGS:
            raise Refused(Reason.TOO_EXPENSIVE, f"{nesting} tags that may nest; the limit is {MAX_OPEN_TAGS}")
    formatting = len(set(_FORMATTING_TAG.findall(markup)))
    if formatting * len(starts) > MAX_REOPENED:
        raise Refused(Reason.TOO_EXPENSIVE, f"{formatting} distinct formatting tags among {len(starts)} tags")


def build_dom(parser: LexborHTMLParser, rules: ChromeRules) -> Dom:
    """Walk the parsed page once, without the elements of ``rules.skip_tags``.

    Raises `Refused` (too_expensive) beyond `MAX_NODES`.
    """
    skip, blocks = rules.skip_tags, rules.block_tags
    body_ids, body_classes = rules.body_ids, rules.body_classes
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
        child = None
        if node.is_text_node:
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
        elif node.is_element_node:
            tag = node.tag or ""
            if tag not in skip:
                row += 1
                tags.append(tag)
                texts.append("")
                parents.append(parent)
                ends.append(row + 1)
                length.append(characters)
                linked.append(link_characters)
                if tag in blocks:
                    line_empty = True
                attributes = node.attributes
                if attributes:
                    class_ = attributes.get("class") or ""
                    id_ = attributes.get("id") or ""
                    names.append(f"{class_} {id_}" if class_ or id_ else "")
                    if (
                        (id_ and id_.lower() in body_ids)
                        or (class_ and not body_classes.isdisjoint(class_.lower().split()))
                        or ("itemprop" in attributes and "articlebody" in (attributes["itemprop"] or "").lower())
                    ):
                        body_rows.append(row)
                else:
                    names.append("")
                child = node.first_child
                if child is not None:
                    open_nodes.append(node)
                    open_rows.append(row)
                    parent = row
                    link_depth += tag == "a"
        if row > MAX_NODES:
            raise Refused(Reason.TOO_EXPENSIVE, f"more than {MAX_NODES} nodes")
        if child is not None:
            node = child
            continue
        node = node.next
        while node is None and open_nodes:
            closed = open_rows.pop()
            ends[closed] = row + 1
            tag = tags[closed]
            if tag == "a":
                link_depth -= 1
            elif tag in blocks:
                line_empty = True
            parent = open_rows[-1]
            node = open_nodes.pop().next
    ends[0] = row + 1
    return Dom(tags, names, texts, parents, ends, body_rows, length, linked)
