"""The prepare stage: nothing readable is lost, nothing unreadable passes, and every choice says where it comes from."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.decoding import MAX_BODY, MAX_VALUE
from newsmill.core.fingerprint import unpack
from newsmill.core.folding import content_hash
from newsmill.core.identity import article_id, article_id_without_url
from newsmill.core.prepare import PREPARE_VERSION, Prepare, PrepareRules, prepare_article
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record, Result
from newsmill.errors import ConfigError, Reason, Refused
from newsmill.events import Outcome, Prepared, Provenance, RawArticle

RECORD_MS = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
RULEBOOK = load_rulebook()
RULES = PrepareRules.from_rulebook(RULEBOOK, "Asia/Seoul")
STAGE = Prepare(Context("live", "1.2.3", "Asia/Seoul", {}), RULEBOOK)

KOREAN = (
    "가상시는 2일 강을 건너는 새 다리를 열었다고 밝혔다. 공사는 3년이 걸렸고 1,200억 원이 들었다.\n"
    "다리의 길이는 1.2㎞이며 하루 4만 대가 지날 것으로 시는 내다봤다. 개통식에는 주민 500여 명이 모였다."
)
ENGLISH = (
    "The harbour city opened a new bridge over the river on Friday. It took three years to build.\n"
    "Officials expect forty thousand cars a day. About five hundred residents came to the ceremony."
)


def record(value: Any, timestamp: int = RECORD_MS) -> Record:
    encoded = value if isinstance(value, bytes | None) else orjson.dumps(value)
    return Record("news.raw.v1", 2, 7, timestamp, b"k", encoded, ())


def run(value: Any, timestamp: int = RECORD_MS) -> Prepared:
    result = STAGE(record(value, timestamp), None)
    assert result.outcome is Outcome.OK
    (output,) = result.outputs
    assert output.value is not None
    return Prepared.model_validate_json(output.value)


def prepare(**fields: Any) -> Prepared:
    return run({"url": "https://www.example.com/a", "body": ENGLISH} | fields)


def refusal(value: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        STAGE(record(value), None)
    return caught.value


def test_a_whole_article() -> None:
    raw = {
        "url": "http://m.press.example.kr/view?b=2&utm_source=x&a=1#top",
        "title": "가상시, 새 다리 &quot;개통&quot;",
        "source": "가상일보",
        "author": "홍길동",
        "body": KOREAN,
        "language": "ko-KR",
        "published_at": "2026-01-02T10:00:00+09:00",
        "fetched_at": "2026-01-02T03:00:00Z",
        "extra": {"feed": "한글", "n": [1, 2.5, None]},
        "unknown": True,
    }
    result: Result = STAGE(record(raw), None)
    (output,) = result.outputs
    assert output.value is not None
    prepared = Prepared.model_validate_json(output.value)
    article = prepared.article
    assert article.canonical_url == "https://press.example.kr/view?a=1&b=2"
    assert article.id == article_id(article.canonical_url)
    assert (output.to, output.type, output.key) == ("prepared", "prepared", article.id.encode())
    assert (output.id, output.subject) == (f"{article.id}-{RECORD_MS}", article.id)
    assert (output.time_ms, result.raw_time_ms) == (RECORD_MS, RECORD_MS)
    assert (article.version, article.ingested_at) == (RECORD_MS, "2026-01-02T03:04:05.678Z")
    assert (article.published_at, article.published_at_source) == ("2026-01-02T01:00:00Z", "article")
    assert prepared.fetched_at == "2026-01-02T03:00:00Z"
    assert (article.title, article.source, article.author) == ('가상시, 새 다리 "개통"', "가상일보", "홍길동")
    assert (article.url, article.language, article.text) == (raw["url"], "ko", KOREAN)
    assert article.content_hash == content_hash(KOREAN)
    assert article.extra == raw["extra"]
    assert (article.updates, article.verdict) == (None, None)
    assert article.provenance == Provenance(
        topic="news.raw.v1", partition=2, offset=7, newsmill_version="1.2.3", run="live"
    )
    assert prepared.prepare_version == PREPARE_VERSION
    assert unpack(prepared.sketch).words > 10
    assert STAGE(record(raw), None) == result  # the same bytes again


def test_identity_without_url() -> None:
    article = run({"title": "새 다리", "source": "가상일보", "body": KOREAN}).article
    assert (article.url, article.canonical_url) == (None, None)
    assert article.id == article_id_without_url("가상일보", "새 다리", article.text)


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, Reason.NO_BODY, "no value"),
        (b"", Reason.NO_BODY, "no value"),
        (b'{"body": "\xff"}', Reason.BAD_UTF8, "byte 10"),
        (b'{"body": "\xed\xa0\xbd"}', Reason.BAD_UTF8, "byte 10"),
        (b'{"body": "x",\n "url" "y"}', Reason.BAD_JSON, "line 2, column 8"),
        (b"{} {}", Reason.BAD_JSON, "column 4"),
        (b'{"body": NaN}', Reason.BAD_JSON, "column"),
        (b"[" * 100_000, Reason.BAD_JSON, "depth"),
        ([], Reason.WRONG_TYPE, "found a list"),
        ("x", Reason.WRONG_TYPE, "found a string"),
        ({"body": 5, "url": "u"}, Reason.WRONG_TYPE, "body: .* found a number"),
        ({"body": "x", "url": ["u"]}, Reason.WRONG_TYPE, "url: .* found a list"),
        ({"body": "x", "url": "u", "title": True}, Reason.WRONG_TYPE, "title: .* found true or false"),
        ({"body": "x", "url": "u", "extra": "e"}, Reason.WRONG_TYPE, "extra: .* found a string"),
        ({"url": "u"}, Reason.NO_BODY, "body is missing"),
        ({"url": "u", "body": None}, Reason.NO_BODY, "body is missing"),
        ({"url": "u", "body": ""}, Reason.NO_BODY, "body is empty"),
        ({"url": "u", "body": " \n\t\u00a0\u3000"}, Reason.NO_BODY, "body is empty"),
        ({"url": "u", "body": "\u200b\ufeff\u0007"}, Reason.NO_BODY, "no visible character"),
        ({"body": "x"}, Reason.NO_IDENTITY, "neither url nor"),
        ({"body": "x", "url": " ", "title": "t", "source": ""}, Reason.NO_IDENTITY, "neither url nor"),
        ({"body": "x" * (MAX_BODY + 1), "url": "u"}, Reason.TOO_LARGE, "body has more than"),
        ({"body": "가" * (MAX_BODY // 3 + 1), "url": "u"}, Reason.TOO_LARGE, "body has more than"),
        (b'{"body":"x"}' + b" " * MAX_VALUE, Reason.TOO_LARGE, "the record has"),
        ({"body": "<p></p><script>var a = 1;</script>", "url": "u"}, Reason.ONLY_MARKUP, "no text is left"),
        ({"body": "<div>&nbsp;</div><div>&#8203;</div>", "url": "u"}, Reason.ONLY_MARKUP, "no text is left"),
    ],
    ids=range(26),
)
def test_refusals(value: Any, reason: Reason, detail: str) -> None:
    refused = refusal(value)
    assert refused.reason is reason
    assert re.search(detail, refused.detail), refused.detail


def test_the_largest_body_passes() -> None:
    line = "가상시는 2일 강을 건너는 새 다리를 열었다고 밝혔다. " * 10 + "\n"
    body = line * (MAX_BODY // len(line.encode()))
    assert prepare(body=body).article.text


def test_deep_extra_is_refused_and_shallow_passed_through() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert refusal({"body": "x", "url": "u", "extra": {"a": deep}}).reason is Reason.TOO_EXPENSIVE
    assert prepare(extra={"a": [[{"b": None}]]}).article.extra == {"a": [[{"b": None}]]}


def test_half_an_emoji_costs_no_article() -> None:
    value = b'{"url": "u", "title": "a\\ud83d", "body": "b \\\\ud83d \\ud83d\\ude00 \\udc00"}'
    article = run(value).article
    assert (article.title, article.text) == ("a\ufffd", "b \\ud83d 😀 \ufffd")


def test_byte_order_mark() -> None:
    assert run(b'\xef\xbb\xbf{"url": "u", "body": "text"}').article.text == "text"


@pytest.mark.parametrize("published", ["2026-01-05", "1989-12-31", "9999-01-01", "soon", 5, [], {"a": 1}, "", None])
def test_a_date_never_costs_an_article(published: Any) -> None:
    article = prepare(published_at=published).article
    assert (article.published_at, article.published_at_source) == ("2026-01-02T03:04:05.678Z", "record")


def test_naive_times_are_of_the_publishers_zone() -> None:
    given = "2026-01-01 12:00"
    assert prepare(published_at=given).article.published_at == "2026-01-01T03:00:00Z"
    bbc = prepare(published_at=given, url="https://www.bbc.com/news/1").article
    assert (bbc.published_at, bbc.source) == ("2026-01-01T12:00:00Z", "BBC")


PAGE = f"""<!doctype html><html lang="en"><head><title>Bridge opens - Example Daily</title>
<meta property="og:title" content="Bridge opens"><meta property="og:site_name" content="Example Daily">
<meta property="article:published_time" content="2026-01-01T08:00:00Z"></head>
<body><nav><a href="/">Home</a></nav><article><h1>Bridge opens</h1>
<p>{ENGLISH.splitlines()[0]}</p><p>{ENGLISH.splitlines()[1]}</p></article>
<footer>Terms and conditions</footer></body></html>"""


def test_a_page_says_what_the_producer_does_not() -> None:
    article = prepare(body=PAGE).article
    assert article.text == ENGLISH
    assert (article.title, article.source, article.language) == ("Bridge opens", "Example Daily", "en")
    assert (article.published_at, article.published_at_source) == ("2026-01-01T08:00:00Z", "page")


def test_the_producer_is_believed_first() -> None:
    article = prepare(body=PAGE, title="Given", source="Given Times", published_at="2026-01-01").article
    assert (article.title, article.source, article.published_at_source) == ("Given", "Given Times", "article")


def test_content_type_decides_before_sniffing() -> None:
    body = "<p>One &amp; two are three, said the mayor on Friday.</p><p>Nobody in the hall objected to it.</p>"
    assert "<p>" in prepare(body=body, content_type="text/plain").article.text
    assert "<p>" not in prepare(body=body).article.text
    assert prepare(body="A &amp; B", content_type="text/html; charset=utf-8").article.text == "A & B"


def test_a_short_page_keeps_its_text() -> None:
    article = prepare(body="<div><b>Flash:</b> the bridge is open</div>", content_type="text/html").article
    assert article.text == "Flash: the bridge is open"


@pytest.mark.parametrize("body", ["(끝)", "ⓒ 가상일보. 무단 전재 및 재배포 금지", "...", "1", "▶ 관련기사", "😀"])
def test_plain_text_is_never_lost(body: str) -> None:
    assert prepare(body=body).article.text == body


def test_the_title_is_not_the_first_line_too() -> None:
    title = "Harbour city “opens” bridge"
    article = prepare(title=title, body=f'Harbour City "opens" bridge\n\n{ENGLISH}').article
    assert (article.title, article.text) == (title, ENGLISH)
    assert prepare(title="x", body="x").article.text == "x"


def test_endless_titles_and_names_are_cut() -> None:
    article = prepare(title="t" * 5_000, author="a" * 5_000, source="s" * 5_000).article
    assert [len(value or "") for value in (article.title, article.author, article.source)] == [1_000, 300, 300]


def test_text_is_nfc_without_control_characters() -> None:
    body = unicodedata.normalize("NFD", KOREAN).replace("2일", "2\x00일\x1b")
    article = prepare(body=body, title=unicodedata.normalize("NFD", "새\t다리\x07")).article
    assert (article.text, article.title) == (KOREAN, "새 다리")


@pytest.mark.parametrize(
    ("fields", "language"),
    [
        ({"body": KOREAN, "language": "en"}, "ko"),
        ({"body": ENGLISH, "language": "ko"}, "en"),
        ({"body": ENGLISH, "language": "en-GB"}, "en"),
        ({"body": ENGLISH}, "en"),
        ({"body": "12 : 3", "language": "ko"}, "ko"),
        ({"body": "12 : 3", "title": "The bridge over the river is open again"}, "en"),
        ({"body": "12 : 3"}, "und"),
        ({"body": "12 : 3", "language": "not a tag"}, "und"),
    ],
)
def test_language(fields: dict[str, Any], language: str) -> None:
    assert prepare(**fields).article.language == language


def test_decisions_name_their_sources() -> None:
    provenance = Provenance(topic="t", partition=0, offset=0, newsmill_version="1")
    raw = RawArticle(body=PAGE, url="https://www.example.com/a", author="A. Writer")
    prepared, decisions = prepare_article(raw, provenance, RECORD_MS, RULES)
    assert prepared.article.text == ENGLISH
    assert decisions == {
        "id": "url",
        "body": "page",
        "title": "page",
        "author": "given",
        "source": "page",
        "published_at": "page",
        "time_zone": "Asia/Seoul",
        "language": "detected",
        "characters": {"body": len(PAGE), "text": len(ENGLISH), "cut": len(PAGE) - len(ENGLISH)},
    }


def test_a_wrong_default_zone_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="Nowhere/City"):
        Prepare(Context("live", "1", "Nowhere/City", {}), RULEBOOK)


@pytest.mark.parametrize("timestamp", [-1, 0, 2**62])
def test_any_record_time_can_be_written(timestamp: int) -> None:
    assert run({"url": "u", "body": "text"}, timestamp).article.version == timestamp


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {"body": st.text(max_size=200) | JSON, "url": st.text(max_size=40) | JSON},
    optional={
        name: st.none() | st.text(max_size=40) | JSON
        for name in ("title", "source", "author", "language", "content_type", "published_at", "fetched_at", "extra")
    },
)


@given(FIELDS | JSON)
def test_any_json_is_prepared_or_refused(value: Any) -> None:
    try:
        article = run(value).article
    except Refused:
        return
    assert article.text
    assert unicodedata.is_normalized("NFC", article.text)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(Refused):
        STAGE(record(value), None)
