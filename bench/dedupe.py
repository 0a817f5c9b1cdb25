"""A window full of invented articles → what dedupe costs: memory, a look-up and an insertion, a rebuild through Kafka.

Memory is the growth of a fresh process's resident set, as the kernel counts it. CPU time is that of the process, the
median of slices, so that a busy machine disturbs little. Sketches that fill the index are random; the articles that
are timed are invented Korean and English texts of about 1.5 KB.
"""

from __future__ import annotations

import asyncio
import random
import resource
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.dedupe_records import Known, entry_change, known_change
from newsmill.core.fingerprint import Sketch, pack, sketch
from newsmill.core.folding import content_hash
from newsmill.core.rulebook import load_rulebook
from newsmill.core.sketch_index import Entry
from newsmill.core.stage import Change, Context, Record
from newsmill.events import Article, Prepared, Provenance
from newsmill.settings import Settings, load_settings
from newsmill.topic_admin import create_topics
from newsmill.topics import registry
from newsmill.transport.envelope import STATE_OFFSET_KEY, state_offset
from newsmill.transport.rebuild import rebuild_state
from newsmill.transport.transaction import Item, Writer

T = TypeVar("T")

__all__ = ["RebuildCost", "WindowCost", "measure_rebuild", "measure_window"]

_BEGIN_MS = 1_760_000_000_000
_MOMENT = "2026-01-01T00:00:00Z"
_TIMED = 2000  # sketches, and half as many whole articles
_LOADED_AT_ONCE = 5000  # as the shell reads them
_WRITTEN_AT_ONCE = 2000  # articles a transaction


@dataclass(frozen=True)
class WindowCost:
    """``bytes_article``: growth of resident memory by an entry and an id; ``held_bytes``: of it the state's own.
    Microseconds of CPU: a look-up, an insertion, both in turn, and a whole call of the stage with its changes."""

    articles: int
    bytes_article: float
    held_bytes: float
    find_us: float
    add_us: float
    both_us: float
    stage_us: float


@dataclass(frozen=True)
class RebuildCost:
    """``stall_ms``: longest time that the event loop did not turn; ``bytes_article`` as in `WindowCost`, of the whole
    process and its Kafka client."""

    articles: int
    records: int
    wall_s: float
    cpu_s: float
    stall_ms: float
    bytes_article: float


def _texts(count: int, seed: int) -> list[str]:
    """Invented articles, half Korean, of about 1.5 KB of UTF-8."""
    rng = random.Random(seed)
    korean = [
        "".join(rng.choices("가나다라마바사아자차카타파하고노도로모보소오조호구누두루무부수우주후", k=3))
        for _ in range(4000)
    ]
    english = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(4000)]
    out = []
    for n in range(count):
        words = rng.choices(korean, k=145) if n % 2 else rng.choices(english, k=230)
        for position in range(9, len(words), 10):
            words[position] += "." if position % 20 else f" {rng.randint(1, 5000)}"
        out.append(" ".join(words))
    return out


def _random_sketches(count: int, seed: int) -> Iterator[Sketch]:
    """Sketches as of articles of 90 to 700 words that share nothing."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        level = int(rng.integers(1, 4))
        hashes = np.sort(rng.integers(0, 1 << (64 - level), int(rng.integers(32, 61)), dtype=np.uint64))
        yield Sketch(level, hashes, 60 << level, 300 << level, 60 << level, 7, 255, 1 << 77, hashes[:0])


def _exact(n: int, seed: int) -> int:
    """The hash of a text."""
    return int.from_bytes(blake2b(f"{seed} {n}".encode(), digest_size=8).digest(), "big")


def _record(name: str, text: str, version: int) -> Record:
    article = Article(
        id=content_hash(name),
        version=version,
        url=f"https://site.example/articles/{name}",
        canonical_url=f"https://site.example/articles/{name}",
        source="Northfield Courier",
        title=text[:40],
        author=None,
        text=text,
        language="ko",
        published_at=_MOMENT,
        published_at_source="article",
        ingested_at=_MOMENT,
        content_hash=content_hash(text),
        provenance=Provenance(topic="news.raw.v1", partition=0, offset=version, newsmill_version="0"),
    )
    prepared = Prepared(prepare_version=1, sketch=pack(sketch(text)), article=article)
    return Record("news.prepared.v1", 0, version, version, None, prepared.model_dump_json().encode(), ())


def _filling(count: int, seed: int) -> Iterator[Change]:
    """The changes of ``count`` originals."""
    rng = random.Random(seed)
    for number, value in enumerate(_random_sketches(count, seed), 1):
        ident, exact = rng.randbytes(16), _exact(number, seed)
        now = _BEGIN_MS + number
        yield entry_change(
            Entry(number, ident, ident, number, value.level, 300, 255, exact, now // 1000, now // 1000, value.hashes)
        )
        yield known_change(
            ident, Known(False, 1, now, -1, now, number, 300, 7, value.parity, ident, bytes(16), now, number + 1)
        )


def _microseconds(run: Callable[[int], object], count: int, slices: int = 20) -> float:
    """Median CPU time of one call over slices of the count."""
    size = count // slices
    out = []
    for part in range(slices):
        start = time.process_time_ns()
        for n in range(part * size, (part + 1) * size):
            run(n)
        out.append((time.process_time_ns() - start) / size / 1000)
    return statistics.median(out)


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def _stage(articles: int) -> Dedupe:
    return Dedupe(Context("live", "0", "Asia/Seoul", {}), DedupeOptions(max_entries=articles), load_rulebook())


def _measure_window(articles: int) -> WindowCost:
    stage = _stage(articles)
    filled = articles - 3 * _TIMED  # the rest comes while it is timed
    before = _resident()
    state = stage.new_state()
    changes = _filling(filled, 1)
    while chunk := [(change.key, change.value) for change in islice(changes, _LOADED_AT_ONCE)]:
        state.load_all(chunk)
    del chunk
    state.loaded()
    grown, held = _resident() - before, state.nbytes
    index = state.index
    first, second = (
        [(value, _exact(n, seed)) for n, value in enumerate(_random_sketches(_TIMED, seed))] for seed in (2, 3)
    )

    def find(value: Sketch, exact: int) -> None:
        index.find(value, exact, b"x" * 16, 0)

    def add(value: Sketch, exact: int) -> None:
        number = index.next_number
        index.add(Entry(number, b"x" * 16, b"x" * 16, number, value.level, 300, 0, exact, 0, 0, value.hashes))

    def both(n: int) -> None:
        find(*second[n])
        add(*second[n])

    find_us = _microseconds(lambda n: find(*first[n]), _TIMED)
    add_us = _microseconds(lambda n: add(*first[n]), _TIMED)
    both_us = _microseconds(both, _TIMED)
    texts = _texts(_TIMED // 2, 3)
    records = [_record(f"{articles}-{n}", text, _BEGIN_MS + articles + n) for n, text in enumerate(texts)]

    def whole(n: int) -> None:
        for change in stage(records[n], state).changes:
            state.apply(change)

    stage_us = _microseconds(whole, len(records))
    return WindowCost(articles, grown / filled, held / filled, find_us, add_us, both_us, stage_us)


def _apart(run: Callable[..., T], *arguments: object) -> T:
    """Run in a process of its own, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(run, *arguments).result()


