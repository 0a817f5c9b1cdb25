"""Events of live and of a replay as a test wants them, written to their topics as the stages write them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any

import orjson
from aiokafka.structs import TopicPartition
from harness import Mill

from newsmill import kafka
from newsmill.core.fingerprint import pack, sketch_folded
from newsmill.core.folding import fold
from newsmill.core.prepare import PREPARE_VERSION
from newsmill.core.times import format_utc
from newsmill.events import Article, Prepared
from newsmill.replay.plan import FINISHED_KEY, PLAN_KEY, ReplayPlan, create_manifest, replay_settings, write_entry
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics

FROM, HOUR = 1_790_000_000_000, 3_600_000
TO = FROM + 10 * HOUR
NAME = "again"


def ident(name: str) -> str:
    """The id of an article by a name for it."""
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def enriched(name: str, at: int = FROM + 1, run: str = "live", offset: int = 0, **fields: Any) -> dict[str, Any]:
    """An enriched event of the raw record at this time and offset."""
    text = fields.pop("text", f"{name} 항구에 새 크레인이 섰다. 시는 다음 달에 두 대를 더 들인다고 밝혔다.")
    event = {
        "id": ident(name), "version": at, "url": f"https://example.org/{name}",
        "canonical_url": f"https://example.org/{name}", "source": "Example Wire", "title": f"{name}의 크레인",
        "author": None, "text": text, "language": "ko", "published_at": "2026-09-21T03:00:00Z",
        "published_at_source": "article", "ingested_at": format_utc(at),
        "content_hash": hashlib.md5(fold(text).encode(), usedforsecurity=False).hexdigest(), "updates": None,
        "verdict": "original", "extra": None,
        "provenance": {
            "topic": "news.raw.v1", "partition": 0, "offset": offset or at % 1_000_000_007, "rules_version": f"r-{run}",
            "newsmill_version": "0.1.0", "run": run,
        },
        "themes": [], "entities": [], "amounts": [], "keywords": [], "summary": [], "kind": "article", "degraded": [],
    }  # fmt: skip
    return event | fields


def theme(name: str, score: float = 0.9) -> dict[str, Any]:
    return {"theme": name, "score": score, "evidence": ["크레인"]}


def copy(name: str, of: str, at: int = FROM + 1, run: str = "live") -> dict[str, Any]:
    """A duplicate event."""
    event = enriched(name, at, run)
    kept = ("id", "version", "url", "source", "title", "language", "published_at", "provenance")
    found = {field: event[field] for field in kept}
    return found | {"duplicate_of": ident(of), "similarity": 0.99, "method": "near", "published_first": False}


def prepared(event: dict[str, Any]) -> dict[str, Any]:
    """The prepared record from which an event came."""
    article = Article.model_validate(event | {"verdict": None, "updates": None})
    record = Prepared(prepare_version=PREPARE_VERSION, sketch=pack(sketch_folded(fold(article.text))), article=article)
    return record.model_dump()


class Replayed:
    """A mill with a finished replay beside live, both without events."""

    def __init__(self, mill: Mill, name: str = NAME, finished: bool = True, **plan: Any) -> None:
        self.mill = mill
        self.settings = replay_settings(mill.settings, name)
        fields = {
            "name": name, "source_topic": mill.name("raw"), "stages": ("prepare", "dedupe", "enrich"),
            "from_ms": FROM, "to_ms": TO, "warm_up_ms": 0, "begin": {0: 0}, "end": {0: 0}, "newsmill_version": "0.1.0",
            "rules_version": "r-again", "records": 0, "warm_up_records": 0, "options": {}, "made_at": format_utc(TO),
        }  # fmt: skip
        self.plan = ReplayPlan(**(fields | plan))
        asyncio.run(self._create(finished))

    async def _create(self, finished: bool) -> None:
        async with kafka.admin_client(self.mill.settings) as admin:
            await create_topics(admin, self.mill.topics, self.settings)
        await create_manifest(self.mill.settings, self.plan.name)
        await write_entry(self.mill.settings, self.plan.name, PLAN_KEY, self.plan.model_dump(mode="json"))
        if finished:
            await write_entry(self.mill.settings, self.plan.name, FINISHED_KEY, {"at": format_utc(TO)})

    def live(self, *events: dict[str, Any]) -> None:
        asyncio.run(write(self.mill, self.mill.settings, events))

    def replay(self, *events: dict[str, Any]) -> None:
        asyncio.run(write(self.mill, self.settings, events))


async def write(mill: Mill, settings: Settings, events: Iterable[dict[str, Any]]) -> None:
    """Events, and prepared records, to their topics below the prefix of these settings."""
    async with kafka.producer(settings) as producer:
        sent = []
        for event in events:
            short = "prepared" if "sketch" in event else "duplicate" if "duplicate_of" in event else "enriched"
            about = event.get("article", event)
            sent.append(
                await producer.send(
                    settings.topic_prefix + mill.topics[short].name,
                    orjson.dumps(event),
                    about["id"].encode(),
                    timestamp_ms=about["version"],
                    headers=[("ce_id", f"{about['id']}-{about['version']}".encode())],
                )
            )
        for future in sent:
            await future


async def commit_group(mill: Mill, stage: str, short: str) -> None:
    """A stage's group stands at the end of its topic, as if a worker had read it."""
    async with kafka.consumer(mill.settings, group_id=kafka.group_name(mill.settings, stage)) as client:
        places = [TopicPartition(mill.name(short), number) for number in range(mill.topics[short].partitions)]
        client.assign(places)
        await client.commit(await client.end_offsets(places))
