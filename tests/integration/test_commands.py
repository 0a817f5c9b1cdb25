"""The commands that look at a running pipeline, and the two that change it, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka.structs import TopicPartition
from harness import Mill

from newsmill import kafka
from newsmill.cli import main
from newsmill.cli.reset import _Step, _transact
from newsmill.core.identity import article_id, canonicalize_url
from newsmill.errors import BrokerError
from newsmill.events import Outcome
from newsmill.ledger import read_counts
from newsmill.samples import Sample, samples
from newsmill.transport.envelope import REQUEUE_TIME_HEADER, STATE_OFFSET_KEY, read_state_offset

pytestmark = pytest.mark.timeout(240)


class Answer(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Answer]


class Pipeline(NamedTuple):
    """A pipeline through which every sample has gone, its worker still running."""

    mill: Mill
    worker: subprocess.Popen[bytes]
    sent: list[Sample]

    def sample(self, outcome: Outcome) -> Sample:
        return next(sample for sample in self.sent if sample.outcome is outcome)

    def labelled(self, label: str | None) -> Sample:
        return next(sample for sample in self.sent if sample.label == label)


@pytest.fixture(scope="module")
def pipeline(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    mill = Mill(bootstrap, f"t{secrets.token_hex(3)}.", tmp_path_factory.mktemp("cli"))
    try:
        worker = mill.newsmill("worker", "--metrics-port", "0")
        sent: list[Sample] = []
        everything = list(samples())
        for wave in sorted({sample.wave for sample in everything}):
            now = [sample for sample in everything if sample.wave == wave]
            mill.publish("raw", [(sample.key, sample.value) for sample in now])
            sent += now
            good = sum(sample.outcome is not Outcome.DEAD_LETTER for sample in sent)
            mill.wait_processed("prepare", len(sent), 90)
            mill.wait_processed("dedupe", good, 60)
        dropped = {Outcome.DEAD_LETTER, Outcome.REPEAT, Outcome.STALE}
        mill.wait_processed("stories", sum(sample.outcome not in dropped for sample in sent), 60)
        yield Pipeline(mill, worker, sent)
    finally:
        mill.close()


@pytest.fixture
def newsmill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[Mill], Command]:
    """``newsmill`` in this process, with the environment of a mill: a process of its own takes seconds to start."""

    def bind(mill: Mill) -> Command:
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

    return bind


def _id(sample: Sample) -> str:
    return article_id(canonicalize_url(json.loads(sample.value)["url"]))


# ---- ledger and status ------------------------------------------------------------------------------------------


def test_counts_are_complete(pipeline: Pipeline) -> None:
    counts = asyncio.run(read_counts(pipeline.mill.settings))
    assert sum(counts["prepare"].values()) == len(pipeline.sent)
    expected = [sample.outcome for sample in pipeline.sent]
    for outcome in (Outcome.DUPLICATE, Outcome.REVISION, Outcome.UPDATE, Outcome.REPEAT):
        assert counts["dedupe"].get(outcome, 0) == expected.count(outcome)
    assert counts["prepare"]["dead_letter"] == expected.count(Outcome.DEAD_LETTER)


def test_status_of_a_running_pipeline(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(pipeline.mill)
    answer = command("status", "--json")
    assert answer.code == 0, answer
    stages = {stage["stage"]: stage for stage in answer.json["stages"]}
    assert list(stages) == ["prepare", "dedupe", "enrich", "stories"]
    assert all(stage["members"] == 1 and stage["lag"] == 0 for stage in stages.values())
    assert stages["prepare"]["partitions"] == 5  # four of news.raw, one of news.promote
    assert sum(stages["prepare"]["dispositions"].values()) == len(pipeline.sent)
    assert 0 <= stages["dedupe"]["age_seconds"] < 600
    shown = command("status")
    assert shown.code == 0
    assert all(name in shown.out for name in ("prepare", "stories", "up to date"))


def test_status_without_topics(bootstrap: str, mill: Mill, newsmill: Callable[[Mill], Command]) -> None:
    mill.env["NEWSMILL_TOPIC_PREFIX"] = f"none{secrets.token_hex(3)}."
    answer = newsmill(mill)("status")
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert "newsmill topics create" in answer.err


def test_status_of_a_stage_without_a_worker(mill: Mill, newsmill: Callable[[Mill], Command]) -> None:
    """Nothing to do and nobody there is no fault; unread records and nobody there is one."""
    command = newsmill(mill)
    fresh = command("status", "--json")
    assert fresh.code == 0
    assert {stage["state"] for stage in fresh.json["stages"]} == {"idle"}
    mill.publish("raw", [(b"k", b"{}")])
    answer = command("status", "--watch-seconds", "0.2")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert line.startswith("newsmill: prepare is stalled: 1 unread in ")
    assert "no worker in its group" in line


# ---- trace ------------------------------------------------------------------------------------------------------


def test_trace_of_a_copy(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(pipeline.mill)
    near = [s for s in pipeline.sent if s.outcome is Outcome.DUPLICATE]
    for sample in near:
        original = _id(pipeline.labelled(sample.of))
        trace = command("trace", _id(sample), "--json").json
        (relation,) = trace["relations"]
        assert (relation["kind"], relation["of"]) == ("duplicate", original)
        diff = relation["diff"]
        # nearly all of the shorter text is in the other: that made it a copy
        assert max(diff["measured"]["a_in_b"], diff["measured"]["b_in_a"]) > 0.5
        # every sentence of both texts is accounted for
        assert diff["shared"] + len(diff["changed"]) + len(diff["only_a"]) == diff["sentences_a"]
        assert diff["shared"] + len(diff["changed"]) + len(diff["only_b"]) == diff["sentences_b"]
        assert [record["topic"].rpartition("news.")[2] for record in trace["records"]][:2] == [
            "prepared.v1",
            "duplicate.v1",
        ]
        assert trace["raw"][0]["size"] == len(sample.value)
    shown = command("trace", json.loads(near[0].value)["url"])
    assert shown.code == 0
    assert "copy of" in shown.out
    assert "sentences shared" in shown.out


def test_trace_of_an_update_and_a_revision(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(pipeline.mill)
    update = pipeline.sample(Outcome.UPDATE)
    trace = command("trace", _id(update), "--json").json
    (relation,) = trace["relations"]
    assert (relation["kind"], relation["of"]) == ("update", _id(pipeline.labelled(update.of)))
    assert relation["diff"]["only_b"]  # it adds sentences
    assert [story for story in trace["stories"] if trace["id"] in story["article_ids"]]
    revision = pipeline.sample(Outcome.REVISION)
    trace = command("trace", _id(revision), "--json").json
    assert [relation["kind"] for relation in trace["relations"]] == ["revision"]
    decisions = [record["decision"] for record in trace["records"] if "news.unique." in record["topic"]]
    assert [decision.split(",")[0] for decision in decisions] == ["original", "revision"]
    tombstones = [r for r in trace["records"] if "news.theme." in r["topic"] and r["value"] is None]
    assert all("(tombstone)" in record["decision"] for record in tombstones)
    times = [record["time"] for record in trace["records"]]
    assert times == sorted(times)


def test_trace_of_a_repeat_says_so(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    trace = newsmill(pipeline.mill)("trace", _id(pipeline.sample(Outcome.REPEAT)), "--json").json
    decisions = [record["decision"] for record in trace["records"] if "news.prepared." in record["topic"]]
    assert any("repeat" in decision for decision in decisions)
    assert len(trace["raw"]) >= 2


def test_trace_takes_url_id_and_unique_prefix(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(pipeline.mill)
    sample = next(s for s in pipeline.sent if s.outcome is Outcome.ORIGINAL and s.themes)
    url, ident = json.loads(sample.value)["url"], _id(sample)
    whole = command("trace", ident, "--json").json
    assert whole["id"] == ident
    assert {record["topic"].rpartition("news.")[2] for record in whole["records"]} >= {
        "unique.v1",
        "enriched.v1",
        *(f"theme.{theme}.v1" for theme in sample.themes or ()),
    }
    assert command("trace", ident[:10], "--json").json == whole
    assert command("trace", url, "--json").json == whole
    assert command("trace", f"{url}?utm_source=feed" if "?" not in url else url, "--json").json == whole
    for unknown in ("0" * 32, "00000000", "https://nowhere.example/1"):
        answer = command("trace", unknown)
        assert answer.code == 1
        assert answer.err == f"newsmill: nothing on the topics is about {unknown}\n"


# ---- dead letters -----------------------------------------------------------------------------------------------


def test_dead_letters_listed_and_shown(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(pipeline.mill)
    bad = [sample for sample in pipeline.sent if sample.outcome is Outcome.DEAD_LETTER]
    rows = command("deadletters", "list", "--json").lines
    assert sorted(row["reason"] for row in rows) == sorted(str(sample.reason) for sample in bad)
    assert {row["stage"] for row in rows} == {"prepare"}
    shown = command("deadletters", "list", "--limit", "1")
    assert f"{len(bad)} dead letters: " in shown.out
    assert f"({len(bad) - 1} older ones not shown)" in shown.out
    one = next(sample for sample in bad if sample.reason == "no_body")
    places = [row["place"] for row in command("deadletters", "list", "--reason", "no_body", "--json").lines]
    texts = [command("deadletters", "show", place, "--raw").out.encode() for place in places]
    assert one.value in texts
    details = command("deadletters", "show", places[0], "--json").json
    assert details["headers"]["newsmill-reason"] == "no_body"
    binary = command("deadletters", "list", "--reason", "bad_utf8", "--json").lines[0]["place"]
    value = bytes.fromhex(command("deadletters", "show", binary, "--json").json["hex"])
    assert value == next(sample.value for sample in bad if sample.reason == "bad_utf8")
    assert "00000000  " in command("deadletters", "show", binary).out
    missing = command("deadletters", "show", "0:99999")
    assert missing.code == 1
    assert "there is no dead letter at 0:99999" in missing.err


def test_dead_letter_requeued_once(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    mill, command = pipeline.mill, newsmill(pipeline.mill)
    row = command("deadletters", "list", "--reason", "only_markup", "--json").lines[0]
    before = {(record.partition, record.offset): record for record in mill.read("raw")}
    processed = sum(mill.processed("prepare").values())
    answer = command("deadletters", "requeue", row["place"], "--yes")
    assert answer.code == 0, answer
    (sent,) = [record for record in mill.read("raw") if (record.partition, record.offset) not in before]
    failed = before[row["partition"], row["offset"]]
    assert (sent.key, sent.value, sent.partition) == (failed.key, failed.value, failed.partition)
    assert sent.headers[REQUEUE_TIME_HEADER] == str(failed.timestamp).encode()
    again = command("deadletters", "requeue", row["place"], "--yes")
    assert again.code == 0
    assert "nothing to requeue" in again.out
    assert "was requeued before" in again.err
    mill.wait_processed("prepare", processed + 1, 30)
    assert command("deadletters", "requeue", row["place"], "--yes", "--again").out.startswith("1 requeued")
    mill.wait_processed("prepare", processed + 2, 30)
    # it failed again, twice: each letter keeps the time of the first arrival
    letters = [record for record in mill.read("deadletter") if record.value == failed.value]
    assert len(letters) == 3
    assert {letter.timestamp for letter in letters} == {failed.timestamp}


@pytest.mark.parametrize(("topic", "partition", "says"), [
    ("somebody.elses", b"0", "somebody.elses, which is no input of a stage"),
    ("enriched", b"0", "news.enriched.v1, which is no input of a stage"),
    ("raw", b"99", "does not say which record"),
])  # fmt: skip
def test_forged_dead_letter_is_refused(
    mill: Mill, newsmill: Callable[[Mill], Command], topic: str, partition: bytes, says: str
) -> None:
    name = mill.name(topic) if topic in mill.topics else topic

    async def forge() -> None:
        headers = [("newsmill-topic", name.encode()), ("newsmill-partition", partition), ("newsmill-offset", b"0")]
        async with kafka.producer(mill.settings) as producer:
            await producer.send_and_wait(mill.name("deadletter"), b"x", partition=0, headers=headers)

    asyncio.run(forge())
    answer = newsmill(mill)("deadletters", "requeue", "--all", "--yes")
    assert answer.code == 1
    assert says in answer.err
    assert mill.ends("raw") == mill.ends("enriched") == 0


# ---- reset ------------------------------------------------------------------------------------------------------


def _state(mill: Mill) -> tuple[int | None, int, int | None]:
    """The dedupe state's offset, its live entries, and the group's committed offset."""
    latest = {record.key: record.value for record in mill.read("state.dedupe")}
    offset = read_state_offset(latest.pop(STATE_OFFSET_KEY, None))

    async def committed() -> int | None:
        async with kafka.admin_client(mill.settings) as admin:
            offsets = await kafka.group_offsets(admin, kafka.group_name(mill.settings, "dedupe"))
        return offsets.get(TopicPartition(mill.name("prepared"), 0))

    return offset, sum(value is not None for value in latest.values()), asyncio.run(committed())


def test_fenced_reset_changes_nothing(mill: Mill) -> None:
    """A worker that starts meanwhile wins: neither the state nor the offset moves."""
    state, source = TopicPartition(mill.name("state.dedupe"), 0), TopicPartition(mill.name("prepared"), 0)
    mill.publish("state.dedupe", [(b"entry", b"1"), (STATE_OFFSET_KEY, orjson.dumps({"format": 1, "offset": 7}))])
    options = {"transactional_id": kafka.transactional_id(mill.settings, "dedupe", 0)}
    group = kafka.group_name(mill.settings, "dedupe")

    async def fenced() -> None:
        async with kafka.producer(mill.settings, **options) as ours:
            async with kafka.producer(mill.settings, **options):
                pass
            await _transact(ours, group, _Step(source, 7, 0), state, [b"entry"])

    with pytest.raises(BrokerError, match="was not reset"):
        asyncio.run(fenced())
    assert _state(mill) == (7, 1, None)


def test_reset_sets_offset_and_state_together(pipeline: Pipeline, newsmill: Callable[[Mill], Command]) -> None:
    """Refused while a worker runs; then both are set back, and the stage decides the same again."""
    mill, command = pipeline.mill, newsmill(pipeline.mill)
    refused = command("reset", "dedupe", "--yes")
    assert refused.code == 1
    assert "1 worker in its group" in refused.err
    decided = mill.processed("dedupe")
    assert mill.terminate(pipeline.worker) == 0, mill.logs()
    group = kafka.group_name(mill.settings, "dedupe")
    mill.wait(lambda: command("status", "--watch-seconds", "0.2", "--json").json["stages"][1]["members"] == 0, group)

    offset, entries, committed = _state(mill)
    assert offset == committed
    assert entries > 0
    answer = mill.call("reset", "dedupe", stdin="n\n")
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "processed again" in answer.stdout
    assert mill.call("reset", "dedupe", stdin="").returncode == 2
    assert _state(mill) == (offset, entries, committed)

    answer = mill.call("reset", "dedupe", stdin="y\n")
    assert answer.returncode == 0, answer
    assert _state(mill) == (0, 0, 0)
    behind = command("status", "--watch-seconds", "0.2")
    assert behind.code == 1
    assert "dedupe is stalled" in behind.err

    worker = mill.newsmill("worker", "--stages", "dedupe", "--metrics-port", "0")
    mill.wait_processed("dedupe", 2 * sum(decided.values()), 90)
    assert mill.processed("dedupe") == {outcome: 2 * count for outcome, count in decided.items()}

    # stopped as by a frozen machine: it has members, records wait, nothing moves
    os.killpg(worker.pid, signal.SIGSTOP)
    try:
        mill.publish("prepared", [(b"x", b"{}")])
        frozen = command("status", "--watch-seconds", "0.5")
    finally:
        os.killpg(worker.pid, signal.SIGCONT)
    assert frozen.code == 1
    assert "1 worker in its group, but the committed offset does not move" in frozen.err
    mill.kill(worker)


def test_reset_to_latest_skips_what_waits(mill: Mill, newsmill: Callable[[Mill], Command]) -> None:
    command = newsmill(mill)
    mill.publish("raw", [(b"key-%d" % number, b"{}") for number in range(20)])
    answer = command("reset", "prepare", "--to", "latest", "--yes")
    assert answer.code == 0, answer
    assert "skipped" in answer.out
    stage = command("status", "--json").json["stages"][0]
    assert (stage["state"], stage["lag"]) == ("idle", 0)
    assert command("reset", "prepare", "--yes").code == 0
    assert command("status", "--json", "--watch-seconds", "0.2").json["stages"][0]["lag"] == 20
