"""What a bounded run (a replay) may read, and the order that its records carry from stage to stage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

__all__ = ["ORDER_HEADER", "Bounds", "Pace", "arrival_of", "order_of", "time_of_order"]

# Every record that a replay writes says where the raw record that it comes from stands in the order of arrival.
ORDER_HEADER: Final = "newsmill-order"
_LOOK_SECONDS: Final = 0.2  # a rebalance waits no longer for a stage that is held back; it may wait 3 s in all
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


def arrival_of(raw: Any) -> bytes:
    """Where a raw record stands, whatever its headers say: by Kafka time, then partition, then offset; sorts as bytes.

    Its headers are its producer's: a record of a replay that somebody copied to news.raw has an order of its own there.
    """
    return b"%013d-%010d-%019d" % (max(0, raw.timestamp), raw.partition, raw.offset)


def order_of(record: Any) -> bytes:
    """Where the raw record stands that a record of a replay comes from."""
    for name, value in record.headers:
        if name == ORDER_HEADER and value is not None:
            return bytes(value)
    return arrival_of(record)


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

    async def wait(self, records: int, given_up: Callable[[], bool]) -> None:
        """Note that so many records were taken; return when the next may be, or soon after they are given up."""
        loop = asyncio.get_running_loop()
        due = self._due = max(loop.time(), self._due) + records / self.rate
        while not given_up() and (left := due - loop.time()) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
