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
from newsmill.core.folding import nfc, single_spaced
from newsmill.errors import Reason, Refused

__all__ = ["MAX_LINES", "LineKind", "Plain", "classify_line", "clean_plain"]

MAX_LINES = 100_000
"""Lines that are judged: 2-8 µs each. Ten bytes a line in a body of 1 MiB; what has more is no text."""

CJK_WEIGHT = 1.8  # a Hangul syllable, a kana or a Han character says about as much as 1.8 Latin letters
MIN_PROSE = 60  # weighted characters of a line that counts as prose when it ends like a sentence
LONG_LINE = 300  # weighted characters of a line that counts as prose however it ends
MEDIUM_LINE = 90  # ... that says nothing either way
MEDIUM_POINTS = -0.2
SHORT_POINTS = -1.0
MIN_SENTENCE = 40
SENTENCE_POINTS = 0.0
MIN_ITEM_WORDS = 4  # words of a short sentence or of what introduces a list
MIN_ITEM_SENTENCE = 30  # weighted characters of a short sentence that counts as prose between prose
ITEM_SENTENCE_POINTS = 0.3
ITEM_POINTS = 0.3
SHORT_ITEM_POINTS = -0.2
MIN_STRETCH = 8.0  # points of a further stretch of the article
MAX_GAP = 20.0  # points lost on the lines before it
MAX_MARKS_IN_GAP = 2
MAX_TEASER = 250  # characters of the teaser of another article; Korean scripts and digests set paragraphs alone, too
LONE_PROSE = 0.5  # share of its points that prose alone between short lines keeps
MIN_DECK = 28  # weighted characters of a deck line (sub-headline) above the first paragraph
MAX_DECK = 3  # deck lines restored
MAX_EDGE = 3  # unmarked lines at an edge of a text that are the article's own
MIN_BULLETS = 3  # lines that begin with a triangle: one or two are captions, more are a list
MIN_HEADLINE = 20  # weighted characters of a headline
MAX_HEADLINE = 200
MAX_EXPANSION = 18  # characters that NFKC makes of one (U+FDFA): a line much longer than the title is not folded
MAX_NOTICE = 600  # characters of a legal notice
MIN_BEFORE_COMMENTS = 0.25  # of the prose stands above the heading of the comments
MIN_BEFORE_LISTED_COMMENTS = 0.02  # ... that are told by lines of who and when
MIN_COMMENT_LINES = 3
COMMENTS_WITHIN = 20  # lines after the heading
MAX_COMMENTS_HEADING = 120  # characters
MAX_COMMENT_LINE = 80
MAX_AFTER_RELATED = 0.1  # the same for a label of links, which digests repeat after each item
MAX_AFTER_END_IN_BODY = 0.15  # the same within an element that was chosen as the article
MAX_AFTER_END = 0.2  # an end marker counts only if no more of the prose than this follows it

_CJK = re.compile("[가-힣ぁ-ヿ一-鿿]")
_SENTENCE_ENDS = frozenset(".!?。…다요죠음함")
_STOPS = frozenset(".!?。")
_CLOSING = "\"”’')]』」"  # stands after the end of a sentence
_SENTENCE_AND_ADDRESS = re.compile(
    r"(?:[.!?。…]|[다요죠음함]\.?)[\"”’'\)\]』」]*(?:\s{0,3}[^\s@]{1,64}@[^\s@]{1,64})?$"
)
_HEADLINE_TAIL = re.compile(
    r"\s*[\[【<(]\s?(?:[^\]】>)]{0,30}기자|앵커(?:멘트)?|기자|[^\]】>)]{2,8}(?:뉴스|일보|24))\s?[\]】>)]$"
)
_TRIANGLES = "▲△"
_LINE_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_OTHER_BREAK = re.compile(r"[\r\x0b\x0c\x85\u2028\u2029]")  # ten times faster to seek than the above
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]")


