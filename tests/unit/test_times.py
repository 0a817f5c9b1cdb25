"""Times as news writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.times import EARLIEST_MS, FUTURE_MS, format_utc, is_plausible, parse_time, zone
from newsmill.errors import ConfigError


def read(value: object, zone_name: str = "Asia/Seoul") -> str | None:
    ms = parse_time(value, zone_name)
    return None if ms is None else format_utc(ms)


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        # ISO 8601
        ("2025-04-10T14:05:06.789Z", "2025-04-10T14:05:06.789Z"),
        ("2025-04-10T14:05:06.123456789Z", "2025-04-10T14:05:06.123Z"),
        ("2025-04-10T14:05+09:00", "2025-04-10T05:05:00Z"),
        ("2025-04-10T11:25:00+0900", "2025-04-10T02:25:00Z"),
        ("2025-04-10 14:05", "2025-04-10T05:05:00Z"),
        ("20250410T112500Z", "2025-04-10T11:25:00Z"),
        ("20250410112500", "2025-04-10T02:25:00Z"),
        ("2025-04-10", "2025-04-09T15:00:00Z"),
        # RFC 2822
        ("Thu, 10 Apr 2025 11:25:00 +0900", "2025-04-10T02:25:00Z"),
        ("Thu, 10 Apr 2025 11:25:00 GMT", "2025-04-10T11:25:00Z"),
        ("10 Apr 2025 11:25:00 -0700 (PDT)", "2025-04-10T18:25:00Z"),
        # Korean
        ("2025.04.10. 오전 11:25", "2025-04-10T02:25:00Z"),
        ("2025.04.10. 오후 12:05", "2025-04-10T03:05:00Z"),
        ("2025.04.10. 오전 12:05", "2025-04-09T15:05:00Z"),
        ("2025년 4월 10일 14시 5분", "2025-04-10T05:05:00Z"),
        ("2025년 4월 10일 오후 2시", "2025-04-10T05:00:00Z"),
        ("입력 2025.04.10 11:25 수정 2025.04.11 12:00", "2025-04-10T02:25:00Z"),
        ("승인 : 2025-04-10 14:05:06", "2025-04-10T05:05:06Z"),
        ("2025/04/10 (목) 11:25:30", "2025-04-10T02:25:30Z"),
        ("2025. 4. 10.", "2025-04-09T15:00:00Z"),
        ("２０２５．０４．１０　１１：２５", "2025-04-10T02:25:00Z"),
        ("2025-04-10 24:00", "2025-04-10T15:00:00Z"),
        # English
        ("April 10, 2025 2:05 pm ET", "2025-04-10T18:05:00Z"),
        ("Apr. 10, 2025, 11:25 a.m. EDT", "2025-04-10T15:25:00Z"),
        ("10 April 2025", "2025-04-09T15:00:00Z"),
        ("2025-04-10 14:05 KST", "2025-04-10T05:05:00Z"),
        ("2025-04-10 14:05 UTC+9", "2025-04-10T05:05:00Z"),
        # Unix
        (1744250000, "2025-04-10T01:53:20Z"),
        (1744250000123, "2025-04-10T01:53:20.123Z"),
    ],
)
def test_reads(value: object, utc: str) -> None:
    assert read(value) == utc


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, {}, [], 7, float("nan"), float("inf"), 10**400),
        *("", "yesterday", "2025-13-10", "2025-02-30", "2025-04-10T25:00:00Z", "2025-04-10 14:05:99"),
        *("2025-04-10" + " " * 10_000, "1" * 100, "2025-04-10T14:05:06+99:00", "\ud800" * 9),
    ],
)
def test_what_cannot_be_read_is_none(value: object) -> None:
    assert parse_time(value, "Asia/Seoul") is None


def test_naive_times_are_of_the_zone() -> None:
    assert read("2025-07-10 12:00", "Europe/London") == "2025-07-10T11:00:00Z"
    assert read("2025-07-10 12:00+00:00", "Europe/London") == "2025-07-10T12:00:00Z"


def test_unknown_zone() -> None:
    with pytest.raises(ConfigError, match="Asia/Soul"):
        zone("Asia/Soul")


def test_plausible() -> None:
    record = 1_760_000_000_000
    assert is_plausible(record + FUTURE_MS, record)
    assert not is_plausible(record + FUTURE_MS + 1, record)
    assert is_plausible(EARLIEST_MS, record)
    assert not is_plausible(EARLIEST_MS - 1, record)
    assert read("1990-01-01T00:00:00Z") == format_utc(EARLIEST_MS)


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (1_767_323_045_000, "2026-01-02T03:04:05Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (2**63, "9999-12-31T23:59:59.999Z"),
        (-(2**63), "0001-01-01T00:00:00Z"),
    ],
)
def test_format(ms: int, written: str) -> None:
    assert format_utc(ms) == written


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_round_trip(ms: int) -> None:
    assert parse_time(format_utc(ms), "Asia/Seoul") == ms


@given(st.one_of(st.text(max_size=130), st.text("0123456789-.:/ TZ년월일시분오전후am+,", max_size=60)))
def test_never_raises(text: str) -> None:
    ms = parse_time(text, "America/New_York")
    assert ms is None or format_utc(ms)
