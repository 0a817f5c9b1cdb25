"""A written time in any of the forms that news carries → milliseconds since the epoch, and back to ISO 8601 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from newsmill.core.folding import fold
from newsmill.errors import ConfigError

__all__ = ["EARLIEST_MS", "FUTURE_MS", "format_utc", "is_plausible", "parse_time", "zone"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last that datetime can write

EARLIEST_MS = 631_152_000_000
"""1990-01-01T00:00:00Z: an article dated before it carries a placeholder, not a date."""
FUTURE_MS = 48 * 3600 * 1000
"""An article may be dated this long after its record: zones written wrongly and embargoes, but no other year."""

_MAX_LENGTH = 120  # longer strings are prose, not times
_LONGEST_ISO = 40  # YYYY-MM-DDTHH:MM:SS.ffffffffff+HH:MM is 36

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august"),
            *("sep sept september", "oct october", "nov november", "dec december"),
        ),
        1,
    )
    for name in names.split()
}
# RFC 2822 section 4.3 defines the American ones; the others are what news pages write.
_ZONE_NAMES: dict[str, tzinfo | str] = {
    "z": UTC,
    "ut": UTC,
    "utc": UTC,
    "gmt": UTC,
    "kst": timezone(timedelta(hours=9)),
    "jst": timezone(timedelta(hours=9)),
    "hkt": timezone(timedelta(hours=8)),
    "sgt": timezone(timedelta(hours=8)),
    "cet": timezone(timedelta(hours=1)),
    "cest": timezone(timedelta(hours=2)),
    "bst": timezone(timedelta(hours=1)),
    "est": timezone(timedelta(hours=-5)),
    "edt": timezone(timedelta(hours=-4)),
    "cst": timezone(timedelta(hours=-6)),
    "cdt": timezone(timedelta(hours=-5)),
    "mst": timezone(timedelta(hours=-7)),
    "mdt": timezone(timedelta(hours=-6)),
    "pst": timezone(timedelta(hours=-8)),
    "pdt": timezone(timedelta(hours=-7)),
    "et": "America/New_York",
    "ct": "America/Chicago",
    "mt": "America/Denver",
    "pt": "America/Los_Angeles",
}

_DATE = re.compile(
    r"""(?<![\d.])(?:
        (?P<year>\d{4})\ ?(?:[-./]|년)\ ?(?P<month>\d{1,2})\ ?(?:[-./]|월)\ ?(?P<day>\d{1,2})(?!\d)\ ?[.일]?
      | (?P<packed>(?:19|20)\d{6})(?=T?\d{4}(?:\d\d)?(?!\d)|(?!\d))
      | (?P<day2>\d{1,2})(?:st|nd|rd|th)?[\ -](?P<name2>[a-z]{3,9})\.?,?[\ -](?P<year2>\d{4})(?!\d)
    )
  | (?<![a-z])(?P<name3>[a-z]{3,9})\.?\ (?P<day3>\d{1,2})(?:st|nd|rd|th)?,?\ (?P<year3>\d{4})(?!\d)
    """,
    re.VERBOSE,
)
_CLOCK = re.compile(
    r"""[\ ,|]*(?:\(?[월화수목금토일](?:요일)?\)?)?[\ ,|]*t?(?:at\ )?
    (?P<before>오전|오후|am|pm)?\ ?
    (?:(?P<hour>\d{1,2})\ ?(?::|시)(?:\ ?(?P<minute>\d{1,2})\ ?(?:분|(?!\d)))?
        (?:[:\ ]?\ ?(?P<second>\d{1,2})(?:초|(?=[.,]\d)|(?![\d:]))(?:[.,](?P<fraction>\d{1,9}))?)?
      | (?P<digits>\d{4}(?:\d\d)?)(?!\d))
    \ ?(?P<after>오전|오후|[ap]\.?m\b\.?)?
    \ ?\(?(?P<zone>[+-]\d{2}:?\d{2}|[+-]\d{2}(?!\d)|(?:utc|gmt)[+-]\d{1,2}(?::?\d{2})?|[a-z]{1,4}(?![a-z]))?
    """,
    re.VERBOSE,
)
_OFFSET = re.compile(r"(?:utc|gmt)?([+-])(\d{1,2}):?(\d{2})?$")


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name; `ConfigError` if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"{name!r} is no IANA time zone (an example: Asia/Seoul)") from error


def parse_time(value: object, default_zone: str) -> int | None:
    """Milliseconds since the epoch of a time as news writes it; None for what cannot be read.

    Reads ISO 8601, RFC 2822, Korean ("2025.04.10. 오전 11:25", "2025년 4월 10일 14시 5분", with a label like 입력 in
    front), English ("April 10, 2025 2:05 pm ET") and Unix seconds or milliseconds. The first time in the string
    counts. A time without an offset is one of ``default_zone`` (an IANA name); a date alone is its midnight.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    if not isinstance(value, str) or not 6 <= len(value) <= _MAX_LENGTH:
        return None
    if len(value) > _LONGEST_ISO:
        return _parse_written(fold(value).lower(), default_zone)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return _parse_written(fold(value).lower(), default_zone)
    return _to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone(default_zone)))


