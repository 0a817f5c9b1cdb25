"""`Dom` → the lines of the article: score the paragraphs, choose their element, drop the chrome in it.

The scoring follows the readability family (Arc90; Kohlschütter et al., "Boilerplate detection using shallow text
features", WSDM 2010): a paragraph gives its points to its parent, half of them to the grandparent, and so on, so that
the element that gathers most prose wins. Every threshold below was measured on labelled pages (tests/quality).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from newsmill.core.chrome import ChromeRules
from newsmill.core.dom import Dom
from newsmill.core.folding import single_spaced

__all__ = ["article_lines", "choose_body", "heading"]

MIN_PARAGRAPH = 25  # characters of a <p> that counts as prose
MIN_OWN_TEXT = 60  # characters of direct text of a <div> that counts as prose (bodies broken by <br>)
ANCESTORS = 7  # how far up the points of a paragraph reach
OWN_TEXT_TAGS = frozenset({"html", "div", "td", "section", "article", "pre", "li", "span"})
SENTENCE_END = "다."  # ends most sentences of Korean news
_WHITESPACE = re.compile(r"\s+")


class _Scores:
    """Points and characters of prose that elements gathered from the paragraphs within them."""

    def __init__(self, dom: Dom) -> None:
        self.dom = dom
        self.points: dict[int, float] = {}
        self.prose: dict[int, int] = {}
        self.outside: dict[int, bool] = {}  # by row: a name may be long, and many elements stand within one
        self.total = 0

    def add(self, row: int, points: float, characters: int) -> None:
        self.points[row] = self.points.get(row, 0.0) + points
        self.prose[row] = self.prose.get(row, 0) + characters

    def add_to_ancestors(self, row: int, points: float, characters: int) -> None:
        """The root gathers only what stands directly in it: it is the article of a fragment, never of a page."""
        parents = self.dom.parents
        for step in range(ANCESTORS if row else 0):
            row = parents[row]
            if row == 0 and step:
                return
            self.add(row, points, characters)
            if row == 0:
                return
            points *= 0.5


def choose_body(dom: Dom, rules: ChromeRules) -> list[int]:
    """The rows of the elements that hold the article, in document order; empty where there is no prose.

    Usually one. Several where a page cuts its article into sibling blocks of one class, with advertisements between.
    """
    scores = _score(dom)
    known, known_size = -1, 0
    for row in dom.body_rows:
        size = dom.characters(row)
        if size > 1.3 * known_size and not _outside(dom, dom.parents[row], scores, rules):
            known, known_size = row, size
    if known >= 0:
        return _parts(dom, _climb(dom, known, scores, chosen_by_score=False), scores)
    points = scores.points
    if not points:
        return []
    for row in points:
        if dom.tags[row] == "article":
            points[row] *= 1.2
    top = sorted(points, key=lambda r: (-points[r], r))[:6]
    floor = 0.2 * points[top[0]]
    row = next((r for r in top if points[r] > floor and not _outside(dom, r, scores, rules)), top[0])
    return _parts(dom, _climb(dom, row, scores, chosen_by_score=True), scores)


def _score(dom: Dom) -> _Scores:
    parents, length = dom.parents, dom.length
    own_size: dict[int, int] = {}
    own_commas: dict[int, float] = {}
    commas = 0.0
    comma_sums = [0.0]
    for row, text in enumerate(dom.texts):
        if text:
            size = length[row + 1] - length[row]
            if size:
                parent = parents[row]
                own_size[parent] = own_size.get(parent, 0) + size
                if size > 1:
                    weight = text.count(",") + 0.7 * text.count(SENTENCE_END)
                    if weight:
                        own_commas[parent] = own_commas.get(parent, 0.0) + weight
                        commas += weight
        comma_sums.append(commas)
    scores = _Scores(dom)
    for row, tag in enumerate(dom.tags):
        if not tag:
            continue
        if tag == "p":
            size = dom.characters(row)
            if size >= MIN_PARAGRAPH:
                linked = dom.link_characters(row)
                if linked <= 0.5 * size:
                    prose = min(3.0, comma_sums[dom.ends[row]] - comma_sums[row])
                    scores.add_to_ancestors(row, min(3.0, size / 100) + prose + 1 - linked / size, size)
                    scores.total += size
        elif tag in OWN_TEXT_TAGS:
            size = own_size.get(row, 0)
            if size >= MIN_OWN_TEXT:
                gained = min(3.0, size / 100) + min(3.0, own_commas.get(row, 0.0)) + 1
                if tag in ("span", "li"):
                    scores.add_to_ancestors(row, 0.3 * gained, size)
                else:
                    scores.add(row, gained, size)
                    scores.total += size
                    scores.add_to_ancestors(row, 0.5 * gained, size)
    return scores


def _outside(dom: Dom, row: int, scores: _Scores, rules: ChromeRules) -> bool:
    """Whether an element stands in comments, related links and the like (unless they hold most of the page's prose)."""
    for _ in range(9):
        if row == 0:
            return False
        outside = scores.outside.get(row)
        if outside is None:
            name = dom.names[row] if dom.tags[row] not in ("article", "main") else ""
            outside = scores.outside[row] = rules.outside_name.search(name) is not None
        if outside:
            return scores.prose.get(row, 0) < 0.8 * scores.total
        row = dom.parents[row]
    return False


def _children(dom: Dom, row: int) -> Iterator[int]:
    child, end = row + 1, dom.ends[row]
    while child < end:
        yield child
        child = dom.ends[child]


def _climb(dom: Dom, row: int, scores: _Scores, *, chosen_by_score: bool) -> int:
    """The ancestor, at most four up, that holds parts of the same article which this element lacks; or the element."""
    prose = scores.prose
    best = current = row
    size = prose.get(row) or dom.characters(row)
    for step in range(4):
        parent = dom.parents[current]
        if parent == 0 or parent not in prose or dom.tags[current] in ("article", "main"):
            break
        if prose[parent] >= 1.1 * size:
            tag, name = dom.tags[current], dom.names[current]
            twin = False
            own = 0
            for child in _children(dom, parent):
                if child != current and dom.tags[child] == tag and dom.names[child] == name:
                    twin = twin or prose.get(child, 0) > 0.1 * size
                if dom.tags[child] == "p":
                    own += dom.characters(child)
            near = chosen_by_score and step < 1 and prose[parent] < 2.5 * size
            if twin or own > 0.1 * size or near:
                best, size = parent, prose[parent]
        current = parent
    return best


def _parts(dom: Dom, row: int, scores: _Scores) -> list[int]:
    """The element with its peers of the same tag and class, where they are parts of one article and not several."""
    name, tag = dom.names[row], dom.tags[row]
    if not name.strip() or tag in ("article", "main", "li", "td", "p"):
        return [row]
    floor = 0.15 * scores.prose.get(row, 0)
    peers = sorted(r for r, n in scores.prose.items() if n > floor and dom.tags[r] == tag and dom.names[r] == name)
    if not 2 <= len(peers) <= 12 or row not in peers:
        return [row]
    if any(inner < dom.ends[outer] for outer, inner in pairwise(peers)):
        return [row]  # one within another
    holders = set()
    for peer in peers:
        if "h1" in dom.tags[peer : dom.ends[peer]]:
            return [row]  # separate stories carry their own heading
        holder = dom.parents[peer]
        while holder and dom.tags[holder] not in ("article", "main", "li"):
            holder = dom.parents[holder]
        holders.add(holder)
    return peers if len(holders) == 1 else [row]


def _chrome_rows(dom: Dom, root: int, rules: ChromeRules) -> set[int]:
    tags, names = dom.tags, dom.names
    total = dom.characters(root)
    dropped = set()
    junk: dict[str, bool] = {}  # by name: many elements of a page share theirs
    for row in range(root + 1, dom.ends[root]):
        tag = tags[row]
        if not tag:
            continue
        if tag == "h1":
            dropped.add(row)
            continue
        name = names[row]
        if name and tag not in ("p", "article", "main") and dom.characters(row) < 0.35 * total:
            is_junk = junk.get(name)
            if is_junk is None:
                is_junk = junk[name] = rules.junk_name.search(name) is not None
            if is_junk:
                dropped.add(row)
                continue
        if tag in ("ul", "ol", "table", "header", "form"):
            size = dom.characters(row)
            if size < 0.4 * total and (tag == "form" or dom.link_characters(row) > 0.5 * size):
                dropped.add(row)
    return dropped


def article_lines(dom: Dom, root: int, rules: ChromeRules, *, whole: bool = False) -> list[str]:
    """The lines of an element, one a block, inner whitespace collapsed; ``whole`` keeps what looks like chrome."""
    tags, texts, ends = dom.tags, dom.texts, dom.ends
    blocks = rules.block_tags
    dropped = set() if whole else _chrome_rows(dom, root, rules)
    lines: list[str] = []
    pieces: list[str] = []
    line_start = root + 1  # first row of the line at hand
    open_ends: list[int] = []  # where the blocks around the row at hand end
    row, end = root + 1, ends[root]

    def close_line(stop: int) -> None:
        if not pieces:
            return
        text = single_spaced("".join(pieces))
        pieces.clear()
        if not text:
            return
        linked = dom.linked[stop] - dom.linked[line_start]
        if whole or not (linked > 0.8 * len(text) and len(text) < 200):
            lines.append(text)

    while row < end:
        while open_ends and row >= open_ends[-1]:
            open_ends.pop()
            close_line(row)
            line_start = row
        tag = tags[row]
        if not tag:
            pieces.append(texts[row])
            row += 1
            continue
        if row in dropped:
            close_line(row)
            row = line_start = ends[row]
            continue
        if tag in blocks:
            close_line(row)
            line_start = row + 1
            if ends[row] > row + 1:
                open_ends.append(ends[row])
        row += 1
    close_line(end)
    return lines


def heading(dom: Dom) -> str:
    """The text of the page's first-level heading; "" where there is none, or more than one different."""
    found = ""
    if "h1" not in dom.tags:
        return found
    size = end = 0  # of the heading before: one nested in it that holds all of its text is the same
    for row, tag in enumerate(dom.tags):
        if tag == "h1" and (row >= end or dom.characters(row) != size):
            size, end = dom.characters(row), dom.ends[row]
            text = _WHITESPACE.sub(" ", "".join(dom.texts[row : dom.ends[row]])).strip()
            if text and found and text != found:
                return ""
            found = text or found
    return found
