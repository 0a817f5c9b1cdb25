"""Title and text → at most three sentences of the text that let a reader decide to read on.

Extractive: sentences that lead (news tells the most first) and share words with the title and with many other sentences
score high; captions, bylines, subheads, bare quotations, over-long and repeated sentences are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain
from typing import Final, NamedTuple

import ahocorasick_rs

from newsmill.core.sentences import split_sentences

__all__ = ["summarize"]

_MOST: Final = 3
_READ: Final = 4_000  # code points; what comes later is background
_TITLE_READ: Final = 300
_SENTENCES: Final = 12
_LONGEST: Final = 320  # code points of one sentence; Korean says in 160 what English says in 320
_LONGEST_KOREAN: Final = 200
_SHORTEST: Final = 24
_SHORTEST_KOREAN: Final = 14
_ALIKE: Final = 0.75  # share of the shorter sentence's words that another already says
_DECAY: Final = 0.12  # loss of weight for each sentence further down

_WORD: Final = re.compile(r"[가-힣]{2,3}|[a-z0-9][a-z0-9'’&-]++")
_HANGUL: Final = re.compile(r"[가-힣]")
_BYLINE: Final = re.compile(
    r"(?:\[[^\[\]\n]{1,40}\]|\([^()\n]{1,30}=[^()\n]{1,20}\)|【[^】\n]{1,30}】)\s*"
    r"(?:[가-힣 ·]{2,20}(?:기자|특파원)\s*)?=?\s*"
    r"|[A-Z][A-Z .,'-]{2,30}(?:\([A-Za-z ]{2,20}\) )?\s?[—–-]{1,2}\s+"
)
_MARKS: Final = frozenset("◇◆■□▶▷▲△●○※◎▼☞<[【＜•·*#/|-")  # what begins a subhead, a list entry or a tag
_NOT_NEWS: Final = """
@ © ⓒ 사진= 사진ㅣ 사진제공 사진출처 자료사진 자료제공 =연합 /연합 =뉴시스 =뉴스1 무단전재 재배포 기자=
(왼쪽) (오른쪽) (가운데) File_photo Getty_Images Image: Photo: (left) (right) Pictured All_rights_reserved Copyright
Read_more Sign_up Subscribe
"""  # of captions, credits and the page
_CHROME: Final = ahocorasick_rs.AhoCorasick([word.replace("_", " ") for word in _NOT_NEWS.split()])
_END: Final = re.compile(r"[.!?…。][\"'”’»」』)\]]*$")
# A Korean sentence ends in a verb; what ends in a noun is a caption or a headline.
_KOREAN_END: Final = re.compile(r"[다요죠까네라자]['”’»」』)\]\"]{0,2}[.!?…。][\"'”’»」』)\]]*$")
_ONLY_QUOTE: Final = re.compile(r"^[“\"‘'][^”\"]*[”\"’']\.?$")
_LEANING: Final = re.compile(
    r"^(?:그러나|하지만|또한?|이어|이에|반면|한편|다만|그는|그녀는|이는|이를|특히|And|But|However|He|She|They|It|This|That|These|Those|Meanwhile)\b"
)


class _Sentence(NamedTuple):
    place: int
    text: str
    words: frozenset[str]


def summarize(title: str | None, text: str, language: str) -> list[str]:
    """At most three sentences in text order, each a piece of ``text``; empty only if there is no text.

    ``language`` sets the bounds of length (BCP 47; Korean by ``ko``). Reads the first 4,000 code points; linear.
    """
    korean = language.startswith("ko") or (language == "und" and _HANGUL.search(text[:200]) is not None)
    longest, shortest = (_LONGEST_KOREAN, _SHORTEST_KOREAN) if korean else (_LONGEST, _SHORTEST)
    part = text[:_READ]
    spans = split_sentences(part)
    if len(text) > _READ and len(spans) > 1:
        spans.pop()  # cut off in the middle
    sentences: list[_Sentence] = []
    last, marked = -1, False
    for start, end in spans:
        if last < 0 or "\n" in part[last:start]:
            marked = part[start] in _MARKS and _BYLINE.match(part, start, end) is None
        last = end
        if marked:
            continue  # a subhead, a list entry, a note of the editors
        byline = _BYLINE.match(part, start, end)
        if byline is not None:
            start = byline.end()
        if not shortest <= end - start <= longest:
            continue
        sentence = part[start:end]
        if not (_KOREAN_END if korean else _END).search(sentence, end - start - 6):
            continue
        sentences.append(_Sentence(len(sentences), sentence, _words(sentence)))
        if len(sentences) == _SENTENCES:
            break
    chosen = _choose(sentences, _words(title[:_TITLE_READ]) if title else frozenset())
    return chosen or _first_piece(part, spans, longest)


def _is_torn(sentence: str) -> bool:
    """Whether a quotation begins or ends outside of the sentence; ’ alone may be an apostrophe."""
    return (
        sentence.count("“") != sentence.count("”")
        or sentence.count('"') % 2 == 1
        or sentence.count("‘") > sentence.count("’")
        or ("’ " in sentence and "‘" not in sentence and sentence[-2] >= "가")
    )


def _is_chrome(sentence: str) -> bool:
    tight = sentence.replace(" = ", "=").replace("사진 ", "사진")
    return bool(_CHROME.find_matches_as_indexes(tight))


def _words(text: str) -> frozenset[str]:
    """Words for comparing: Korean in pieces of three syllables, so that particles fall off; Latin in lower case."""
    return frozenset(_WORD.findall(text.lower()))


def _choose(sentences: list[_Sentence], title: frozenset[str]) -> list[str]:
    spread = Counter(chain.from_iterable([sentence.words for sentence in sentences]))
    ranked = sorted(sentences, key=lambda sentence: (-_score(sentence, title, spread), sentence.place))
    chosen: list[_Sentence] = []
    for sentence in ranked:
        if _ONLY_QUOTE.match(sentence.text) or _is_torn(sentence.text) or _is_chrome(sentence.text):
            continue
        if not any(_says_the_same(sentence.words, other.words) for other in chosen):
            chosen.append(sentence)
            if len(chosen) == _MOST:
                break
    return [sentence.text for sentence in sorted(chosen)]


def _score(sentence: _Sentence, title: frozenset[str], spread: Counter[str]) -> float:
    words = sentence.words
    if not words:
        return 0.0
    shared = sum(map(spread.__getitem__, words)) / len(words) - 1.0
    named = len(words & title) / len(title) if title else 0.0
    score = (1.0 + 0.5 * min(shared, 3.0) + 1.5 * named) / (1.0 + _DECAY * sentence.place)
    if _LEANING.match(sentence.text):
        score *= 0.7  # it leans on a sentence that may not be chosen
    if len(words) < 5:
        score *= 0.7
    return score


def _says_the_same(one: frozenset[str], other: frozenset[str]) -> bool:
    smaller = min(len(one), len(other))
    return not smaller or len(one & other) > _ALIKE * smaller


def _first_piece(part: str, spans: list[tuple[int, int]], longest: int) -> list[str]:
    """Where no line is a proper sentence: the first, cut at a space to the greatest length."""
    if not spans:
        return []
    start, end = spans[0]
    if end - start > longest:
        cut = part.rfind(" ", start, start + longest)
        end = cut if cut > start else start + longest
    return [part[start:end]]