class LineKind:
    """What a line is, other than text of the article."""

    TEXT = ""
    CAPTION = "caption"
    END = "end"
    RELATED = "related"
    COMMENTS = "comments"
    DROP = "drop"
    NOTICE = "notice"
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


def normalize_lines(lines: Sequence[str]) -> list[str]:
    """Lines in NFC, without invisible characters, inner white space collapsed; empty ones go.

    A line break composes with nothing, so all lines are normalised in one go.
    """
    text = nfc(_INVISIBLE.sub("", "\n".join(lines)))
    return [line for line in map(single_spaced, text.split("\n")) if line]


def _weight(line: str) -> float:
    if line.isascii():
        return len(line)
    return len(line) * (CJK_WEIGHT if _CJK.search(line) else 1.0)


def _ends_sentence(line: str) -> bool:
    tail = line[-140:]
    if "@" in tail:
        return _SENTENCE_AND_ADDRESS.search(tail) is not None
    return tail.rstrip(_CLOSING)[-1:] in _SENTENCE_ENDS


def _points(line: str) -> float:
    size = _weight(line)
    if size >= MIN_SENTENCE and _ends_sentence(line):
        return min(6.0, 2 + size / 150) if size >= MIN_PROSE else SENTENCE_POINTS
    if size >= LONG_LINE:
        return 1.5
    return MEDIUM_POINTS if size >= MEDIUM_LINE else SHORT_POINTS


def classify_line(line: str, points: float, rules: ChromeRules) -> str:
    """The `LineKind` of a stripped line with these points."""
    size = len(line)
    if size <= 300 and rules.caption_cue.search(line) and rules.caption_line.match(line):
        return LineKind.CAPTION
    if size <= MAX_COMMENTS_HEADING and rules.comments_line.match(line):
        return LineKind.COMMENTS
    if size <= 40 and rules.related_line.match(line):
        return LineKind.RELATED
    if size <= 100 and rules.end_line.match(line):
        return LineKind.END
    if (points < 0 and size <= 120 and rules.drop_line.match(line)) or rules.notice_start.match(line):
        return LineKind.DROP
    if points > SHORT_POINTS and size <= MAX_NOTICE:
        lowered = line.lower()
        if any(cue in lowered for cue in rules.notice_cues) and rules.notice_part.search(lowered):
            return LineKind.NOTICE
    return LineKind.TEXT


_CHROME = frozenset({LineKind.END, LineKind.RELATED, LineKind.COMMENTS, LineKind.DROP, LineKind.NOTICE})
_NOT_IN_BODY = frozenset({LineKind.CAPTION, LineKind.DROP, LineKind.END, LineKind.RELATED})
_KIND_POINTS = {
    LineKind.CAPTION: -0.5,
    LineKind.END: -2.0,
    LineKind.RELATED: -1.5,
    LineKind.COMMENTS: -2.0,
    LineKind.DROP: -1.5,
    LineKind.NOTICE: -1.5,
    LineKind.REPEATED: 0.0,
}


def judge_lines(lines: Sequence[str], rules: ChromeRules) -> tuple[list[str], list[float]]:
    """The `LineKind` and the points of each line; a line of prose that stood above already is a repetition."""
    kinds: list[str] = []
    points: list[float] = []
    judged: dict[str, tuple[str, float]] = {}
    bullets = sum([line[0] in _TRIANGLES for line in lines]) >= MIN_BULLETS
    for line in lines:
        before = judged.get(line)
        if before is None:
            score = _points(line)
            kind = classify_line(line, score, rules)
            if bullets and kind == LineKind.CAPTION and line[0] in _TRIANGLES:
                kind = LineKind.TEXT
            judged[line] = kind, score
        else:
            kind, score = before
            if not kind and score > 0:
                kind = LineKind.REPEATED
        kinds.append(kind)
        points.append(_KIND_POINTS[kind] if kind else score)
    return kinds, points


