"""A story and what joins it (an article, or another story) → the story as it is afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from newsmill.core.stories_state import StoryEntry
from newsmill.events import StoryItem

__all__ = ["correct", "grow", "rank", "unite", "with_value"]

_ARTICLE_IDS = 500  # the contract: the last 500


def grow(story: StoryEntry, item: StoryItem, published: int, keywords_kept: int) -> StoryEntry:
    """The story with one more article, published at that time (ms). At most ``keywords_kept`` keywords are counted."""
    titled = story.title is None and item.title is not None
    # an article that the window forgot, but its story did not, comes back when it is revised
    again = item.id in story.article_ids
    return replace(
        story,
        sequence=story.sequence + 1,
        title=item.title if titled else story.title,
        title_of=item.id if titled else story.title_of,
        article_ids=story.article_ids if again else (*story.article_ids, item.id)[-_ARTICLE_IDS:],
        article_count=story.article_count + (not again),
        sources=with_value(story.sources, item.source),
        languages=with_value(story.languages, item.language),
        themes=tuple(sorted({*story.themes, *item.themes})),
        keywords=_counted(story.keywords, {} if again else dict.fromkeys(item.keywords, 1), keywords_kept),
        first_seen=min(story.first_seen, published),
        last_seen=max(story.last_seen, published),
    )


def correct(story: StoryEntry, item: StoryItem, published: int, keywords_kept: int) -> StoryEntry:
    """The story with another version of an article that it holds, published at that time (ms).

    A promoted version also brings its keywords; where the story is that one article, they and its themes and publisher
    are all of the story's. Otherwise others may have what it lost, so it only adds.
    """
    titled = story.title_of == item.id and item.title is not None
    alone = item.promoted and story.article_count == 1
    keywords = story.keywords
    if item.promoted:
        brought = dict.fromkeys(item.keywords, 1)
        keywords = _counted(brought if alone else brought | keywords, {}, keywords_kept)
    return replace(
        story,
        sequence=story.sequence + 1,
        title=item.title if titled else story.title,
        sources=with_value(() if alone and not story.copy_count else story.sources, item.source),
        languages=with_value(() if alone else story.languages, item.language),
        themes=tuple(sorted({*(() if alone else story.themes), *item.themes})),
        keywords=keywords,
        first_seen=min(story.first_seen, published),
        last_seen=max(story.last_seen, published),
    )


def unite(kept: StoryEntry, gone: StoryEntry, keywords_kept: int) -> StoryEntry:
    """The story that stays of two, with the articles, copies and publishers of both."""
    ids = tuple(dict.fromkeys((*gone.article_ids, *kept.article_ids)))
    both = len(gone.article_ids) + len(kept.article_ids) - len(ids)
    return replace(
        kept,
        title=kept.title if kept.title is not None else gone.title,
        title_of=kept.title_of if kept.title is not None else gone.title_of,
        article_ids=ids[-_ARTICLE_IDS:],
        article_count=kept.article_count + gone.article_count - both,
        copy_count=kept.copy_count + gone.copy_count,
        sources=tuple(sorted({*kept.sources, *gone.sources})),
        languages=tuple(sorted({*kept.languages, *gone.languages})),
        themes=tuple(sorted({*kept.themes, *gone.themes})),
        keywords=_counted(kept.keywords, gone.keywords, keywords_kept),
        first_seen=min(kept.first_seen, gone.first_seen),
        last_seen=max(kept.last_seen, gone.last_seen),
    )


def rank(story: StoryEntry) -> tuple[int, int, str]:
    """The story with more articles stays; ties: the earlier, then by id."""
    return -story.article_count, story.first_seen, story.id


def _counted(old: Mapping[str, int], new: Mapping[str, int], limit: int) -> dict[str, int]:
    total = dict(old)
    for term, count in new.items():
        total[term] = total.get(term, 0) + count
    if len(total) > limit:
        return dict(sorted(total.items(), key=lambda k: (-k[1], k[0]))[:limit])
    return total


def with_value(values: tuple[str, ...], value: str | None) -> tuple[str, ...]:
    """Sorted values with one more, if it is one and new."""
    return values if value is None or value in values else tuple(sorted((*values, value)))
