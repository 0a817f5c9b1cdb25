"""summarize: at most three real sentences of the text, in its order, none a caption or a bare quotation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.summary import summarize

KOREAN = """[서울=한결통신] 홍길동 기자 = 누리조선이 자율 운항 선박 세 척을 한꺼번에 수주했다.
▲ 누리조선 울산 조선소 전경. (사진=누리조선 제공)
이번 수주로 누리조선의 자율 운항 선박 수주 잔고는 모두 아홉 척으로 늘었다.
"우리는 준비돼 있다."
날씨는 하루 종일 맑았고 조선소 앞 식당에는 손님이 많았다.
누리조선은 내년 상반기에 자율 운항 선박 시험 항해를 시작한다고 밝혔다.
무단전재 및 재배포 금지.
"""
ENGLISH = """Harbour Robotics will open a second plant for warehouse robots next spring.
Photo: Harbour Robotics
The plant will build four hundred warehouse robots a month, twice what the first one makes.
"We are thrilled."
But nobody knows what the weather will be like on that day in the valley.
Harbour Robotics said the second plant would employ about ninety people in the first year.
"""


def test_korean() -> None:
    summary = summarize("누리조선, 자율 운항 선박 세 척 수주", KOREAN, "ko")
    assert summary[0] == "누리조선이 자율 운항 선박 세 척을 한꺼번에 수주했다."
    assert len(summary) == 3
    assert "누리조선은 내년 상반기에 자율 운항 선박 시험 항해를 시작한다고 밝혔다." in summary


def test_english() -> None:
    summary = summarize("Harbour Robotics to open second plant", ENGLISH, "en")
    assert [sentence.split()[0] for sentence in summary] == ["Harbour", "The", "Harbour"]


def test_no_caption_quotation_or_notice() -> None:
    for summary in (summarize(None, KOREAN, "ko"), summarize(None, ENGLISH, "und")):
        for sentence in summary:
            assert "사진" not in sentence
            assert "Photo" not in sentence
            assert "무단" not in sentence
            assert not sentence.startswith('"')


def test_no_sentence_twice() -> None:
    text = "가람시는 새 도서관을 내달 개관한다고 밝혔다.\n가람시는 새 도서관을 내달에 개관한다고 어제 밝혔다.\n"
    text += "도서관은 주말에도 문을 연다고 시는 설명했다."
    assert len(summarize(None, text, "ko")) == 2


def test_over_long_sentences_are_left_out() -> None:
    long = "아주 " * 120 + "길다."
    text = f"{long}\n시는 새 다리를 오는 가을에 열기로 했다."
    assert summarize(None, text, "ko") == ["시는 새 다리를 오는 가을에 열기로 했다."]


def test_text_without_sentences_gives_its_first_piece() -> None:
    assert summarize(None, "짧은 알림", "ko") == ["짧은 알림"]
    assert len(summarize(None, "낱말 " * 500, "ko")[0]) <= 200
    assert summarize("제목", "", "ko") == []
    assert summarize("제목", " \n ", "ko") == []


@given(st.text(alphabet='가나다라 .\n"“”!?abc[]=사진기자', max_size=200))
def test_always_pieces_of_the_text_in_order(text: str) -> None:
    summary = summarize("가나", text, "ko")
    assert len(summary) <= 3
    place = 0
    for sentence in summary:
        place = text.index(sentence, place) + len(sentence)


def test_bounded_on_a_large_text() -> None:
    assert len(summarize(None, "시는 새 다리를 오는 가을에 열기로 했다. " * 50_000, "ko")) == 1
