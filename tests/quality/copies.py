"""Articles → a stream of them with copies as the web makes them, and with look-alikes that are no copies; seeded.

Eight kinds of copy: the same (exact), under another title (retitled), its beginning only (trimmed to 45-70 %), among
menus, rankings and footers (chrome), as a page (html), with every twentieth word edited (edited), with its sentences
in another order (reordered), with another agency's dateline, byline and footer (syndicated). Beside them the wire's
growing reports (flash, bulletin, full); hard combinations, of which every copy shares at least half of its original's
text: every tenth word edited (edited-10), trimmed and then among chrome or in a page (trimmed-chrome, trimmed-html),
texts of two sentences among chrome or in a page (short-chrome, short-html); and what must not be linked: one template
with other numbers, short flashes that share words, other reports of an event. Every sentence here is invented.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "COPY_KINDS",
    "HARD_KINDS",
    "SHORT_KINDS",
    "Item",
    "growing_reports",
    "look_alikes",
    "stream_of_copies",
    "stream_of_hard_copies",
]

COPY_KINDS = ("exact", "retitled", "trimmed", "chrome", "html", "edited", "reordered", "syndicated")
HARD_KINDS = ("edited-10", "trimmed-chrome", "trimmed-html")
SHORT_KINDS = ("short-chrome", "short-html")


class Item(NamedTuple):
    """One article of the stream. Items of one ``group`` belong together; ``body`` is as scraped."""

    group: int
    kind: str
    title: str
    body: str
    markup: bool
    korean: bool


_SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")

_MENUS = (
    ("홈", "정치", "경제", "사회", "국제", "문화", "스포츠", "연예", "전체메뉴", "로그인", "회원가입", "구독신청"),
    ("뉴스홈", "속보", "오피니언", "부동산", "증권", "산업", "IT과학", "지역", "포토", "영상", "기사제보", "검색"),
    (
        "Home",
        "World",
        "Business",
        "Markets",
        "Technology",
        "Sport",
        "Weather",
        "Subscribe",
        "Sign in",
        "Menu",
        "Search",
    ),
    ("Latest", "Politics", "Culture", "Opinion", "Video", "Podcasts", "Newsletters", "My account", "Help", "Log out"),
)
_RANKINGS = (
    "많이 본 뉴스",
    "1 새벽 시장에 나온 첫 햇감자, 상인들은 값부터 물었다",
    "2 강변 자전거길 끊긴 다리 두 달 만에 다시 이어진다",
    "3 늦더위에 문 닫는 야외 수영장, 이용객은 되레 늘어",
    "Most read",
    "1 The lighthouse keeper who never learned to swim",
    "2 Five bridges that closed for a day and why it mattered",
    "3 What bakers say about the price of butter this autumn",
)
_FOOTERS = (
    "저작권자 ⓒ 한빛누리신문 무단 전재 및 재배포 금지",
    "제보는 카카오톡 한빛누리, 전자우편 desk@hanbit.example",
    "Copyright Northfield Courier. All rights reserved. Reproduction without permission is not allowed.",
    "Follow us for more stories like this one every morning",
)
_BYLINES_KO = (
    "(새벽=누리통신) 가온 기자 = ",
    "[한빛누리신문 다솜 기자] ",
    "한울방송 나래 기자입니다. ",
)
_BYLINES_EN = ("NORTHFIELD (Harbour Wire) - ", "By our staff in Eastmoor. ", "EASTMOOR, Tuesday (Plain News) -- ")
_TAILS_KO = ("가온 기자 gaon@nuri.example", "이 기사는 누리통신 제휴로 싣습니다.", "사진 제공 누리통신")
_TAILS_EN = ("Reporting by the Harbour Wire; editing by the night desk", "This story was supplied by the Harbour Wire.")
_TITLES_KO = ("다시 보는 오늘의 소식", "현장에서 전해 온 이야기", "무엇이 달라졌나 살펴보니", "관계자들 반응 엇갈려")
_TITLES_EN = (
    "What we know so far",
    "Questions remain after the decision",
    "Mixed response to the news",
    "A closer look",
)
_FILLERS_KO = ("한편", "실제로", "당초", "최근", "다만", "이른바", "특히", "결국", "현재", "대체로")
_FILLERS_EN = (
    "meanwhile",
    "however",
    "recently",
    "indeed",
    "largely",
    "reportedly",
    "still",
    "again",
    "mostly",
    "also",
)


def sentences(text: str) -> list[str]:
    """The sentences of a text, roughly."""
    return [s.strip() for s in _SENTENCE.split(text) if s and s.strip()]


def _chrome(rng: random.Random) -> tuple[list[str], list[str]]:
    menu = list(rng.choice(_MENUS))
    head = menu[: rng.randint(6, len(menu))]
    tail = [*rng.sample(_RANKINGS, rng.randint(3, 6)), *rng.sample(_FOOTERS, 2)]
    return head, tail


def _edited(words: list[str], rng: random.Random, korean: bool, share: float = 0.05) -> list[str]:
    fillers = _FILLERS_KO if korean else _FILLERS_EN
    out = []
    for word in words:
        if rng.random() >= share:
            out.append(word)
            continue
        match rng.randrange(3):
            case 0:
                out.append(rng.choice(fillers))
            case 1:
                out.extend((rng.choice(fillers), word))
            case _:
                pass
    return out


def make_copy(kind: str, title: str, text: str, korean: bool, rng: random.Random) -> tuple[str, str, bool]:
    """Title, body as scraped and whether it is markup, for one kind of copy."""
    other = rng.choice(_TITLES_KO if korean else _TITLES_EN)
    match kind:
        case "exact":
            return title, text, False
        case "retitled":
            return other, text, False
        case "trimmed":
            parts = sentences(text)
            goal = rng.uniform(0.45, 0.7) * len(text)
            kept: list[str] = []
            while parts and (not kept or sum(map(len, kept)) + len(parts[0]) / 2 < goal):
                kept.append(parts.pop(0))
            return title, " ".join(kept), False
        case "chrome":
            head, tail = _chrome(rng)
            return title, "\n".join([*head, title, text, *tail]), False
        case "html":
            head, tail = _chrome(rng)
            body = "".join(f"<p>{html.escape(s)}</p>\n" for s in text.split("\n") if s.strip())
            menu = "".join(f'<li><a href="/{i}">{html.escape(m)}</a></li>' for i, m in enumerate(head))
            list_ = "".join(f"<li><a href='/r/{i}'>{html.escape(m)}</a></li>" for i, m in enumerate(tail))
            page = (
                f"<!doctype html><html><head><title>{html.escape(title)}</title><script>var a=1;</script></head><body>"
                f"<nav><ul>{menu}</ul></nav><main><article><h1>{html.escape(title)}</h1>\n{body}</article></main>"
                f"<aside><ul>{list_}</ul></aside><footer>{html.escape(tail[-1])}</footer></body></html>"
            )
            return title, page, True
        case "edited":
            return title, "\n".join(" ".join(_edited(p.split(), rng, korean)) for p in text.split("\n")), False
        case "reordered":
            parts = sentences(text)
            cut = rng.randint(1, max(1, len(parts) - 1))
            moved = parts[cut:] + parts[:cut]
            if len(moved) > 3:
                i = rng.randrange(len(moved) - 1)
                moved[i], moved[i + 1] = moved[i + 1], moved[i]
            return title, " ".join(moved), False
        case "syndicated":
            before = rng.choice(_BYLINES_KO if korean else _BYLINES_EN)
            after = rng.choice(_TAILS_KO if korean else _TAILS_EN)
            return rng.choice((title, other)), f"{before}{text}\n{after}", False
        case "edited-10":
            return title, "\n".join(" ".join(_edited(p.split(), rng, korean, 0.1)) for p in text.split("\n")), False
        case "trimmed-chrome" | "trimmed-html":
            trimmed = make_copy("trimmed", title, text, korean, rng)[1]
            return make_copy(kind.removeprefix("trimmed-"), title, trimmed, korean, rng)
        case "short-chrome" | "short-html":
            return make_copy(kind.removeprefix("short-"), title, text, korean, rng)
        case _:
            raise ValueError(kind)


def stream_of_copies(
    articles: Sequence[tuple[str, bool]], originals: int, seed: int, kinds: Sequence[str] = COPY_KINDS
) -> list[Item]:
    """Shuffled: every article once, and for ``originals`` of them two to four copies of different kinds.

    ``articles`` are (text, Korean?); their group is their position.
    """
    rng = random.Random(seed)
    items = []
    copied = set(rng.sample(range(len(articles)), min(originals, len(articles))))
    for group, (text, korean) in enumerate(articles):
        title = sentences(text)[0][:80]
        items.append(Item(group, "original", title, text, False, korean))
        if group in copied:
            for kind in rng.sample(list(kinds), rng.randint(2, min(4, len(kinds)))):
                other_title, body, markup = make_copy(kind, title, text, korean, rng)
                items.append(Item(group, kind, other_title, body, markup, korean))
    rng.shuffle(items)
    return items


def stream_of_hard_copies(articles: Sequence[tuple[str, bool]], originals: int, seed: int) -> list[Item]:
    """Shuffled: every article once; ``originals`` of them with two hard copies, as many others cut to two sentences,
    with one copy among chrome and one in a page."""
    rng = random.Random(seed)
    items = []
    chosen = rng.sample(range(len(articles)), min(2 * originals, len(articles)))
    hard, short = set(chosen[::2]), set(chosen[1::2])
    for group, (whole, korean) in enumerate(articles):
        text, kinds = whole, rng.sample(HARD_KINDS, 2) if group in hard else []
        if group in short:
            text, kinds = " ".join(sentences(whole)[:2]), list(SHORT_KINDS)
        title = sentences(text)[0][:80]
        if group in short:
            title = rng.choice(_TITLES_KO if korean else _TITLES_EN)
        items.append(Item(group, "original", title, text, False, korean))
        for kind in kinds:
            other_title, body, markup = make_copy(kind, title, text, korean, rng)
            items.append(Item(group, kind, other_title, body, markup, korean))
    rng.shuffle(items)
    return items


def growing_reports(articles: Sequence[tuple[str, bool]], count: int, seed: int) -> list[list[Item]]:
    """For ``count`` articles of at least ten sentences the wire's way: flash (one sentence), bulletin (a "
    "quarter), full."""
    rng = random.Random(seed)
    long = [(g, t, k) for g, (t, k) in enumerate(articles) if len(sentences(t)) >= 10]
    out = []
    for group, text, korean in rng.sample(long, min(count, len(long))):
        parts = sentences(text)
        bulletin = parts[: max(3, len(parts) // 4)]
        title = parts[0][:60]
        out.append(
            [
                Item(group, "flash", f"[속보] {title}" if korean else f"BREAKING: {title}", parts[0], False, korean),
                Item(group, "bulletin", title, " ".join(bulletin), False, korean),
                Item(group, "full", title, " ".join(parts), False, korean),
            ]
        )
    return out


_TEMPLATES = (
    "{city} 아파트 매매가격은 이번 주 {a}.{b}% 올라 {c}주 연속 상승했다. 전세가격은 {d}.{e}% 올랐고 "
    "거래량은 {f}건으로 지난주보다 {g}건 "
    "늘었다. 중개업소들은 매물이 {h}건 안팎으로 줄었다고 전했다. 단지별로는 {i}㎡형이 {j}억 {k}000만 원에 "
    "팔렸다. 조사 기관은 다음 "
    "발표를 {l}일에 한다고 밝혔다. 전문가들은 금리와 입주 물량이 당분간 시장의 방향을 정할 것으로 내다봤다.",
    "{city} 지수는 전 거래일보다 {a}.{b}포인트 오른 {c}{d}.{e}에 거래를 마쳤다. 외국인은 {f}억 원을 "
    "사들였고 기관은 {g}억 원을 팔았다. "
    "개인은 {h}억 원어치를 샀다. 업종별로는 화학이 {i}.{j}% 올랐고 통신은 {k}.{l}% 내렸다. 환율은 달러당 "
    "{f}.{e}원으로 마감했다. "
    "증권사들은 이번 주 발표될 물가 지표를 지켜봐야 한다고 조언했다.",
    "{city}은 오늘 대체로 맑고 아침 최저기온 {a}도, 낮 최고기온 {c}도로 예상된다. 강수 확률은 오전 {d}%, "
    "오후 {e}%이다. 바람은 초속 "
    "{f}m로 불고 물결은 {g}m 안팎이다. 미세먼지 농도는 {h}로 보통 수준을 보이겠다. 해는 {i}시 {j}분에 "
    "뜨고 {k}시 {l}분에 진다. "
    "기상 당국은 밤사이 안개가 끼는 곳이 있으니 운전에 조심하라고 당부했다.",
    "Shares in {city} closed {a}.{b} points higher at {c}{d}.{e} on Tuesday. Foreign buyers took a net "
    "{f} million, while "
    "funds sold {g} million. Turnover reached {h} billion. Chemicals gained {i}.{j} per cent and telecoms "
    "lost {k}.{l} per "
    "cent. The currency ended the day at {f}.{e} to the dollar. Brokers said that traders were waiting "
    "for the price data "
    "which are due later in the week.",
    "{city} sold {a} new homes in the month, up {b} per cent on the year, the association of builders "
    "said. The average "
    "price rose {c} per cent to {d},{e}00. Permits came to {f}, and {g} sites were under way. Rents went "
    "up by {h}.{i} per "
    "cent. Stocks of unsold homes fell to {j},{k}50. The association will publish its next figures on day "
    "{l} of the month "
    "and said that demand for smaller homes was holding up well.",
)
_CITIES = (
    "가람시",
    "나루시",
    "다온시",
    "라온시",
    "마루시",
    "Northfield",
    "Eastmoor",
    "Westhaven",
    "Southbridge",
    "Midvale",
)
_FLASHES = (
    "{city} 시장, 예산안 재의 요구",
    "{city} 시장, 예산안 수용 뜻 밝혀",
    "{city}서 규모 {a} 지진 발생",
    "{city} 앞바다서 규모 {a}.{b} 지진",
    "{city} 공장서 불, 인명 피해 없어",
    "{city} council rejects the budget",
    "{city} council approves the budget after a long night",
    "Earthquake of magnitude {a}.{b} near {city}",
    "Fire at a plant in {city}, nobody hurt",
)
# Two reports of one event by two newsrooms: the same facts and numbers in other words.
_EVENTS = (
    (
        "가람시의회가 12일 밤 본회의를 열고 버스 요금을 300원 올리는 조례를 통과시켰다. 찬성 21표, 반대 14표였다. "
        "시민단체는 회의장 밖에서 촛불을 들고 반대했다. 의장은 적자가 더 쌓이면 노선을 줄일 수밖에 없다고 설명했다.",
        "가람시의 버스 요금이 300원 오른다. 12일 밤 열린 본회의에서 21대 14로 관련 조례가 가결됐다. 회의장 앞에는 "
        "인상에 반대하는 시민들이 모여 촛불을 밝혔다. 적자 때문에 노선 감축까지 검토했다는 것이 의장의 말이다.",
    ),
    (
        "나루전자가 3분기 영업이익 4,210억 원을 거뒀다고 27일 공시했다. 지난해 같은 기간보다 18% 늘었다. 매출은 3조 "
        "6,500억 원이다. 회사는 가전 수요가 살아난 데다 환율이 도움을 줬다고 밝혔다.",
        "27일 공시된 나루전자의 3분기 성적표는 시장의 예상을 웃돌았다. 매출 3조 6,500억 원에 영업이익은 "
        "4,210억 원으로, "
        "1년 전보다 18% 많다. 가전이 잘 팔렸고 환율 효과도 있었다는 것이 회사의 설명이다.",
    ),
    (
        "다온항 부두에 정박한 화물선에서 5일 새벽 2시쯤 불이 나 4시간 만에 꺼졌다. 선원 17명은 모두 대피했다. 해경은 "
        "기관실에서 연기가 먼저 났다는 진술을 토대로 원인을 조사하고 있다.",
        "5일 새벽 다온항에서 화물선 화재가 일어났다. 타고 있던 17명은 무사히 빠져나왔고, 불길은 4시간 "
        "뒤인 오전 6시에야 "
        "잡혔다. 처음 연기가 피어오른 곳은 기관실로 알려졌다. 해경이 경위를 살피고 있다.",
    ),
    (
        "The council of Eastmoor voted by 21 to 14 late on Tuesday to raise bus fares by 30 cents. Campaigners held a "
        "vigil with candles outside. The speaker argued that routes would have to be cut if losses went on growing.",
        "Bus passengers in Eastmoor will pay 30 cents more after councillors backed a fare rise on Tuesday night, 21 "
        "votes to 14. Opponents lit candles at the doors. Without the money, the speaker warned, lines would close.",
    ),
    (
        "Harbour Mills reported a quarterly profit of 42.1 million on sales of 365 million. That is 18 per cent more "
        "than a year earlier. The maker of flour and pasta pointed to better harvests and to lower costs of freight.",
        "Good harvests and cheaper shipping lifted Harbour Mills in the quarter: sales came to 365 "
        "million and profit to "
        "42.1 million, up 18 per cent on the year, the pasta maker told its shareholders.",
    ),
    (
        "A cargo ship caught fire at the docks of Westhaven at about 2 am on Friday. All 17 of the crew "
        "got off safely. "
        "It took firefighters 4 hours to put the flames out. Smoke was first seen in the engine room, officials said.",
        "Seventeen sailors escaped unhurt when flames broke out aboard a freighter in Westhaven early on Friday. Crews "
        "fought the blaze for 4 hours. Investigators are looking at the engine room, where the smoke began.",
    ),
)


def _filled(template: str, rng: random.Random) -> str:
    letters = {letter: str(rng.randint(2, 97)) for letter in "abcdefghijkl"}
    return template.format(city=rng.choice(_CITIES), **letters)


def look_alikes(count: int, seed: int) -> list[Item]:
    """What must stay alone, each a group of its own: ``count`` templates and flashes, all different, and the events."""
    rng = random.Random(seed)
    bodies: list[tuple[str, str]] = [("event", report) for event in _EVENTS for report in event]
    seen: set[str] = set()
    for kind, templates in (("template", _TEMPLATES), ("flash", _FLASHES)):
        made = 0
        while made < count:
            body = _filled(templates[made % len(templates)], rng)
            if body in seen:
                body += f" ({rng.randint(2, 999)})"
            if body not in seen:
                seen.add(body)
                bodies.append((kind, body))
                made += 1
    rng.shuffle(bodies)
    return [
        Item(1_000_000 + n, kind, body[:30], body, False, not body.isascii()) for n, (kind, body) in enumerate(bodies)
    ]
