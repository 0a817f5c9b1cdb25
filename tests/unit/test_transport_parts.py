"""The parts of the transport that need no Kafka: partitioner, marker, envelopes."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2

from newsmill.core.stage import Output
from newsmill.errors import Reason, Refused, UnreadableFormat
from newsmill.marker import Marker, Place
from newsmill.settings import Settings
from newsmill.topics import registry
from newsmill.transport.envelope import (
    REQUEUE_TIME_HEADER,
    Envelopes,
    decode_record,
    read_state_offset,
    state_offset,
)
from newsmill.transport.partitioner import hash_keys
from newsmill.transport.transaction import Item, Writer


def _raw(**fields: Any) -> Any:
    values = {"topic": "p.news.raw.v1", "partition": 2, "offset": 40, "timestamp": 1_780_000_000_123, "key": b"k"}
    return SimpleNamespace(**(values | {"value": b"bytes \xff", "headers": ()} | fields))


@pytest.fixture
def envelopes() -> Envelopes:
    settings = Settings(topic_prefix="p.")
    topics = registry(settings=settings)
    return Envelopes("dedupe", topics["prepared"], topics, settings, "1.2.3")


@pytest.mark.parametrize(
    ("key", "murmur2"),  # the vectors of Kafka's own tests of its default partitioner
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_go_where_every_kafka_client_puts_them(key: bytes, murmur2: int) -> None:
    assert hash_keys([key]) == {key: murmur2 & 0x7FFFFFFF}
    # many keys of one length take another way to the same hash
    many = [key] + [bytes([n]) + key[1:] for n in range(200)]
    assert hash_keys(many)[key] == murmur2 & 0x7FFFFFFF


@pytest.mark.parametrize("length", [0, 1, 3, 4, 31, 32, 33, 64])
def test_hashing_together_is_hashing_apart(length: int) -> None:
    rng = random.Random(length)
    keys = [rng.randbytes(length) for _ in range(100)]
    assert hash_keys(keys) == {key: aiokafka_murmur2(key) & 0x7FFFFFFF for key in keys}


def test_partitions_given_and_by_key() -> None:
    writer = Writer.__new__(Writer)
    writer._partitions = {"t": 12, "one": 1}
    items: list[Item] = [
        ("t", None, b"foobar", b"", 0, []),
        ("t", 5, b"foobar", b"", 0, []),
        ("one", None, b"foobar", b"", 0, []),
        ("t", None, None, b"", 0, []),
    ]
    assert writer.partitions_of(items) == [(-790332482 & 0x7FFFFFFF) % 12, 5, 0, 0]


def test_marker_outlives_its_process(tmp_path: Path) -> None:
    path, stages = tmp_path / "marker", ("prepare", "dedupe")
    assert Marker.read(path, stages) is None
    marker = Marker(path, stages)
    assert Marker.read(path, stages) is None
    marker.set(1, 3, 2**40)
    assert Marker.read(path, stages) == Place("dedupe", 3, 2**40)
    marker.clear()
    assert Marker.read(path, stages) is None
    path.write_bytes(b"short")
    assert Marker.read(path, stages) is None


def test_outputs_are_cloud_events(envelopes: Envelopes) -> None:
    output = Output("unique", b"id", b"{}", "article", "id-7", 1_780_000_000_123, "id")
    topic, partition, key, value, time_ms, headers = envelopes.output(output)
    assert (topic, partition, key, value, time_ms) == ("p.news.unique.v1", None, b"id", b"{}", 1_780_000_000_123)
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_source": b"/newsmill/dedupe",
        "ce_type": b"newsmill.article.v1",
        "content-type": b"application/json",
        "ce_id": b"id-7",
        "ce_time": b"2026-05-28T20:26:40.123Z",
        "ce_subject": b"id",
    }
    assert envelopes.output(output) == envelopes.output(output)
    assert envelopes.output(output._replace(value=None))[3] is None, "a tombstone stays one"


def test_an_output_over_its_topics_limit_is_refused(envelopes: Envelopes) -> None:
    fits = Output("unique", b"id", b"x" * (4 * 2**20 - 2**17), "article", "id-7", 0, "id")
    envelopes.output(fits)
    with pytest.raises(Refused) as caught:
        envelopes.output(fits._replace(value=b"x" * (4 * 2**20)))
    assert caught.value.reason is Reason.OUTPUT_TOO_LARGE


def test_dead_letters_keep_bytes_key_and_headers(envelopes: Envelopes) -> None:
    raw = _raw(headers=(("trace", b"1"), ("newsmill-reason", b"forged"), ("null", None)))
    topic, _, key, value, time_ms, headers = envelopes.dead_letter(raw, Refused(Reason.BAD_JSON, "at 3 " + "x" * 5000))
    assert (topic, key, value, time_ms) == ("p.news.deadletter.v1", b"k", b"bytes \xff", raw.timestamp)
    found = dict(headers)
    assert len(found) == len(headers)
    assert len(found.pop("newsmill-error")) == 1000
    assert found == {
        "trace": b"1",
        "newsmill-reason": b"bad_json",
        "newsmill-stage": b"dedupe",
        "newsmill-topic": b"p.news.raw.v1",
        "newsmill-partition": b"2",
        "newsmill-offset": b"40",
        "newsmill-version": b"1.2.3",
    }


def test_the_ledger_counts_what_was_written(envelopes: Envelopes) -> None:
    records = [_raw(offset=40), _raw(offset=44, timestamp=1_780_000_000_999)]
    items = [envelopes.output(Output("unique", b"i", b"{}", "article", "i-1", 0, "i"))] * 2
    topic, partition, key, value, time_ms, _ = envelopes.ledger(2, records, 47, {"original": 2}, items, "live")
    assert (topic, partition, key, time_ms) == ("p.news.ledger.v1", 0, b"dedupe", 1_780_000_000_999)
    entry = orjson.loads(value or b"")
    assert (entry["first_offset"], entry["next_offset"], entry["records"]) == (40, 47, 2)
    assert entry["counts"] == {"original": 2}
    assert entry["outputs"] == {"news.unique.v1": 2}


def test_a_requeued_record_keeps_its_first_time() -> None:
    assert decode_record(_raw()).timestamp == 1_780_000_000_123
    assert decode_record(_raw(headers=((REQUEUE_TIME_HEADER, b"1770000000000"),))).timestamp == 1_770_000_000_000
    for odd in (None, b"", b"soon", b"-5", b"9" * 40):
        assert decode_record(_raw(headers=((REQUEUE_TIME_HEADER, odd),))).timestamp == 1_780_000_000_123


def test_state_offsets_of_a_newer_newsmill_stop_the_stage() -> None:
    assert read_state_offset(state_offset(77)) == 77
    assert read_state_offset(None) is None
    with pytest.raises(UnreadableFormat):
        read_state_offset(orjson.dumps({"format": 99, "offset": 1}))
