"""Every topic once: name, key, record, partitions, cleanup, retention and limit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel

from newsmill.errors import ConfigError
from newsmill.events import Article as ArticleRecord
from newsmill.events import (
    CopyNote,
    Duplicate,
    EnrichedArticle,
    LedgerEntry,
    Prepared,
    RawArticle,
    Story,
    StoryEvent,
    StoryItem,
)
from newsmill.settings import Settings

__all__ = [
    "DEFAULT_THEMES",
    "STAGES",
    "TOPICS",
    "Topic",
    "archive_topic",
    "registry",
    "replay_registry",
    "theme_topic",
    "unsorted_short",
]

DAY_MS = 86_400_000
MIB = 1 << 20
_CENTURY_MS = 36_525 * DAY_MS
_LONGEST_NAME = 249  # of a topic, to Kafka
# in the order of the flow; stages.py says what they do
STAGES = ("prepare", "dedupe", "enrich", "stories")
DEFAULT_THEMES = ("chips", "cloud", "industrial-ai")

Scale = Literal["parallel", "ordered"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. ``name`` is without the prefix; ``short`` is what stages call it.

    ``retention_ms`` is -1 for no limit in time; ``record`` is None where values are bytes of no fixed shape.
    """

    short: str
    name: str
    key: str
    records: tuple[type[BaseModel], ...]
    description: str
    cleanup: Literal["delete", "compact"]
    retention_ms: int
    partitions: int
    max_bytes: int = 4 * MIB
    log_append_time: bool = False
    internal: bool = False
    state: bool = False

    @property
    def record(self) -> type[BaseModel] | None:
        """The one record type of this topic; None for raw bytes, state and mixed topics."""
        return self.records[0] if len(self.records) == 1 else None

    def config(self, settings: Settings) -> dict[str, str]:
        """The topic's configuration on the broker."""
        values = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_bytes),
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
            "min.insync.replicas": str(settings.min_insync_replicas),
        }
        if self.cleanup == "delete":
            values["retention.ms"] = str(self.retention_ms)
            if self.retention_ms == -1:
                # segments roll by the records' own times: years in order would be a file for every week of them
                values["segment.ms"] = str(_CENTURY_MS)
        if self.state:
            # state is read from its beginning at every assignment: compact early, in small segments
            values |= {"segment.bytes": str(64 * MIB), "min.cleanable.dirty.ratio": "0.2"}
        return values


def theme_topic(theme: str) -> str:
    """The name of a theme's topic."""
    return f"news.theme.{theme}.v1"


def archive_topic(name: str, settings: Settings) -> Topic:
    """The topic of one archive: raw articles with their own times, kept until somebody drops them.

    ``name`` has letters, digits, - and _ (a replay may bear it, and a dot ends a replay's name); else `ConfigError`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(f"{name!r} cannot name an archive: use letters (a-z), digits, - and _")
    topic = f"news.archive.{name}.v1"
    if (room := _LONGEST_NAME - len(settings.topic_prefix + topic)) < 0:
        raise ConfigError(f"the archive's name is {-room} characters too long: a topic has at most {_LONGEST_NAME}")
    return Topic(
        f"archive.{name}",
        topic,
        "canonical URL",
        (RawArticle,),
        "raw articles of one archive, with the time they were fetched; live never reads it",
        "delete",
        -1,
        settings.partitions,
        8 * MIB,
    )


def registry(themes: Iterable[str] = DEFAULT_THEMES, settings: Settings | None = None) -> dict[str, Topic]:
    """All topics by short name, for these themes and settings (defaults where None)."""
    settings = settings or Settings.model_construct()
    shards = settings.dedupe_shards
    keep, wide = settings.retention_days * DAY_MS, settings.partitions
    letters = settings.deadletter_retention_days * DAY_MS
    by_article, by_story = "article id", "story id"
    topics = [
        Topic("raw", "news.raw.v1", "any; canonical URL by `ingest`", (RawArticle,),
              "articles as scraped, in order of arrival", "delete", keep, wide, 8 * MIB, log_append_time=True),
        Topic("prepared", "news.prepared.v1", by_article, (Prepared,),
              "clean articles with their sketch, in one order", "delete", 3 * DAY_MS, shards, internal=True),
        Topic("promote", "news.promote.v1", by_article, (Prepared,),
              "results of a replay that a person promotes, for live to judge", "delete", 3 * DAY_MS, 1,
              log_append_time=True, internal=True),
        Topic("unique", "news.unique.v1", by_article, (ArticleRecord,),
              "each article once: originals, updates and revisions", "delete", keep, wide),
        Topic("duplicate", "news.duplicate.v1", by_article, (Duplicate,),
              "copies, each linked to the article it repeats", "delete", keep, wide),
        Topic("enriched", "news.enriched.v1", by_article, (EnrichedArticle,),
              "articles with themes, entities, amounts, keywords and summary", "compact", -1, wide),
        *(Topic(f"theme.{theme}", theme_topic(theme), by_article, (EnrichedArticle,),
                f"enriched articles of the theme {theme}; a tombstone when one leaves it", "compact", -1, wide)
          for theme in themes),
        Topic("story-input", "news.story-input.v1", by_article, (StoryItem, CopyNote),
              "features of articles and notes of copies, in one order", "delete", 3 * DAY_MS, 1, internal=True),
        Topic("story", "news.story.v1", by_story, (Story,),
              "each story as it stands", "compact", -1, wide),
        Topic("story-event", "news.story-event.v1", by_story, (StoryEvent,),
              "what happened to stories: opened, updated, merged, closed", "delete", keep, wide),
        Topic("ledger", "news.ledger.v1", "stage", (LedgerEntry,),
              "counts per disposition of each transaction", "delete", keep, 1),
        Topic("deadletter", "news.deadletter.v1", "original key", (),
              "records that could not be processed: their bytes unchanged, the reason in headers",
              "delete", letters, wide, 9 * MIB),
        Topic("state.dedupe", "news.state.dedupe.v1", "state entry", (),
              "the dedupe stage's state", "compact", -1, shards, internal=True, state=True),
        Topic("state.stories", "news.state.stories.v1", "state entry", (),
              "the stories stage's state", "compact", -1, 1, internal=True, state=True),
    ]  # fmt: skip
    return {topic.short: topic for topic in topics}


# topics that an ordered stage reads: in a replay they are sorted first
_SORTED = ("prepared", "story-input")


def replay_registry(themes: Iterable[str], settings: Settings) -> dict[str, Topic]:
    """The topics of a replay; ``settings`` carries its prefix.

    All are kept until the replay is dropped: their records have the times of the past. What goes to an ordered stage
    is written to a topic of its own first, in any order, and from there sorted to the usual one. `unique` is internal
    here: it also holds articles of the warm-up, for enrich to read.
    """
    topics = {
        short: replace(topic, retention_ms=-1, internal=topic.internal or short == "unique")
        for short, topic in registry(themes, settings).items()
    }
    # what a replay reads is live's or an archive's, and only live is promoted to
    del topics["raw"], topics["promote"]
    for short in _SORTED:
        usual = topics[short]
        topics[unsorted_short(short)] = replace(
            usual,
            short=unsorted_short(short),
            name=usual.name.replace(".v1", "-unsorted.v1"),
            description=f"{usual.name} before it is sorted",
        )
    return topics


def unsorted_short(short: str) -> str:
    """The short name of the topic that a replay writes instead of this one; the same where nothing is sorted."""
    return f"{short}-unsorted" if short in _SORTED else short


TOPICS: dict[str, Topic] = registry()
