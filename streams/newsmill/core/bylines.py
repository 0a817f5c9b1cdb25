"""Lines of a scraped article → who wrote it, who published it and when, as the lines say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Credits", "read_credits", "strip_byline"]

_ROLE = "(?:선임기자|전문기자|수습기자|인턴기자|기자|특파원|앵커|논설위원|에디터)"
_PREFIX = re.compile(
    r"^[\[\(【](?=[^\]\)】]{0,40}(?:기자|특파원|뉴스|일보|신문|경제|=))(?P<inside>[^\]\)】]{2,40})[\]\)】]\s*"
    rf"(?:(?P<after>[가-힣·,\s]{{2,20}}){_ROLE}\s*=\s*)?"
)
_PLAIN_PREFIX = re.compile(rf"^(?P<after>[가-힣]{{2,4}})\s?{_ROLE}\s*=\s*")
_INSIDE = re.compile(
    rf"^(?:(?P<place>[가-힣A-Za-z·]{{1,12}})\s?=\s?)?(?P<source>[^=]{{0,24}}?)\s*=?\s*"
    rf"(?:(?P<author>[가-힣]{{2,4}}(?:[·,]\s?[가-힣]{{2,4}}){{0,3}})\s?{_ROLE})?$"
)
_TRAILER = re.compile(
    rf"(?<=[.다\"”’])\s*(?:(?P<author>[가-힣]{{2,4}})\s?{_ROLE}\s*)?[^\s@]{{1,64}}@[^\s@]{{1,64}}\.[a-z]{{2,12}}$"
)
_REPORTER_LINE = re.compile(
    rf"^(?:(?P<source>[가-힣A-Za-z0-9]{{2,12}})\s)?(?P<author>[가-힣]{{2,4}})\s?{_ROLE}(?:\s*[^\s@]+@[^\s@]+)?$"
)
_ENGLISH_BYLINE = re.compile(r"^(?:By|BY)\s+(?P<author>[A-Z][\w.'’-]+(?:\s[A-Z][\w.'’-]+){1,3})(?:\s*[,|].{0,40})?$")
_COPYRIGHT = re.compile(
    r"(?:저작권자|copyright|ⓒ|©|\(c\))(?:\s|ⓒ|©|\(c\)|\(C\)|copyrights?|[:：]|저작권자|by|\d{4}(?:[-–]\d{4})?)*"
    r"(?P<source>[^\s,.<>|\[\]()ⓒ©][^,.<>|\[\]()ⓒ©]{1,29})",
    re.IGNORECASE,
)
_NOTICE = re.compile(r"\s*(?:무단|all rights|inc\b|ltd\b|co\b|\().*$", re.IGNORECASE)
_PORTAL = re.compile(r"^(?P<source>[\w가-힣 ]{2,14}?)\s?언론사 이미지$")
_PUBLISHED = re.compile(
    r"^(?:기사\s?)?(?:입력|등록|승인|게재|발행|송고|작성|published|posted)(?:\s?(?:시간|일시|일|on))?\s?[:：]?\s*"
    r"(?P<time>(?=.{0,16}\d{4}).{6,40}?)(?:\s*(?:수정|업데이트|최종|updated|\|).{0,80})?$",
    re.IGNORECASE,
)
_BARE_TIME = re.compile(r"^(?P<time>\d{4}[.\-/]\s?\d{1,2}[.\-/]\s?\d{1,2}\.?(?:\s.{0,20}\d{1,2}:\d{2}.{0,8})?)$")


_TAIL = 160  # characters at the end of a line in which an address and a name stand


class Credits(NamedTuple):
    """What the lines say; "" where they do not. ``published`` is as written."""

    author: str
    source: str
    published: str


def _has_article_after(line: str, match: re.Match[str] | None) -> bool:
    return match is not None and len(line) - match.end() >= 20


def strip_byline(line: str) -> str:
    """The line without the byline before or after its text: "[…뉴스 … 기자]", "(서울=…) … 기자 =", "…다. a@b.kr"."""
    if "@" in line[-_TAIL:]:
        line = line[:-_TAIL] + _TRAILER.sub("", line[-_TAIL:])
    match = _PREFIX.match(line) or _PLAIN_PREFIX.match(line)
    return line[match.end() :] if match is not None and _has_article_after(line, match) else line


def _read_prefix(line: str) -> tuple[str, str]:
    """Author and source of the byline at the beginning of an article's first line."""
    match = _PREFIX.match(line)
    if match is None:
        plain = _PLAIN_PREFIX.match(line)
        return (plain["after"], "") if plain else ("", "")
    inside = _INSIDE.match(match["inside"].strip())
    if inside is None:
        return (match["after"] or "").strip(), ""
    if not inside["author"] and "=" not in match["inside"] and not match["after"]:
        return "", ""  # a heading or a label in brackets
    author = inside["author"] or (match["after"] or "").strip()
    return author, inside["source"].strip(" =") or ("" if inside["author"] is None else inside["place"] or "")


def read_credits(lines: Sequence[str]) -> Credits:
    """The first author, publisher and time that lines of a scraped page name (all of its lines, chrome too)."""
    author = source = published = copyright_holder = ""
    for line in lines:
        size = len(line)
        if not (author and source) and (line[0] in "[(【" or "=" in line[:12]):
            found, publisher = _read_prefix(line)
            author, source = author or found, source or publisher
        if size > 160:
            if not author and "@" in line[-_TAIL:]:
                match = _TRAILER.search(line[-_TAIL:])
                author = (match["author"] or "") if match else ""
            continue
        if not published and (match := _PUBLISHED.match(line) or _BARE_TIME.match(line)):
            published = match["time"].strip()
        if not author and (match := _REPORTER_LINE.match(line) or _ENGLISH_BYLINE.match(line)):
            author = match["author"]
            source = source or match.groupdict().get("source") or ""
        if not source and (match := _PORTAL.match(line)):
            source = match["source"]
        if not copyright_holder and (match := _COPYRIGHT.search(line)):
            copyright_holder = _NOTICE.sub("", match["source"]).strip()
    return Credits(author, source or copyright_holder, published)
