"""What a replay found, chosen from a `Comparison` → the promotions to write, in the order of the replay's decisions."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import xxhash

from newsmill import kafka
from newsmill.core.comparison import ENRICHMENT_FIELDS, Kind, origin_of
from newsmill.core.dedupe_records import CONTENT_BYTES, read_version
from newsmill.core.fingerprint import pack, sketch_folded
from newsmill.core.folding import fold
from newsmill.core.id_table import IdTable
from newsmill.core.prepare import PREPARE_VERSION
from newsmill.core.prepared_record import PROMOTION_FORMAT
from newsmill.core.stage import Output
from newsmill.errors import TopicError
from newsmill.events import Article, EnrichedArticle, Enrichment, Prepared, Promotion
from newsmill.replay.compare import Comparison, article_key, event_topics
from newsmill.replay.event_store import EventStore, read_events
from newsmill.replay.plan import replay_settings
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics
from newsmill.topics import theme_topic

__all__ = ["PROMOTED_KINDS", "Ready", "check_target", "choose", "promotion_of", "promotions"]

PROMOTED_KINDS: Final = (Kind.CHANGED, Kind.MISSING)
"""What a promotion can give to live."""
_KNOWN: Final = struct.Struct(f"<q{CONTENT_BYTES}s")  # version, first bytes of the content hash


class Ready(NamedTuple):
    """One article's promotion. ``replaces`` is the version of live's event, None if it has none; ``output`` is None for
    one that has to be left alone, and ``why`` says why. ``output.id`` says what it is: article, version, and a hash of
    the event and of live's event that it replaces."""

    ident: bytes
    kind: Kind
    replaces: int | None
    output: Output | None
    why: str = ""


def choose(comparison: Comparison, kinds: Collection[Kind]) -> list[bytes]:
    """The ids to promote, in the order in which the replay decided: an original comes before its copies."""
    versions = []
    for kind in kinds:
        for ident in comparison.ids[kind]:
            seen = comparison.replay.get(ident)
            assert seen is not None, "both kinds are of articles that the replay has"
            versions.append((seen.verdict.version, ident))
    return [ident for _, ident in sorted(versions)]


async def check_target(settings: Settings, comparison: Comparison, ids: Iterable[bytes]) -> None:
    """`TopicError` if live has no topic for promotions, or none for a theme of the replay."""
    themes: set[str] = set()
    for ident in ids:
        _, replay = comparison.pair(ident)
        themes.update(replay.themes if replay else ())
    async with kafka.admin_client(settings) as admin:
        await partitions_of_topics(admin, settings, ["promote"])
        there = set(await admin.list_topics())
    missing = sorted(theme for theme in themes if settings.topic_prefix + theme_topic(theme) not in there)
    if missing:
        names = ", ".join(missing)
        raise TopicError(
            f"live has no topic for {'theme' if len(missing) == 1 else 'themes'} {names} of replay "
            f"{comparison.plan.name}, so nothing was written: put the replay's rule files of {names} into live's "
            "NEWSMILL_RULES_DIR, run `newsmill topics create`, and start live's workers again"
        )


def promotion_of(event: bytes, live: bytes | None, run: str) -> Prepared:
    """The promotion of an enriched event of the replay ``run``; ``live`` is live's event that it replaces, if any.

    An article that a replay took from live's own dedupe says that it is of live: here it gets the replay's name.
    """
    found = EnrichedArticle.model_validate_json(event)
    article = Article.model_construct(
        **{name: getattr(found, name) for name in Article.model_fields}
        | {"verdict": None, "updates": None, "provenance": found.provenance.model_copy(update={"run": run})}
    )
    replaced = EnrichedArticle.model_validate_json(live) if live is not None else None
    return Prepared(
        format=PROMOTION_FORMAT,
        prepare_version=PREPARE_VERSION,
        sketch=pack(sketch_folded(fold(found.text))),
        fetched_at=None,
        article=article,
        promotion=Promotion(
            replaces=replaced.version if replaced else None,
            replaces_hash=replaced.content_hash if replaced else None,
            enrichment=Enrichment.model_construct(**{name: getattr(found, name) for name in ENRICHMENT_FIELDS}),
        ),
    )


