"""Title and text → whether the page is a digest (several stories in one page: a briefing, a roundup), not one article.

Signs are added up; one alone is never enough, because ordinary articles have subheads, lists and bracketed tags too.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_digest"]

_READ: Final = 60_000  # code points
_TITLE_READ: Final = 300
_LINES: Final = 600
_FEWEST: Final = 4
_ENOUGH: Final = 2.0

_TITLE: Final = re.compile(
    r"브리핑|헤드라인|뉴스레터|오늘의 (?:주요|뉴스|신문)|주요 ?(?:뉴스|기사|신문)|간추린|한눈에|모닝|이브닝|단신|프리즘"
    r"|뉴스 ?(?:모음|종합|다이제스트)|이 시각|톱 ?[0-9]|top ?[0-9]"
    r"|\b(?:briefing|in brief|round-?up|digest|newsletter|headlines|things to know|wrap|first thing)\b",
    re.IGNORECASE,
)
_NUMBERED: Final = re.compile(r"\s{0,4}(?:\[?([0-9]{1,2})[.)\]]|([①-⑳]))\s*(\S.{5,119})$")
_SUMMARY_LABEL: Final = re.compile(
    r"\s{0,4}[-–·▶*]?\s{0,2}(?:핵심 ?요약|요약|한줄 ?요약|핵심|key points?|in short|the gist)\s?[:：]", re.IGNORECASE
)
_SECTION: Final = re.compile(
    r"\s{0,4}[\[【<〈]\s?[^\]】>〉]{0,20}(?:뉴스|브리핑|헤드라인|이슈|기사|단신|키워드[^\]】>〉]{0,8}|TOP ?[0-9]{1,2}"
    r"|정치|경제|사회|국제|산업|문화|스포츠|증권|금융|부동산|IT)\s?[\]】>〉]\s*$",
    re.IGNORECASE,
)
_BULLET_HEAD: Final = re.compile(r"\s{0,4}[■◆●▲▶◇□★✔]\s?\S.{3,79}$")
_SENTENCE_END: Final = re.compile(r"(?:[다요죠까]|[a-z0-9\"”’)])[.。]\s*$")
_SIGN: Final = re.compile("[0-9①-⑳\\[【<〈■◆●▲▶◇□★✔]")  # begins a line that may be counted
_LONG_LINE: Final = 60  # code points: a line of running text


def is_digest(title: str | None, text: str) -> bool:
    """Whether several stories share the page. Reads at most 600 lines of the first 60,000 code points; linear."""
    lines = [line for line in text[:_READ].split("\n") if line.strip()][:_LINES]
    if len(lines) < _FEWEST:
        return False
    if not _SIGN.search("".join([line.lstrip()[:1] for line in lines])) and ":" not in text and "：" not in text:
        return False  # prose, and a title alone is not enough
    score = 1.0 if title and _TITLE.search(title[:_TITLE_READ]) else 0.0
    numbered = summaries = sections = bullets = listed = 0
    before = ""  # what the line before was
    expected = 1
    for place, line in enumerate(lines):
        first = line.lstrip()[:1]
        was, before = before, ""
        followed = place + 1 < len(lines) and len(lines[place + 1]) >= _LONG_LINE
        if first.isdigit() or "①" <= first <= "⑳" or first == "[":
            match = _NUMBERED.match(line)
            if match is not None:
                number = int(match[1]) if match[1] else ord(match[2]) - ord("①") + 1
                before = "number"
                listed += was == "section"
                if number == expected:
                    expected += 1
                    numbered += followed and not _SENTENCE_END.search(line)
                continue
        if first in "[【<〈" and _SECTION.match(line):
            sections += 1
            before = "section"
        elif first in "■◆●▲▶◇□★✔" and _BULLET_HEAD.match(line) and not _SENTENCE_END.search(line):
            bullets += followed
        elif _SUMMARY_LABEL.match(line):
            summaries += 1
            listed += was == "number"
    if numbered >= 3:
        score += 1.5 if numbered >= 5 else 1.0
    if summaries >= 2:
        score += 1.5 if summaries >= 3 else 1.0
    if listed >= 2:
        score += 1.5  # "[Markets]", "1. A headline", "- In short: ...": the form of a list of stories
    if sections >= 2:
        score += 1.0
    if bullets >= 3:
        score += 1.0 if bullets >= 5 else 0.5
    return score >= _ENOUGH
