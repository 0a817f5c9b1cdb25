"""The parts of `replay diff` and `replay promote` that need no Kafka."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from newsmill.cli import app, main
from newsmill.cli.replay.diff_view import Example, diff_view
from newsmill.cli.replay.judgement import judgement
from newsmill.core.comparison import CONTENT_FIELDS, DIGEST_BYTES, NO_LINK, Kind, Verdict
from newsmill.core.dedupe_records import Known, entry_change, known_change, read_version
from newsmill.core.fingerprint import unpack
from newsmill.core.sketch_index import Entry
from newsmill.errors import UnreadableFormat
from newsmill.events import EnrichedArticle, Prepared
from newsmill.replay.compare import Comparison, Moves, article_key
from newsmill.replay.event_store import EventStore
from newsmill.replay.plan import ReplayPlan
from newsmill.replay.promotion import choose, promotion_of
from newsmill.replay.verdict_table import Seen, VerdictTable

FIELDS = bytes(range(len(CONTENT_FIELDS) * DIGEST_BYTES))
PLAN = ReplayPlan(
    name="again", source_topic="news.raw.v1", stages=("prepare", "dedupe", "enrich"), from_ms=1_790_000_000_000,
    to_ms=1_790_036_000_000, warm_up_ms=0, begin={}, end={}, newsmill_version="0.1.0", rules_version="r",
    records=0, warm_up_records=0, options={}, made_at="2026-09-21T00:00:00Z",
)  # fmt: skip


def ident(number: int) -> bytes:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).digest()


def article(version: int = 5, run: str = "again", fields: bytes = FIELDS) -> Verdict:
    return Verdict(True, version, version - 1, 2**64 - 1, ident(9), fields, ("chips", "cloud"), run)


def copy(version: int = 5, run: str = "again") -> Verdict:
    return Verdict(False, version, version, 7, ident(8), b"", (), run)


# ---- the table and the store ------------------------------------------------------------------------------------


def test_table_gives_back_what_it_was_given() -> None:
    table = VerdictTable()
    rows = {ident(n): Seen(article(n) if n % 2 else copy(n), n % 7, 2**40 + n) for n in range(5000)}
    for key, seen in rows.items():
        table.add(key, seen)
    assert dict(table) == rows
    assert table.get(ident(6000)) is None
    assert table.nbytes / len(table) < 256


@pytest.mark.parametrize(("first", "second", "kept"), [
    (article(5), copy(6), 1), (article(6), copy(5), 0), (copy(5), article(6), 1),
    # of equal versions the article stays, and of two articles the one later in the log
    (article(5), copy(5), 0), (copy(5), article(5), 1), (article(5), article(5, "other"), 1),
])  # fmt: skip
def test_the_latest_verdict_is_kept(first: Verdict, second: Verdict, kept: int) -> None:
    table = VerdictTable()
    table.add(ident(1), Seen(first, 0, 1))
    table.add(ident(1), Seen(second, 0, 2))
    assert table.get(ident(1)) == Seen((first, second)[kept], 0, kept + 1)
    assert len(table) == 1


def test_a_tombstone_takes_back_the_article_only() -> None:
    table = VerdictTable()
    table.add(ident(1), Seen(article(), 0, 1))
    table.add(ident(2), Seen(copy(), 0, 2))
    for number in (1, 2, 3):
        table.withdraw(ident(number))
    assert [key for key, _ in table] == [ident(2)]


def test_store_beyond_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newsmill.replay.event_store._IN_MEMORY", 1000)
    with EventStore() as store:
        values = {ident(n): f"기사 {n} ".encode() * (n + 1) for n in range(300)}
        for key, value in values.items():
            store.put(key, value)
            assert store.get(key) == value  # reading does not disturb writing
        assert store._file._rolled
        assert {key: store.get(key) for key in values} == values
        assert store.get(ident(999)) is None
        assert len(store) == 300


@pytest.mark.parametrize("key", [None, b"", b"x" * 32, b"0" * 31, " ".join(["00"] * 11).encode(), "ㄱ".encode() * 11])
def test_a_key_that_is_no_id(key: bytes | None) -> None:
    assert article_key(key) is None


def test_a_key_that_is_an_id() -> None:
    assert article_key(ident(3).hex().encode()) == ident(3)


# ---- promotions -------------------------------------------------------------------------------------------------


def enriched(**fields: Any) -> EnrichedArticle:
    event: dict[str, Any] = {
        "id": ident(1).hex(), "version": 5, "url": None, "canonical_url": None, "source": "Bay", "title": "나루터",
        "author": None, "text": "나루터에 배가 두 척 더 들어온다고 군이 밝혔다.", "language": "ko",
        "published_at": "2026-09-21T03:00:00Z", "published_at_source": "article",
        "ingested_at": "2026-09-21T03:00:00Z", "content_hash": "a" * 32, "updates": ident(2).hex(),
        "verdict": "update", "extra": {"number": 10**40}, "themes": [], "entities": [], "amounts": [], "keywords": [],
        "summary": ["나루터에 배가 두 척 더 들어온다고 군이 밝혔다."], "kind": "article", "degraded": [],
        "provenance": {
            "topic": "news.raw.v1", "partition": 0, "offset": 1, "rules_version": "r", "newsmill_version": "0.1.0",
            "run": "again",
        },
    }  # fmt: skip
    return EnrichedArticle.model_validate(event | fields)


def test_a_promotion_says_what_it_replaces() -> None:
    event = enriched()
    live = enriched(version=9, content_hash="b" * 32, title="옛 제목")
    made = promotion_of(event.model_dump_json().encode(), live.model_dump_json().encode(), "again")
    again = Prepared.model_validate_json(made.model_dump_json())
    assert again == made
    assert made.promotion is not None
    assert (made.promotion.replaces, made.promotion.replaces_hash) == (9, "b" * 32)
    assert made.promotion.enrichment is not None
    assert made.promotion.enrichment.summary == event.summary
    assert made.article.extra == {"number": 10**40}
    assert (made.article.verdict, made.article.updates, made.article.provenance.run) == (None, None, "again")
    assert not isinstance(made.article, EnrichedArticle)
    assert unpack(made.sketch).words > 0
    of_live = event.model_copy(update={"provenance": event.provenance.model_copy(update={"run": "live"})})
    assert promotion_of(of_live.model_dump_json().encode(), None, "again").article.provenance.run == "again"
    new = promotion_of(event.model_dump_json().encode(), None, "again")
    assert new.promotion is not None
    assert (new.promotion.replaces, new.promotion.replaces_hash) == (None, None)


def comparison(kinds: dict[Kind, list[bytes]], replay: VerdictTable) -> Comparison:
    counts = {kind: len(kinds.get(kind, ())) for kind in Kind}
    ids = {kind: sorted(kinds.get(kind, ())) for kind in Kind if kind is not Kind.SAME}
    fields = {"title": 1} if counts[Kind.CHANGED] else {}
    return Comparison(PLAN, counts, fields, {"chips": Moves(2, 0)}, ids, VerdictTable(), replay)


def test_an_original_is_promoted_before_its_copies() -> None:
    table = VerdictTable()
    order = [ident(n) for n in (4, 1, 3, 2)]
    for version, key in enumerate(order):
        table.add(key, Seen(article(version), 0, version))
    made = comparison({Kind.MISSING: order[1:], Kind.CHANGED: order[:1]}, table)
    assert choose(made, (Kind.CHANGED, Kind.MISSING)) == order
    assert choose(made, (Kind.MISSING,)) == order[1:]


@pytest.mark.parametrize(("replaced", "verdict", "said"), [
    (4, article(6), "revision"), (None, article(6), "original"), (None, copy(6), "duplicate"),
    (4, copy(6), "duplicate"), (4, article(6, "live"), "stale"), (None, None, "stale"), (6, article(6), "stale"),
    (None, copy(6, "live"), "stale"),
])  # fmt: skip
def test_judgements(replaced: int | None, verdict: Verdict | None, said: str) -> None:
    assert judgement("again", replaced, verdict) == said


def test_version_of_an_id_in_the_state_of_dedupe() -> None:
    known = Known(False, 1, 77, -1, 5, 3, 10, 2, 12345, b"contents", NO_LINK, 9, 4)
    change = known_change(ident(1), known)
    assert read_version(change.key, change.value or b"") == (ident(1), 77, b"conten")
    with pytest.raises(UnreadableFormat):
        read_version(change.key, b"\x09" + (change.value or b"")[1:])


def test_a_sketch_in_the_state_is_about_no_id() -> None:
    entry = Entry(1, ident(1), ident(1), 1, 0, 5, 0, 0, 0, 0, unpack(promotion_of(
        enriched().model_dump_json().encode(), None, "again").sketch).hashes)  # fmt: skip
    change = entry_change(entry)
    assert read_version(change.key, change.value or b"") is None


# ---- the view ---------------------------------------------------------------------------------------------------


def shown(made: Comparison, examples: list[Example]) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(diff_view(made, examples))
    return capture.get()


def event(**fields: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = orjson.loads(enriched(**fields).model_dump_json())
    return decoded


def test_view_of_every_kind() -> None:
    kinds = {kind: [ident(list(Kind).index(kind))] for kind in Kind}
    duplicate = {"duplicate_of": "c" * 32, "title": "사본", "source": None, "version": 4}
    long = "나루터에 배가 온다. " * 500
    examples = [
        Example("1" * 32, Kind.CHANGED, event(text=long, title=None), event(text=long + "그리고 간다.")),
        Example("2" * 32, Kind.OTHER_ORIGINAL, event(), duplicate),
        Example("3" * 32, Kind.MISSING, None, duplicate),
        Example("4" * 32, Kind.EXTRA, event(), None),
        Example("5" * 32, Kind.NEWER, event(version=10**12), event()),
    ]
    text = shown(comparison(kinds, VerdictTable()), examples)
    for wanted in (
        "title  - none", "+ 나루터", "그리고 간다.", "duplicate_of  - none", f"+ {'c' * 32}", "a copy of cccc",
        "2001-09-09T01:46:40Z", "chips     +2      -", "100%",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert "…" in text
    assert "나루터에 배가 온다. " * 20 not in text
    assert "more (--json" not in text


def test_view_says_how_many_it_leaves_out() -> None:
    made = comparison({Kind.MISSING: [ident(n) for n in range(1234)]}, VerdictTable())
    text = shown(made, [Example("3" * 32, Kind.MISSING, None, event())])
    assert "1,233 more (--json has them all)" in text
    assert "changed field" not in text


# ---- the commands without a Kafka -------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["diff", "--help"], 0, "--examples"),
    (["promote", "--help"], 0, "--rate"),
    (["diff"], 2, "NAME"),
    (["diff", "again", "--examples", "-1"], 2, "examples"),
    (["promote", "again", "--rate", "0"], 2, "rate"),
    (["promote", "again", "--only", "newer"], 2, "newer"),
])  # fmt: skip
def test_use(arguments: list[str], code: int, says: str) -> None:
    answer = CliRunner().invoke(app, ["replay", *arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert (answer.exit_code, says in answer.output) == (code, True), answer.output


@pytest.mark.parametrize("command", [["diff", "again"], ["promote", "again", "--yes"]])
def test_no_broker_is_one_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["newsmill", "replay", *command, "--bootstrap-servers", "127.0.0.1:1"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (1, 1)
    assert said.startswith("newsmill: no Kafka broker answers at 127.0.0.1:1")