def end_of_article(
    lines: Sequence[str], kinds: Sequence[str], points: Sequence[float], after: float, rules: ChromeRules
) -> int:
    """The index of the marker that ends the article: no more than ``after`` of the prose follows it.

    The heading of the comments ends it though more prose follows, for comments are prose too: where a quarter of the
    prose stands in one stretch above it, or any, if lines of who and when follow.
    """
    if _CHROME.isdisjoint(kinds):
        return len(lines)
    prose = sum([len(line) for line, score in zip(lines, points, strict=True) if score > 0])
    passed = stretch = longest = 0
    total = 0.0
    known: dict[str, bool] = {}
    for i, kind in enumerate(kinds):
        total += points[i]
        if total <= 0:
            total, stretch = 0.0, 0
        if points[i] > 0:
            passed += len(lines[i])
            stretch += len(lines[i])
            longest = max(longest, stretch)
        elif passed and kind in _CHROME:
            left = prose - passed
            if (
                (kind == LineKind.END and left <= after * prose)
                or (kind == LineKind.RELATED and left <= MAX_AFTER_RELATED * prose)
                or (
                    kind == LineKind.COMMENTS
                    and (
                        longest > MIN_BEFORE_COMMENTS * prose
                        or (
                            longest > MIN_BEFORE_LISTED_COMMENTS * prose and _lists_comments(lines, i + 1, known, rules)
                        )
                    )
                )
            ):
                return i
    return len(lines)


def _lists_comments(lines: Sequence[str], start: int, known: dict[str, bool], rules: ChromeRules) -> bool:
    """Whether lines of who and when follow; ``known`` keeps what was found, for a text may hold many headings."""
    found = 0
    for line in lines[start : start + COMMENTS_WITHIN]:
        if len(line) <= MAX_COMMENT_LINE:
            told = known.get(line)
            if told is None:
                told = known[line] = rules.comment_line.match(line) is not None
            found += told
    return found >= MIN_COMMENT_LINES


def _in_context(lines: Sequence[str], kinds: Sequence[str], points: Sequence[float]) -> list[float]:
    """The points by which the segment is chosen.

    Short sentences, list items and what introduces a list cost less than other short lines; prose that stands alone
    between short lines gains less, for so stand the teasers of other articles.
    """
    chosen = list(points)
    for i, score in enumerate(points):
        if kinds[i] or score > 0:
            continue
        line = lines[i]
        if score == MEDIUM_POINTS:
            if not _CJK.search(line):
                chosen[i] = ITEM_POINTS
        elif line.count(" ") >= MIN_ITEM_WORDS - 1:
            last = line.rstrip(_CLOSING)[-1:]
            if last in _STOPS and not line.endswith("..."):  # a Korean headline ends like a sentence, without the stop
                chosen[i] = ITEM_SENTENCE_POINTS if _weight(line) >= MIN_ITEM_SENTENCE else SHORT_ITEM_POINTS
            elif last in ":：":
                chosen[i] = SHORT_ITEM_POINTS
    for i in range(1, len(lines) - 1):
        if (
            points[i] > 0
            and chosen[i - 1] <= SHORT_ITEM_POINTS
            and chosen[i + 1] <= SHORT_ITEM_POINTS
            and len(lines[i]) < MAX_TEASER
            and not _CJK.search(lines[i])
        ):
            chosen[i] *= LONE_PROSE
    return chosen


def _far_edge(indexes: range, kinds: Sequence[str], weights: Sequence[float], edge: int) -> int:
    """The last index that belongs to the article, walking away from its edge over tables and lists.

    A further stretch belongs to it if it is worth several paragraphs, and near.
    """
    gap = stretch = 0.0
    marks = 0
    for i in indexes:
        if weights[i] > 0:
            stretch += weights[i]
            if stretch >= MIN_STRETCH:
                edge, gap, marks = i, 0.0, 0
        else:
            gap -= weights[i]
            marks += kinds[i] in _CHROME
            if gap > MAX_GAP or marks > MAX_MARKS_IN_GAP:
                break
            stretch = 0.0 if stretch >= MIN_STRETCH else max(0.0, stretch + weights[i])
    return edge


