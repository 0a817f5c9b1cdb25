"""Articles and notes of copies, in the order of the log → stories, and what happened to each story.

One pass, as a newspaper's desk works: a new article joins the story of its nearest recent article, or opens one; an
article that is close to two stories makes them one. Nothing depends on a clock: time is the largest version seen in the
log. Decisions read the state and return changes; a record that changes nothing (delivered twice, or a digest, which
never joins nor attracts others and has no story) leaves no trace. What a replay found changes articles that are here;
old news opens no story today.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from sys import intern
from typing import Any

import orjson
from pydantic import ValidationError

from newsmill.core.rulebook import Rulebook, RuleFile
from newsmill.core.stage import Change, Context, Facts, Output, Record, Result
from newsmill.core.stories_state import ArticleEntry, CopyEntry, MetaEntry, StoriesState, StoryEntry, change_of
from newsmill.core.story_growth import correct, grow, rank, unite, with_value
from newsmill.errors import Reason, Refused, UnreadableFormat
from newsmill.events import CopyNote, Outcome, StoryItem

__all__ = ["ClusterRules", "Stories", "StoriesOptions"]

_FORMAT = 2  # of promoted items; others have 1
_HEAVIEST = 1e6  # a weight beyond is no weight: kinds times logarithms stay below 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class StoriesOptions:
    """Settings of a deployment: hours without news after which a story closes, and articles compared at most."""

    window_hours: float = 72.0
    max_articles: int = 50_000


@dataclass(frozen=True, slots=True)
class ClusterRules:
    """``[clustering]`` and ``[bounds]`` of stories.toml; likeness is a cosine, 0..1."""

    join: float
    crowd: float
    merge: float
    common: float
    smoothing: float
    most_frequent: int
    merge_articles: int
    merges: int
    articles_per_story: int
    copies: int
    per_record: int
    keywords: int
    keywords_kept: int
    shared_terms: int

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> ClusterRules:
        """Read and check; `ConfigError` names file and line."""
        file = rulebook.file("stories.toml")
        values: dict[str, Any] = {}
        kinds = {f.name: f.type for f in fields(cls)}
        for section in ("clustering", "bounds"):
            table = file.data.get(section)
            if not isinstance(table, dict):
                raise file.error(f"table [{section}] is missing")
            for key, value in table.items():
                if key not in kinds:
                    raise file.error(f"unknown key {section}.{key}", key)
                values[key] = _number(file, key, value, whole=kinds[key] == "int")
        for key in kinds:
            if key not in values:
                raise file.error(f"{key} is missing from [clustering] or [bounds]")
        return cls(**values)


@dataclass(slots=True)
class _Turn:
    """What one record leads to, while it is being decided. ``stories`` overlays the state's."""

    version: int
    now: int
    next_slot: int
    next_copy: int
    articles: dict[str, ArticleEntry] = field(default_factory=dict)
    copies: dict[str, CopyEntry] = field(default_factory=dict)
    stories: dict[str, StoryEntry] = field(default_factory=dict)
    ended: dict[str, None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Link:
    """How like an article is to a story: through its nearest article."""

    story: str
    similarity: float
    nearest: ArticleEntry


class Stories:
    """The stories stage: ``stories(record, state) -> Result`` over news.story-input.v1."""

    def __init__(self, context: Context, options: StoriesOptions, rulebook: Rulebook) -> None:
        self._context = context
        self._options = options
        self._rules = ClusterRules.from_rulebook(rulebook)
        self._window = round(options.window_hours * 3_600_000)

    def new_state(self) -> StoriesState:
        """An empty state."""
        return StoriesState(self._rules.articles_per_story)

    def __call__(self, record: Record, state: StoriesState) -> Result:
        """Decide one StoryItem or CopyNote; `Refused` if it is neither, `UnreadableFormat` if it is too new."""
        entry = _decode(record)
        promoted = isinstance(entry, StoryItem) and entry.promoted
        turn = _Turn(entry.version, max(state.now, entry.version), state.next_slot, state.next_copy)
        if promoted:  # told at the time of the promotion; the version is of an archive's clock, perhaps
            turn.version, turn.now = max(entry.version, record.timestamp), state.now
        if isinstance(entry, StoryItem):
            self._take_item(entry, state, turn)
        else:
            self._take_copy(entry, state, turn)
        if not turn.articles and not turn.copies:
            return Result(Outcome.OK, raw_time_ms=None if promoted else entry.version, facts=Facts(entry.id))
        changes = [change_of(MetaEntry(turn.now, turn.next_slot, turn.next_copy))]
        changes += self._expire(state, turn)
        changes += [change_of(article) for article in turn.articles.values()]
        changes += [change_of(copy) for copy in turn.copies.values()]
        changes += [change_of(story) for name, story in turn.stories.items() if name not in turn.ended]
        changes += [Change(b"s" + name.encode(), None) for name in turn.ended]
        raw_time_ms = None if promoted else entry.version
        return Result(Outcome.OK, turn.outputs, changes, raw_time_ms, _facts(entry, state, turn))

    # --- articles

    def _take_item(self, item: StoryItem, state: StoriesState, turn: _Turn) -> None:
        known = state.articles.get(item.id)
        if known is not None:
            if item.version > known.version:
                self._revise(item, known, state, turn)
            return
        if item.digest or item.promoted:
            return
        terms = self._vector(item, state)
        published = _ms(item.published_at)
        links = self._links(terms, published, state, turn)
        extended = state.articles.get(item.updates) if item.updates else None
        if extended is not None:
            home, similarity = extended.story, _cosine(terms, extended.terms)
            reason = f"extends article {extended.id}"
        elif links:
            home, similarity = links[0].story, links[0].similarity
            reason = self._because(terms, links[0])
        else:
            home, similarity, reason = self._open(item, turn), None, "no recent article is like it"
        entry = self._enter(item, home, terms, published, turn)
        if not links and extended is None:
            self._tell(turn, turn.stories[home], "opened", item.id, reason, None)
        else:
            winner, losers = self._merge(home, entry, links, state, turn)
            story = grow(turn.stories.get(winner) or state.stories[winner], item, published, self._rules.keywords_kept)
            turn.stories[winner] = story
            if losers:
                reason += f"; it links {len(losers)} more to this story: {', '.join(losers)}"
            self._tell(turn, story, "updated", item.id, reason, similarity)
        for copy in state.waiting(item.id):
            self._count_copy(copy, turn.articles[item.id], state, turn)

    def _revise(self, item: StoryItem, known: ArticleEntry, state: StoriesState, turn: _Turn) -> None:
        terms = {} if item.digest else self._vector(item, state)
        published = _ms(item.published_at)
        entry = self._enter(item, known.story, terms, published, turn)
        reason = f"article {item.id} was revised"
        if item.promoted:  # it did not arrive anew, so it attracts no longer than it would have
            turn.articles[item.id] = replace(entry, arrived=known.arrived)
            reason = f"article {item.id} was replaced by what a replay found"
        story = correct(state.stories[known.story], item, published, self._rules.keywords_kept)
        turn.stories[story.id] = story
        self._tell(turn, story, "updated", item.id, reason, None)

    def _enter(self, item: StoryItem, story: str, terms: dict[str, float], published: int, turn: _Turn) -> ArticleEntry:
        entry = ArticleEntry(item.id, story, turn.next_slot, item.version, turn.now, published, terms)
        turn.next_slot += 1
        turn.articles[item.id] = entry
        return entry

    def _open(self, item: StoryItem, turn: _Turn) -> str:
        # an article that may have been forgotten with its story opens another: no id of a closed story comes back
        forgotten = item.verdict == "revision" or item.version < turn.now - self._window
        seed = f"{item.id}:{turn.now}" if forgotten else item.id
        name = hashlib.sha256(b"story:" + seed.encode()).hexdigest()[:32]
        published = _ms(item.published_at)
        turn.stories[name] = StoryEntry(
            id=name,
            sequence=1,
            title=item.title,
            title_of=item.id,
            article_ids=(item.id,),
            article_count=1,
            copy_count=0,
            sources=with_value((), item.source),
            languages=(item.language,),
            themes=tuple(sorted(set(item.themes))),
            keywords=dict.fromkeys(item.keywords, 1),
            first_seen=published,
            last_seen=published,
        )
        return name

    def _vector(self, item: StoryItem, state: StoriesState) -> dict[str, float]:
        """The item's terms, those that many recent articles have made lighter, as a vector of length one."""
        rules, index = self._rules, state.index
        documents = index.articles + rules.smoothing
        weights: dict[str, float] = {}
        for term, weight in item.terms.items():
            if not 0.0 < weight < _HEAVIEST:
                continue
            frequency = index.frequency(term)
            if frequency:
                weight *= min(1.0, math.log(documents / frequency) / rules.common)
            if weight > 0.0:
                weights[term] = weight
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        # rounded to what the state record holds; a weight of 0 would be no entry
        return {intern(t): rounded for t, weight in weights.items() if (rounded := round(weight / length, 5)) > 0.0}

    def _links(self, terms: dict[str, float], published: int, state: StoriesState, turn: _Turn) -> list[_Link]:
        """The stories that an article is like enough, the most like first (ties: the older article)."""
        best: dict[str, _Link] = {}
        since = turn.now - self._window
        for slot, similarity in state.search(terms, self._rules.join, self._rules.most_frequent):
            article = state.at(slot)
            if article.arrived < since or abs(article.published - published) > self._window:
                continue
            link = best.get(article.story)
            size = state.member_count(article.story)
            if size > 1 and similarity < self._rules.join * (1.0 + self._rules.crowd * math.log(size)):
                continue
            if link is None or similarity > link.similarity:
                best[article.story] = _Link(article.story, similarity, article)
        return sorted(best.values(), key=lambda link: (-link.similarity, link.nearest.slot))

    def _because(self, terms: Mapping[str, float], link: _Link) -> str:
        near = link.nearest.terms
        shared = sorted(((w * near[t], t) for t, w in terms.items() if t in near), key=lambda s: (-s[0], s[1]))
        words = [_spoken(t) for _, t in shared if not t.startswith("#")][: self._rules.shared_terms]
        return f"shares {', '.join(words) or 'parts of words'} with article {link.nearest.id}"

    # --- merging

    def _merge(
        self, home: str, entry: ArticleEntry, links: Iterable[_Link], state: StoriesState, turn: _Turn
    ) -> tuple[str, list[str]]:
        """Make other stories that the article links strongly one with its home: (the one that stays, the others)."""
        rules = self._rules
        winner, losers = home, list[str]()
        for link in links:
            if link.story == winner or link.story in losers or len(losers) >= rules.merges:
                continue
            ours = (entry, *state.compared(winner))
            likeness = _likeness(ours, state.compared(link.story))
            small = min(state.member_count(winner), state.member_count(link.story))
            if likeness < rules.merge or small > rules.merge_articles:
                continue
            first, second = (turn.stories.get(n) or state.stories[n] for n in (winner, link.story))
            kept, gone = (first, second) if rank(first) <= rank(second) else (second, first)
            turn.stories[kept.id] = unite(kept, gone, rules.keywords_kept)
            for article in state.members(gone.id):
                turn.articles[article.id] = replace(turn.articles.get(article.id, article), story=kept.id)
            for name, article in turn.articles.items():
                if article.story == gone.id:
                    turn.articles[name] = replace(article, story=kept.id)
            reason = f"article {entry.id} links it to story {kept.id}"
            gone = replace(gone, sequence=gone.sequence + 1)
            self._tell(turn, gone, "merged", entry.id, reason, likeness, merged_into=kept.id)
            turn.ended[gone.id] = None
            losers.append(gone.id)
            winner = kept.id
        return winner, losers

    # --- copies

    def _take_copy(self, note: CopyNote, state: StoriesState, turn: _Turn) -> None:
        if note.id in state.copies or note.id in state.articles or note.id == note.duplicate_of:
            return
        chain = state.copies.get(note.duplicate_of)
        of = chain.of if chain is not None else note.duplicate_of
        copy = CopyEntry(note.id, of, 0, note.source, turn.now, _ms(note.published_at), False)
        original = state.articles.get(of)
        if original is None:
            turn.copies[note.id] = replace(copy, order=turn.next_copy)
            turn.next_copy += 1
        else:
            self._count_copy(copy, original, state, turn)

    def _count_copy(self, copy: CopyEntry, original: ArticleEntry, state: StoriesState, turn: _Turn) -> None:
        turn.copies[copy.id] = replace(copy, order=turn.next_copy, arrived=turn.now, counted=True)
        turn.next_copy += 1
        story = turn.stories.get(original.story) or state.stories[original.story]
        story = replace(
            story,
            sequence=story.sequence + 1,
            copy_count=story.copy_count + 1,
            sources=with_value(story.sources, copy.source),
            first_seen=min(story.first_seen, copy.published),
            last_seen=max(story.last_seen, copy.published),
        )
        turn.stories[story.id] = story
        publisher = f" by {copy.source}" if copy.source else ""
        self._tell(turn, story, "updated", copy.id, f"a copy of article {original.id}{publisher}", None)

    # --- the window

    def _expire(self, state: StoriesState, turn: _Turn) -> list[Change]:
        """Tombstones of what left the window or exceeds the cap, oldest first; stories without an article close."""
        rules, since = self._rules, turn.now - self._window
        changes: list[Change] = []
        leaving: dict[str, int] = {}
        surplus = len(state.articles) + sum(name not in state.articles for name in turn.articles)
        surplus -= self._options.max_articles
        for article in islice(state.articles.values(), rules.per_record):
            if article.arrived >= since and len(changes) >= surplus:
                break
            moved = turn.articles.get(article.id)
            if moved is not None and moved.slot != article.slot:
                continue  # this very record renews it
            turn.articles.pop(article.id, None)
            changes.append(Change(b"a" + article.id.encode(), None))
            home = moved.story if moved is not None else article.story
            leaving[home] = leaving.get(home, 0) + 1
        staying = {article.story for article in turn.articles.values()}
        for name, count in leaving.items():
            if name in staying or name in turn.ended or count < state.member_count(name):
                continue
            story = turn.stories.get(name) or state.stories[name]
            story = replace(story, sequence=story.sequence + 1)
            hours = f"{self._options.window_hours:g} hours"
            self._tell(turn, story, "closed", None, f"no news for {hours}, or the window is full", None)
            turn.ended[name] = None
        surplus = len(state.copies) + sum(name not in state.copies for name in turn.copies) - rules.copies
        gone = 0
        for copy in islice(state.copies.values(), rules.per_record):
            if copy.arrived >= since and gone >= surplus:
                break
            if copy.id not in turn.copies:
                changes.append(Change(b"c" + copy.id.encode(), None))
                gone += 1
        return changes

    # --- outputs

    def _tell(
        self,
        turn: _Turn,
        story: StoryEntry,
        event: str,
        article: str | None,
        reason: str,
        similarity: float | None,
        merged_into: str | None = None,
    ) -> None:
        status = event if event in ("closed", "merged") else "open"
        ranked = sorted(story.keywords.items(), key=lambda k: (-k[1], k[0]))[: self._rules.keywords]
        value = {
            "id": story.id,
            "title": story.title,
            "article_ids": story.article_ids,
            "article_count": story.article_count,
            "copy_count": story.copy_count,
            "sources": story.sources,
            "languages": story.languages,
            "themes": story.themes,
            "keywords": [term for term, _ in ranked],
            "first_seen": _utc(story.first_seen),
            "last_seen": _utc(story.last_seen),
            "status": status,
            "merged_into": merged_into,
        }
        told = {
            "event": event,
            "story_id": story.id,
            "sequence": story.sequence,
            "article_id": article,
            "reason": reason,
            "similarity": None if similarity is None else min(1.0, round(similarity, 4)),
            "merged_into": merged_into,
            "at": _utc(turn.version),
        }
        key, name = story.id.encode(), f"{story.id}-{story.sequence}"
        turn.outputs.append(Output("story", key, orjson.dumps(value), "story", name, turn.version, story.id))
        turn.outputs.append(
            Output("story-event", key, orjson.dumps(told), f"story.{event}", name, turn.version, story.id)
        )


def _decode(record: Record) -> StoryItem | CopyNote:
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.BAD_JSON, f"story input is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise Refused(Reason.WRONG_TYPE, "story input is no object")
    written = data.get("format")
    if isinstance(written, int) and written > _FORMAT:
        raise UnreadableFormat(f"story input has format {written}, this newsmill reads up to {_FORMAT}: upgrade it")
    try:
        match data.get("kind"):
            case "item":
                return StoryItem.model_validate(data)
            case "copy":
                return CopyNote.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused(Reason.WRONG_TYPE, f"story input: {first['loc']}: {first['msg']}") from error
    raise Refused(Reason.WRONG_TYPE, f"story input of unknown kind {data.get('kind')!r:.40}")


def _facts(entry: StoryItem | CopyNote, state: StoriesState, turn: _Turn) -> Facts:
    """Whether the record brought an article into a story, new or known; a revision or a copy brings none."""
    if not isinstance(entry, StoryItem) or entry.id in state.articles:
        return Facts(entry.id)
    opened = any(output.type == "story.opened" for output in turn.outputs)
    return Facts(entry.id, themes=entry.themes, story="opened" if opened else "joined")


def _cosine(left: Mapping[str, float], right: Mapping[str, float]) -> float:
    return sum(weight * right[term] for term, weight in left.items() if term in right)


def _likeness(ours: Iterable[ArticleEntry], theirs: Iterable[ArticleEntry]) -> float:
    """Half the greatest and half the mean cosine between the articles of two stories; 0 if one has none to compare."""
    pairs = [_cosine(a.terms, b.terms) for a in ours for b in theirs]
    return (max(pairs) + sum(pairs) / len(pairs)) / 2 if pairs else 0.0


def _spoken(term: str) -> str:
    """A term as a reader may see it: @place:japan+=tariff → japan + tariff."""
    if term[0] not in "@=":
        return term.lstrip("~")
    return " + ".join(part[1:].rpartition(":")[2] for part in term.split("+"))


def _ms(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND


def _utc(ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def _number(file: RuleFile, key: str, value: object, *, whole: bool) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise file.error(f"{key} must be a number, 0 or more", key)
    if whole and not isinstance(value, int):
        raise file.error(f"{key} must be a whole number", key)
    return value
