"""Text → the spans of its sentences, Korean and English, in one linear pass.

A sentence ends at a line break or at ``. ! ? … 。`` (with any closing quotes and brackets) followed by white space.
Not at the dot of a decimal, an abbreviation (Mr., U.S., Inc.), an initial or a list number, and not inside quotation
marks that close later in the same line: a quoted sentence belongs to the one that quotes it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["split_sentences"]

_LINE: Final = re.compile(r"[^\n\r\u2028\u2029]+")
_AFTER_STOP: Final = r"[\"'”’»」』)\]]{0,3}(?=[ \t\u00a0\u3000\n\r가-힣“‘\"]|$)"
_STOP: Final = re.compile(f"[.!?]{{1,8}}{_AFTER_STOP}")  # a class of ASCII is one table: sought three times as fast
_ANY_STOP: Final = re.compile(f"[.!?…。！？]{{1,8}}{_AFTER_STOP}")
_KOREAN_ENDINGS: Final = frozenset("다요죠까")  # after these a new sentence may follow without a space: 했다.그는
_QUOTES: Final = re.compile(r"[“”\"‘’]")
_CLOSING: Final = {"“": "”", '"': '"', "‘": "’"}
_LONGEST_QUOTE: Final = 400  # code points; a longer "quotation" is an unbalanced mark
_WORD_BEFORE: Final = re.compile(r"[A-Za-z.]+$")
_LIST_NUMBER: Final = re.compile(r"\s*\(?[0-9]{1,3}$")
_NEXT_WORD: Final = re.compile(r"[ \t]{0,4}([A-Za-z]+)")
_LONG_WORD: Final = 7  # letters: longer than any abbreviation
_SPACES: Final = " \t\u00a0\u3000\n\r"
_OPENING_WORDS: Final = """
The A An In On At It He She They We I But And This That These Those There When While After Before If As For However
His Her Its Their Our By With From Some Many Most Last
"""
_SHORT_FORMS: Final = """
mr mrs ms dr prof rev gen col lt sgt capt cmdr sen rep gov st jr sr no nos vs etc inc corp co ltd plc llc bros est jan
feb mar apr jun jul aug sep sept oct nov dec approx dept fig vol pp ave blvd
"""
_OPENERS: Final = frozenset(_OPENING_WORDS.split())
_ABBREVIATIONS: Final = frozenset(_SHORT_FORMS.split())


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Spans ``(start, end)`` in code points, in text order, without the white space around; none is empty."""
    spans: list[tuple[int, int]] = []
    wide = "…" in text or "。" in text or "！" in text or "？" in text
    stops = (_ANY_STOP if wide else _STOP).finditer
    quotes = '"' in text or "“" in text or "‘" in text
    for line in _LINE.finditer(text):
        start, stop = line.span()
        quoted = _quotations(text, start, stop) if quotes else []
        ahead, quotations = 0, len(quoted)
        for match in stops(text, start, stop):
            first, end = match.span()
            while ahead < quotations and quoted[ahead][1] < end:
                ahead += 1
            quoting = ahead < quotations and quoted[ahead][0] < first
            if quoting and (end < quoted[ahead][1] or not _closes(text, end, stop)):
                continue
            dot = end - first == 1 and text[first] == "."
            if end < stop and text[end] not in _SPACES and not (dot and text[first - 1] in _KOREAN_ENDINGS):
                continue  # it touches what follows
            if dot and _is_abbreviation(text, start, first, end):
                continue
            _append(spans, text, start, end)
            start = end
        _append(spans, text, start, stop)
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def _quotations(text: str, start: int, stop: int) -> list[tuple[int, int]]:
    """The spans of quotations of one line, marks included; unclosed and over-long ones are none, inner ones neither."""
    spans: list[tuple[int, int]] = []
    opened, closing = -1, ""
    for mark in _QUOTES.finditer(text, start, stop):
        at, character = mark.start(), mark[0]
        if opened >= 0 and character == closing:
            if at - opened <= _LONGEST_QUOTE:
                spans.append((opened, at + 1))
            opened = -1
        elif character in _CLOSING and (opened < 0 or at - opened > _LONGEST_QUOTE):
            opened, closing = at, _CLOSING[character]
    return spans


def _closes(text: str, end: int, stop: int) -> bool:
    """Whether a new sentence begins after a quotation that ended with its own stop: “… .” The …, not “….”라고."""
    following = text[end : min(stop, end + 2)].lstrip()
    return not following or following[0].isupper() or following[0] in "“\"‘'" or following[0] >= "가"


def _is_abbreviation(text: str, start: int, dot: int, end: int) -> bool:
    before = text[dot - 1] if dot > start else ""
    if not before.isascii() or end >= len(text) or text[end] in "\n\r":
        return False
    if dot - start >= _LONG_WORD and (word := text[dot - _LONG_WORD : dot]).isalpha() and word.isascii():
        return False
    if before.isdigit():
        return dot - start <= 5 and _LIST_NUMBER.match(text[start:dot]) is not None
    tail = _WORD_BEFORE.search(text[max(start, dot - 12) : dot])
    if tail is None:
        return False
    last = tail[0].rsplit(".", 1)[-1]
    if len(last) == 1:
        if last.isupper() and "." not in tail[0]:
            return True  # an initial
        following = _NEXT_WORD.match(text, end)
        if following is None or not following[1][0].isupper():
            return True  # the U.S. said; at 2 a.m. today
        return last.isupper() and following[1] not in _OPENERS  # the U.S. Army
    return last.lower() in _ABBREVIATIONS
