"""What dedupe costs: ``python -m bench.dedupe [ENTRIES ...]`` prints CPU microseconds, bytes and seconds.

Memory is the growth of this process's resident set, as the kernel counts it.

CPU time of this process, medians of slices, so that a busy machine disturbs little. Sketches that fill the index are
random; the articles that are timed are invented Korean and English texts of about 1.5 KB.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.dedupe_records import Known, entry_change, known_change
from newsmill.core.dedupe_state import DedupeState
from newsmill.core.fingerprint import Sketch, pack, sketch
from newsmill.core.folding import content_hash
from newsmill.core.rulebook import load_rulebook
from newsmill.core.sketch_index import Entry
from newsmill.core.stage import Change, Context, Record
from newsmill.events import Article, Prepared, Provenance

BEGIN_MS = 1_760_000_000_000
MOMENT = "2026-01-01T00:00:00Z"


def texts(count: int, seed: int) -> list[str]:
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


def random_sketches(count: int, seed: int) -> Iterator[Sketch]:
    """Sketches as of articles of 90 to 700 words that share nothing."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        level = int(rng.integers(1, 4))
        hashes = np.sort(rng.integers(0, 1 << (64 - level), int(rng.integers(32, 61)), dtype=np.uint64))
        yield Sketch(level, hashes, 60 << level, 300 << level, 60 << level, 7, 255, 1 << 77, hashes[:0])


def record(name: str, text: str, version: int) -> Record:
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
        published_at=MOMENT,
        published_at_source="article",
        ingested_at=MOMENT,
        content_hash=content_hash(text),
        provenance=Provenance(topic="news.raw.v1", partition=0, offset=version, newsmill_version="0"),
    )
    prepared = Prepared(prepare_version=1, sketch=pack(sketch(text)), article=article)
    return Record("news.prepared.v1", 0, version, version, None, prepared.model_dump_json().encode(), ())


def filling(count: int, seed: int) -> Iterator[Change]:
    """The changes of ``count`` originals."""
    rng = random.Random(seed)
    for number, value in enumerate(random_sketches(count, seed), 1):
        ident = rng.randbytes(16)
        now = BEGIN_MS + number
        yield entry_change(
            Entry(number, ident, ident, number, value.level, 300, 255, number, now // 1000, now // 1000, value.hashes)
        )
        yield known_change(
            ident, Known(False, 1, now, -1, now, number, 300, 7, value.parity, ident, bytes(16), now, number + 1)
        )


def microseconds(run: Callable[[int], object], count: int, slices: int = 20) -> float:
    """Median CPU time of one call over slices of the count."""
    size = count // slices
    out = []
    for part in range(slices):
        start = time.process_time_ns()
        for n in range(part * size, (part + 1) * size):
            run(n)
        out.append((time.process_time_ns() - start) / size / 1000)
    return statistics.median(out)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def _rebuild(stage: Dedupe, entries: int) -> tuple[DedupeState, float]:
    """A state of so many originals from the records of its log, and the CPU seconds of loading them."""
    state = stage.new_state()
    seconds = 0.0
    changes = filling(entries, 1)
    while chunk := list(islice(changes, 20_000)):
        start = time.process_time()
        for change in chunk:
            state.load(change.key, change.value)
        seconds += time.process_time() - start
    start = time.process_time()
    state.loaded()
    return state, seconds + time.process_time() - start


def measure(entries: int) -> None:
    """Fill a state to ``entries`` and print its costs."""
    stage = Dedupe(Context("live", "0", "Asia/Seoul", {}), DedupeOptions(max_entries=entries), load_rulebook())
    before = resident()
    state = stage.new_state()
    for change in filling(entries - 4000, 1):
        state.apply(change)
    grown = resident() - before
    probes = list(random_sketches(2000, 2))
    found = microseconds(lambda n: state.index.find(probes[n], n, b"x" * 16, 0), 2000)

    def add(n: int) -> None:
        number = state.index.next_number
        value = probes[n]
        state.index.add(Entry(number, b"x" * 16, b"x" * 16, number, value.level, 300, 0, n, 0, 0, value.hashes))

    added = microseconds(add, 2000)
    records = [record(f"{entries}-{n}", text, BEGIN_MS + entries + n) for n, text in enumerate(texts(1000, 3))]
    length = statistics.mean(len(r.value or b"") for r in records)

    def whole(n: int) -> None:
        for change in stage(records[n], state).changes:
            state.apply(change)

    call = microseconds(whole, 1000)
    index, ids = state.index.nbytes / entries, (state.nbytes - state.index.nbytes) / state.ids
    print(
        f"{entries:9,d} entries: find {found:.1f} + add {added:.1f} µs, {index:.0f} B an entry and {ids:.0f} B an id, "
        f"resident {grown / (entries - 4000):.0f} B for both; whole call with {length:,.0f} B of input {call:.0f} µs",
        flush=True,
    )


def measure_rebuild(entries: int) -> None:
    """Load a log of so many originals into an empty state."""
    stage = Dedupe(Context("live", "0", "Asia/Seoul", {}), DedupeOptions(max_entries=entries), load_rulebook())
    before = resident()
    rebuilt, seconds = _rebuild(stage, entries)
    print(
        f"{'':9s} rebuilt {rebuilt.entries:,} entries from {2 * entries:,} records in {seconds:.1f} s of CPU, "
        f"resident {(resident() - before) / entries:.0f} B an article",
        flush=True,
    )


def main() -> None:
    """Measure the sizes of the command line, else 100,000 and 1,000,000 entries."""
    sample = texts(400, 5)
    length = statistics.mean(len(text.encode()) for text in sample)
    print(f"sketch of {length:.0f} B: {microseconds(lambda n: sketch(sample[n]), 400):.0f} µs")
    for entries in map(int, sys.argv[1:] or ("100000", "1000000")):
        measure(entries)
        measure_rebuild(entries)


if __name__ == "__main__":
    main()
