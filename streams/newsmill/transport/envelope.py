"""What a stage decided → the records of its transaction: CloudEvents headers, dead letters, the ledger entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from newsmill.core.stage import Output, Record
from newsmill.core.times import format_utc
from newsmill.errors import Reason, Refused, UnreadableFormat
from newsmill.events import LedgerEntry
from newsmill.settings import Settings
from newsmill.topics import Topic
from newsmill.transport.transaction import Item

__all__ = ["REQUEUE_TIME_HEADER", "STATE_OFFSET_KEY", "Envelopes", "decode_record", "read_state_offset", "state_offset"]

# A requeued dead letter carries the Kafka time of its first arrival here: the raw topic gives every record a new one.
REQUEUE_TIME_HEADER = "newsmill-requeue-time"
STATE_OFFSET_KEY = b"\x00next-offset"
_OFFSET_FORMAT = 1
# headers and framing of one record, at most: an output must leave this much room under its topic's limit
_FRAME_BYTES = 64 << 10
_DETAIL_CHARACTERS = 1000

Headers = list[tuple[str, bytes]]


def decode_record(raw: Any) -> Record:
    """A fetched record as stages see it; one that was requeued has the time of its first arrival."""
    timestamp = raw.timestamp
    if raw.headers:
        for name, value in raw.headers:
            if name == REQUEUE_TIME_HEADER and value is not None and value.isdigit() and len(value) <= 14:
                timestamp = int(value)
    return Record(raw.topic, raw.partition, raw.offset, timestamp, raw.key, raw.value, raw.headers)


def state_offset(next_offset: int) -> bytes:
    """The value of the state topic's offset record."""
    return orjson.dumps({"format": _OFFSET_FORMAT, "offset": next_offset})


def read_state_offset(value: bytes | None) -> int | None:
    """The next input offset that a state topic holds; `UnreadableFormat` if a newer newsmill wrote it."""
    if value is None:
        return None
    data = orjson.loads(value)
    if data["format"] > _OFFSET_FORMAT:
        raise UnreadableFormat(f"the state's offset has format {data['format']}, this newsmill reads {_OFFSET_FORMAT}")
    return int(data["offset"])


class Envelopes:
    """Builds the records that one stage writes."""

    def __init__(
        self, stage: str, source: Topic, topics: Mapping[str, Topic], settings: Settings, version: str
    ) -> None:
        self.stage = stage
        self.source = source.name
        self.prefix = settings.topic_prefix
        self.version = version
        self.names = {short: settings.topic_prefix + topic.name for short, topic in topics.items()}
        self._titles = {short: topic.name for short, topic in topics.items()}
        self._limits = {short: topic.max_bytes - _FRAME_BYTES for short, topic in topics.items()}
        self._fixed: dict[str, Headers] = {}

    def _headers(self, kind: str, identity: str, time_ms: int, subject: str) -> Headers:
        """CloudEvents 1.0, Kafka binary mode."""
        fixed = self._fixed.get(kind)
        if fixed is None:
            fixed = self._fixed[kind] = [
                ("ce_specversion", b"1.0"),
                ("ce_source", f"/newsmill/{self.stage}".encode()),
                ("ce_type", f"newsmill.{kind}.v1".encode()),
                ("content-type", b"application/json"),
            ]
        return [
            *fixed,
            ("ce_id", identity.encode()),
            ("ce_time", format_utc(time_ms).encode()),
            ("ce_subject", subject.encode()),
        ]

    def output(self, output: Output) -> Item:
        """One output of the stage; `Refused` if it is too large for its topic."""
        size = len(output.key) + (len(output.value) if output.value is not None else 0)
        if size > self._limits[output.to]:
            raise Refused(Reason.OUTPUT_TOO_LARGE, f"{output.type} of {size} bytes for {self._titles[output.to]}")
        headers = self._headers(output.type, output.id, output.time_ms, output.subject)
        return self.names[output.to], output.partition, output.key, output.value, output.time_ms, headers

    def dead_letter(self, raw: Any, refusal: Refused) -> Item:
        """The original bytes and key, unchanged, with the reason in headers."""
        headers = [
            (name, value) for name, value in raw.headers if not name.startswith("newsmill-") and value is not None
        ]
        headers += [
            ("newsmill-error", refusal.detail[:_DETAIL_CHARACTERS].encode("utf-8", "replace")),
            ("newsmill-reason", refusal.reason.value.encode()),
            ("newsmill-stage", self.stage.encode()),
            ("newsmill-topic", raw.topic.encode()),
            ("newsmill-partition", str(raw.partition).encode()),
            ("newsmill-offset", str(raw.offset).encode()),
            ("newsmill-version", self.version.encode()),
        ]
        return self.names["deadletter"], None, raw.key, raw.value, decode_record(raw).timestamp, headers

    def ledger(
        self,
        partition: int,
        records: list[Any],
        next_offset: int,
        counts: Mapping[str, int],
        written: Iterable[Item],
        run: str,
    ) -> Item:
        """The account of one transaction."""
        outputs = Counter(item[0].removeprefix(self.prefix) for item in written)
        topic = records[0].topic.removeprefix(self.prefix)
        entry = LedgerEntry(
            stage=self.stage,
            topic=topic,
            partition=partition,
            first_offset=records[0].offset,
            next_offset=next_offset,
            records=len(records),
            counts={str(name): count for name, count in sorted(counts.items())},
            outputs=dict(sorted(outputs.items())),
            run=run,
            newsmill_version=self.version,
        )
        time_ms = records[-1].timestamp
        place = partition if topic == self.source else f"{topic}-{partition}"
        headers = self._headers("ledger", f"{self.stage}-{place}-{records[0].offset}", time_ms, self.stage)
        return self.names["ledger"], 0, self.stage.encode(), entry.model_dump_json().encode(), time_ms, headers
