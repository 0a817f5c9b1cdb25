"""Promotions → news.promote, each written once, in transactions that also hold the count of what was written so far.

Who writes first fences every other promotion of the same replay, and only then reads which promotions live may not have
judged yet: so a call that was killed is finished by the next one, and none is written again while it is under way.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.errors import KafkaError

from newsmill import __version__, kafka
from newsmill.core.times import format_utc
from newsmill.errors import BrokerError, Refused
from newsmill.replay.draining import settled_ends
from newsmill.replay.plan import encode_entry, manifest_topic, read_entries, replay_settings
from newsmill.replay.promotion import Ready
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics
from newsmill.topics import TOPICS
from newsmill.transport.envelope import Envelopes
from newsmill.transport.transaction import Item

__all__ = ["PROMOTE_KEY", "PromotionWriter", "Sent", "open_writer", "write_promotions"]

PROMOTE_KEY: Final = "promote"
"""The manifest's entry of what was promoted so far: ``{"sent": n, "kinds": {kind: n}, "at": time}``."""

_MOST_RECORDS: Final = 500  # in a transaction
_MOST_BYTES: Final = 4 << 20
_SECONDS: Final = 0.5  # a transaction holds no more than the rate allows in so long


@dataclass
class Sent:
    """What became of the promotions of one call: the 16-byte ids written, with the version that each replaces (None:
    live had none); those that an earlier call wrote and live has not judged; how many were left alone, by reason."""

    written: dict[bytes, int | None] = field(default_factory=dict)
    before: dict[bytes, int | None] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def articles(self) -> int:
        """Articles dealt with."""
        return len(self.written) + len(self.before) + sum(self.left.values())


class PromotionWriter:
    """The one writer of a replay's promotions; made by `open_writer`."""

    def __init__(self, producer: Any, settings: Settings, name: str, there: set[bytes], kinds: Counter[str]) -> None:
        self._producer = producer
        self._name = name
        self._there = there
        self._kinds = kinds
        self._manifest = manifest_topic(settings, name)
        topic = TOPICS["promote"]
        self._envelopes = Envelopes("promote", topic, {topic.short: topic}, settings, __version__)

    def has(self, ready: Ready) -> bool:
        """Whether this very promotion is under way to live."""
        return ready.output is not None and ready.output.id.encode() in self._there

    def item(self, ready: Ready) -> Item:
        """The record of a promotion; `Refused` if it is too large for its topic."""
        assert ready.output is not None
        return self._envelopes.output(ready.output)

    async def commit(self, chunk: list[tuple[Ready, Item]]) -> None:
        """Write some promotions and the count of all so far, all or nothing; `BrokerError` unless confirmed."""
        kinds = self._kinds + Counter(ready.kind.value for ready, _ in chunk)
        now = format_utc(int(time.time() * 1000))
        entry = encode_entry({"sent": kinds.total(), "kinds": dict(sorted(kinds.items())), "at": now})
        producer = self._producer
        try:
            await producer.begin_transaction()
            futures = [
                await producer.send(topic, value=value, key=key, partition=0, headers=headers)
                for _, (topic, _, key, value, _, headers) in chunk
            ]
            futures.append(await producer.send(self._manifest, value=entry, key=PROMOTE_KEY.encode(), partition=0))
            await asyncio.gather(*futures)
            await producer.commit_transaction()
        except (KafkaError, TimeoutError) as error:
            raise BrokerError(
                f"a transaction was not confirmed ({type(error).__name__}): {self._kinds.total():,} promotions of "
                f"{self._name} are written; does another call promote it? Call again to go on"
            ) from error
        self._kinds = kinds


@asynccontextmanager
async def open_writer(settings: Settings, name: str, judged: int) -> AsyncIterator[PromotionWriter]:
    """The writer of this replay's promotions; whoever wrote them before can write no more.

    ``judged`` is the offset of news.promote before which live had judged everything when the comparison was made.
    """
    transactional_id = kafka.group_name(replay_settings(settings, name), "promote")
    async with kafka.producer(settings, transactional_id=transactional_id, linger_ms=0) as producer:
        there: set[bytes] = set()
        async with kafka.admin_client(settings) as admin:
            places = (await partitions_of_topics(admin, settings, ["promote"]))["promote"]
        # the open transaction of another replay's promotion would hide what was written behind it
        await settled_ends(settings, sorted({place.topic for place in places}))
        async with kafka.consumer(settings) as client:
            async for _, records in kafka.read_range(client, places):
                for record in records:
                    if record.offset >= judged:
                        there.update(value for header, value in record.headers if header == "ce_id")
        entry = (await read_entries(settings, name)).get(PROMOTE_KEY, {})
        yield PromotionWriter(producer, settings, name, there, Counter(entry.get("kinds", {})))


async def write_promotions(writer: PromotionWriter, ready: Iterator[Ready], rate: float) -> AsyncIterator[Sent]:
    """Write what is not there yet, at most ``rate`` articles a second; yields what was done, after each transaction."""
    sent = Sent()
    most = max(1, min(_MOST_RECORDS, int(rate * _SECONDS)))
    began = time.monotonic()
    chunk: list[tuple[Ready, Item]] = []
    size = 0

    async def commit() -> None:
        await writer.commit(chunk)
        sent.written.update((one.ident, one.replaces) for one, _ in chunk)
        chunk.clear()
        await asyncio.sleep(max(0.0, began + len(sent.written) / rate - time.monotonic()))  # the rate, no waiting for

    for one in ready:
        if one.output is None:
            sent.left[one.why] += 1
            continue
        if writer.has(one):
            sent.before[one.ident] = one.replaces
            continue
        try:
            item = writer.item(one)
        except Refused as refusal:
            sent.left[refusal.detail] += 1
            continue
        chunk.append((one, item))
        size += len(one.output.value or b"")
        if len(chunk) >= most or size >= _MOST_BYTES:
            await commit()
            size = 0
            yield sent
    if chunk:
        await commit()
    yield sent
