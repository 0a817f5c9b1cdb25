"""Changes of the stories stage → its open stories, recent articles and copies: a fold that a compacted log rebuilds.

Four kinds of records, by the first character of the key:

    a<article id>   one article of the window: its story, its frozen vector, its times
    c<article id>   one copy: counted (so that it counts once), or waiting for its original
    s<story id>     one open story
    m               the clock (largest version seen) and the next slot

A story is open while one of its articles is in the window. Everything else, such as postings and members, is derived:
the compared articles of a story are always its latest, so a rebuild finds the same ones.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

import orjson

from newsmill.core.stage import Change
from newsmill.core.story_index import StoryIndex
from newsmill.errors import UnreadableFormat

__all__ = ["FORMAT", "ArticleEntry", "CopyEntry", "MetaEntry", "StateEntry", "StoriesState", "StoryEntry", "change_of"]

FORMAT = 1
_META = b"m"
# Fitted to tracemalloc at 1,500 and 4,500 articles of 64 terms (15.6 and 12.3 KB each with postings): within 4 %.
_BYTES_OF_ARTICLE = 600
_BYTES_OF_TERM = 24
_BYTES_OF_STORY = 900
_BYTES_OF_COPY = 500  # by sizes of its parts


@dataclass(frozen=True, slots=True)
class ArticleEntry:
    """One article; times in ms. ``slot`` orders by arrival; ``terms`` have length one, or are empty: not compared."""

    id: str
    story: str
    slot: int
    version: int
    arrived: int
    published: int
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class CopyEntry:
    """One copy of ``of``; times in ms. ``counted`` is false until the original arrives; ``order`` orders copies."""

    id: str
    of: str
    order: int
    source: str | None
    arrived: int
    published: int
    counted: bool


@dataclass(frozen=True, slots=True)
class StoryEntry:
    """One open story; times in ms, as `newsmill.events.Story` else. ``keywords`` counts the articles that have each."""

    id: str
    sequence: int
    title: str | None
    title_of: str
    article_ids: tuple[str, ...]
    article_count: int
    copy_count: int
    sources: tuple[str, ...]
    languages: tuple[str, ...]
    themes: tuple[str, ...]
    keywords: dict[str, int]
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class MetaEntry:
    """The clock of the log (largest version of a record that changed anything, ms) and the next free slot and order."""

    now: int
    next_slot: int
    next_copy: int


StateEntry = ArticleEntry | CopyEntry | StoryEntry | MetaEntry


def key_of(entry: StateEntry) -> bytes:
    """The key of an entry in the state topic."""
    match entry:
        case ArticleEntry():
            return b"a" + entry.id.encode()
        case CopyEntry():
            return b"c" + entry.id.encode()
        case StoryEntry():
            return b"s" + entry.id.encode()
        case MetaEntry():
            return _META


def change_of(entry: StateEntry) -> Change:
    """The change that writes an entry."""
    return Change(key_of(entry), b'{"format":%d,%b' % (FORMAT, orjson.dumps(entry)[1:]), entry)


def _decode(key: bytes, value: bytes) -> StateEntry:
    data: dict[str, Any] = orjson.loads(value)
    written = data.pop("format", None)
    if not isinstance(written, int) or written > FORMAT:
        raise UnreadableFormat(
            f"stories state record {key!r} has format {written}, this newsmill reads up to {FORMAT}: upgrade it"
        )
    match key[:1]:
        case b"a":
            data["terms"] = {intern(term): weight for term, weight in data["terms"].items()}
            return ArticleEntry(**data)
        case b"c":
            return CopyEntry(**data)
        case b"s":
            for name in ("article_ids", "sources", "languages", "themes"):
                data[name] = tuple(data[name])
            return StoryEntry(**data)
        case b"m":
            return MetaEntry(**data)
        case _:
            raise UnreadableFormat(f"stories state has a record of an unknown kind, key {key!r}: upgrade newsmill")


class StoriesState:
    """Open stories and what is needed to grow them. ``per_story``: articles of one story that are compared."""

    def __init__(self, per_story: int) -> None:
        self._per_story = per_story
        self.now = 0
        self.next_slot = 0
        self.next_copy = 0
        self.index = StoryIndex()
        self.articles: OrderedDict[str, ArticleEntry] = OrderedDict()  # by slot
        self.copies: OrderedDict[str, CopyEntry] = OrderedDict()  # by order
        self.stories: dict[str, StoryEntry] = {}
        self._by_slot: dict[int, ArticleEntry] = {}
        self._indexed: dict[int, ArticleEntry] = {}
        self._members: dict[str, list[int]] = {}  # story → slots, ascending
        self._waiting: dict[str, list[str]] = {}  # original → ids of copies that wait for it, sorted
        self._terms = 0
        self.open_by_theme: Counter[str] = Counter()  # open stories; "" counts those without a theme
        self._loading: dict[bytes, StateEntry] = {}

    # --- queries

    def members(self, story: str) -> tuple[ArticleEntry, ...]:
        """The articles of a story that are in the window, oldest first."""
        return tuple(self._by_slot[slot] for slot in self._members.get(story, ()))

    def member_count(self, story: str) -> int:
        """How many articles of a story are in the window."""
        return len(self._members.get(story, ()))

    def compared(self, story: str) -> tuple[ArticleEntry, ...]:
        """The articles of a story that attract others: its latest."""
        return tuple(self._by_slot[slot] for slot in self._members.get(story, ())[-self._per_story :])

    def at(self, slot: int) -> ArticleEntry:
        """The article of a slot that `search` gave."""
        return self._by_slot[slot]

    def waiting(self, original: str) -> tuple[CopyEntry, ...]:
        """Copies that came before their original, by id."""
        return tuple(self.copies[name] for name in self._waiting.get(original, ()))

    def search(self, terms: Mapping[str, float], least: float, most_frequent: int) -> list[tuple[int, float]]:
        """(slot, cosine) of compared articles that are at least that like, by slot."""
        if not self._indexed:
            return []
        oldest = next(iter(self.articles.values())).slot
        return self.index.search(terms, oldest, self.next_slot, least, most_frequent)

    @property
    def entries(self) -> int:
        """Articles and copies held; stories are never more than articles."""
        return len(self.articles) + len(self.copies)

    @property
    def nbytes(self) -> int:
        """Bytes of process memory, estimated from counts."""
        return (
            len(self.articles) * _BYTES_OF_ARTICLE
            + self._terms * _BYTES_OF_TERM
            + len(self.copies) * _BYTES_OF_COPY
            + len(self.stories) * _BYTES_OF_STORY
            + self.index.nbytes
        )

    # --- the fold

    def apply(self, change: Change) -> None:
        """Apply one change that this process just decided."""
        if change.value is None:
            self._delete(change.key)
        else:
            self._put(change.decoded if change.decoded is not None else _decode(change.key, change.value))

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the log; later ones of the same key replace it."""
        if value is None:
            self._loading.pop(key, None)
        else:
            self._loading[key] = _decode(key, value)

    def load_all(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take records of the log."""
        for key, value in records:
            self.load(key, value)

    def loaded(self) -> None:
        """Build what is derived, in the order in which the articles came."""
        entries = list(self._loading.values())
        self._loading = {}
        for meta in entries:
            if isinstance(meta, MetaEntry):
                self._put(meta)
        for story in entries:
            if isinstance(story, StoryEntry):
                self._put(story)
        for article in sorted((e for e in entries if isinstance(e, ArticleEntry)), key=lambda e: e.slot):
            self._put(article)
        for copy in sorted((e for e in entries if isinstance(e, CopyEntry)), key=lambda e: e.order):
            self._put(copy)

    def _put(self, entry: StateEntry) -> None:
        match entry:
            case ArticleEntry():
                self._put_article(entry)
            case CopyEntry():
                self._put_copy(entry)
            case StoryEntry():
                self._count_themes(self.stories.get(entry.id), -1)
                self.stories[entry.id] = entry
                self._count_themes(entry, 1)
            case MetaEntry():
                self.now, self.next_slot, self.next_copy = entry.now, entry.next_slot, entry.next_copy

    def _delete(self, key: bytes) -> None:
        name = key[1:].decode()
        match key[:1]:
            case b"a":
                if name in self.articles:
                    self._drop_article(self.articles.pop(name))
            case b"c":
                if name in self.copies:
                    self._unwait(self.copies.pop(name))
            case b"s":
                self._count_themes(self.stories.pop(name, None), -1)

    def _count_themes(self, story: StoryEntry | None, step: int) -> None:
        if story is not None:
            for theme in story.themes or ("",):
                self.open_by_theme[theme] += step

    def _put_article(self, entry: ArticleEntry) -> None:
        old = self.articles.get(entry.id)
        if old is not None and old.slot == entry.slot:
            # the same article in another story: its postings stay
            self._leave(old)
            self.articles[entry.id] = entry
            self._by_slot[entry.slot] = entry
            if entry.slot in self._indexed:
                self._indexed[entry.slot] = entry
        else:
            if old is not None:
                del self.articles[entry.id]
                self._drop_article(old)
            self.articles[entry.id] = entry
            self._by_slot[entry.slot] = entry
            self._terms += len(entry.terms)
            if entry.terms:
                self.index.add(entry.slot, entry.terms)
                self._indexed[entry.slot] = entry
        slots = self._members.setdefault(entry.story, [])
        insort(slots, entry.slot)
        if len(slots) > self._per_story:
            # either this one came below the latest, or it pushed one there; all older ones are there already
            self._unindex(slots[-self._per_story - 1])
            if entry.slot < slots[-self._per_story]:
                self._unindex(entry.slot)

    def _drop_article(self, entry: ArticleEntry) -> None:
        self._unindex(entry.slot)
        self._leave(entry)
        del self._by_slot[entry.slot]
        self._terms -= len(entry.terms)

    def _leave(self, entry: ArticleEntry) -> None:
        slots = self._members[entry.story]
        del slots[bisect_left(slots, entry.slot)]
        if not slots:
            del self._members[entry.story]

    def _unindex(self, slot: int) -> None:
        entry = self._indexed.pop(slot, None)
        if entry is not None:
            self.index.remove(slot, entry.terms)

    def _put_copy(self, entry: CopyEntry) -> None:
        old = self.copies.pop(entry.id, None)
        if old is not None:
            self._unwait(old)
        self.copies[entry.id] = entry
        if not entry.counted:
            insort(self._waiting.setdefault(entry.of, []), entry.id)

    def _unwait(self, entry: CopyEntry) -> None:
        if not entry.counted:
            names = self._waiting[entry.of]
            names.remove(entry.id)
            if not names:
                del self._waiting[entry.of]