def measure_window(articles: int) -> WindowCost:
    """Fill a window with so many originals, by the records of their log, and measure it."""
    return _apart(_measure_window, articles)


async def _write(settings: Settings, articles: int) -> None:
    """The state topic of a dedupe stage that saw so many originals, in transactions as its shell writes them."""
    topics = {short: topic for short, topic in registry((), settings).items() if short in ("prepared", "state.dedupe")}
    name, source = (settings.topic_prefix + topics[short].name for short in ("state.dedupe", "prepared"))
    async with kafka.admin_client(settings) as admin:
        await create_topics(admin, topics, settings)
    writer = Writer(kafka.client_options(settings), kafka.transactional_id(settings, "dedupe", 0), 60_000, {})
    await writer.start()
    changes = _filling(articles, 1)
    done = 0
    try:
        while chunk := list(islice(changes, 2 * _WRITTEN_AT_ONCE)):
            done += len(chunk) // 2
            items: list[Item] = [(name, 0, change.key, change.value, _BEGIN_MS, []) for change in chunk]
            items.append((name, 0, STATE_OFFSET_KEY, state_offset(done), _BEGIN_MS, []))
            await writer.commit(items, kafka.group_name(settings, "dedupe"), TopicPartition(source, 0), done)
    finally:
        await writer.stop()


async def _longest_stall(stalls: list[float]) -> None:
    """Note how late the event loop wakes; ends when it is cancelled."""
    while True:
        due = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        stalls[0] = max(stalls[0], time.monotonic() - due)


async def _rebuild(servers: str, prefix: str, articles: int) -> RebuildCost:
    settings = load_settings(bootstrap_servers=servers, topic_prefix=prefix)
    stage = _stage(articles)
    stalls = [0.0]
    watch = asyncio.create_task(_longest_stall(stalls))
    before, wall, cpu = _resident(), time.monotonic(), time.process_time()
    topic = prefix + registry((), settings)["state.dedupe"].name
    state, offset = await rebuild_state(settings, topic, 0, stage.new_state)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    grown = _resident() - before
    watch.cancel()
    if (state.entries, offset) != (articles, articles):
        raise RuntimeError(f"{state.entries} entries up to offset {offset} were rebuilt instead of {articles}")
    return RebuildCost(articles, 2 * articles, wall, cpu, 1000 * stalls[0], grown / articles)


def _measure_rebuild(servers: str, prefix: str, articles: int) -> RebuildCost:
    return asyncio.run(_rebuild(servers, prefix, articles))


def measure_rebuild(servers: str, articles: int) -> RebuildCost:
    """Write the state topic of so many originals, and rebuild the state from it as the shell does."""
    prefix = f"dedupe{secrets.token_hex(3)}."
    settings = load_settings(bootstrap_servers=servers, topic_prefix=prefix)

    async def remove() -> None:
        async with kafka.admin_client(settings) as admin:
            await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])

    try:
        asyncio.run(_write(settings, articles))
        return _apart(_measure_rebuild, servers, prefix, articles)
    finally:
        asyncio.run(remove())
