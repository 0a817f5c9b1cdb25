"""Log lines: plain on a terminal, one JSON object a line elsewhere; the same complaint at most a few times a minute.

No article text is logged. At level debug every stage tells what became of each article, by its id.
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from newsmill.settings import Settings

__all__ = ["configure_logs"]

# a line that repeats is shown so often in a minute; the rest are counted and the count is shown with the next one
_REPEATS_A_MINUTE = 5
# the libraries below tell of every retry: in an outage of 40 s one worker wrote 2,750 lines (measured)
_LIBRARIES = ("aiokafka", "faust", "mode", "asyncio", "newsmill.transport.consumer")  # the last logs as Faust does
# what a line may carry beside its message (``extra=``), as fields of their own in JSON
_FIELDS = ("stage", "article", "outcome", "topic", "partition", "offset")

# a fresh broker makes its offsets topic when the first group asks for it; the client asks again
_STARTING = "[Error 15] GroupCoordinatorNotAvailableError"


class _RateLimit(logging.Filter):
    """Lets a complaint, or any line of a library, pass a few times a minute; alike: same logger, same format."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        own = record.name.startswith("newsmill.") and record.name not in _LIBRARIES
        if own and record.levelno < logging.WARNING:
            return True
        if record.name.startswith("aiokafka") and _STARTING in record.getMessage():
            return False
        key = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        began, count = self._seen.get(key, (now, 0))
        if now - began > 60:
            if count > _REPEATS_A_MINUTE:
                record.msg = f"{record.msg} (and {count - _REPEATS_A_MINUTE} more like it)"
            began, count = now, 0
        self._seen[key] = (began, count + 1)
        if len(self._seen) > 1000:
            self._seen.clear()
        return count < _REPEATS_A_MINUTE


class _Json(logging.Formatter):
    def __init__(self, **fixed: Any) -> None:
        super().__init__()
        self._fixed = fixed

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._fixed,
            **{name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure_logs(settings: Settings, process: str) -> None:
    """Log to standard error; ``process`` names this process in every line."""
    plain = settings.log_format == "plain" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    if plain:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {process} %(levelname)s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(_Json(process=process))
    handler.addFilter(_RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(level if settings.log_level == "debug" else logging.ERROR)
