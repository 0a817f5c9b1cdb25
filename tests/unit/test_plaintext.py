"""core/plaintext.py and core/bylines.py: invented scraped pages, Korean and English, and bounds on hostile text."""

from __future__ import annotations

import unicodedata

import pytest

from newsmill.core.bylines import read_credits, strip_byline
from newsmill.core.chrome import ChromeRules
from newsmill.core.plaintext import MAX_LINES, clean_plain
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import Reason, Refused

BODY = [
    "새솔전자가 내년 상반기 가온시에 반도체 패키징 공장을 짓는다고 12일 밝혔다. 투자 규모는 1조2000억원이다.",
    "회사는 공장이 완공되면 지역에서 900명을 채용할 예정이며, 협력사까지 더하면 고용 효과는 2000명이라고 내다봤다.",
    "업계에서는 이번 투자가 늘어나는 인공지능 서버 수요에 대응하려는 것으로 보고 있다. 경쟁사도 증설에 나섰다.",
    "가온시는 용수와 전력을 공급하기 위해 별도의 전담 조직을 꾸리고, 인허가 절차를 6개월 안에 마무리하기로 했다.",
]
HEADLINE = "새솔전자, 가온시에 1조2000억 공장 짓는다…2년간 900명 채용"
PORTAL = f"""본문 바로가기
뉴스
경제
맑음 / 12.3 °
가온경제 언론사 이미지

{HEADLINE}

가온경제 나다라
원문보기
입력 2031.04.10. 오후 3:12
[가온경제 나다라 기자] {BODY[0]}

가온시 산업단지 전경. (사진=가온시)

가온시 산업단지 전경. (사진=가온시)

◇ 고용 효과 2000명

{BODY[1]}

{BODY[2]}
▶ 가온경제 채널 구독하고 소식 받기
{BODY[3]}

나다라 기자 nadara@gaon.example
< 저작권자 ⓒ 가온경제, 무단 전재 및 재배포 금지 >
관련 기사
1올해 수출 사상 최대 기록 전망
2주말 전국에 비 소식
많이 본 뉴스
실시간
파워링크
광고
댓글 12
정말 기대되는 소식입니다. 우리 지역에도 이런 공장이 들어왔으면 좋겠다고 생각합니다. 응원합니다.
AD
"""
ENGLISH = [
    "The regional airline Northwing said on Tuesday that it would buy twelve hydrogen aircraft, the largest order "
    "of its kind so far.",
    "Deliveries begin in four years, and the first routes will connect small islands where runways are short and fuel "
    "is dear.",
    "Analysts said that the price, about 400 million dollars, was lower than expected, because the maker needs a first "
    "customer.",
]


@pytest.fixture(scope="module")
def rules() -> ChromeRules:
    return ChromeRules.from_rulebook(load_rulebook())


def test_portal_page_gives_the_article_and_nothing_else(rules: ChromeRules) -> None:
    plain = clean_plain(PORTAL, rules)
    assert plain.text.split("\n") == [BODY[0], "◇ 고용 효과 2000명", *BODY[1:]]


def test_portal_page_gives_headline_author_publisher_and_time(rules: ChromeRules) -> None:
    plain = clean_plain(PORTAL, rules)
    assert plain[1:] == (HEADLINE, "나다라", "가온경제", "2031.04.10. 오후 3:12")


def test_decomposed_text_gives_the_same(rules: ChromeRules) -> None:
    assert clean_plain(unicodedata.normalize("NFD", PORTAL), rules) == clean_plain(PORTAL, rules)


def test_windows_line_ends_and_invisible_characters_change_nothing(rules: ChromeRules) -> None:
    disguised = "\ufeff" + PORTAL.replace("\n", "\r\n").replace("공장", "공\u200b장").replace(" ", "\u00a0")
    assert clean_plain(disguised, rules) == clean_plain(PORTAL, rules)