def _promotion_of_copy(prepared: bytes) -> Prepared:
    """The promotion of an article that the replay judged a copy: live judges and enriches it anew."""
    return Prepared.model_validate_json(prepared).model_copy(
        update={"format": PROMOTION_FORMAT, "promotion": Promotion(replaces=None, replaces_hash=None, enrichment=None)}
    )


@asynccontextmanager
async def promotions(settings: Settings, comparison: Comparison, ids: list[bytes]) -> AsyncIterator[Iterator[Ready]]:
    """The promotions of these articles, one by one, in their order; their events are read first and lie on disk."""
    plan = comparison.plan
    theirs = replay_settings(settings, plan.name)
    enriched, copies = [], {}
    for ident in ids:
        _, replay = comparison.pair(ident)
        if replay is not None and replay.enriched:
            enriched.append(ident)
        elif replay is not None:
            copies[ident] = replay.origin
    with EventStore() as events, EventStore() as lives:
        await read_events(theirs, event_topics(plan, live=False), comparison.replay, enriched, events)
        if copies:
            await _read_prepared(theirs, copies, events)
        known = await _read_known(settings, ids, comparison)
        await read_events(settings, event_topics(plan, live=True), comparison.live, ids, lives)
        yield (_ready(ident, comparison, events, lives, known) for ident in ids)


async def _read_prepared(theirs: Settings, copies: dict[bytes, int], store: EventStore) -> None:
    """The prepared articles of copies, by the raw record that was judged: a duplicate event has no text."""
    async with kafka.admin_client(theirs) as admin:
        partitions = (await partitions_of_topics(admin, theirs, ["prepared"]))["prepared"]
    async with kafka.consumer(theirs) as client:
        async for _, records in kafka.read_range(client, partitions):
            for record in records:
                ident = article_key(record.key)
                if ident is None or ident not in copies or record.value is None:
                    continue
                prepared = Prepared.model_validate_json(record.value)
                if origin_of(prepared.article.provenance.model_dump()) == copies[ident]:
                    store.put(ident, record.value)


async def _read_known(settings: Settings, ids: list[bytes], comparison: Comparison) -> IdTable:
    """Version and content, by dedupe's state, of those that live has: a repeat raises the version, without an event."""
    known = IdTable(_KNOWN.size)
    for ident in ids:
        if ident in comparison.live:
            known.put(ident, _KNOWN.pack(-1, b""))
    if not len(known):
        return known
    async with kafka.admin_client(settings) as admin:
        partitions = (await partitions_of_topics(admin, settings, ["state.dedupe"]))["state.dedupe"]
    async with kafka.consumer(settings) as client:
        async for _, records in kafka.read_range(client, partitions):
            for record in records:
                found = read_version(record.key, record.value) if record.value is not None else None
                if found is not None and found[0] in known:
                    known.put(found[0], _KNOWN.pack(*found[1:]))
    return known


def _ready(ident: bytes, comparison: Comparison, events: EventStore, lives: EventStore, known: IdTable) -> Ready:
    ours, theirs = comparison.pair(ident)
    kind = Kind.MISSING if ours is None else Kind.CHANGED
    event, live = events.get(ident), lives.get(ident)
    if theirs is None or event is None:
        return Ready(ident, kind, None, None, "its record in the replay's topics is gone: run the replay again")
    if ours is not None and live is None:
        return Ready(ident, kind, None, None, "live has a later version since a moment ago: compare again")
    prepared = promotion_of(event, live, comparison.plan.name) if theirs.enriched else _promotion_of_copy(event)
    value = prepared.__pydantic_serializer__.to_json(prepared)
    article = prepared.article
    name = f"{article.id}-{article.version}-{xxhash.xxh3_64_hexdigest(value)}"
    promotion, row = prepared.promotion, known.get(ident)
    if promotion is not None and promotion.replaces_hash is not None and row is not None:
        # what dedupe knows must still be the event's text, or the replay's own: else the judge finds it stale
        version, content = _KNOWN.unpack(row)
        texts = (bytes.fromhex(digest)[:CONTENT_BYTES] for digest in (promotion.replaces_hash, article.content_hash))
        if content in texts and version != promotion.replaces:
            told = promotion.model_copy(update={"replaces": version})
            prepared = prepared.model_copy(update={"promotion": told})
            value = prepared.__pydantic_serializer__.to_json(prepared)
    output = Output("promote", article.id.encode(), value, "prepared", name, article.version, article.id)
    return Ready(ident, kind, ours.version if ours else None, output)
