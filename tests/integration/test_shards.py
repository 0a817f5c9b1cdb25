"""Dedupe in two shards on a real Kafka: Korean in one partition, everything else in the other."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from harness import Mill

KOREAN = (
    "가람시는 {n}일 강변 산책로의 낡은 다리를 새로 놓기로 했다고 밝혔다. 공사는 {n}개월 걸리고 비용은 {n}억 원이다. "
)
ENGLISH = "The city of Eastmoor will rebuild footbridge number {n} over the river, the works office said. It takes {n} months. "


def _raw(name: str, korean: bool, number: int) -> tuple[bytes, bytes]:
    seeds = [number * 7 + step * step for step in range(30)]
    words = " ".join(f"{'갑' if korean else 'lot'}{seed}" for seed in seeds)
    body = (KOREAN if korean else ENGLISH).format(n=number) + words
    article = {"url": f"https://{name}.example/{number}", "title": f"{name} {number}", "body": body}
    return name.encode(), orjson.dumps(article)


@pytest.mark.timeout(170)
def test_two_shards(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Copies are found within a language; each shard's state lies in the partition of its input, and outlives a kill."""
    mill = Mill(bootstrap, prefix, tmp_path, dedupe_shards=2, dedupe_shard_map="ko=1")
    try:
        first = [_raw("first", korean, number) for number in range(20) for korean in (True, False)]
        copies = [_raw("copy", korean, number) for number in range(20) for korean in (True, False)]
        mill.publish("raw", first)
        worker = mill.newsmill("worker", "--stages", "prepare,dedupe", "--metrics-port", "0")
        mill.wait_processed("dedupe", len(first))
        assert mill.processed("dedupe") == {"original": len(first)}
        mill.kill(worker)
        mill.publish("raw", copies)
        worker = mill.newsmill("worker", "--stages", "prepare,dedupe", "--metrics-port", "0")
        mill.wait_processed("dedupe", len(first) + len(copies))
        assert mill.processed("dedupe") == {"original": len(first), "duplicate": len(copies)}

        languages: dict[int, set[str]] = {}
        shard_of: dict[str, int] = {}
        for record in mill.read("prepared"):
            article = record.json["article"]
            languages.setdefault(record.partition, set()).add(article["language"])
            shard_of[article["id"]] = record.partition
        assert languages == {0: {"en"}, 1: {"ko"}}
        kept = [
            (record.partition, record.key[1:].hex()) for record in mill.read("state.dedupe") if record.key[:1] == b"i"
        ]
        assert sorted(kept) == sorted((partition, identity) for identity, partition in shard_of.items())
        for record in mill.read("duplicate"):
            copy = record.json
            assert shard_of[copy["id"]] == shard_of[copy["duplicate_of"]]
        assert {record.json["partition"] for record in mill.read("ledger") if record.key == b"dedupe"} == {0, 1}
        assert mill.terminate(worker) == 0, mill.logs()
    finally:
        mill.close()