def test_digest_survives_the_labels_of_links_between_its_items(rules: ChromeRules) -> None:
    notice = (
        "* 편집자 주: 이 브리핑은 가온경제가 매일 아침 독자에게 보내는 소식지로, 하루의 주요 기사를 간추려 전합니다."
    )
    items = [
        line for number, body in enumerate(BODY, 1) for line in (f"{number}. 간추린 소식의 제목", f"- 요약: {body}")
    ]
    labelled = [line for item in items for line in ((item, "관련기사") if item.startswith("-") else (item,))]
    page = [notice, *BODY[:2], "[오늘의 관심 뉴스]", *labelled, "< 저작권자 ⓒ 가온경제, 무단 전재 및 재배포 금지 >"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == [*BODY[:2], "[오늘의 관심 뉴스]", *items]


def test_english_page(rules: ChromeRules) -> None:
    above = ["Menu", "Log in", "Search", "Northwing orders twelve hydrogen planes", "By Alex Example"]
    below = [
        "Related stories",
        "Rail fares to rise",
        "Most read",
        "Comments (3)",
        "Copyright 2031 Island Courier. All rights",
    ]
    caption = "A hydrogen aircraft at an air show. (Photo: Northwing)"
    page = "\n".join([*above, "Published: 3 May 2031", ENGLISH[0], caption, *ENGLISH[1:], *below])
    plain = clean_plain(page, rules)
    assert plain.text.split("\n") == ENGLISH
    assert plain[1:] == ("Northwing orders twelve hydrogen planes", "Alex Example", "Island Courier", "3 May 2031")


def test_comments_are_cut_though_they_are_prose(rules: ChromeRules) -> None:
    comments = [
        "I flew with them once, and the seats were far too narrow for a person of ordinary size, I must say."
    ] * 1
    comments += [
        f"Number {i}: hydrogen is a fine idea, but who will pay for the pipes and the tanks, I wonder?"
        for i in range(3)
    ]
    plain = clean_plain("\n".join(["Home", "Menu", *ENGLISH, "4 comments", *comments]), rules)
    assert plain.text.split("\n") == ENGLISH


def test_long_list_of_comments_is_cut_below_a_short_article(rules: ChromeRules) -> None:
    comments = [
        line
        for n in range(12)
        for line in (
            f"Mina Example {n} on 3 May 2031 at 9:0{n % 10} am said:",
            f"Number {n}: hydrogen is a fine idea, but who will pay for the pipes and the tanks, and for how long?",
            "And who will tell the islanders that their old aeroplanes must go before the new ones have come to stay?",
        )
    ]
    page = ["Home", "Menu", *ENGLISH[:1], "12 Comments", *comments, "Contact us"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == ENGLISH[:1]


def test_long_list_of_korean_comments_is_cut(rules: ChromeRules) -> None:
    comments = [
        line
        for n in range(9)
        for line in (
            f"독자{n}",
            f"{n + 1}시간 전",
            f"{BODY[0][:-2]}는 말이 {n}번째로 맞는지 다시 살펴봐야 합니다.",
            "답글 2",
            "신고",
        )
    ]
    page = ["홈", "로그인", BODY[0], "댓글 9개", *comments, "회사소개"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == BODY[:1]


def test_counter_of_comments_above_the_article_does_not_end_it(rules: ChromeRules) -> None:
    notice = (
        "Prices are delayed by a quarter of an hour. This page may not be published or copied without leave. "
        "© 2031 Island Courier. All rights reserved."
    )
    deck = "The airline wants the first of them within four years."
    page = ["Menu", "Log in", notice, "Northwing orders planes", deck, "Share", "8 Comments", *ENGLISH, "Contact us"]
    assert clean_plain("\n".join(page), rules).text.split("\n")[-3:] == ENGLISH


def test_teasers_of_other_articles_are_no_part_of_this_one(rules: ChromeRules) -> None:
    teasers = [
        line
        for n in range(8)
        for line in (
            f"Harbour {n}",
            f"What The Keeper Of Lighthouse {n} Told His Daughter",
            f"The light has burned for {n + 90} years, and the keeper says that nobody ever asked him about it.",
        )
    ]
    page = ["Menu", "Log in", *ENGLISH, "Island life", *teasers, "Search", "Privacy policy"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == ENGLISH


def test_article_goes_on_after_a_table(rules: ChromeRules) -> None:
    table = [cell for n in range(6) for cell in (f"Route {n}", f"{n * 7 + 31} km")]
    later = [line.replace("the", f"this {n}") for n, line in enumerate(ENGLISH * 2)]
    page = ["Menu", "Log in", *ENGLISH, *table, *later, "Most read", "Ferries to be cheaper"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == [*ENGLISH, *table, *later]


def test_ranking_of_korean_headlines_is_no_prose(rules: ChromeRules) -> None:
    ranking = [f"{n} 강변 자전거길 끊긴 다리 {n + 1}달 만에 다시 이어진다" for n in range(1, 6)]
    page = ["홈", "로그인", BODY[0], *ranking, "저작권자 ⓒ 가온경제"]
    assert clean_plain("\n".join(page), rules).text.split("\n") == BODY[:1]


@pytest.mark.parametrize("body", [BODY, ENGLISH], ids=["ko", "en"])
def test_clean_article_loses_nothing(rules: ChromeRules, body: list[str]) -> None:
    text = "\n".join([*body, "- 항목 하나", "Short last line"])
    assert clean_plain(text, rules).text == text


def test_first_line_without_chrome_is_the_title_and_stays(rules: ChromeRules) -> None:
    plain = clean_plain("\n".join([HEADLINE, "", *BODY]), rules)
    assert plain.title == HEADLINE
    assert plain.text.split("\n") == [HEADLINE, *BODY]


def test_no_headline_no_title(rules: ChromeRules) -> None:
    assert clean_plain("\n".join(BODY), rules).title == ""


def test_known_title_leaves_the_text(rules: ChromeRules) -> None:
    plain = clean_plain("\n".join([HEADLINE, *BODY]), rules, title=HEADLINE.replace("…", " … "))
    assert plain.text.split("\n") == BODY
    assert plain.title == HEADLINE.replace("…", " … ")


def test_flash_of_one_line_is_kept(rules: ChromeRules) -> None:
    assert clean_plain("[속보] 새솔전자, 가온시에 공장 건설", rules).text == "[속보] 새솔전자, 가온시에 공장 건설"


def test_triangles_are_captions_when_few_and_a_list_when_many(rules: ChromeRules) -> None:
    items = ["▲ 공장 부지 매입", "▲ 인허가 절차 단축", "▲ 용수와 전력 공급"]
    assert clean_plain("\n".join([BODY[0], *items, BODY[1]]), rules).text.split("\n") == [BODY[0], *items, BODY[1]]
    assert clean_plain("\n".join([BODY[0], items[0], BODY[1]]), rules).text.split("\n") == BODY[:2]


def test_paragraphs_broken_at_a_fixed_width_are_joined(rules: ChromeRules) -> None:
    words = " ".join(ENGLISH).split()
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) >= 72:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    assert clean_plain("\n".join([*lines, line]), rules).text == " ".join(words)


@pytest.mark.parametrize(
    ("line", "author", "source"),
    [
        ("[가온경제 나다라 기자] ", "나다라", "가온경제"),
        ("(서울=가온통신) 나다라 기자 = ", "나다라", "가온통신"),
        ("[가온 트리뷴 = 나다라 기자] ", "나다라", "가온 트리뷴"),
        ("【가온=새솔뉴스】나다라 기자 = ", "나다라", "새솔뉴스"),
        ("나다라 특파원 = ", "나다라", ""),
    ],
)
def test_bylines_before_the_text(line: str, author: str, source: str) -> None:
    assert strip_byline(line + BODY[0]) == BODY[0]
    assert read_credits([line + BODY[0]])[:2] == (author, source)


def test_byline_after_the_text() -> None:
    assert strip_byline(BODY[0] + " 나다라 기자 nadara@gaon.example") == BODY[0]
    assert strip_byline(BODY[0] + " nadara@gaon.example") == BODY[0]


@pytest.mark.parametrize(
    "line",
    [
        "저작권자 ⓒ 가온경제, 무단 전재 및 재배포 금지",
        "<저작권자© 가온경제 무단전재 및 재배포금지>",
        "Copyright ⓒ 2031 가온경제. All rights reserved.",
        "© 2029-2031 가온경제, Inc.",
    ],
)
def test_copyright_line_names_the_publisher(line: str) -> None:
    assert read_credits([line]).source == "가온경제"


@pytest.mark.parametrize("line", ["기사입력 2031-04-10 15:12", "등록 : 2031-04-10 15:12", "2031-04-10 15:12"])
def test_time_lines(line: str) -> None:
    assert read_credits([line]).published == "2031-04-10 15:12"


def test_label_in_brackets_is_no_byline() -> None:
    assert read_credits(["[오늘의 관심 뉴스]"]) == ("", "", "")
    assert strip_byline("[오늘의 관심 뉴스]") == "[오늘의 관심 뉴스]"


HOSTILE = {
    "one line": "x" * 1_000_000,
    "dots": "." * 1_000_000,
    "addresses": "a@" * 500_000,
    "brackets": "[뉴스" * 200_000,
    "captions": ("(사진=가" * 50 + "\n") * 2_000,
    "notices": ("copyright " * 10 + "\n") * 5_000,
    "nul and surrogates": "\0\ud800" + BODY[0] + "\udfff",
    "marks": "a" + "\u0301" * 300_000,
    "blank": "\n \t" * 300_000,
    "empty": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts(rules: ChromeRules, name: str) -> None:
    plain = clean_plain(HOSTILE[name], rules)
    plain.text.encode("utf-8")
    assert "\0" not in plain.text
    assert plain == clean_plain(HOSTILE[name], rules)


def test_too_many_lines_are_refused(rules: ChromeRules) -> None:
    with pytest.raises(Refused) as refused:
        clean_plain("a\n" * (MAX_LINES + 1), rules)
    assert refused.value.reason is Reason.TOO_EXPENSIVE
