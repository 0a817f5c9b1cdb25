"""Languages → shards of dedupe: settings, topics, what prepare writes where, and verdicts of two shards."""

from __future__ import annotations

import random

import orjson
import pytest

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Record
from newsmill.errors import ConfigError
from newsmill.events import Outcome
from newsmill.settings import load_settings
from newsmill.topics import registry
from newsmill.transport.stage import context_of

RULES = load_rulebook()


def raw(name: str, korean: bool, seed: int) -> Record:
    rng = random.Random(seed)
    alphabet = "가나다라마바사아자차" if korean else "abcdefghij"
    words = ["".join(rng.choices(alphabet, k=4)) for _ in range(80)]
    body = ("시는 오늘 다음과 같이 밝혔다. " if korean else "The city said on Monday what follows here. ") + " ".join(
        words
    )
    article = {"url": f"https://site.example/{name}", "body": body, "language": "ko" if korean else "en"}
    return Record("news.raw.v1", 0, 0, 1_760_000_000_000, None, orjson.dumps(article), ())


def test_one_shard_is_the_default() -> None:
    settings = load_settings()
    assert (settings.dedupe_shards, settings.shard_of_language) == (1, {})
    topics = registry(settings=settings)
    assert [topics[name].partitions for name in ("prepared", "state.dedupe", "story-input")] == [1, 1, 1]
    prepare = Prepare(context_of(settings), RULES)
    assert prepare(raw("a", False, 1), None).outputs[0].partition is None


def test_topics_have_a_partition_a_shard() -> None:
    topics = registry(settings=load_settings(dedupe_shards=3, dedupe_shard_map="ko=1,ja=2"))
    assert [topics[name].partitions for name in ("prepared", "state.dedupe", "story-input")] == [3, 3, 1]


@pytest.mark.parametrize(
    ("shards", "languages", "complaint"),
    [
        (2, "ko=2", "does not have"),
        (1, "ko=1", "does not have"),
        (2, "ko=1,ko=0", "twice"),
        (2, "", "without a language"),
        (3, "ko=2", "without a language"),
        (2, "ko:1", "DEDUPE_SHARD_MAP"),
        (0, "", "DEDUPE_SHARDS"),
    ],
)
def test_impossible_maps_are_refused(shards: int, languages: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_settings(dedupe_shards=shards, dedupe_shard_map=languages)


def test_each_shard_judges_its_languages() -> None:
    """A copy is found in its language, wherever records of the other one come between, as if that were not there."""
    settings = load_settings(dedupe_shards=2, dedupe_shard_map="ko=1")
    context = context_of(settings)
    prepare, dedupe = Prepare(context, RULES), Dedupe(context, DedupeOptions(max_entries=1000), RULES)
    states = {shard: dedupe.new_state() for shard in range(2)}
    stream = [(f"{n}", n % 2 == 0, n % 14) for n in range(60)]
    verdicts = []
    for offset, (name, korean, seed) in enumerate(stream):
        (output,) = prepare(raw(name, korean, seed), None).outputs
        assert output.partition == (1 if korean else 0)
        record = Record("news.prepared.v1", output.partition, offset, output.time_ms, output.key, output.value, ())
        result = dedupe(record, states[output.partition])
        for change in result.changes:
            states[output.partition].apply(change)
        verdicts.append(result.outcome)
    assert verdicts == [Outcome.ORIGINAL] * 14 + [Outcome.DUPLICATE] * 46
    assert [states[shard].entries for shard in range(2)] == [7, 7]
