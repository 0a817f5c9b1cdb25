"""is_digest: briefings are, ordinary articles with subheads, lists or tags are not."""

from __future__ import annotations

import pytest

from newsmill.core.digest import is_digest

PARAGRAPH = (
    "시는 오는 가을까지 강변 공원을 넓히고 자전거 길을 놓는 계획을 내놓았으며 예산은 의회가 다음 달 심의한다고 밝혔다."
)
LONG = "The council wants to widen the riverside park by autumn and to add a cycle path, and debates the money in May."

BRIEFING = "\n".join(
    ["■ 반도체 기업의 위기", PARAGRAPH, "■ 협업 기술의 확산", PARAGRAPH, "■ 투자 확대", PARAGRAPH, "[대표 관심 뉴스]"]
    + [line for n in range(1, 6) for line in (f"{n}. 가람전자, {n}번째 공장 짓는다", f"- 핵심 요약: {PARAGRAPH}")]
    + ["[키워드 TOP 5]", "공장, 투자"]
)
CUT_OFF = "\n".join(BRIEFING.split("\n")[:9])  # the cleaner may have taken the end for a list of related articles
HEADLINES = "\n".join(line for n in range(1, 7) for line in (f"{n}. Town {n} opens a new library", LONG))
SECTIONS = "\n".join(
    ["[정치 뉴스]", PARAGRAPH, "[경제 뉴스]", PARAGRAPH]
    + [line for head in ("① 첫 소식은 공원", "② 둘째 소식은 다리", "③ 셋째 소식은 항만") for line in (head, PARAGRAPH)]
)

SUBHEADS = "\n".join(
    [PARAGRAPH, "◇ 공원은 누구의 것인가", PARAGRAPH, "◇ 남은 과제", PARAGRAPH, "◇ 주민의 목소리", PARAGRAPH]
)
LISTICLE = "\n".join(
    [PARAGRAPH, "1. 신분증을 챙긴다.", PARAGRAPH, "2. 서류를 낸다.", PARAGRAPH, "3. 기다린다.", PARAGRAPH]
)
TAGGED = "[단독] 시, 공원 넓힌다\n" + PARAGRAPH + "\n[사진=시청 제공]\n" + PARAGRAPH


@pytest.mark.parametrize(
    ("title", "text"),
    [
        (None, BRIEFING),
        ("맞춤형 경제 브리핑", BRIEFING),
        ("Morning briefing: six things to know", HEADLINES),
        (None, SECTIONS),
        (None, CUT_OFF),
    ],
)
def test_digests(title: str | None, text: str) -> None:
    assert is_digest(title, text)


@pytest.mark.parametrize(
    ("title", "text"),
    [
        (None, ""),
        ("시, 공원 넓힌다", PARAGRAPH),
        ("시, 공원 넓힌다", SUBHEADS),
        ("여권 만드는 법", LISTICLE),
        ("[단독] 시, 공원 넓힌다", TAGGED),
        ("대변인 브리핑에서 밝힌 공원 계획", SUBHEADS),
        ("Council briefing on the park", LONG + "\n" + LONG),
    ],
)
def test_articles(title: str | None, text: str) -> None:
    assert not is_digest(title, text)


def test_bounded_on_a_large_text() -> None:
    assert not is_digest(None, "1. " * 400_000)
    assert not is_digest(None, "\n" * 1_000_000)
    assert not is_digest(None, ("[" * 50 + "\n") * 20_000)
