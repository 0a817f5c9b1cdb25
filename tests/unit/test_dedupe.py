"""Verdicts of the dedupe stage, its outputs, and its state as a fold over a compacted log."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest

from newsmill.core.copies import compare
from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.dedupe_records import Known, entry_change, known_change
from newsmill.core.dedupe_state import DedupeState
from newsmill.core.fingerprint import pack, sketch
from newsmill.core.folding import content_hash
from newsmill.core.rulebook import Rulebook, RuleFile, load_rulebook
from newsmill.core.sketch_index import Entry
from newsmill.core.stage import Change, Context, Facts, Record, Result
from newsmill.errors import ConfigError, Reason, Refused, StateMismatch, UnreadableFormat
from newsmill.events import Article, CopyNote, Duplicate, Outcome, Prepared, Provenance

RULES = load_rulebook()
CONTEXT = Context("live", "0.1.0", "Asia/Seoul", {})
T0 = 1_760_000_000_000
DAY = 86_400_000
WORDS = ["".join(random.Random(n).choices("가나다라마바사아자차카타파하", k=3)) for n in range(3000)]


def text(seed: int, count: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(
    name: object,
    body: str,
    version: int = T0,
    *,
    title: str | None = "제목",
    fetched: int | None = None,
    published: int = T0,
    prepare_version: int = 1,
) -> Record:
    article = Article(
        id=content_hash(f"id {name}"),
        version=version,
        url=f"https://site.example/{name}",
        canonical_url=f"https://site.example/{name}",
        source=f"신문 {name}",
        title=title,
        author=None,
        text=body,
        language="ko",
        published_at=utc(published),
        published_at_source="article",
        ingested_at=utc(version),
        content_hash=content_hash(body),
        extra={"section": 3},
        provenance=Provenance(topic="news.raw.v1", partition=0, offset=1, newsmill_version="0.1.0"),
    )
    prepared = Prepared(
        prepare_version=prepare_version,
        sketch=pack(sketch(body)),
        fetched_at=None if fetched is None else utc(fetched),
        article=article,
    )
    return Record("news.prepared.v1", 0, 1, version, None, prepared.model_dump_json().encode(), ())


def ident(name: object) -> str:
    return content_hash(f"id {name}")


class Run:
    """A stage with its state, as the shell drives it."""

    def __init__(self, **options: int) -> None:
        self.stage = Dedupe(CONTEXT, DedupeOptions(**{"max_entries": 2000, **options}), RULES)
        self.state = self.stage.new_state()
        self.log: list[Change] = []

    def __call__(self, *args: object, **kwargs: object) -> Result:
        return self.feed(record(*args, **kwargs))  # type: ignore[arg-type]

    def feed(self, one: Record) -> Result:
        result = self.stage(one, self.state)
        for change in result.changes:
            self.state.apply(change)
            self.log.append(Change(change.key, change.value))
        return result


def outcomes(run: Run, records: Iterable[Record]) -> list[str]:
    return [run.feed(one).outcome.value for one in records]


# verdicts of new ids


def test_an_original_goes_on_with_its_verdict() -> None:
    result = Run()(1, text(1), T0 + 5)
    assert result.outcome is Outcome.ORIGINAL
    (output,) = result.outputs
    assert output.value is not None
    article = Article.model_validate_json(output.value)
    assert (output.to, output.key, output.type) == ("unique", ident(1).encode(), "article")
    assert (output.id, output.time_ms, output.subject) == (f"{ident(1)}-{T0 + 5}", T0 + 5, ident(1))
    assert (article.verdict, article.updates, article.text, article.extra) == (
        "original",
        None,
        text(1),
        {"section": 3},
    )
    assert result.raw_time_ms == T0 + 5


def test_an_exact_copy_names_the_original_and_tells_stories() -> None:
    run = Run()
    run(1, text(1), published=T0)
    result = run(2, text(1), T0 + 9, title="다른 제목", published=T0 - 1000)
    assert result.outcome is Outcome.DUPLICATE
    to_duplicate, to_stories = result.outputs
    assert to_duplicate.value is not None
    assert to_stories.value is not None
    duplicate = Duplicate.model_validate_json(to_duplicate.value)
    note = CopyNote.model_validate_json(to_stories.value)
    assert (to_duplicate.to, to_duplicate.key, to_duplicate.type) == ("duplicate", ident(2).encode(), "duplicate")
    assert (duplicate.duplicate_of, duplicate.method, duplicate.similarity) == (ident(1), "exact", 1.0)
    assert duplicate.published_first
    assert (to_stories.to, to_stories.key, to_stories.type) == ("story-input", ident(1).encode(), "story-input")
    assert (note.id, note.duplicate_of, note.version, note.source) == (ident(2), ident(1), T0 + 9, "신문 2")
    assert to_duplicate.id == to_stories.id == f"{ident(2)}-{T0 + 9}"


@pytest.mark.parametrize(
    "copy",
    [
        " ".join(text(1).split()[:70]),
        " ".join(text(1).split()[60:] + text(1).split()[:60]),
        "(누리통신) 가온 기자 = " + text(1),
        " ".join(w if n % 24 else "고친" for n, w in enumerate(text(1).split(), 1)),
    ],
    ids=["shortened", "re-ordered", "byline", "lightly edited"],
)
def test_near_copies(copy: str) -> None:
    run = Run()
    run(1, text(1))
    result = run(2, copy)
    assert result.outcome is Outcome.DUPLICATE
    assert result.outputs[0].value is not None
    duplicate = Duplicate.model_validate_json(result.outputs[0].value)
    assert duplicate.method == "near"
    assert 0.6 <= duplicate.similarity <= 1
    assert not duplicate.published_first


def test_a_copy_of_a_copy_names_the_root() -> None:
    run = Run()
    words = text(1, 300).split()
    run(1, " ".join(words))
    edited = [w if n % 13 else "고친" for n, w in enumerate(words, 1)]
    assert run(2, " ".join(edited)).outcome is Outcome.DUPLICATE
    again = [w if n % 17 else "바꾼" for n, w in enumerate(edited, 1)]
    result = run(3, " ".join(again))
    assert result.outcome is Outcome.DUPLICATE
    assert orjson.loads(result.outputs[0].value or b"")["duplicate_of"] == ident(1)


def test_the_wire_grows() -> None:
    run = Run()
    words = text(1, 400).split()
    verdicts = []
    for number, size in enumerate((12, 60, 150, 400)):
        result = run(number, " ".join(words[:size]), T0 + number)
        verdicts.append((result.outcome.value, orjson.loads(result.outputs[0].value or b"")["updates"]))
    assert verdicts == [("original", None), *(("update", ident(n)) for n in range(3))]
    copy = run(9, " ".join(words[:395]), T0 + 9)
    assert orjson.loads(copy.outputs[0].value or b"")["duplicate_of"] == ident(3)
    early = run(10, " ".join(words[:58]), T0 + 9)
    assert orjson.loads(early.outputs[0].value or b"")["duplicate_of"] == ident(1)


def test_a_loose_copy_is_no_update_of_a_shortened_one() -> None:
    run = Run()
    words = text(1, 400).split()
    run(1, " ".join(words[:160]))
    run(2, " ".join(words))
    loose = [w if n % 10 else "고친" for n, w in enumerate(words, 1)]
    result = run(3, " ".join([*words[:160], *loose[160:]]))
    assert result.outcome is Outcome.DUPLICATE
    assert orjson.loads(result.outputs[0].value or b"")["duplicate_of"] == ident(2)


def test_a_little_more_text_is_a_copy() -> None:
    run = Run()
    run(1, text(1, 200))
    assert run(2, text(1, 200) + " " + text(2, 30)).outcome is Outcome.DUPLICATE


def test_the_same_template_with_other_numbers_is_another_article() -> None:
    template = (
        "오늘 {} 종합지수는 {}포인트 오른 {}에 마쳤다. 거래량은 {}만 주였고 외국인은 {}억 원을 샀다. 환율은 {}원이다. "
        * 3
    )
    run = Run()
    for seed in range(8):
        rng = random.Random(seed)
        body = template.format(*(rng.randint(100, 9999) for _ in range(18)))
        assert run(seed, body).outcome is Outcome.ORIGINAL


def test_short_texts_need_more_than_shared_words() -> None:
    run = Run()
    assert run(1, "가람시 시장 오늘 예산안 재의 요구").outcome is Outcome.ORIGINAL
    assert run(2, "가람시 시장 오늘 예산안 수용 결정").outcome is Outcome.ORIGINAL
    assert run(3, "가람시 시장 오늘 예산안 재의 요구", title="다른 제목").outcome is Outcome.DUPLICATE
    assert run(4, "나루시 앞바다서 규모 3 지진 피해 없어 긴급").outcome is Outcome.ORIGINAL
    assert run(5, "나루시 앞바다서 규모 4 지진 피해 없어 긴급").outcome is Outcome.ORIGINAL


def test_a_credit_line_is_a_copy_only_under_the_same_title() -> None:
    run = Run()
    assert run(1, "사진 누리통신", title="다리가 열린다").outcome is Outcome.ORIGINAL
    assert run(2, "사진 누리통신", title="시장이 웃는다").outcome is Outcome.ORIGINAL
    assert run(3, "사진 누리통신", title="다리가 열린다").outcome is Outcome.DUPLICATE


@pytest.mark.parametrize("body", ["", "…", "1", "가"])
def test_texts_without_words_harm_nobody(body: str) -> None:
    run = Run()
    assert run(1, body, title="하나").outcome is Outcome.ORIGINAL
    assert run(2, body, title="둘").outcome is Outcome.ORIGINAL
    assert run(3, text(1)).outcome is Outcome.ORIGINAL


# verdicts of known ids


def test_repeats() -> None:
    run = Run()
    run(1, text(1), T0, fetched=T0)
    same = record(1, text(1), T0, fetched=T0)
    again = Result(Outcome.REPEAT, raw_time_ms=T0, facts=Facts(ident(1)))
    assert run.feed(same) == again  # delivered twice: no trace at all
    later = run(1, text(1) + " ", T0 + 1000)
    assert (later.outcome, later.outputs) == (Outcome.REPEAT, ())
    assert later.changes
    counted = Run()
    counted(2, text(1) + " 조회수 1,204")
    assert counted(2, text(1) + " 조회수 2,377", T0 + 1).outcome is Outcome.REPEAT
    long = text(3, 600).split()
    counted(3, " ".join(long))
    long[300] = "오타"
    assert counted(3, " ".join(long), T0 + 1).outcome is Outcome.REPEAT


def test_a_corrected_number_is_a_revision() -> None:
    run = Run()
    run(1, text(1, 600) + " 사망 12명")
    result = run(1, text(1, 600) + " 사망 15명", T0 + 1)
    assert result.outcome is Outcome.REVISION
    article = orjson.loads(result.outputs[0].value or b"")
    assert (article["verdict"], article["version"]) == ("revision", T0 + 1)


def test_small_edits_do_not_creep() -> None:
    """Each version is compared with the one that was published, not with the last one seen."""
    run = Run()
    words = text(1, 900).split()
    run(1, " ".join(words))
    verdicts = []
    for step in range(12):
        words[50 + 60 * step] = "고침"
        verdicts.append(run(1, " ".join(words), T0 + 1 + step).outcome)
    assert verdicts[0] is Outcome.REPEAT
    assert Outcome.REVISION in verdicts


def test_stale_records_are_dropped() -> None:
    run = Run()
    run(1, text(1), T0, fetched=T0)
    run(1, text(2), T0 + 50, fetched=T0 + 50)
    late = run(1, text(3), T0 + 90, fetched=T0 + 20)
    assert late == Result(Outcome.STALE, raw_time_ms=T0 + 90, facts=Facts(ident(1)))
    assert run(1, text(3), T0 + 40).outcome is Outcome.STALE
    assert run(1, text(3), T0 + 95).outcome is Outcome.REVISION  # no fetch time: its version decides
    # a repeat counts as seen: what was fetched before it is stale
    run(1, text(3), T0 + 200, fetched=T0 + 200)
    assert run(1, text(4), T0 + 300, fetched=T0 + 150).outcome is Outcome.STALE


def test_an_original_stays_one_even_if_its_revision_resembles_another() -> None:
    run = Run()
    run(1, text(1))
    run(2, text(2))
    result = run(2, text(1), T0 + 1)
    assert result.outcome is Outcome.REVISION
    # and copies of its first text are still found
    assert run(3, text(2), T0 + 2).outcome is Outcome.DUPLICATE


def test_a_revised_update_keeps_what_it_updates() -> None:
    run = Run()
    run(1, text(1, 100))
    run(2, text(1, 300))
    result = run(2, text(1, 300) + " " + text(7, 60), T0 + 1)
    assert result.outcome is Outcome.REVISION
    assert orjson.loads(result.outputs[0].value or b"")["updates"] == ident(1)


def test_a_revised_copy_is_judged_afresh() -> None:
    run = Run()
    run(1, text(1))
    run(5, text(5))
    assert run(2, text(1)).outcome is Outcome.DUPLICATE
    other = run(2, text(5), T0 + 1)
    assert other.outcome is Outcome.DUPLICATE
    assert orjson.loads(other.outputs[0].value or b"")["duplicate_of"] == ident(5)
    own = run(2, text(9), T0 + 2)
    assert own.outcome is Outcome.ORIGINAL
    assert [output.to for output in own.outputs] == ["unique"]
    assert orjson.loads(run(3, text(9), T0 + 3).outputs[0].value or b"")["duplicate_of"] == ident(2)
    assert run(2, text(1), T0 + 4).outcome is Outcome.REVISION  # an original now


def test_another_cleaner_makes_repeats_of_similar_texts() -> None:
    for count in (120, 500):
        run = Run()
        run(1, text(1, count))
        cut = " ".join(text(1, count).split()[: int(count * 0.95)])
        assert run(1, cut, T0 + 1, prepare_version=2).outcome is Outcome.REPEAT
        assert run(1, cut, T0 + 2, prepare_version=2).outcome is Outcome.REPEAT
        assert run(1, text(2, count), T0 + 3, prepare_version=3).outcome is Outcome.REVISION
    run = Run()
    run(1, text(1))
    assert run(1, " ".join(text(1).split()[:114]), T0 + 1).outcome is Outcome.REVISION


def test_versions_grow_even_within_one_millisecond() -> None:
    run = Run()
    run(1, text(1), T0)
    (output,) = run(1, text(2), T0).outputs
    assert orjson.loads(output.value or b"")["version"] == T0 + 1
    assert output.id == f"{ident(1)}-{T0 + 1}"
    assert run(1, text(2), T0).outcome is Outcome.REPEAT
    assert run(1, text(1), T0).outcome is Outcome.STALE


# time and room


def test_the_window_passes_but_ids_stay() -> None:
    run = Run(window_ms=DAY, id_window_ms=10 * DAY)
    run(1, text(1), T0)
    assert run(2, text(1), T0 + DAY - 1000).outcome is Outcome.DUPLICATE
    assert run(3, text(1), T0 + DAY + 2000).outcome is Outcome.ORIGINAL
    assert run(1, text(1), T0 + 5 * DAY).outcome is Outcome.REPEAT
    assert run(1, text(1), T0 + 14 * DAY).outcome is Outcome.REPEAT  # known since it was seen again
    assert run(1, text(1), T0 + 25 * DAY).outcome is Outcome.ORIGINAL
    assert run.state.evicted_early == 0


def test_time_is_the_largest_seen_never_less() -> None:
    run = Run(window_ms=DAY, id_window_ms=10 * DAY)
    run(1, text(1), T0)
    run(2, text(2), T0 + 3 * DAY)
    assert run(3, text(1), T0 + 10).outcome is Outcome.ORIGINAL  # late, but the window has moved on


def test_one_record_expires_a_bounded_number() -> None:
    run = Run(window_ms=DAY, id_window_ms=2 * DAY)
    for number in range(300):
        run(number, text(number, 40), T0 + number)
    assert run.state.entries == 300
    sizes = []
    for number in range(300, 340):
        result = run(number, text(number, 40), T0 + 30 * DAY + number)
        sizes.append(len(result.changes))
    assert max(sizes) <= 34
    assert run.state.entries == 40
    assert run.state.ids == 40
    assert run.state.evicted_early == 0


def test_the_cap_evicts_the_oldest_and_counts() -> None:
    run = Run(max_entries=50, max_ids=80)
    for number in range(100):
        run(number, text(number, 40), T0 + number)
        assert run.state.entries <= 50
        assert run.state.ids <= 80
    assert run.state.entries == 50
    assert run.state.evicted_early == 50 + 20
    assert run(200, text(50, 40), T0 + 200).outcome is Outcome.DUPLICATE
    assert run(201, text(49, 40), T0 + 200).outcome is Outcome.ORIGINAL


def test_deciding_changes_nothing() -> None:
    run = Run()
    for number in range(20):
        run(number % 12, text(number % 7), T0 + number)
    before = fingerprint_of(run.state)
    one = record(99, text(3), T0 + 50)
    first, second = run.stage(one, run.state), run.stage(one, run.state)
    assert plain(first) == plain(second)
    assert fingerprint_of(run.state) == before


# the state as a fold


def plain(result: Result) -> tuple[object, ...]:
    return (result.outcome, list(result.outputs), [(c.key, c.value) for c in result.changes], result.raw_time_ms)


def fingerprint_of(state: DedupeState) -> tuple[object, ...]:
    index = state.index
    return (
        state.clock,
        state.ids,
        state.entries,
        index.head,
        index.next_number,
        list(state._ids.oldest()),
        [index.time(number) for number in range(index.head, index.next_number)],
    )


def compacted(log: Sequence[Change], rng: random.Random) -> list[Change]:
    """What a reader of the compacted topic may see: of a random prefix only each key's last record, and tombstones of
    that prefix gone or not; the rest as written."""
    cut = rng.randint(0, len(log))
    last = {change.key: n for n, change in enumerate(log[:cut])}
    keep_tombstones = rng.random() < 0.5
    head = [
        change
        for n, change in enumerate(log[:cut])
        if last[change.key] == n and (change.value is not None or keep_tombstones)
    ]
    return [*head, *log[cut:]]


def history(rng: random.Random, count: int) -> list[Record]:
    """Random records of few ids and texts, so that every verdict comes up, with gaps in time."""
    now = T0
    out: list[Record] = []
    for _ in range(count):
        now += rng.choice((0, 1, 50, 4000, DAY // 50, DAY // 3 if rng.random() < 0.1 else 1))
        if out and rng.random() < 0.1:  # delivered or crawled again
            old = rng.choice(out[-30:])
            value = orjson.loads(old.value or b"")
            value["article"]["version"] = rng.choice((now, value["article"]["version"]))
            out.append(old._replace(timestamp=now, value=orjson.dumps(value)))
            continue
        base = text(rng.randrange(25), rng.choice((6, 30, 100, 300)))
        match rng.randrange(5):
            case 0:
                base = " ".join(base.split()[: rng.randint(3, 200)])
            case 1:
                base = f"{base} {text(rng.randrange(1000), rng.randint(1, 90))}"
            case 2:
                base = " ".join(w if rng.random() > 0.05 else "고친" for w in base.split())
        version = now - rng.choice((0, 0, 0, 5000))
        fetched = rng.choice((None, version, version - 30_000))
        out.append(
            record(
                rng.randrange(60),
                base,
                version,
                fetched=fetched,
                published=version - rng.randrange(100_000),
                prepare_version=rng.choice((1, 1, 1, 2)),
            )
        )
    return out


@pytest.mark.parametrize("seed", range(5))
def test_a_rebuilt_state_answers_like_the_one_that_lived(seed: int) -> None:
    """At random points the state is rebuilt from the compacted log; from then on verdicts and bytes are the same."""
    rng = random.Random(seed)
    options = {"window_ms": 2 * DAY, "id_window_ms": 5 * DAY, "max_entries": rng.choice((12, 40, 2000)), "max_ids": 45}
    run = Run(**options)
    rebuilt: list[DedupeState] = []
    seen: set[str] = set()
    for one in history(rng, 400):
        expected = plain(run.stage(one, run.state))
        for state in rebuilt:
            result = run.stage(one, state)
            assert plain(result) == expected
            for change in result.changes:
                state.apply(change)
        seen.add(run.feed(one).outcome.value)
        if rng.random() < 0.02:
            fresh = run.stage.new_state()
            records = [(change.key, change.value) for change in compacted(run.log, rng)]
            while records:
                count = rng.choice((1, 7, 100, len(records)))
                fresh.load_all(records[:count])
                del records[:count]
            fresh.loaded()
            assert fingerprint_of(fresh) == fingerprint_of(run.state)
            rebuilt = [*rebuilt[-2:], fresh]
    assert seen == {"original", "update", "revision", "repeat", "stale", "duplicate"}


# format 1 as it has always been written: an id and an entry of two hashes
OLD_ID = (
    "010102004a8000000000000049800000000000004c8000000000000007000000000000005900000011000000"
    + "a5" * 32 + "c0c1c2c3c4c5c6c7" + "00" * 8 + "dd" * 16 + "4c80000000000000" + "0800000000000000"
)  # fmt: skip
OLD_ENTRY = (
    "010202002c0100000700000000000000f0000000000000001032547698badcfe08000000000000000900000000000000"
    + "ee" * 16 + "ff" * 16 + "0100000000000000" + "0000000000000020"
)  # fmt: skip


def test_records_of_the_first_format_are_read() -> None:
    state = Run().stage.new_state()
    key, number = bytes(range(16)), (7).to_bytes(8, "big")
    state.load_all([(b"s" + number, bytes.fromhex(OLD_ENTRY)), (b"i" + key, bytes.fromhex(OLD_ID))])
    state.loaded()
    known = state.known(key, 40_000)
    assert known is not None
    parity = int.from_bytes(b"\xa5" * 32, "little")
    content = bytes.fromhex("c0c1c2c3c4c5")
    assert known[:5] == (True, 2, 32_842, 32_841, 32_000)
    assert known[5:11] == (7, 89, 17, parity, content, b"\xdd" * 16)
    assert (state.clock, state.entries, state.index.next_number, state.index.time(7)) == (32_844, 1, 8, 9)
    exact = 0xFEDCBA9876543210
    one = sketch("")._replace(level=2, hashes=np.array([1, 1 << 61], np.uint64))
    match = state.index.find(one, exact, bytes(16), 0).matches[0]
    assert match[1:] == (b"\xff" * 16, 7, 2, 2, 2, 300, 240, 8, True)
    old = Known(*known[:9], bytes.fromhex("c0c1c2c3c4c5c6c7"), known.related, 32_844, 8)._replace(seen=32_844)
    assert (known_change(key, old).value or b"").hex() == OLD_ID
    entry = Entry(7, b"\xee" * 16, b"\xff" * 16, 7, 2, 300, 240, exact, 8, 9, one.hashes)
    assert (entry_change(entry).value or b"").hex() == OLD_ENTRY


def test_a_lowered_cap_drops_the_oldest_and_clears_the_log() -> None:
    run = Run()
    for number in range(60):
        run(number, text(number, 40), T0 + number)
    small = Run(max_entries=20)
    for change in run.log:
        small.state.load(change.key, change.value)
    small.state.loaded()
    assert small.state.entries == 20
    results = [small(100 + n, text(100 + n, 40), T0 + 100) for n in range(10)]
    gone = {change.key for result in results for change in result.changes if change.value is None}
    assert {b"s" + number.to_bytes(8, "big") for number in range(1, 51)} <= gone
    assert small.state.entries == 20


def test_damaged_and_newer_state_is_refused() -> None:
    run = Run()
    run(1, text(1))
    state = run.stage.new_state()
    for change in run.log:
        assert change.value is not None
        with pytest.raises(UnreadableFormat):
            state.load(change.key, b"\xff" + change.value[1:])
        with pytest.raises(StateMismatch):
            state.load(change.key, change.value[:-3])
    for key in (b"", b"x1", b"s1", b"i" + bytes(15)):
        with pytest.raises(StateMismatch):
            state.load(key, None)
    run(2, text(2))
    entries = [change for change in run.log if change.key[:1] == b"s"]
    state.load(entries[1].key, entries[1].value)
    with pytest.raises(StateMismatch, match="comes after"):
        state.load(entries[0].key, entries[0].value)


# input and rules


def test_unreadable_records() -> None:
    run = Run()
    good = orjson.loads(record(1, text(1)).value or b"")
    broken = [
        (None, Reason.WRONG_TYPE),
        (b"{", Reason.BAD_JSON),
        (b"[]", Reason.WRONG_TYPE),
        (orjson.dumps({**good, "sketch": "AAAA"}), Reason.WRONG_TYPE),
        (orjson.dumps({**good, "article": {**good["article"], "content_hash": "zz"}}), Reason.WRONG_TYPE),
        (orjson.dumps({**good, "article": {**good["article"], "content_hash": "aa"}}), Reason.WRONG_TYPE),
        (orjson.dumps({**good, "article": {**good["article"], "id": "x"}}), Reason.WRONG_TYPE),
    ]
    for value, reason in broken:
        with pytest.raises(Refused) as caught:
            run.feed(record(1, text(1))._replace(value=value))
        assert caught.value.reason is reason
        assert text(1)[:20] not in caught.value.detail
    for newer in ({**good, "format": 3}, {"format": 3, "something": "else"}):
        with pytest.raises(UnreadableFormat):
            run.feed(record(1, text(1))._replace(value=orjson.dumps(newer)))
    assert run.state.entries == 0


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("containment = 0.6", "containment = 6", "must be 0 to 1"),
        ("hits = 5", "hits = 0.5", "must be a whole number"),
        ("few = 12", "", "few is missing"),
        ("few = 12", "few = 12\nmany = 13", "many is no threshold"),
        ("[update]", "[updates]", "is no table"),
        ("share = 0.6", "share = true", "must be a number"),
    ],
)
def test_a_mistake_in_the_rules_names_file_and_line(old: str, new: str, complaint: str) -> None:
    import tomllib

    file = RULES.file("dedupe.toml")
    changed = file.text.replace(f"\n{old}\n", f"\n{new}\n", 1)
    assert changed != file.text
    broken = RuleFile(file.name, file.path, changed, tomllib.loads(changed))
    with pytest.raises(ConfigError, match=r"dedupe\.toml:\d+: .*" + complaint):
        Dedupe(CONTEXT, DedupeOptions(), Rulebook({**RULES.files, "dedupe.toml": broken}, "x"))


def test_impossible_options_are_refused() -> None:
    good = DedupeOptions()
    for wrong in ({"max_entries": 0}, {"max_entries": 1 << 25}, {"max_ids": 0}, {"window_ms": 0}, {"id_window_ms": 5}):
        with pytest.raises(ConfigError):
            replace(good, **wrong)


# for people


def test_compare_explains() -> None:
    rules = Run().stage.rules
    base = text(1, 200)
    same = compare(sketch(base), sketch(base), rules)
    assert (same.verdict, same.resemblance, same.numbers_equal) == ("duplicate", 1.0, True)
    part = compare(sketch(base), sketch(" ".join(base.split()[:100])), rules)
    assert part.verdict == "duplicate"
    assert part.b_in_a > 0.9
    assert 0.3 < part.a_in_b < 0.7
    grown = compare(sketch(" ".join(base.split()[:100])), sketch(base), rules)
    assert grown.verdict == "update"
    assert "adds" in grown.reason
    other = compare(sketch(base), sketch(text(2, 200)), rules)
    assert (other.verdict, other.shared, other.numbers_shared) == ("original", 0, None)
    flash = compare(sketch(" ".join(base.split()[:10])), sketch(base), rules)
    assert flash.verdict == "update"
    numbers = "지수 {} 거래량 {} 외국인 {} 환율 {} 으로 마감했다고 거래소가 오늘 오후 늦게 밝혔다고 전했다 " * 2
    a, b = (sketch(numbers.format(*range(s, s + 8)) + text(1, 60)) for s in (100, 200))
    assert compare(a, b, rules).reason == "the same words with other numbers"
    assert compare(sketch(""), sketch(""), rules).verdict == "duplicate"
    assert compare(sketch(""), sketch(base), rules).verdict == "original"
