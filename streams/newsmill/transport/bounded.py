"""What a bounded run (a replay) may read, and the order that its records carry from stage to stage."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

__all__ = ["ORDER_HEADER", "Bounds", "Pace", "order_of", "time_of_order"]

# Every record that a replay writes says where the raw record that it comes from stands in the order of arrival.
ORDER_HEADER: Final = "newsmill-order"
_TIME_DIGITS: Final = 13  # milliseconds up to the year 2286; partition and offset as wide as Kafka's own numbers


class Bounds(BaseModel):
    """The part of the past that one process of a bounded run works on.

    The stage ``first`` reads ``topic`` (its full name) up to the offsets ``ends`` (partition → offset), and of that
    the records with a Kafka time from ``since_ms`` to before ``until_ms``; it passes over others. What comes of records
    before ``emit_ms`` goes to internal topics only: it warms the state of later stages up. ``rates`` are records a
    second that a stage may take in this process; a stage that is not named goes as fast as it can.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    first: str
    topic: str
    ends: dict[int, int]
    since_ms: int
    until_ms: int
    emit_ms: int
    rates: dict[str, float] = {}


def order_of(raw: Any) -> bytes:
    """Where a record's raw record stands: by Kafka time, then partition, then offset; sorts as bytes."""
    for name, value in raw.headers:
        if name == ORDER_HEADER and value is not None:
            return bytes(value)
    return b"%013d-%010d-%019d" % (max(0, raw.timestamp), raw.partition, raw.offset)


def time_of_order(order: bytes) -> int:
    """The Kafka time of the raw record, in milliseconds."""
    return int(order[:_TIME_DIGITS])


class Pace:
    """Holds a stage to so many records a second, over all partitions of its process."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._due = 0.0

    @property
    def most(self) -> int:
        """Records that may be taken at once: those of a fifth of a second."""
        return max(1, int(self.rate / 5))

    async def wait(self, records: int) -> None:
        """Note that so many records were taken; return when the next may be."""
        now = asyncio.get_running_loop().time()
        self._due = max(now, self._due) + records / self.rate
        await asyncio.sleep(self._due - now)