def is_plausible(ms: int, record_ms: int) -> bool:
    """Whether an article of a record with Kafka time ``record_ms`` can have been published at ``ms``."""
    return EARLIEST_MS <= ms <= record_ms + FUTURE_MS


def format_utc(ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC: 2026-01-02T03:04:05.678Z, without a fraction of zero."""
    ms = min(max(ms, -62_135_596_800_000), _LATEST_MS)
    seconds, fraction = divmod(ms, 1000)
    written = _written(seconds)
    return f"{written}.{fraction:03d}Z" if fraction else f"{written}Z"


@lru_cache(maxsize=4096)
def _written(seconds: int) -> str:
    # a stream's times lie close together: many records share a second
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _from_number(value: float) -> int | None:
    # Unix time by its size: seconds up to the year 2286, milliseconds from 1973; NaN and infinities compare false.
    if 100_000_000 <= value < 10_000_000_000:
        return int(value * 1000)
    if 100_000_000_000 <= value < 10_000_000_000_000:
        return int(value)
    return None


def _to_ms(moment: datetime) -> int | None:
    try:
        return (moment - _EPOCH) // _MILLISECOND
    except OverflowError:  # the years 1 and 9999 with an offset
        return None


def _parse_written(text: str, default_zone: str) -> int | None:
    date = _DATE.search(text)
    if date is None:
        return None
    found = date.groupdict()
    month: str | int
    if found["packed"]:
        year, month, day = found["packed"][:4], found["packed"][4:6], found["packed"][6:]
    elif found["year"]:
        year, month, day = found["year"], found["month"], found["day"]
    else:
        name = found["name2"] or found["name3"]
        month = _MONTHS.get(name, 0)
        year, day = found["year2"] or found["year3"], found["day2"] or found["day3"]
    try:
        moment = datetime(int(year), int(month), int(day))
    except ValueError:
        return None
    where: tzinfo = zone(default_zone)
    clock = _CLOCK.match(text, date.end())
    if clock is not None:
        since = _since_midnight(clock)
        if since is None:
            return None
        moment += since
        if clock["zone"]:
            named = _zone_of(clock["zone"], where)
            if named is None:
                return None
            where = named
    return _to_ms(moment.replace(tzinfo=where))


def _since_midnight(clock: re.Match[str]) -> timedelta | None:
    if clock["digits"]:
        digits = clock["digits"]
        hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:] or 0)
    else:
        hour, minute, second = int(clock["hour"]), int(clock["minute"] or 0), int(clock["second"] or 0)
    half = (clock["before"] or clock["after"] or "").replace(".", "")
    if half in ("오후", "pm") and hour < 12:
        hour += 12
    elif half in ("오전", "am") and hour == 12:
        hour = 0
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    fraction = int((clock["fraction"] or "").ljust(3, "0")[:3])
    return timedelta(hours=hour, minutes=minute, seconds=second, milliseconds=fraction)


def _zone_of(written: str, default: tzinfo) -> tzinfo | None:
    """The zone of a name or an offset; the default for a word that names none, None for an impossible offset."""
    named = _ZONE_NAMES.get(written)
    if named is not None:
        return zone(named) if isinstance(named, str) else named
    offset = _OFFSET.match(written)
    if offset is None:
        return default
    hours, minutes = int(offset[2]), int(offset[3] or 0)
    if hours > 15 or minutes > 59:
        return None
    sign = -1 if offset[1] == "-" else 1
    return timezone(sign * timedelta(hours=hours, minutes=minutes))
