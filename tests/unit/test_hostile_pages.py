"""Prepare on bodies of 1 MiB that were built to cost: each takes a bounded multiple of what an honest body takes.

Nothing here is measured by the clock: the CPU time of the process on an honest body of the same size, in the same run,
is the unit, so that a slow machine is slow for both. A refusal (`too_expensive`) is an answer as good as a page; each
kind of cost has a limit in core that says how much is allowed.
"""

from __future__ import annotations

import html
import json
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from newsmill.core.decoding import MAX_BODY
from newsmill.core.prepare import PrepareRules, prepare_article
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import Reason, Refused
from newsmill.events import Article, Provenance, RawArticle

RULEBOOK = load_rulebook()
RULES = PrepareRules.from_rulebook(RULEBOOK, "Asia/Seoul")
PROVENANCE = Provenance(topic="news.raw.v1", partition=0, offset=0, newsmill_version="1")
RECORD_MS = 1_767_323_045_678
AT_MOST = 10
"""Times the CPU of an honest body of the same size."""

SENTENCE = "The council of the harbour town said on Monday that ferry number {} would sail again by the end of spring."
KOREAN = "가온시는 {}번 순환버스를 모두 전기버스로 바꾸고, 차고지 세 곳에 급속 충전기를 설치한다고 밝혔다."