def _segment(lines: list[str], kinds: list[str], points: list[float], rules: ChromeRules) -> tuple[int, int]:
    """The range [start, stop) that is the article; empty where there is no prose."""
    if _CHROME.isdisjoint(kinds):
        # nothing says that this was ever part of a page
        return (0, len(lines)) if any(score > 0 for score in points) else (0, 0)
    limit = end_of_article(lines, kinds, points, MAX_AFTER_END, rules)
    weights = _in_context(lines, kinds, points)
    best = total = 0.0
    start = stop = first = 0
    for i in range(limit):
        total += weights[i]
        if total <= 0:
            total, first = 0.0, i + 1
        elif total > best:
            best, start, stop = total, first, i + 1
    if stop == 0:
        return 0, 0
    start = min(_far_edge(range(start - 1, -1, -1), kinds, weights, start), start)
    stop = max(_far_edge(range(stop, limit), kinds, weights, stop - 1) + 1, stop)
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
    """The letters and digits of a line, for comparing it with a title; NFKC of a line whose runs of marks are bound."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", nfc(line)).casefold()))


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
    run = above = -1  # the first of a run of neighbouring candidates: below it stand decks
    for i in candidates:
        if i == 0 or i - 1 != above:
            run = i
        above = i
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
    if _OTHER_BREAK.search(text):
        text = _LINE_BREAKS.sub("\n", text)
    # as normalize_lines does, but an empty line ends a block
    for raw in nfc(_INVISIBLE.sub("", text)).split("\n"):
        line = single_spaced(raw)
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
    if not 40 <= widest <= 130 or min(widths) < 0.75 * widest or not _ends_sentence(block[-1]):
        return block
    joined = " ".join(block)
    broken = sum(1 for line in block[:-1] if not _ends_sentence(line))
    within = sum(1 for line in block[1:] if line[:1].islower() or "다. " in line)
    return [joined] if broken * 2 >= len(widths) and within * 3 >= len(widths) else block


def strip_chrome(lines: Sequence[str], rules: ChromeRules) -> list[str]:
    """The lines of an element that holds an article, without captions, bylines, notices and what follows the article.

    Milder than `clean_plain`: the element was chosen, so every line counts as article unless it is marked.
    """
    clean = normalize_lines(lines)
    kinds, points = judge_lines(clean, rules)
    stop = end_of_article(clean, kinds, points, MAX_AFTER_END_IN_BODY, rules)
    return [line for line in (strip_byline(clean[i]) for i in range(stop) if kinds[i] not in _NOT_IN_BODY) if line]


def clean_plain(text: str, rules: ChromeRules, title: str | None = None) -> Plain:
    """The article of a scraped plain text.

    ``title`` is the headline where the caller knows it: lines that repeat it above the article are not text.
    Raises `Refused` (too_expensive) beyond `MAX_LINES` lines.
    """
    lines = split_lines(text)
    kinds, points = judge_lines(lines, rules)
    start, stop = _segment(lines, kinds, points, rules)
    if stop == 0:  # no prose at all: a flash of one short line, or nothing but chrome
        stop = len(lines)
    if title:
        headline, after = title, 0
        folded = _fold(title)
        longest = MAX_EXPANSION * (len(title) + 1)
        for i in range(min(stop, start + MAX_EDGE)):
            if folded and len(lines[i]) <= longest and _fold(lines[i]) == folded and i + 1 < stop:
                after = i + 1
    else:
        headline, after = _find_headline(lines, kinds, points)
        headline = _HEADLINE_TAIL.sub("", headline)
    start = max(start, after)
    kept = [strip_byline(lines[i]) for i in range(start, stop) if not kinds[i]]
    credits = read_credits(lines)
    return Plain("\n".join(line for line in kept if line), headline, *credits)
