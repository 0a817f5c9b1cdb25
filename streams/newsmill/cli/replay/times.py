"""What a person writes for a time or a length of time → milliseconds."""

from __future__ import annotations

import re
from typing import Final

from newsmill.core.times import format_utc, parse_time
from newsmill.errors import ConfigError
from newsmill.replay.plan import LAST_MS

__all__ = ["parse_duration", "parse_moment", "written_moment"]

_UNITS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])")


def parse_moment(flag: str, text: str, default_zone: str) -> int:
    """ISO 8601 (without an offset: in ``default_zone``), "earliest" or "latest" → milliseconds; else `ConfigError`."""
    if text == "earliest":
        return 0
    if text == "latest":
        return LAST_MS
    moment = parse_time(text, default_zone)
    if moment is None or not 0 <= moment < LAST_MS:
        raise ConfigError(
            f"{flag} {text}: no time; write 2026-03-01T09:00 ({default_zone}), 2026-03-01T00:00Z, earliest or latest"
        )
    return moment


def parse_duration(flag: str, text: str) -> int:
    """ "3d", "12h", "90m", "30s" or "0" → milliseconds; else `ConfigError`."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"{flag} {text}: no length of time; write it as 3d, 12h, 90m or 0")
    return round(float(match[1]) * _UNITS[match[2]])


def written_moment(ms: int) -> str:
    """The other way round, in UTC."""
    return "earliest" if ms == 0 else "latest" if ms == LAST_MS else format_utc(ms)
