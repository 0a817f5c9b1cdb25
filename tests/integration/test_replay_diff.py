"""``replay diff`` and ``replay promote`` on a real Kafka, between events that the test writes for both sides."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from bench.articles import with_copies
from harness import Mill, Read
from replayed import FROM, HOUR, NAME, TO, Replayed, commit_group, copy, enriched, ident, prepared, theme, write

from newsmill.cli import main
from newsmill.cli.replay.judgement import count_judgements
from newsmill.core.fingerprint import unpack
from newsmill.core.prepare import PREPARE_VERSION
from newsmill.events import Prepared
from newsmill.replay.plan import read_entries

pytestmark = pytest.mark.timeout(240)


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Answer]


@pytest.fixture
def newsmill(mill: Mill, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``newsmill`` in this process, with the environment of the mill."""
    for name in list(os.environ):
        if name.startswith("NEWSMILL_"):
            monkeypatch.delenv(name)
    for name, value in mill.env.items():
        if name.startswith("NEWSMILL_"):
            monkeypatch.setenv(name, value)

    def command(*arguments: str) -> Answer:
        monkeypatch.setattr("sys.argv", ["newsmill", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return command


def entries(mill: Mill) -> dict[str, dict[str, Any]]:
    return asyncio.run(read_entries(mill.settings, NAME))


def one_of_each(mill: Mill, **plan: Any) -> Replayed:
    """At least one article of every kind."""
    both = Replayed(mill, **plan)
    both.live(
        enriched("same"),
        copy("same-copy", "same"),
        enriched("changed", FROM - HOUR, title="옛 제목"),  # an older version that compaction has not taken yet
        enriched("changed", FROM + 2, themes=[theme("cloud")]),
        enriched("judged-a-copy"),
        copy("other-copy", "same"),
        enriched("extended", updates=ident("same")),
        enriched("extra", TO - 1),
        copy("extra-copy", "same", TO - 1),
        enriched("too-early", FROM - 1),
        enriched("too-late", TO),
        enriched("newer", TO + HOUR, text="그 뒤에 고쳐 쓴 글이다."),
    )  # fmt: skip
    both.replay(
        enriched("same", run=NAME),
        copy("same-copy", "same", run=NAME),
        enriched("changed", FROM + 2, NAME, themes=[theme("chips"), theme("cloud", 0.5)], title="새 제목"),
        copy("judged-a-copy", "same", run=NAME),
        copy("other-copy", "changed", run=NAME),
        enriched("extended", run=NAME),
        enriched("missing", run=NAME),
        copy("missing-copy", "missing", FROM + 5, NAME),
        enriched("newer", run=NAME),
        # the copy is of the raw record that was judged; the warm-up's and a later one are not
        prepared(enriched("missing-copy", FROM - 5, NAME, text="데우기에서 온 글이다.")),
        prepared(enriched("missing-copy", FROM + 5, NAME)),
    )  # fmt: skip
    return both


EXPECTED = {"same": 2, "changed": 1, "other_original": 3, "missing": 2, "extra": 2, "newer": 1}


def test_diff_for_programs(mill: Mill, newsmill: Command) -> None:
    one_of_each(mill)
    answer = newsmill("replay", "diff", NAME, "--json")
    assert answer.code == 0, answer
    summary, *lines = answer.lines
    assert summary["kind"] == "summary"
    assert {kind: summary[kind] for kind in EXPECTED} == EXPECTED
    assert summary["fields"] == {"themes": 1, "title": 1}
    assert summary["themes"] == {"chips": {"entered": 1, "left": 0}}
    assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)
    by_id = {line["id"]: line for line in lines}
    assert Counter(line["kind"] for line in lines) == {kind: n for kind, n in EXPECTED.items() if kind != "same"}
    changed = by_id[ident("changed")]
    assert changed["title"] == "새 제목"
    assert changed["fields"]["title"] == {"live": "changed의 크레인", "replay": "새 제목"}
    assert [found["theme"] for found in changed["fields"]["themes"]["replay"]] == ["chips", "cloud"]
    assert set(changed["fields"]) == {"title", "themes"}
    assert by_id[ident("judged-a-copy")]["fields"] == {"duplicate_of": {"live": None, "replay": ident("same")}}
    assert by_id[ident("other-copy")]["fields"]["duplicate_of"]["replay"] == ident("changed")
    assert by_id[ident("extended")]["fields"] == {"updates": {"live": ident("same"), "replay": None}}
    assert by_id[ident("missing-copy")]["replay"]["event"] == "duplicate"
    assert [by_id[ident(name)]["kind"] for name in ("extra", "extra-copy")] == ["extra", "extra"]
    assert by_id[ident("newer")]["kind"] == "newer"
    assert newsmill("replay", "diff", NAME, "--json").out == answer.out
    assert entries(mill)["diff"]["kinds"] == EXPECTED


def test_diff_for_people_is_bounded(mill: Mill, newsmill: Command) -> None:
    both = one_of_each(mill)
    both.replay(*(enriched(f"more-{number}", run=NAME) for number in range(300)))
    shown = newsmill("replay", "diff", NAME, "--examples", "2")
    assert shown.code == 0, shown
    assert "299 more" not in shown.out
    assert "300 more (--json has them all)" in shown.out
    assert all(kind.replace("_", " ") in shown.out for kind in EXPECTED)
    assert "새 제목" in shown.out
    assert "chips" in shown.out
    assert len(shown.out.splitlines()) < 70
    # beyond a few hundred differences the topics are read through instead of being searched
    assert len(newsmill("replay", "diff", NAME, "--json").lines) == 1 + 9 + 300


def test_a_replay_of_enrich_alone_says_nothing_of_copies(mill: Mill, newsmill: Command) -> None:
    both = Replayed(mill, stages=("enrich",), source_topic=mill.name("unique"))
    both.live(
        enriched("same"), copy("a-copy", "same"), enriched("extra"),
        # live revised it into a copy later on: nothing of the replay can take its place
        enriched("turned", FROM + 1), copy("turned", "same", FROM + 9),
    )  # fmt: skip
    both.replay(enriched("same", run=NAME), enriched("turned", FROM + 1, NAME, title="새 제목"))
    summary = newsmill("replay", "diff", NAME, "--json").lines[0]
    assert {kind: count for kind, count in summary.items() if kind in EXPECTED and count} == {
        "same": 1, "extra": 1, "newer": 1,
    }  # fmt: skip


def test_live_owes_an_archive_nothing(mill: Mill, newsmill: Command) -> None:
    both = Replayed(mill, source_topic=mill.settings.topic_prefix + "news.archive.old.v1")
    both.live(enriched("of-live"))
    both.replay(enriched("of-the-archive", run=NAME))
    summary = newsmill("replay", "diff", NAME, "--json").lines[0]
    assert (summary["missing"], summary["extra"]) == (1, 0)


def test_what_cannot_be_compared_is_one_line(mill: Mill, newsmill: Command) -> None:
    none = newsmill("replay", "diff", "nobody")
    assert (none.code, none.err.count("\n")) == (1, 1)
    assert "no replay is named nobody; there is none" in none.err
    Replayed(mill, "half", finished=False)
    Replayed(mill, "stages", stages=("prepare", "dedupe"))
    assert "there are half, stages" in newsmill("replay", "diff", "nobody").err
    half = newsmill("replay", "diff", "half")
    assert half.code == 1
    assert "half has not finished (records so far: prepare 0, dedupe 0, enrich 0)" in half.err
    assert newsmill("replay", "diff", "half", "--unfinished").code == 0
    assert "ran prepare, dedupe without enrich" in newsmill("replay", "diff", "stages").err


# ---- promote ----------------------------------------------------------------------------------------------------


def promoted(mill: Mill) -> list[tuple[Read, Prepared]]:
    return [(record, Prepared.model_validate_json(record.value or b"")) for record in mill.read("promote")]


def test_promote_writes_what_live_may_take(mill: Mill, newsmill: Command) -> None:
    one_of_each(mill)
    answer = newsmill("replay", "promote", NAME, "--yes")
    assert answer.code == 0, answer
    assert "3 articles written" in answer.out
    assert "no worker runs prepare: they wait in" in answer.out
    for line in ("3 other original left alone: which of the copies", "1 newer left alone", "2 extra left alone"):
        assert line in answer.out
    records = promoted(mill)
    assert [found.article.id for _, found in records] == [ident("missing"), ident("changed"), ident("missing-copy")]
    for record, found in records:
        assert record.key == found.article.id.encode()
        assert (found.format, found.prepare_version, found.fetched_at) == (2, PREPARE_VERSION, None)
        assert found.article.provenance.run == NAME
        assert (found.article.verdict, found.article.updates) == (None, None)
        assert unpack(found.sketch).words > 5
        headers = record.headers
        assert headers["ce_type"] == b"newsmill.prepared.v1"
        assert headers["ce_source"] == b"/newsmill/promote"
        assert headers["ce_id"].startswith(f"{found.article.id}-{found.article.version}-".encode())
        assert {"ce_specversion", "ce_time", "ce_subject", "content-type"} <= headers.keys()
    missing, changed, missing_copy = (found.promotion for _, found in records)
    assert missing is not None
    assert missing.replaces is None
    assert missing.enrichment is not None
    assert changed is not None
    assert (changed.replaces, changed.replaces_hash) == (FROM + 2, enriched("changed")["content_hash"])
    assert changed.enrichment is not None
    assert [found.theme for found in changed.enrichment.themes] == ["chips", "cloud"]
    assert missing_copy is not None
    assert (missing_copy.replaces, missing_copy.enrichment) == (None, None)
    assert records[2][1].article.text.startswith("missing-copy 항구")
    assert entries(mill)["promote"]["kinds"] == {"changed": 1, "missing": 2}

    again = newsmill("replay", "promote", NAME, "--yes", "--no-wait")
    assert "0 articles written" in again.out
    assert "3 articles written by a call before, not yet judged by live" in again.out
    assert len(mill.read("promote")) == 3
    assert entries(mill)["promote"]["sent"] == 3


def test_promote_only_some(mill: Mill, newsmill: Command) -> None:
    one_of_each(mill)
    assert "1 article written" in newsmill("replay", "promote", NAME, "--only", "changed", "--yes", "--no-wait").out
    assert [found.article.id for _, found in promoted(mill)] == [ident("changed")]


def test_promote_asks(mill: Mill, newsmill: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    one_of_each(mill)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    unanswered = newsmill("replay", "promote", NAME)
    assert unanswered.code == 2
    assert "nobody answered, so nothing was promoted; --yes promotes without asking" in unanswered.err
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert newsmill("replay", "promote", NAME).code == 1
    assert mill.read("promote") == []


def test_a_theme_that_live_lacks_stops_it(mill: Mill, newsmill: Command) -> None:
    both = Replayed(mill)
    both.live(enriched("crane"))
    both.replay(enriched("crane", run=NAME, themes=[theme("harbours")]), enriched("other", run=NAME))
    answer = newsmill("replay", "promote", NAME, "--yes")
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "live has no topic for theme harbours" in answer.err
    assert "newsmill topics create" in answer.err
    assert mill.read("promote") == []


def test_live_that_went_on_is_not_overwritten(mill: Mill, newsmill: Command) -> None:
    """Each promotion names what it replaces: after live moved, another call names the new version, or none."""
    both = Replayed(mill)
    both.live(enriched("crane", FROM + 1, title="옛 제목"))
    both.replay(enriched("crane", FROM + 1, NAME))
    newsmill("replay", "promote", NAME, "--yes", "--no-wait")
    both.live(enriched("crane", FROM + 1, title="옛 제목") | {"version": FROM + 2})
    assert "1 article written" in newsmill("replay", "promote", NAME, "--yes", "--no-wait").out
    both.live(enriched("crane", TO + 1, title="더 새 제목"))
    assert "nothing to promote" in newsmill("replay", "promote", NAME, "--yes", "--no-wait").out
    assert [found.promotion and found.promotion.replaces for _, found in promoted(mill)] == [FROM + 1, FROM + 2]


def test_what_the_judge_said(mill: Mill, newsmill: Command) -> None:
    both = Replayed(mill)
    names = ("revised", "refused", "new", "new-copy", "new-refused")
    both.live(enriched("revised", title="옛"), enriched("refused", title="옛"))
    both.replay(*(enriched(name, run=NAME) for name in names))
    assert "5 articles written" in newsmill("replay", "promote", NAME, "--yes", "--no-wait").out
    # what a worker would have written and committed by now; two promotions were refused
    for stage, topic in (("prepare", "promote"), ("dedupe", "prepared"), ("enrich", "unique")):
        asyncio.run(commit_group(mill, stage, topic))
    # what was judged and still differs was refused: it may be promoted again
    assert "5 articles written" in newsmill("replay", "promote", NAME, "--yes").out
    assert len(mill.read("promote")) == 10
    assert "5 articles written by a call before" in newsmill("replay", "promote", NAME, "--yes", "--no-wait").out
    both.live(
        enriched("revised", run=NAME, verdict="revision") | {"version": FROM + 2},
        enriched("new", run=NAME), copy("new-copy", "new", run=NAME),
    )  # fmt: skip
    replaces = {bytes.fromhex(ident(name)): FROM + 1 if name in names[:2] else None for name in names}
    counts = asyncio.run(count_judgements(mill.settings, NAME, replaces))
    assert counts == {"revision": 1, "original": 1, "duplicate": 1, "stale": 2}


def test_killed_in_the_midst_each_is_written_once(mill: Mill, newsmill: Command) -> None:
    both = Replayed(mill)
    names = [f"crane-{number}" for number in range(240)]
    both.live(*(enriched(name, FROM + number, title="옛 제목") for number, name in enumerate(names[:120])))
    both.replay(*(enriched(name, FROM + number, NAME) for number, name in enumerate(names)))
    for least in (20, 60):
        process = mill.newsmill("replay", "promote", NAME, "--yes", "--rate", "40", "--no-wait")
        mill.wait(lambda least=least: len(mill.read("promote")) >= least, f"{least} promotions")  # type: ignore[misc]
        mill.kill(process)
    written = len(mill.read("promote"))
    assert 60 <= written < 240
    answer = newsmill("replay", "promote", NAME, "--yes", "--no-wait")
    assert answer.code == 0, answer
    records = promoted(mill)
    assert [found.article.id for _, found in records] == [ident(name) for name in names]
    assert f"{240 - written} articles written" in answer.out
    assert entries(mill)["promote"]["kinds"] == {"changed": 120, "missing": 120}


# ---- with live at work --------------------------------------------------------------------------------------------


UNIQUE = ("original", "update", "revision")


def raw_article(number: int) -> tuple[bytes, bytes]:
    rng = random.Random(number)
    words = " ".join("".join(rng.choices("abcdefghij", k=4)) for _ in range(90))
    body = f"Ferry {number} between the islands sails every hour from Monday, the harbour office said.\n{words}."
    value = {"url": f"https://ferries.example/{number}", "title": f"Ferry {number}", "body": body, "source": "Bay"}
    return str(number).encode(), json.dumps(value).encode()


def test_live_takes_each_promotion_once(mill: Mill, newsmill: Command) -> None:
    """From the diff to the judge: themes alone change, live has seen some again since, a promote and a worker are
    killed, and in the end live says what the replay says, each article by one revision."""
    both = Replayed(mill, to_ms=FROM + 10**12)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    articles = [raw_article(number) for number in range(90)]
    mill.publish("raw", articles)
    mill.wait_processed("enrich", 90, 120)
    live = {record.json["id"]: record.json for record in mill.read("enriched")}
    assert len(live) == 90
    mill.publish("raw", articles[:30])  # repeats: they raise the version in dedupe's state, and lead to no event
    mill.wait_processed("dedupe", 120)
    found = [
        event | {"themes": [theme("cloud")], "provenance": event["provenance"] | {"run": NAME}}
        for event in live.values()
    ]  # fmt: skip
    new = [enriched(f"new-{number}", FROM + number, NAME, text=text_of(number)) for number in range(30)]
    both.replay(*found, *new)
    process = mill.newsmill("replay", "promote", NAME, "--yes", "--rate", "25")
    mill.wait(lambda: len(mill.read("promote")) >= 30, "some promotions")
    mill.kill(process)
    mill.kill(worker)
    rest = newsmill("replay", "promote", NAME, "--yes", "--no-wait")
    assert rest.code == 0, rest
    mill.newsmill("worker", "--metrics-port", "0")
    mill.wait_processed("dedupe", 240)
    last = newsmill("replay", "promote", NAME, "--yes")
    assert "nothing to promote" in last.out, last
    events = [record.json for record in mill.read("enriched")]
    promotions = Counter(event["id"] for event in events if event["provenance"]["run"] == NAME)
    assert promotions == dict.fromkeys([*live, *(event["id"] for event in new)], 1)
    counts = mill.processed("dedupe")
    assert (counts["revision"], counts["original"]) == (90, 120)
    summary = newsmill("replay", "diff", NAME, "--json").lines[0]
    assert {kind: count for kind, count in summary.items() if kind in EXPECTED and count} == {"same": 120}
    assert len({record.key for record in mill.read("theme.cloud") if record.value}) == 90
    both.replay(
        enriched("late", FROM + 100, NAME, text=text_of(77)),
        enriched("late-copy", FROM + 101, NAME, text=text_of(77)),  # the replay's rules took it for an article
    )  # fmt: skip
    late = newsmill("replay", "promote", NAME, "--yes")
    assert "live judged them: 0 revision, 1 original, 1 duplicate, 0 stale" in late.out
    assert newsmill("replay", "diff", NAME, "--json").lines[0]["other_original"] == 1


def test_a_replay_of_the_same_is_the_same(mill: Mill, newsmill: Command) -> None:
    """A real replay of what live read differs in nothing; one of an archive is new to live, until it is promoted."""
    raw = [(article["url"].encode(), json.dumps(article).encode()) for article in with_copies(120, 5)]
    mill.newsmill("worker", "--metrics-port", "0")
    mill.publish("raw", raw)
    mill.wait_processed("dedupe", len(raw), 120)
    mill.wait_processed("enrich", sum(count for what, count in mill.processed("dedupe").items() if what in UNIQUE))
    span = ("--from", "earliest", "--to", "latest", "--metrics-port", "0")
    assert newsmill("replay", "run", "same", *span).code == 0
    summary = newsmill("replay", "diff", "same", "--json").lines[0]
    found = {kind: count for kind, count in summary.items() if kind in EXPECTED and count}
    assert set(found) <= {"same", "other_original"}  # live reads its four partitions as they come
    assert sum(found.values()) == len({article["url"] for article in with_copies(120, 5)})
    assert "same" in newsmill("replay", "status").out

    # enrich alone, over what live's dedupe wrote, after something was lost in live
    lost = mill.read("enriched")[7].json | {"keywords": [], "summary": []}
    asyncio.run(write(mill, mill.settings, [lost]))
    assert newsmill("replay", "run", "quick", *span, "--stages", "enrich").code == 0
    summary, line = newsmill("replay", "diff", "quick", "--json").lines
    assert (summary["changed"], summary["same"]) == (1, len({record.key for record in mill.read("enriched")}) - 1)
    assert (line["id"], set(line["fields"])) == (lost["id"], {"keywords", "summary"})
    taken = newsmill("replay", "promote", "quick", "--yes")
    assert "live judged them: 1 revision, 0 original, 0 duplicate, 0 stale" in taken.out
    assert newsmill("replay", "diff", "quick", "--json").lines[0]["changed"] == 0

    archive = mill.folder / "archive.jsonl"
    old = with_copies(60, 6)
    lines = [
        article | {"fetched_at": f"2026-01-05T00:{n % 60:02d}:00Z", "url": article["url"].replace("://", "://old.")}
        for n, article in enumerate(old)
    ]
    archive.write_text("\n".join(map(json.dumps, lines)))
    assert newsmill("ingest", str(archive), "--archive", "old").code == 0
    topic = mill.settings.topic_prefix + "news.archive.old.v1"
    assert newsmill("replay", "run", "old", *span, "--topic", topic).code == 0
    summary = newsmill("replay", "diff", "old", "--json").lines[0]
    assert {kind for kind, count in summary.items() if kind in EXPECTED and count} == {"missing"}
    taken = newsmill("replay", "promote", "old", "--yes")
    assert f"{summary['missing']} articles written" in taken.out
    assert "0 revision" in taken.out
    assert "0 stale" in taken.out
    now = newsmill("replay", "diff", "old", "--json").lines[0]
    assert (now["same"], now["missing"], now["changed"]) == (summary["missing"], 0, 0)


def text_of(number: int) -> str:
    rng = random.Random(1000 + number)
    return " ".join("".join(rng.choices("abcdefghij", k=4)) for _ in range(90)) + "."
