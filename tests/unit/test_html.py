"""core/html.py: article text and metadata of invented pages, sniffing, and bounds on hostile markup."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace

import pytest

from newsmill.core.chrome import ChromeRules
from newsmill.core.html import extract_page, looks_like_html
from newsmill.core.rulebook import Rulebook, RuleFile, load_rulebook
from newsmill.errors import ConfigError, Reason, Refused

PARAGRAPHS = [
    "가온시는 3월부터 순환버스 40대를 모두 전기버스로 바꾸고, 차고지 세 곳에 급속 충전기를 설치한다고 밝혔다.",
    "시는 이 사업에 모두 320억원을 투입하며, 이 가운데 절반은 국비로 충당할 계획이라고 설명했다.",
    "노선은 그대로 유지되지만 배차 간격은 출퇴근 시간에 한해 12분에서 9분으로 줄어들 전망이다.",
    "시 관계자는 “소음과 매연이 줄어 생활 환경이 나아질 것”이라며 “충전 시간도 조정하겠다”고 말했다.",
]
ENGLISH = [
    "The harbour town of Eastmere will replace its three diesel ferries with electric boats by spring, the council "
    "said on Monday.",
    "Each boat carries two hundred passengers, charges in forty minutes at the pier, and costs about nine million "
    "pounds, according to the plan.",
    "Residents had complained for years about noise and fumes near the old quay, and a petition gathered six thousand "
    "names last autumn.",
    "The council expects fares to stay the same, because electricity is cheaper than fuel; the first boat is due in "
    "March.",
]
KOREAN_PAGE = f"""<!doctype html><html lang="ko"><head><title>가온시, 순환버스 전기차로 바꾼다 - 가온일보</title>
<meta property="og:title" content="가온시, 순환버스 전기차로 바꾼다"><meta property="og:site_name" content="가온일보">
<meta property="article:published_time" content="2031-02-03T09:10:00+09:00">
<link rel="canonical" href="https://gaon.example/news/1"></head><body>
<header><ul class="menu"><li><a href="/p">정치</a></li><li><a href="/e">경제</a></li></ul></header>
<div id="container"><h1>가온시, 순환버스 전기차로 바꾼다</h1><div class="info">입력 2031.02.03. 오전 9:10</div>
<div class="article_view">
<p>[가온일보 나다라 기자] {PARAGRAPHS[0]}</p>
<figure><img src="b.jpg"><figcaption>가온시 순환버스. (사진=가온시)</figcaption></figure>
<p>가온시 차고지에 선 순환버스 모습. [사진 = 가온시 제공]</p>
<h3>차고지 세 곳에 충전기</h3>
<p>{PARAGRAPHS[1]}</p><div class="ad_box">광고 문구가 여기에 길게 들어갑니다. 지금 바로 확인하세요.</div>
<p>{PARAGRAPHS[2]}</p><blockquote>{PARAGRAPHS[3]}</blockquote>
<ul><li>전기버스 40대</li><li>급속 충전기 12기</li></ul>
<p>나다라 기자 nadara@gaon.example</p>
<p>저작권자 ⓒ 가온일보, 무단 전재 및 재배포 금지</p>
<div class="related_news"><a href="/2">관련 기사 하나의 제목입니다</a></div></div>
<div class="ranking"><h4>많이 본 뉴스</h4><ol><li><a href="/3">오늘의 인기 기사 첫 번째 제목</a></li></ol></div>
<div class="comments"><p>저는 정말 좋은 정책이라고 생각했습니다. 다른 시도 따라 하면 좋겠습니다.</p></div>
</div><footer>대표전화 000-0000 | 회사소개</footer></body></html>"""


@pytest.fixture(scope="module")
def rules() -> ChromeRules:
    return ChromeRules.from_rulebook(load_rulebook())


def english_page(head: str = "", body: str = "") -> str:
    paragraphs = "".join(f"<p>{p}</p>" for p in ENGLISH)
    article = f"<nav>Home News Sport</nav><div class='x'>{paragraphs}</div>"
    return f"<html><head>{head}</head><body>{article}{body}</body></html>"


def test_korean_page_gives_the_article_and_nothing_else(rules: ChromeRules) -> None:
    page = extract_page(KOREAN_PAGE, rules)
    assert page.text.split("\n") == [
        PARAGRAPHS[0],
        "차고지 세 곳에 충전기",
        PARAGRAPHS[1],
        PARAGRAPHS[2],
        PARAGRAPHS[3],
        "전기버스 40대",
        "급속 충전기 12기",
    ]


def test_korean_page_gives_what_it_says_about_the_article(rules: ChromeRules) -> None:
    page = extract_page(KOREAN_PAGE, rules)
    assert page.title == "가온시, 순환버스 전기차로 바꾼다"
    assert (page.source, page.author) == ("가온일보", "나다라")
    assert page.published == "2031-02-03T09:10:00+09:00"
    assert (page.language, page.canonical_url) == ("ko", "https://gaon.example/news/1")


def test_english_page_without_known_classes(rules: ChromeRules) -> None:
    comments = (
        "<div class='comments'>" + "<p>I think that this is a splendid idea, and overdue as well.</p>" * 3 + "</div>"
    )
    page = extract_page(english_page(body=comments), rules)
    assert page.text.split("\n") == ENGLISH


def test_body_broken_by_line_breaks(rules: ChromeRules) -> None:
    markup = f"<body><div id='menu'><a>홈</a></div><div class='v'>{'<br><br>'.join(PARAGRAPHS)}</div></body>"
    assert extract_page(markup, rules).text.split("\n") == PARAGRAPHS


def test_sibling_blocks_of_one_class_are_one_article(rules: ChromeRules) -> None:
    blocks = "<div class='ad'>Buy now</div>".join(f"<div class='part'><p>{p}</p></div>" for p in ENGLISH)
    page = extract_page(f"<body><section>{blocks}</section></body>", rules)
    assert page.text.split("\n") == ENGLISH


def test_linked_data_is_read_with_its_common_mistakes(rules: ChromeRules) -> None:
    data = (
        '{"@graph":[{"@type":["NewsArticle"],"headline":"Eastmere buys\n electric boats",'
        '"author":[{"name":"A. Writer"},{"name":"B. Writer"}],"publisher":{"name":"Eastmere Post"},'
        '"datePublished":"2031-05-06T07:08:09Z","inLanguage":"en-GB"}]}'
    )
    page = extract_page(english_page(f'<script type="application/ld+json">{data}</script>'), rules)
    assert page.title == "Eastmere buys electric boats"
    assert (page.author, page.source) == ("A. Writer, B. Writer", "Eastmere Post")
    assert (page.published, page.language) == ("2031-05-06T07:08:09Z", "en-GB")


def test_linked_data_body_counts_where_the_page_shows_none(rules: ChromeRules) -> None:
    data = json.dumps({"@type": "NewsArticle", "articleBody": "\n".join(ENGLISH)})
    page = extract_page(f'<script type="application/ld+json">{data}</script><div>Loading</div>', rules)
    assert page.text.split("\n") == ENGLISH


def test_body_in_next_data(rules: ChromeRules) -> None:
    data = json.dumps({"props": {"article": {"content": "".join(f"<p>{p}</p>" for p in PARAGRAPHS)}}})
    page = extract_page(
        f'<div id="__next"></div><script id="__NEXT_DATA__" type="application/json">{data}</script>', rules
    )
    assert page.text.split("\n") == PARAGRAPHS


def test_body_in_next_flight_rows(rules: ChromeRules) -> None:
    body = "".join(f"<p>{p}</p>" for p in PARAGRAPHS)
    payload = f'0:["$","div",null,{{}}]\n1a:T{len(body.encode()):x},{body}2b:["$","p",null,{{}}]\n'
    half = len(payload) // 2
    scripts = "".join(
        f"<script>self.__next_f.push({json.dumps([1, part])})</script>" for part in (payload[:half], payload[half:])
    )
    assert extract_page(f"<div>Loading</div>{scripts}", rules).text.split("\n") == PARAGRAPHS


def test_body_in_next_rendered_elements(rules: ChromeRules) -> None:
    elements = [["$", "p", None, {"children": p}] for p in ENGLISH]
    push = json.dumps([1, "3:" + json.dumps(elements) + "\n"])
    assert extract_page(f"<script>self.__next_f.push({push})</script>", rules).text.split("\n") == ENGLISH


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title>Ferries go electric | Eastmere Post</title>", "", "Ferries go electric"),
        ("<title>Ferries go electric</title>", "<h1>Eastmere Post</h1>", "Ferries go electric"),
        ("<title>Ferries go electric - News - Post</title>", "<h1>Ferries go electric</h1>", "Ferries go electric"),
        ('<meta property="og:title" content="Ferries &amp;amp; fares">', "", "Ferries & fares"),
        (
            '<meta property="og:title" content="Ferries - a plan - Post"><meta property="og:site_name" content="Post">',
            "",
            "Ferries - a plan",
        ),
        ("", "", ""),
    ],
)
def test_title(rules: ChromeRules, head: str, body: str, title: str) -> None:
    assert extract_page(english_page(head, body), rules).title == title


def test_text_is_nfc_and_its_white_space_collapsed(rules: ChromeRules) -> None:
    composed = "한강의 다리는 모두 서른한 개이며, 그 가운데 네 개는 철도만 다닌다고 한다."
    markup = f"<p>{unicodedata.normalize('NFD', composed)}\n\t <b> 정말</b>\u00a0그렇다. </p>" * 2
    assert extract_page(markup, rules).text.split("\n")[0] == f"{composed} 정말 그렇다."


def test_looks_like_html() -> None:
    assert looks_like_html("  <!DOCTYPE html>\n<html>")
    assert looks_like_html("<p>one</p>")
    assert looks_like_html("text<br>text<br/>text<br />text")
    assert not looks_like_html("a < b and c > d")
    assert not looks_like_html("< 저작권자 ⓒ 가온일보, 무단 전재 및 재배포 금지 >")
    assert not looks_like_html("기자가 <p> 태그를 설명했다.")
    assert not looks_like_html("plain text")


LINKS = "<li><a href='/x'>A link of some length to another story</a></li>" * 15_000
HOSTILE = {
    "unclosed": "<p><b><i>" * 3_000 + ENGLISH[0],
    "huge attribute": f'<div class="{"related " * 100_000}"><p>{ENGLISH[0]}</p></div>',
    "nul": f"<p>{ENGLISH[0]}\0</p>" * 3,
    "surrogates": f"<p>\ud800{ENGLISH[0]}\udfff</p>" * 3,
    "deep linked data": f'<script type="application/ld+json">{"[" * 200_000}</script><p>{ENGLISH[0]}</p>',
    "deep objects": '<script type="application/ld+json">' + '{"articleBody":' * 50_000 + "</script>",
    "wide linked data": '<script type="application/ld+json">[' + "{}," * 200_000 + "{}]</script>",
    "flight rows": '<script>self.__next_f.push([1,"' + "a:Tffffff," * 50_000 + '"])</script>',
    "only brackets": "<" * 500_000,
    "comments": "<!--" * 200_000,
    "one line": "<p>" + "다. " * 200_000,
    "empty": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_give_a_page(rules: ChromeRules, name: str) -> None:
    page = extract_page(HOSTILE[name], rules)
    assert "\0" not in page.text
    page.text.encode("utf-8")
    assert page == extract_page(HOSTILE[name], rules)


def test_page_of_links_is_no_article(rules: ChromeRules) -> None:
    assert extract_page(f"<body><ul>{LINKS}</ul></body>", rules).text == ""
    assert extract_page("<a href='/x'>A link to a story</a>" * 60_000, rules).text == ""


@pytest.mark.parametrize(
    "markup",
    [
        "<div>" * 100_000,
        "<select>" + "<option>" * 50_000,
        "<p>x" * 150_000,
        "<div " + " ".join(f"a{i}" for i in range(50_000)) + ">",
        "<div a='>' " + "b " * 50_000 + ">",
        "".join(f"<b a{i}>" for i in range(4_000)) + "<p>x" * 4_000,
    ],
    ids=["nesting", "options", "nodes", "attributes", "attributes after a quoted bracket", "formatting"],
)
def test_what_costs_too_much_is_refused(rules: ChromeRules, markup: str) -> None:
    with pytest.raises(Refused) as refused:
        extract_page(markup, rules)
    assert refused.value.reason is Reason.TOO_EXPENSIVE


def test_comparison_in_a_script_is_no_tag(rules: ChromeRules) -> None:
    script = "<script>for(i=0;i<n;" + "a b c " * 500 + ")</script>"
    assert extract_page(english_page(body=script), rules).text.split("\n") == ENGLISH


def test_mistakes_in_the_rules_name_file_and_line() -> None:
    book = load_rulebook()
    file = book.file("chrome.toml")
    assert isinstance(file, RuleFile)
    for change, message in (
        ({"html": {**file.data["html"], "junk_words": ["("]}}, "junk_words"),
        ({"html": {**file.data["html"], "skip_tags": []}}, "skip_tags"),
        ({"plain": None}, r"\[plain\]"),
    ):
        broken = replace(file, data={**file.data, **change})
        with pytest.raises(ConfigError, match=rf"chrome\.toml:\d+: .*{message}"):
            ChromeRules.from_rulebook(Rulebook({"chrome.toml": broken}, "x"))