def fill(unit: str | Callable[[int], str], before: str = "", after: str = "") -> str:
    """A body of almost 1 MiB of UTF-8 that repeats a unit, or what a function makes of 0, 1, 2, ..."""
    left = MAX_BODY - len((before + after).encode()) - 200
    if isinstance(unit, str):
        return before + unit * (left // len(unit.encode())) + after
    parts: list[str] = []
    for number in range(MAX_BODY):
        parts.append(unit(number))
        left -= len(parts[-1].encode())
        if left < 0:
            return before + "".join(parts[:-1]) + after
    raise AssertionError("the unit is empty")


def page(body: str, head: str = "") -> str:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def run(body: str, title: str | None = None) -> Article | None:
    """The article, or None where the body was refused as too expensive or as nothing but markup."""
    raw = RawArticle(url="https://www.example.com/a", title=title, body=body)
    assert len(body.encode("utf-8", "replace")) <= MAX_BODY
    try:
        return prepare_article(raw, PROVENANCE, RECORD_MS, RULES)[0].article
    except Refused as refused:
        if refused.reason not in (Reason.TOO_EXPENSIVE, Reason.ONLY_MARKUP, Reason.NO_BODY):
            raise
        return None


def cpu(body: str, title: str | None = None) -> float:
    start = time.process_time()
    run(body, title)
    return time.process_time() - start


@cache
def honest_cpu() -> float:
    """CPU of an honest page of 1 MiB, and of an honest text of 1 MiB: the mean of the two."""
    honest_page = page(fill(lambda n: f'<p id="p{n}">{SENTENCE.format(n) * 2}</p><div class="x"></div>\n', "<article>"))
    text = fill(lambda n: KOREAN.format(n) + "\n")
    for body in (honest_page, text):
        article = run(body)
        assert article is not None
        assert len(article.text) > len(body) / 2
    return sum(min(cpu(body) for _ in range(3)) for body in (honest_page, text)) / 2


def check(body: str, title: str | None = None) -> None:
    allowed = AT_MOST * honest_cpu()
    taken = [cpu(body, title)]
    while min(taken) > allowed and len(taken) < 3:  # another process may have emptied the caches
        taken.append(cpu(body, title))
    assert min(taken) <= allowed, f"{min(taken) / honest_cpu():.1f} times the CPU of an honest body"


PARAGRAPH = f"<p>{SENTENCE.format(1)}</p>"
MARKS = "".join(chr(code) for code in range(0x300, 0x370) if unicodedata.combining(chr(code)))
MARKUP: dict[str, Callable[[], str]] = {
    "nested divs": lambda: page(fill("<div>")),
    "nested divs within the limit": lambda: page(PARAGRAPH + "<div>" * 7_000 + "<li>" * 8_000 + PARAGRAPH),
    "end tags of nothing": lambda: page(fill("</a>", "<svg>" * 9_000, PARAGRAPH)),
    "unclosed tags": lambda: page(fill("<p><b><i>x")),
    "unclosed formatting": lambda: page(fill(lambda n: f"<b a{n:x}>x")),
    "never ending tags": lambda: page(fill("<a ")),
    "never ending name": lambda: page(fill("<a")),
    "attributes": lambda: page(fill(lambda n: f"a{n:x} ", "<div ", ">")),
    "attributes in many tags": lambda: page(fill(lambda n: f" a{n % 900:x}" if n % 900 else "><br ")),
    "attributes behind a script in a comment": lambda: page(fill(lambda n: f"a{n:x} ", "<!-- <script --><p ", ">")),
    "attributes behind a quote in a comment": lambda: page(fill(lambda n: f"a{n:x} ", "<!-- <a b=' --><p ", " '>")),
    "attributes behind a style in a select": lambda: page(fill(lambda n: f"a{n:x} ", "<select><style><p ", ">")),
    "attributes with brackets": lambda: page(fill(lambda n: f"a{n:x}='>' ", "<div ", ">")),
    "attributes of the body": lambda: page(fill(lambda n: f"<body a{n:x}>")),
    "attributes of the root": lambda: page(fill(lambda n: f"<html a{n:x} b{n:x}>")),
    "quotes that open within each other": lambda: page(fill("<a b=\"<c d='")),
    "tags within quotes": lambda: page(fill(' b="<a "', "<p ", ">")),
    "options": lambda: page(fill("<option>", "<select>")),
    "tables": lambda: page(fill("<table><tr><td>x")),
    "texts fostered by a table": lambda: page(fill("<tr>x", "<table>")),
    "foreign elements": lambda: page(fill("<td>", "<svg>")),
    "entity-coded marks": lambda: page(fill("&#769;", "<p>a") + "</p>" + PARAGRAPH),
    "entity-coded marks in the title": lambda: page(PARAGRAPH, fill("&#769;&#790;", "<title>a", "</title>")),
    "marks in linked data": lambda: page(
        PARAGRAPH,
        fill("\\u0301\\u0316", '<script type="application/ld+json">{"@type":"Article","headline":"a', '"}</script>'),
    ),
    "entities": lambda: page(fill("&CounterClockwiseContourIntegral;&notit;&amp;amp;", "<p>")),
    "half entities": lambda: page(fill("&CounterClockwiseContourIntegra", "<p>")),
    "deep linked data": lambda: page(
        PARAGRAPH, fill('{"articleBody":[', '<script type="application/ld+json">', "</script>")
    ),
    "wide linked data": lambda: page(
        PARAGRAPH, fill('{"author":{}},', '<script type="application/ld+json">[', "{}]</script>")
    ),
    "linked data in pieces": lambda: page(fill('<script type="application/ld+json">{"a":1}</script>')),
    "rows of a framework": lambda: fill("1a:T2,x\\n", '<script>self.__next_f.push([1,"', '"])</script>'),
    "pushes of a framework": lambda: fill("<script>self.__next_f.push([1])</script>"),
    "links": lambda: page(fill(lambda n: f"<a href='/{n}'>A link to a story</a>")),
    "meta elements": lambda: page(PARAGRAPH, fill(lambda n: f"<meta name=a{n} content=b>")),
    "huge title": lambda: page(PARAGRAPH, fill("Ferries - ", "<title>", "</title>")),
    "huge heading": lambda: page(fill("Ferries | ", "<h1>", "</h1>") + PARAGRAPH),
    "headings within headings": lambda: page(fill("<h1><div>" * 2_000 + "x" + "</div></h1>" * 2_000)),
    "huge class": lambda: page(fill("related-x comment advert_ ", '<div class="', f'">{PARAGRAPH}</div>')),
    "bodies within a huge class": lambda: page(
        fill(f"<p class=article-text>{SENTENCE * 4}</p>", f'<div class="{"commen " * 70_000}comment">', "</div>")
    ),
    "nul characters": lambda: page(fill("\0<p\0>")),
    "brackets": lambda: page(fill("<")),
    "comments": lambda: page(fill("<!--")),
    "one long line of markup": lambda: page(fill("다. ", "<p>")),
}
TEXT: dict[str, Callable[[], str]] = {
    "one long line": lambda: fill("다. "),
    "short lines": lambda: fill("a\n"),
    "many distinct lines": lambda: fill(lambda n: f"line {n:06d}\n"),
    "many distinct Korean lines": lambda: fill(lambda n: f"가나다{n}\n"),
    "headlines": lambda: fill(lambda n: f"A headline of some words {n:x}\n\n", after=SENTENCE),
    "blank lines": lambda: fill("\n \t"),
    "marks": lambda: fill("\u0301", "a"),
    "many kinds of marks": lambda: fill(MARKS, "a"),
    "marks parted by invisible characters": lambda: fill("\u0301\u200b\u0316\u200b", "a"),
    "decomposed Hangul": lambda: fill(unicodedata.normalize("NFD", KOREAN)),
    "nul": lambda: fill("\0"),
    "addresses": lambda: fill("a@"),
    "addresses at the ends": lambda: fill(lambda n: f"{'a' * 60}. {'b' * 50}{n:08d} {'c' * 64}@\n"),
    "brackets": lambda: fill("[뉴스"),
    "bylines": lambda: fill(lambda n: f"[가나{n}=다라 뉴스 = 마바사"),
    "copyright": lambda: fill("copyright by (c) "),
    "copyright lines": lambda: fill(lambda n: f"(c) copyright {n} by by by by by by by by by by by by by by (\n"),
    "headings of comments": lambda: fill(
        lambda n: f"comments {n}\n", f"{SENTENCE}\n", "".join(f"{SENTENCE} {n}.\n" for n in range(9))
    ),
    "headings among comments": lambda: fill(
        lambda n: f"comments\nMina Example {n:x} said on\n",
        f"{SENTENCE}\n",
        "".join(f"{SENTENCE} {n}.\n" for n in range(9)),
    ),
    "compatibility characters": lambda: fill("\ufdfa"),
}


@pytest.mark.parametrize("name", MARKUP)
def test_markup_that_was_built_to_cost(name: str) -> None:
    check(MARKUP[name]())


@pytest.mark.parametrize("name", TEXT)
def test_text_that_was_built_to_cost(name: str) -> None:
    check(TEXT[name]())
    check(TEXT[name](), SENTENCE)


def traps(pattern: str, longest: int) -> Iterator[str]:
    """Lines that a pattern nearly matches: its words once each, again and again, and with a tail that fits nowhere."""
    words = [
        word for word in re.findall(r"[^\W_]+(?: [^\W_]+)*|[(\[/▲ⓒ©※]", re.sub(r"\\[a-zA-Z]", " ", pattern)) if word
    ]
    for word in words or ["x"]:
        for unit in (word, f"{word} ", f"({word}", f"{word}="):
            yield (unit * longest)[: longest - 9]


PATTERNS = {
    "end_lines": 100,
    "related_lines": 40,
    "comments_lines": 120,
    "comment_lines": 80,
    "drop_lines": 120,
    "notice_parts": 600,
    "notice_starts": 300,
    "caption_lines": 300,
    "caption_cues": 300,
}


@pytest.mark.parametrize("key", PATTERNS)
def test_lines_that_patterns_nearly_match(key: str) -> None:
    patterns = RULEBOOK.file("chrome.toml").data["plain"][key]
    lines = [line for pattern in patterns for line in traps(pattern, PATTERNS[key])]
    check(fill(lambda n: f"{lines[n % len(lines)]}{n:x}~\n"))


@pytest.mark.parametrize("key", ["junk_words", "junk_parts", "outside_parts"])
def test_names_that_patterns_nearly_match(key: str) -> None:
    patterns = RULEBOOK.file("chrome.toml").data["html"][key]
    names = [line for pattern in patterns for line in traps(pattern, 300)]
    name = {n: html.escape(text) for n, text in enumerate(names)}
    check(page(fill(lambda n: f'<p class="{name[n % len(name)]}~">{SENTENCE}</p>', '<div class="article_body">')))


def test_every_pattern_of_the_rules_is_tried() -> None:
    data = RULEBOOK.file("chrome.toml").data
    tried = {*PATTERNS, "junk_words", "junk_parts", "outside_parts"}
    names = {"skip_tags", "block_tags", "body_ids", "body_classes", "notice_cues"}  # compared, not searched
    assert {*data["html"], *data["plain"]} == tried | names


def test_script_in_a_page_of_one_mebibyte_is_no_tag() -> None:
    script = json.dumps({f"key{n}": f"a<n and {n} <i class='x'>more</i> {'words ' * 50}" for n in range(2_500)})
    assert len(script) > MAX_BODY / 2
    article = run(page(f"<script>var data = {script};for(i=0;i<n;i++)go(i)</script>{PARAGRAPH * 3}"))
    assert article is not None
    assert article.text.startswith("The council")


def test_picture_in_an_attribute_is_no_reason_to_refuse() -> None:
    picture = "iVBORw0KGgo/+" * 60_000
    article = run(page(f'<img src="data:image/png;base64,{picture}">{PARAGRAPH * 3}'))
    assert article is not None
    assert article.text.startswith("The council")
