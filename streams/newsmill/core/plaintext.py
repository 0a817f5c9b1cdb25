"""Scraped plain text, one block a line → `Plain`: the article's lines without menus, captions, rankings and notices.

Each line gets points: prose is positive, what rules/chrome.toml marks as chrome is negative, other short lines a
little negative. The article is the segment of lines with the greatest sum (Kadane's maximum subarray; the use on web
text is Pasternack and Roth, "Extracting article text from the web with maximum subsequence segmentation", WWW 2009).
Within the segment, marked and repeated lines are dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from newsmill.core.bylines import read_credits, strip_byline
from newsmill.core.chrome import ChromeRules
from newsmill.errors import Reason, Refused

__all__ = ["MAX_LINES", "LineKind", "Plain", "classify_line", "clean_plain"]

MAX_LINES = 20_000
"""Lines that are judged, at most 20 µs each."""

CJK_WEIGHT = 1.8  # a Hangul syllable, a kana or a Han character says about as much as 1.8 Latin letters
MIN_PROSE = 60  # weighted characters of a line that counts as prose when it ends like a sentence
LONG_LINE = 300  # weighted characters of a line that counts as prose however it ends
MEDIUM_LINE = 90  # ... that says nothing either way
MEDIUM_POINTS = -0.2
SHORT_POINTS = -1.0
MIN_SENTENCE = 40
SENTENCE_POINTS = 0.0
MIN_DECK = 28  # weighted characters of a deck line (sub-headline) above the first paragraph
MAX_DECK = 3  # deck lines restored
MAX_EDGE = 3  # unmarked lines at an edge of a text that are the article's own
MIN_BULLETS = 3  # lines that begin with a triangle: one or two are captions, more are a list
MIN_HEADLINE = 20  # weighted characters of a headline
MAX_HEADLINE = 200
MIN_BEFORE_COMMENTS = 0.25  # of the prose stands above the heading of the comments
MAX_AFTER_RELATED = 0.1  # the same for a label of links, which digests repeat after each item
MAX_AFTER_END_IN_BODY = 0.15  # the same within an element that was chosen as the article
MAX_AFTER_END = 0.3  # an end marker counts only if no more of the prose than this follows it

_CJK = re.compile("[가-힣ぁ-ヿ一-鿿]")
_SENTENCE_END = re.compile(r"(?:[.!?。…]|[다요죠음함]\.?)[\"”’'\)\]』」]*(?:\s{0,3}[^\s@]{1,64}@[^\s@]{1,64})?$")
_HEADLINE_TAIL = re.compile(
    r"\s*[\[【<(]\s?(?:[^\]】>)]{0,30}기자|앵커(?:멘트)?|기자|[^\]】>)]{2,8}(?:뉴스|일보|24))\s?[\]】>)]$"
)
_TRIANGLES = "▲△"
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]")


class LineKind:
    """What a line is, other than text of the article."""

    TEXT = ""
    CAPTION = "caption"
    END = "end"
    RELATED = "related"
    COMMENTS = "comments"
    DROP = "drop"
    REPEATED = "repeated"


class Plain(NamedTuple):
    """The article of a scraped text and what the text itself says about it; "" where unknown.

    ``published`` is as found, unparsed.
    """

    text: str
    title: str
    author: str
    source: str
    published: str


def normalize_line(text: str) -> str:
    """NFC, without invisible characters, inner whitespace collapsed."""
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split())


def _weight(line: str) -> float:
    return len(line) * (CJK_WEIGHT if _CJK.search(line) else 1.0)


def _points(line: str) -> float:
    size = _weight(line)
    if size >= MIN_SENTENCE and _SENTENCE_END.search(line[-140:]):
        return min(6.0, 2 + size / 150) if size >= MIN_PROSE else SENTENCE_POINTS
    if size >= LONG_LINE:
        return 1.5
    return MEDIUM_POINTS if size >= MEDIUM_LINE else SHORT_POINTS


def classify_line(line: str, points: float, rules: ChromeRules) -> str:
    """The `LineKind` of a stripped line with these points."""
    size = len(line)
    if size <= 300 and rules.caption_cue.search(line) and rules.caption_line.match(line):
        return LineKind.CAPTION
    if size <= 60 and rules.comments_line.match(line):
        return LineKind.COMMENTS
    if size <= 40 and rules.related_line.match(line):
        return LineKind.RELATED
    if size <= 100 and rules.end_line.match(line):
        return LineKind.END
    if (points < 0 and size <= 120 and rules.drop_line.match(line)) or rules.notice_start.match(line):
        return LineKind.DROP
    return LineKind.TEXT


_CHROME = frozenset({LineKind.END, LineKind.RELATED, LineKind.COMMENTS, LineKind.DROP})
_NOT_IN_BODY = frozenset({LineKind.CAPTION, LineKind.DROP, LineKind.END, LineKind.RELATED})
_KIND_POINTS = {
    LineKind.CAPTION: -0.5,
    LineKind.END: -2.0,
    LineKind.RELATED: -1.5,
    LineKind.COMMENTS: -2.0,
    LineKind.DROP: -1.5,
    LineKind.REPEATED: 0.0,
}


def judge_lines(lines: Sequence[str], rules: ChromeRules) -> tuple[list[str], list[float]]:
    """The `LineKind` and the points of each line; a line of prose that stood above already is a repetition."""
    kinds: list[str] = []
    points: list[float] = []
    seen: set[str] = set()
    bullets = sum(1 for line in lines if line[0] in _TRIANGLES) >= MIN_BULLETS
    for line in lines:
        score = _points(line)
        kind = classify_line(line, score, rules)
        if bullets and kind == LineKind.CAPTION and line[0] in _TRIANGLES:
            kind = LineKind.TEXT
        if not kind and score > 0 and line in seen:
            kind = LineKind.REPEATED
        seen.add(line)
        kinds.append(kind)
        points.append(_KIND_POINTS[kind] if kind else score)
    return kinds, points


def end_of_article(lines: Sequence[str], kinds: Sequence[str], points: Sequence[float], after: float) -> int:
    """The index of the marker that ends the article: no more than ``after`` of the prose follows it.

    The heading of the comments ends it wherever a quarter of the prose stands above, for comments are prose too.
    """
    prose = sum(len(line) for line, score in zip(lines, points, strict=True) if score > 0)
    passed = 0
    for i, kind in enumerate(kinds):
        if points[i] > 0:
            passed += len(lines[i])
        elif passed and kind in _CHROME:
            left = prose - passed
            if (
                (kind == LineKind.END and left <= after * prose)
                or (kind == LineKind.RELATED and left <= MAX_AFTER_RELATED * prose)
                or (kind == LineKind.COMMENTS and passed > MIN_BEFORE_COMMENTS * prose)
            ):
                return i
    return len(lines)


def _segment(lines: list[str], kinds: list[str], points: list[float]) -> tuple[int, int]:
    """The range [start, stop) that is the article; empty where there is no prose."""
    limit = end_of_article(lines, kinds, points, MAX_AFTER_END)
    best = total = 0.0
    start = stop = first = 0
    for i in range(limit):
        total += points[i]
        if total <= 0:
            total, first = 0.0, i + 1
        elif total > best:
            best, start, stop = total, first, i + 1
    if stop == 0:
        return 0, 0
    if not any(kind in _CHROME for kind in kinds):
        return 0, len(lines)  # nothing says that this was ever part of a page
    # Short lines at either end are the article's own where nothing there is marked as chrome.
    if start <= MAX_EDGE and not any(kinds[:start]):
        start = 0
    if len(lines) - stop <= MAX_EDGE and not any(kinds[stop:]):
        stop = len(lines)
    for i in range(start - 1, max(-1, start - 1 - MAX_DECK), -1):
        line = lines[i]
        if kinds[i] or _weight(line) < MIN_DECK or "|" in line or ">" in line:
            break
        start = i
    return start, stop


def _is_headline(line: str, kind: str, points: float) -> bool:
    return (
        not kind
        and points <= 0
        and MIN_HEADLINE <= _weight(line) <= MAX_HEADLINE
        and line[-1] not in ".。:"
        and "|" not in line
        and ">" not in line
        and line[0] not in "[【(<■◇□◆-*"
    )


def _fold(line: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", line).casefold() if c.isalnum())


def _find_headline(lines: list[str], kinds: list[str], points: list[float]) -> tuple[str, int]:
    """The headline and the index after it, from which the article may begin; ("", 0) where it cannot be told.

    It can be told above the first paragraph when it stands twice, or when a marked line (a byline, a time, a button)
    follows it within two lines. A first line directly above the prose of a text without chrome is very likely the
    headline too: it is returned, and index 0, so that the text keeps it.
    """
    prose = next((i for i, score in enumerate(points) if score > 0), 0)
    candidates = [i for i in range(prose) if _is_headline(lines[i], kinds[i], points[i])]
    if not candidates:
        return "", 0
    first_of: dict[str, int] = {}
    for i in candidates:
        if first_of.setdefault(lines[i], i) != i:
            return lines[i], i + 1
    run = -1  # the first of a run of neighbouring candidates: below it stand decks
    for i in candidates:
        if i == 0 or i - 1 not in candidates:
            run = i
        if any(kinds[i + 1 : min(i + 3, prose)]):
            return lines[run], run + 1
    if candidates[0] == 0 and prose <= MAX_DECK + 1 and not any(kinds[:prose]):
        return lines[0], 0
    return "", 0


def split_lines(text: str) -> list[str]:
    """The non-blank lines of a text, each normalised; paragraphs broken at a fixed width are joined.

    Raises `Refused` (too_expensive) beyond `MAX_LINES` lines.
    """
    lines: list[str] = []
    block: list[str] = []
    for raw in _LINE_BREAKS.sub("\n", text).split("\n"):
        line = normalize_line(raw)
        if line:
            block.append(line)
        elif block:
            lines += _unwrap(block)
            block = []
        if len(lines) + len(block) > MAX_LINES:
            raise Refused(Reason.TOO_EXPENSIVE, f"more than {MAX_LINES} lines")
    return lines + _unwrap(block)


def _unwrap(block: list[str]) -> list[str]:
    """A paragraph of lines broken at a fixed width as one line; any other block as it is."""
    if len(block) < 3:
        return block
    widths = [_weight(line) for line in block[:-1]]
    widest = max(widths)
    if not 40 <= widest <= 130 or min(widths) < 0.75 * widest or not _SENTENCE_END.search(block[-1][-140:]):
        return block
    joined = " ".join(block)
    broken = sum(1 for line in block[:-1] if not _SENTENCE_END.search(line[-140:]))
    within = sum(1 for line in block[1:] if line[:1].islower() or "다. " in line)
    return [joined] if broken * 2 >= len(widths) and within * 3 >= len(widths) else block


def strip_chrome(lines: Sequence[str], rules: ChromeRules) -> list[str]:
    """The lines of an element that holds an article, without captions, bylines, notices and what follows the article.

    Milder than `clean_plain`: the element was chosen, so every line counts as article unless it is marked.
    """
    clean = [line for line in map(normalize_line, lines) if line]
    kinds, points = judge_lines(clean, rules)
    stop = end_of_article(clean, kinds, points, MAX_AFTER_END_IN_BODY)
    return [line for line in (strip_byline(clean[i]) for i in range(stop) if kinds[i] not in _NOT_IN_BODY) if line]


def clean_plain(text: str, rules: ChromeRules, title: str | None = None) -> Plain:
    """The article of a scraped plain text.

    ``title`` is the headline where the caller knows it: lines that repeat it above the article are not text.
    Raises `Refused` (too_expensive) beyond `MAX_LINES` lines.
    """
    lines = split_lines(text)
    kinds, points = judge_lines(lines, rules)
    start, stop = _segment(lines, kinds, points)
    if stop == 0:  # no prose at all: a flash of one short line, or nothing but chrome
        stop = len(lines)
    if title:
        headline, after = title, 0
        folded = _fold(title)
        for i in range(min(stop, start + MAX_EDGE)):
            if folded and _fold(lines[i]) == folded and i + 1 < stop:
                after = i + 1
    else:
        headline, after = _find_headline(lines, kinds, points)
        headline = _HEADLINE_TAIL.sub("", headline)
    start = max(start, after)
    kept = [strip_byline(lines[i]) for i in range(start, stop) if not kinds[i]]
    credits = read_credits(lines)
    return Plain("\n".join(line for line in kept if line), headline, *credits)
