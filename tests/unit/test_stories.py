"""The stories stage: joining, merging, copies, revisions, closing; and that a rebuilt state answers the same."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Record, Result
from newsmill.core.stories import ClusterRules, Stories, StoriesOptions
from newsmill.core.stories_state import FORMAT, StoriesState
from newsmill.errors import ConfigError, Reason, Refused, UnreadableFormat
from newsmill.events import Outcome, Story, StoryEvent

BOOK = load_rulebook()
CONTEXT = Context("live", "0.1.0", "Asia/Seoul", {})
HOUR = 3_600_000
BEGIN = 1_900_000_000_000


def name(label: object) -> str:
    return hashlib.md5(str(label).encode()).hexdigest()


def item(label: object, words: str, hours: float = 0.0, **more: Any) -> dict[str, Any]:
    """An article whose terms are the words; a word may carry its weight after ^."""
    terms = {w.partition("^")[0]: float(w.partition("^")[2] or 1) for w in words.split()}
    fields = {
        "format": 1,
        "kind": "item",
        "id": name(label),
        "version": int(BEGIN + hours * HOUR),
        "verdict": "original",
        "updates": None,
        "title": f"Title {label}",
        "source": "Alpha",
        "language": "ko",
        "published_at": utc(hours),
        "themes": [],
        "keywords": [],
        "terms": terms,
        "digest": False,
    }
    return fields | more


def copy(label: object, of: object, hours: float = 0.0, **more: Any) -> dict[str, Any]:
    fields = {
        "format": 1,
        "kind": "copy",
        "id": name(label),
        "duplicate_of": name(of),
        "source": "Beta",
        "published_at": utc(hours),
        "version": int(BEGIN + hours * HOUR),
    }
    return fields | more


def utc(hours: float) -> str:
    from datetime import UTC, datetime, timedelta

    moment = datetime.fromtimestamp(BEGIN / 1000, UTC) + timedelta(hours=hours)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Desk:
    """A stage with its state, its simulated compacted state topic, and the last Story of each id."""

    def __init__(self, stage: Stories | None = None, **options: Any) -> None:
        self.stage = stage or Stories(CONTEXT, StoriesOptions(**options), BOOK)
        self.state: StoriesState = self.stage.new_state()
        self.log: dict[bytes, bytes | None] = {}
        self.stories: dict[str, Story] = {}
        self.events: list[StoryEvent] = []
        self.offset = 0

    def take(self, value: dict[str, Any]) -> Result:
        result = self.stage(Record("news.story-input.v1", 0, self.offset, 0, None, orjson.dumps(value), ()), self.state)
        self.offset += 1
        for change in result.changes:
            self.state.apply(change)
            self.log.pop(change.key, None)  # a compacted log keeps the last record of a key, where it stands
            self.log[change.key] = change.value
        for output in result.outputs:
            assert output.value is not None
            if output.to == "story":
                story = Story.model_validate_json(output.value)
                assert (output.key.decode(), output.subject) == (story.id, story.id)
                self.stories[story.id] = story
            else:
                assert output.to == "story-event"
                event = StoryEvent.model_validate_json(output.value)
                assert output.id == f"{event.story_id}-{event.sequence}"
                assert output.type == f"story.{event.event}"
                self.events.append(event)
        assert result.outcome is Outcome.OK
        assert result.raw_time_ms == value["version"]
        return result

    def rebuild(self) -> None:
        """Forget the memory and read the state topic again, with or without old tombstones."""
        self.state = self.stage.new_state()
        for key, value in self.log.items():
            self.state.load(key, value)
        self.state.loaded()

    @property
    def told(self) -> list[str]:
        return [event.event for event in self.events]


def test_first_article_opens_a_story_of_one() -> None:
    desk = Desk()
    desk.take(item(1, "a b c", source="Alpha", language="en", themes=["chips"], keywords=["wafer"]))
    (story,) = desk.stories.values()
    assert story.model_dump() == {
        "id": hashlib.sha256(b"story:" + name(1).encode()).hexdigest()[:32],
        "title": "Title 1",
        "article_ids": [name(1)],
        "article_count": 1,
        "copy_count": 0,
        "sources": ["Alpha"],
        "languages": ["en"],
        "themes": ["chips"],
        "keywords": ["wafer"],
        "first_seen": utc(0),
        "last_seen": utc(0),
        "status": "open",
        "merged_into": None,
    }
    (event,) = desk.events
    assert (event.event, event.sequence, event.article_id, event.similarity) == ("opened", 1, name(1), None)


def test_like_articles_share_a_story_and_the_reason_names_terms() -> None:
    desk = Desk()
    desk.take(item(1, "@place:x+=flood bridge river", source="Beta", keywords=["river", "dam"]))
    desk.take(item(2, "@place:x+=flood bridge water", -5, version=BEGIN + 9, language="en", keywords=["river"]))
    (story,) = desk.stories.values()
    assert story.article_ids == [name(1), name(2)]
    assert (story.article_count, story.sources, story.languages) == (2, ["Alpha", "Beta"], ["en", "ko"])
    assert (story.first_seen, story.last_seen) == (utc(-5), utc(0))
    assert story.keywords == ["river", "dam"]
    event = desk.events[-1]
    assert (event.event, event.sequence) == ("updated", 2)
    assert event.reason == f"shares x + flood, bridge with article {name(1)}"
    assert event.similarity == pytest.approx(2 / 3, abs=1e-3)


def test_unlike_articles_do_not() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "d e f"))
    assert desk.told == ["opened", "opened"]
    assert len(desk.stories) == 2


def test_articles_far_apart_in_published_time_do_not_meet() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "a b c", published_at=utc(-100)))
    assert len(desk.stories) == 2


def test_an_update_joins_the_story_of_what_it_extends() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "x y z", verdict="update", updates=name(1)))
    (story,) = desk.stories.values()
    assert story.article_count == 2
    assert desk.events[-1].reason == f"extends article {name(1)}"


def test_an_update_of_an_unknown_article_is_an_article() -> None:
    desk = Desk()
    desk.take(item(2, "x y z", verdict="update", updates=name(1)))
    assert desk.told == ["opened"]


def test_a_revision_updates_in_place() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(1, "d e f", 1, verdict="revision", title="New title", source="Gamma"))
    (story,) = desk.stories.values()
    assert (story.article_count, story.article_ids, story.title) == (1, [name(1)], "New title")
    assert story.sources == ["Alpha", "Gamma"]
    desk.take(item(2, "d e f", 2))
    assert len(desk.stories) == 1, "it is compared by its new words"


def test_the_same_record_twice_changes_nothing() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(copy(9, 1))
    before = dict(desk.log)
    for again in (item(1, "a b c"), copy(9, 1), item(1, "older", -1, verdict="revision")):
        result = desk.take(again)
        assert not result.outputs
        assert not result.changes
    assert desk.log == before


def test_copies_count_and_bring_their_publisher() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(copy(8, 1, 1, source="Beta"))
    desk.take(copy(9, 8, 2, source="Beta"))  # a copy of a copy is a copy of the original
    (story,) = desk.stories.values()
    assert (story.article_count, story.copy_count, story.sources) == (1, 2, ["Alpha", "Beta"])
    assert story.last_seen == utc(2)
    assert desk.events[-1].reason == f"a copy of article {name(1)} by Beta"
    assert [e.sequence for e in desk.events] == [1, 2, 3]


def test_a_copy_before_its_original_waits_for_it() -> None:
    desk = Desk()
    result = desk.take(copy(9, 1, source="Beta"))
    assert not result.outputs
    desk.rebuild()
    desk.take(item(1, "a b c", 1))
    (story,) = desk.stories.values()
    assert (story.copy_count, story.sources) == (1, ["Alpha", "Beta"])
    desk.take(copy(9, 1, 2, source="Beta"))
    assert desk.stories[story.id].copy_count == 1


def test_a_digest_has_no_story_and_attracts_nobody() -> None:
    desk = Desk()
    result = desk.take(item(1, "a b c", digest=True))
    assert not result.outputs
    assert not result.changes
    desk.take(item(2, "a b c"))
    desk.take(item(2, "a b c", 1, verdict="revision", digest=True))
    desk.take(item(3, "a b c", 2))
    assert len(desk.stories) == 2, "an article revised into a digest attracts nobody any more"


def bridge(desk: Desk) -> tuple[str, str]:
    """Two stories, of one and two articles, and an article that links them: (id that stays, id that goes)."""
    desk.take(item(1, "a b c d"))
    desk.take(item(2, "e f g h", source="Beta", language="en"))
    desk.take(item(3, "e f g h", source="Gamma"))
    desk.take(copy(9, 1, source="Delta"))
    small, large = list(desk.stories)
    desk.take(item(4, "a b c d e f g h", 1))
    return large, small


def test_an_article_that_links_two_stories_merges_them() -> None:
    desk = Desk()
    stays, goes = bridge(desk)
    assert desk.told[-2:] == ["merged", "updated"]
    kept, gone = desk.stories[stays], desk.stories[goes]
    assert (gone.status, gone.merged_into) == ("merged", stays)
    assert (kept.status, kept.article_count, kept.copy_count) == ("open", 4, 1)
    assert sorted(kept.article_ids) == sorted(map(name, (1, 2, 3, 4)))
    assert kept.article_ids[-1] == name(4)
    assert (kept.sources, kept.languages) == (["Alpha", "Beta", "Delta", "Gamma"], ["en", "ko"])
    merged = desk.events[-2]
    assert (merged.merged_into, merged.article_id) == (stays, name(4))
    assert goes in desk.events[-1].reason


def test_after_a_merge_old_articles_lead_to_the_story_that_stayed() -> None:
    desk = Desk()
    stays, goes = bridge(desk)
    desk.rebuild()
    desk.take(item(5, "a b c d", 2))
    desk.take(copy(10, 1, 2))
    desk.take(item(1, "a b c d", 3, verdict="revision"))
    assert desk.stories[stays].article_count == 5
    assert desk.stories[stays].copy_count == 2
    assert desk.stories[goes].status == "merged"
    assert all(event.story_id == stays for event in desk.events[-3:])


def test_a_weak_link_does_not_merge() -> None:
    desk = Desk()
    desk.take(item(1, "a b c d"))
    for label in range(2, 12):
        desk.take(item(label, "e f g h"))
    desk.take(item(99, "a^0.17 e f g h", 1))
    assert "merged" not in desk.told


def test_a_story_closes_after_the_window_without_news() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "a b c", 50))
    desk.take(item(3, "x y z", 100))
    assert "closed" not in desk.told, "it had news 50 hours ago"
    desk.take(item(4, "u v w", 123))
    (closed,) = (e for e in desk.events if e.event == "closed")
    assert closed.article_id is None
    assert desk.stories[closed.story_id].status == "closed"
    assert desk.stories[closed.story_id].article_count == 2
    assert desk.log[b"s" + closed.story_id.encode()] is None
    desk.take(item(5, "a b c", 124))
    assert desk.told[-1] == "opened"


def test_an_article_that_arrives_late_does_not_join_what_has_expired() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "a b c", 73))
    assert desk.told == ["opened", "opened", "closed"]


def test_time_never_goes_back() -> None:
    desk = Desk()
    desk.take(item(1, "a b c", 100))
    desk.take(item(2, "x y z", 0))
    desk.take(item(3, "x y z", 171))
    assert "closed" not in desk.told, "article 2 arrived when the log stood at hour 100"


def test_a_revision_of_a_forgotten_article_opens_another_story() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    desk.take(item(2, "x y z", 80))
    desk.take(item(1, "a b c", 81, verdict="revision"))
    assert desk.told == ["opened", "opened", "closed", "opened"]
    assert len({event.story_id for event in desk.events}) == 3


def test_the_cap_closes_the_oldest_first() -> None:
    desk = Desk(max_articles=3)
    for label in range(5):
        desk.take(item(label, f"own{label} word{label}"))
    assert desk.state.entries == 3
    closed = [e.story_id for e in desk.events if e.event == "closed"]
    opened = [e.story_id for e in desk.events if e.event == "opened"]
    assert closed == opened[:2]


def test_tombstones_of_one_record_are_bounded() -> None:
    desk = Desk()
    limit = ClusterRules.from_rulebook(BOOK).per_record
    for label in range(3 * limit):
        desk.take(item(label, f"own{label} word{label}"))
    sizes = [sum(c.value is None for c in desk.take(item(f"late{n}", f"x{n} y{n}", 100)).changes) for n in range(5)]
    assert max(sizes) <= 2 * limit  # an article, and the story that closes with it
    assert sizes[3] == 0
    assert desk.state.entries == 5


def test_copies_remembered_are_bounded() -> None:
    stage = Stories(CONTEXT, StoriesOptions(), BOOK)
    stage._rules = replace(stage._rules, copies=10)
    desk = Desk(stage)
    desk.take(item(1, "a b c"))
    for label in range(100, 150):
        desk.take(copy(label, 1 if label % 2 else "never"))
    assert desk.state.entries == 11
    assert desk.stories[next(iter(desk.stories))].copy_count == 25


def test_a_large_story_stays_bounded() -> None:
    desk = Desk()
    per_story = ClusterRules.from_rulebook(BOOK).articles_per_story
    for label in range(520):
        desk.take(item(label, "a b c"))
    (story,) = desk.stories.values()
    assert story.article_count == 520
    assert story.article_ids == [name(label) for label in range(20, 520)]
    assert desk.state.index.articles == per_story


def test_state_is_empty_again_when_all_has_expired() -> None:
    desk = Desk()
    stays, _ = bridge(desk)
    desk.take(item("last", "q r s", 200))
    for kind in (b"a", b"c", b"s"):
        assert sum(k[:1] == kind and v is not None for k, v in desk.log.items()) == (kind != b"c")
    assert desk.stories[stays].status == "closed"
    assert desk.state.index.articles == 1


def test_decisions_do_not_change_the_state() -> None:
    desk = Desk()
    bridge(desk)
    record = Record("news.story-input.v1", 0, 0, 0, None, orjson.dumps(item(7, "a b e f", 90)), ())
    first, second = desk.stage(record, desk.state), desk.stage(record, desk.state)
    assert [o.value for o in first.outputs] == [o.value for o in second.outputs]
    assert [(c.key, c.value) for c in first.changes] == [(c.key, c.value) for c in second.changes]


# --- rebuilding


def history(seed: int, length: int) -> list[dict[str, Any]]:
    """A random log: articles of a few topics, copies before and after, revisions, updates, digests, repeats, gaps."""
    chance = random.Random(seed)
    hours, inputs, known = 0.0, list[dict[str, Any]](), list[int]()
    for step in range(length):
        hours += chance.choice((0, 0, 0.5, 2, 9, 40)) * chance.random()
        at = hours - chance.choice((0, 0, 0, 1, 30))
        topic = chance.randrange(6)
        words = " ".join(f"t{topic}w{w}" for w in chance.sample(range(7), 4))
        words += "".join(f" t{chance.randrange(6)}w{w}" for w in range(chance.randrange(3)))
        match chance.randrange(10):
            case 0 if known:
                entry = copy(f"c{step}", chance.choice(known), at, source=f"S{chance.randrange(5)}")
            case 1:
                entry = copy(f"c{step}", step + chance.randrange(1, 9), at)
            case 2 if known:
                entry = item(chance.choice(known), words, at, verdict="revision", digest=chance.random() < 0.2)
            case 3 if known:
                entry = item(step, words, at, verdict="update", updates=name(chance.choice(known)))
            case 4 if inputs:
                entry = chance.choice(inputs[-3:])
            case 5:
                entry = item(step, words, at, digest=True)
            case _:
                entry = item(step, words, at, keywords=[f"k{topic}"], source=f"S{chance.randrange(5)}")
                known.append(step)
        inputs.append(entry)
    return inputs


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**9), cap=st.sampled_from((5, 30, 1000)), rebuilds=st.sets(st.integers(1, 119), max_size=6)
)
def test_a_state_rebuilt_from_its_compacted_log_answers_byte_for_byte(seed: int, cap: int, rebuilds: set[int]) -> None:
    stage = Stories(CONTEXT, StoriesOptions(max_articles=cap), BOOK)
    stage._rules = replace(stage._rules, articles_per_story=4, copies=6, per_record=3)
    lived, rebuilt = Desk(stage), Desk(stage)
    for step, value in enumerate(history(seed, 120)):
        if step in rebuilds:
            rebuilt.rebuild()
            assert rebuilt.state.entries == lived.state.entries
            assert rebuilt.state.index.articles == lived.state.index.articles
        one, other = lived.take(value), rebuilt.take(value)
        assert one.outputs == other.outputs
        assert [(c.key, c.value) for c in one.changes] == [(c.key, c.value) for c in other.changes]
    check(lived)


def check(desk: Desk) -> None:
    """What must hold after any history: counts add up, sequences have no gap, no id is used again after its end."""
    last: dict[str, StoryEvent] = {}
    for event in desk.events:
        before = last.get(event.story_id)
        assert event.sequence == (before.sequence + 1 if before else 1)
        assert (event.event == "opened") == (before is None)
        assert before is None or before.event not in ("merged", "closed")
        last[event.story_id] = event
    is_open = {story for story, event in last.items() if event.event in ("opened", "updated")}
    assert is_open == set(desk.state.stories)
    live = [orjson.loads(v) for k, v in desk.log.items() if k[:1] == b"a" and v is not None]
    assert {a["story"] for a in live} == is_open
    for story in desk.stories.values():
        assert len(set(story.article_ids)) == len(story.article_ids) == story.article_count
    merged = {s.merged_into for s in desk.stories.values() if s.status == "merged"}
    assert merged <= set(desk.stories)


# --- formats and refusals


def test_a_higher_format_of_the_state_stops_the_stage() -> None:
    desk = Desk()
    desk.take(item(1, "a b c"))
    for key, value in desk.log.items():
        assert value is not None
        newer = json.loads(value) | {"format": FORMAT + 1}
        with pytest.raises(UnreadableFormat, match="format 2"):
            desk.stage.new_state().load(key, json.dumps(newer).encode())


def test_an_unknown_kind_of_state_record_stops_the_stage() -> None:
    with pytest.raises(UnreadableFormat, match="unknown kind"):
        Desk().state.load(b"z1", b'{"format": 1}')


def test_a_higher_format_of_the_input_stops_the_stage() -> None:
    with pytest.raises(UnreadableFormat):
        Desk().take(item(1, "a", format=3))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", Reason.BAD_JSON),
        (b"", Reason.BAD_JSON),
        (None, Reason.BAD_JSON),
        (b"[]", Reason.WRONG_TYPE),
        (b'{"kind": "poem"}', Reason.WRONG_TYPE),
        (b'{"kind": "item"}', Reason.WRONG_TYPE),
        (b'{"kind": "copy", "id": 3}', Reason.WRONG_TYPE),
    ],
)
def test_bad_input_is_refused(value: bytes | None, reason: Reason) -> None:
    stage = Stories(CONTEXT, StoriesOptions(), BOOK)
    with pytest.raises(Refused) as caught:
        stage(Record("news.story-input.v1", 0, 0, 0, None, value, ()), stage.new_state())
    assert caught.value.reason is reason


def test_weights_that_are_no_weights_are_ignored() -> None:
    desk = Desk()
    value = item(1, "a b") | {"terms": {"a": -1.0, "b": 0.0, "c": 1e308, "d": 1.0}}
    desk.take(value)
    desk.take(item(2, ""))
    desk.rebuild()
    desk.take(item(3, "c d"))
    assert len(desk.stories) == 2


def test_nbytes_grows_and_shrinks() -> None:
    desk = Desk()
    empty = desk.state.nbytes
    for label in range(50):
        desk.take(item(label, f"own{label} word{label}"))
    full = desk.state.nbytes
    assert full > empty + 50 * 500
    desk.take(item("late", "x y", 100))
    assert desk.state.nbytes < full / 10


def test_rule_mistakes_are_named() -> None:
    file = BOOK.file("stories.toml")
    data = {**file.data, "clustering": {**file.data["clustering"], "join": "high"}}
    with pytest.raises(ConfigError, match="join must be a number"):
        ClusterRules.from_rulebook(replace(BOOK, files={**BOOK.files, file.name: replace(file, data=data)}))
