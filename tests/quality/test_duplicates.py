"""Copies of real articles, through prepare and dedupe: pairwise precision, recall and F1, beside datasketch.

Two items are linked if the stage called one a copy or an update of the other's original; links join groups, and all
pairs within a group count. Run as a program for the whole table: ``python tests/quality/test_duplicates.py [SEED]``.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from copies import COPY_KINDS, Item, growing_reports, look_alikes, stream_of_copies

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.dedupe_state import DedupeState
from newsmill.core.fingerprint import pack, sketch
from newsmill.core.folding import content_hash
from newsmill.core.prepare import PrepareRules, prepare_article
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record
from newsmill.errors import Refused
from newsmill.events import Article, Duplicate, Outcome, Prepared, Provenance, RawArticle

DATA = Path(__file__).parents[2] / "../shared/data"
RULES = load_rulebook()
BEGIN_MS = 1_760_000_000_000
LOOK_ALIKES = frozenset({"template", "flash", "event"})
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the labelled articles are not beside the project")


class Score(NamedTuple):
    """Pairwise scores, recall of each kind of copy against its original, and the kinds in each wrong pair."""

    precision: float
    recall: float
    f1: float
    by_kind: dict[str, float]
    wrong: Counter[str]


def new_dedupe(max_entries: int = 20_000) -> Dedupe:
    return Dedupe(Context("live", "0", "Asia/Seoul", {}), DedupeOptions(max_entries=max_entries), RULES)


def record_of(prepared: Prepared) -> Record:
    version = prepared.article.version
    return Record("news.prepared.v1", 0, version, version, None, prepared.model_dump_json().encode(), ())


def prepared_text(name: str, text: str, version: int, title: str | None = None) -> Prepared:
    """A prepared article of a clean text. ``name`` decides the id."""
    moment = "2026-01-01T00:00:00Z"
    article = Article(
        id=content_hash(name),
        version=version,
        url=None,
        canonical_url=None,
        source=None,
        title=title,
        author=None,
        text=text,
        language="und",
        published_at=moment,
        published_at_source="record",
        ingested_at=moment,
        content_hash=content_hash(text),
        provenance=Provenance(topic="news.raw.v1", partition=0, offset=version, newsmill_version="0"),
    )
    return Prepared(prepare_version=1, sketch=pack(sketch(text)), article=article)


def prepare_items(items: Sequence[Item]) -> list[Prepared | None]:
    """Every item through prepare, with an address of its own; None where prepare refuses."""
    rules = PrepareRules.from_rulebook(RULES, "Asia/Seoul")
    out: list[Prepared | None] = []
    for n, item in enumerate(items):
        raw = RawArticle(
            body=item.body,
            url=f"https://site{n}.example/{n}",
            title=item.title,
            content_type="text/html" if item.markup else "text/plain",
        )
        provenance = Provenance(topic="news.raw.v1", partition=0, offset=n, newsmill_version="0")
        try:
            out.append(prepare_article(raw, provenance, BEGIN_MS + n * 1000, rules)[0])
        except Refused:
            out.append(None)
    return out


def links_of(prepared: Sequence[Prepared | None], dedupe: Dedupe) -> tuple[list[tuple[int, int]], list[Outcome | None]]:
    """What dedupe links, as pairs of positions, and its verdicts."""
    state: DedupeState = dedupe.new_state()
    where: dict[str, int] = {}
    links: list[tuple[int, int]] = []
    verdicts: list[Outcome | None] = []
    for n, one in enumerate(prepared):
        if one is None:
            verdicts.append(None)
            continue
        result = dedupe(record_of(one), state)
        for change in result.changes:
            state.apply(change)
        verdicts.append(result.outcome)
        where[one.article.id] = n
        for output in result.outputs:
            assert output.value is not None
            if output.to == "duplicate":
                links.append((where[Duplicate.model_validate_json(output.value).duplicate_of], n))
            elif output.to == "unique":
                updates = Article.model_validate_json(output.value).updates
                if updates is not None:
                    links.append((where[updates], n))
    return links, verdicts


def score(items: Sequence[Item], links: Iterable[tuple[int, int]]) -> Score:
    """Pairwise precision, recall and F1 of the groups that the links make."""
    parent = list(range(len(items)))

    def find(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for a, b in links:
        parent[find(a)] = find(b)

    def pairs(key: Callable[[int], int]) -> set[tuple[int, int]]:
        groups: dict[int, list[int]] = {}
        for n in range(len(items)):
            groups.setdefault(key(n), []).append(n)
        return {pair for group in groups.values() for pair in combinations(group, 2)}

    found, true = pairs(find), pairs(lambda n: items[n].group)
    both = found & true
    precision = len(both) / len(found) if found else 1.0
    recall = len(both) / len(true) if true else 1.0
    original = {item.group: n for n, item in enumerate(items) if item.kind == "original"}
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for n, item in enumerate(items):
        first = original.get(item.group)
        if first is not None and first != n:
            total[item.kind] += 1
            hits[item.kind] += find(first) == find(n)
    wrong = Counter("/".join(sorted((items[a].kind, items[b].kind))) for a, b in found - true)
    return Score(
        precision,
        recall,
        2 * precision * recall / (precision + recall) if both else 0.0,
        {kind: hits[kind] / total[kind] for kind in sorted(total)},
        wrong,
    )


@cache
def real_articles() -> list[tuple[str, bool]]:
    """(text, Korean?) of the labelled articles, without those that are like another one already."""
    texts = []
    for name, korean in (("articles_ko.jsonl", True), ("articles_en.jsonl", False)):
        with (DATA / name).open(encoding="utf-8") as lines:
            rows = [json.loads(line)["text"] for line in lines]
        texts += [(text, korean) for text in rows]
    holders: dict[tuple[str, ...], list[int]] = {}
    grams = []
    for n, (text, _) in enumerate(texts):
        words = text.split()
        mine = {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
        grams.append(mine)
        for gram in mine:
            holders.setdefault(gram, []).append(n)
    alike: set[int] = set()
    for n, mine in enumerate(grams):
        shared = Counter(m for gram in mine for m in holders[gram] if m < n and m not in alike)
        if any(count > 0.3 * min(len(mine), len(grams[m])) for m, count in shared.items()) or len(mine) < 20:
            alike.add(n)
    return [pair for n, pair in enumerate(texts) if n not in alike]


def invented_articles(count: int = 80) -> list[tuple[str, bool]]:
    """(text, Korean?) put together from invented words, so that the test means something without the real articles."""
    rng = random.Random(20)
    syllables = list("가나다라마바사아자하고노도로모보소오조호구누두루무부수우주후")
    articles = []
    for n in range(count):
        korean = n % 2 == 0
        alphabet = syllables if korean else [c + v for c in "bdfgklmnprst" for v in "aeiou"]
        vocabulary = ["".join(rng.choices(alphabet, k=rng.randint(2, 4))) for _ in range(400)]
        sentences = [
            " ".join(rng.choices(vocabulary, k=rng.randint(9, 18))).capitalize() + ("했다." if korean else ".")
            for _ in range(rng.randint(9, 25))
        ]
        paragraphs = [" ".join(sentences[i : i + 3]) for i in range(0, len(sentences), 3)]
        articles.append(("\n".join(paragraphs), korean))
    return articles


def datasketch_links(prepared: Sequence[Prepared | None], threshold: float) -> list[tuple[int, int]] | None:
    """The same texts by datasketch: MinHash of 128 permutations over word 3-grams, LSH at a Jaccard threshold."""
    try:
        from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]
    except ImportError:
        return None
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    links = []
    for n, one in enumerate(prepared):
        if one is None:
            continue
        words = one.article.text.lower().split()
        grams = {" ".join(words[i : i + 3]).encode() for i in range(max(1, len(words) - 2))}
        signature = MinHash(num_perm=128)
        signature.update_batch(sorted(grams))
        links += [(int(key), n) for key in lsh.query(signature)]
        lsh.insert(str(n), signature)
    return links


@needs_data
def test_copies_of_real_articles() -> None:
    """Also when the index is as full as it can be: its capacity is the number of originals."""
    items = [*stream_of_copies(real_articles(), 500, 1), *look_alikes(60, 1)]
    prepared = prepare_items(items)
    for max_entries, floor in ((20_000, 0.997), (3_200, 0.993)):
        links, _ = links_of(prepared, new_dedupe(max_entries))
        result = score(items, links)
        print(max_entries, result)
        assert result.f1 >= floor
        assert not [pair for pair in result.wrong if LOOK_ALIKES & set(pair.split("/"))]
        assert min(result.by_kind.values()) >= 0.97


def test_copies_of_invented_articles() -> None:
    items = [*stream_of_copies(invented_articles(), 40, 3), *look_alikes(20, 3)]
    links, _ = links_of(prepare_items(items), new_dedupe())
    result = score(items, links)
    assert result.f1 >= 0.99, result
    assert not [pair for pair in result.wrong if LOOK_ALIKES & set(pair.split("/"))], result


@needs_data
def test_the_wire_grows_into_updates() -> None:
    reports = growing_reports(real_articles(), 200, 4)
    verdicts_of: Counter[str] = Counter()
    for report in reports:
        dedupe = new_dedupe(100)
        prepared = [prepared_text(item.kind, item.body, BEGIN_MS + n, item.title) for n, item in enumerate(report)]
        _, verdicts = links_of(prepared, dedupe)
        verdicts_of.update(f"{item.kind} {verdict}" for item, verdict in zip(report, verdicts, strict=True))
    assert verdicts_of["full update"] >= 0.98 * len(reports), verdicts_of
    # a flash of four words (a headline) shares too little with its bulletin to be sure
    assert verdicts_of["bulletin update"] >= 0.8 * len(reports), verdicts_of


@needs_data
def test_planted_near_duplicates_are_all_found() -> None:
    with (DATA / "nearduplicates_en.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with (DATA / "nearduplicates_en_pairs.jsonl").open(encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    wanted = {frozenset(pair.values() if isinstance(pair, dict) else pair) for pair in pairs}
    prepared = [prepared_text(str(row["id"]), row["text"], BEGIN_MS + n) for n, row in enumerate(rows)]
    links, _ = links_of(prepared, new_dedupe())
    assert {frozenset((rows[a]["id"], rows[b]["id"])) for a, b in links} == wanted


def main(seed: int) -> None:
    """Print the table."""
    articles = real_articles() if DATA.is_dir() else invented_articles()
    items = [*stream_of_copies(articles, 500, seed), *look_alikes(60, seed)]
    prepared = prepare_items(items)
    print(f"{len(items)} items of {len(articles)} articles, seed {seed}, kinds {', '.join(COPY_KINDS)}")
    runs: list[tuple[str, Callable[[], list[tuple[int, int]] | None]]] = [
        ("newsmill", lambda: links_of(prepared, new_dedupe())[0]),
        (
            "newsmill, reversed",
            lambda: [(len(items) - 1 - a, len(items) - 1 - b) for a, b in links_of(prepared[::-1], new_dedupe())[0]],
        ),
        ("datasketch 0.5", lambda: datasketch_links(prepared, 0.5)),
        ("datasketch 0.8", lambda: datasketch_links(prepared, 0.8)),
    ]
    for name, run in runs:
        start = time.perf_counter()
        links = run()
        if links is None:
            print(f"{name:20s} not installed")
            continue
        cost = (time.perf_counter() - start) / len(items) * 1e6
        result = score(items, links)
        missed = {kind: round(value, 3) for kind, value in result.by_kind.items() if value < 1}
        print(
            f"{name:20s} P {result.precision:.4f} R {result.recall:.4f} F1 {result.f1:.4f} {cost:6.0f} µs an article"
            f"  recall below 1: {missed}  wrong pairs: {dict(result.wrong)}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
