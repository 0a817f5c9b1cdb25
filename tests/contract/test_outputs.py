"""Everything that the four stages write for the samples, held against the committed schemas and the topics."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.enrich import Enrich
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Output, Process, Record
from newsmill.core.stories import Stories, StoriesOptions
from newsmill.errors import Refused
from newsmill.samples import samples
from newsmill.schema import CONTRACTS
from newsmill.topics import TOPICS

SCHEMAS = Path(__file__).parents[2] / "schemas"
CONTRACT_OF = {contract.model: contract for contract in CONTRACTS}


class Flow:
    """The stages one after the other, in memory: each record goes all the way before the next one."""

    def __init__(self) -> None:
        rulebook, context = load_rulebook(), Context("live", "0.0.0", "Asia/Seoul", {})
        dedupe = Dedupe(context, DedupeOptions(), rulebook)
        stories = Stories(context, StoriesOptions(), rulebook)
        self.written: list[Output] = []
        self._offset = 0
        self._stages: dict[str, tuple[Process, Any]] = {
            "raw": (Prepare(context, rulebook), None),
            "prepared": (dedupe, dedupe.new_state()),
            "unique": (Enrich(context, rulebook), None),
            "story-input": (stories, stories.new_state()),
        }

    def put(self, topic: str, key: bytes, value: bytes | None, time: int) -> None:
        """One record into a topic, and what follows from it into the next ones."""
        if topic not in self._stages:
            return
        process, state = self._stages[topic]
        self._offset += 1
        result = process(Record(TOPICS[topic].name, 0, self._offset, time, key, value, ()), state)
        for change in result.changes:
            state.apply(change)
        for output in result.outputs:
            self.written.append(output)
            self.put(output.to, output.key, output.value, output.time_ms)


@pytest.fixture(scope="module")
def written() -> list[Output]:
    flow = Flow()
    for place, sample in enumerate(samples()):
        try:
            flow.put("raw", sample.key, sample.value, 1_780_000_000_000 + 1000 * place)
        except Refused:
            assert sample.reason is not None, sample.label
    return flow.written


def public(written: list[Output]) -> Iterator[Output]:
    return (output for output in written if not TOPICS[output.to].internal)


def test_every_public_topic_of_the_flow_is_written(written: list[Output]) -> None:
    elsewhere = {"raw", "ledger", "deadletter"}  # others write them: producers, and the shell around the stages
    assert {output.to for output in public(written)} == {
        short for short, topic in TOPICS.items() if not topic.internal and short not in elsewhere
    }


def test_what_the_stages_write_validates(written: list[Output]) -> None:
    validators = {
        contract.model: Draft202012Validator(json.loads((SCHEMAS / f"{contract.slug}.json").read_text("utf-8")))
        for contract in CONTRACTS
    }
    wrong = []
    for output in public(written):
        if output.value is None:
            assert TOPICS[output.to].cleanup == "compact", output.to
            continue
        model = TOPICS[output.to].record
        assert model is not None, output.to
        record = json.loads(output.value)
        wrong += [f"{output.to} {output.subject}: {error.message}" for error in validators[model].iter_errors(record)]
        assert set(record) == set(model.model_fields), output.to  # what is absent is null
    assert wrong == []


def test_event_types_are_those_of_the_contract(written: list[Output]) -> None:
    types = defaultdict(set)
    for output in public(written):
        model = TOPICS[output.to].record
        assert model is not None, output.to
        types[CONTRACT_OF[model].slug].add(f"newsmill.{output.type}.v1")
    for contract in CONTRACTS:
        if contract.slug in types:
            assert types[contract.slug] <= set(contract.event_types), contract.slug


def test_keys_are_those_of_the_topics(written: list[Output]) -> None:
    for output in public(written):
        assert output.key.decode() == output.subject
        if output.value is not None:
            record = json.loads(output.value)
            assert output.subject == record.get("story_id", record.get("id"))


def test_an_event_id_names_one_event_of_a_topic(written: list[Output]) -> None:
    ids = [(output.to, output.type, output.id) for output in public(written)]
    assert len(set(ids)) == len(ids)
