"""What live and a replay say of one article → whether they agree, and where they do not.

Events come as decoded JSON. Of each only a `Verdict` is kept: a few numbers and a short hash of each field, so that
millions of articles can be compared without their texts; the texts of those that differ are looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson
import xxhash

__all__ = [
    "CONTENT_FIELDS",
    "DIGEST_BYTES",
    "ENRICHMENT_FIELDS",
    "NO_LINK",
    "Kind",
    "Verdict",
    "changed_fields",
    "compare_verdicts",
    "describe_difference",
    "duplicate_verdict",
    "enriched_verdict",
    "excerpts",
    "origin_of",
    "theme_moves",
]

Event = Mapping[str, Any]

ENRICHMENT_FIELDS: Final = ("themes", "entities", "amounts", "keywords", "summary", "kind", "degraded")
"""What the enrich stage adds to an article."""

CONTENT_FIELDS: Final = (
    *("url", "canonical_url", "source", "title", "author", "text", "language", "published_at", "published_at_source"),
    *("content_hash", "extra"),
    *ENRICHMENT_FIELDS,
)
"""What a reader gets of an article, and what a promotion can change.

Not content: ``provenance`` (which run, code, rules and raw record made it), ``version`` and ``ingested_at`` (when that
record came; ``published_at`` too where ``published_at_source`` is "record", for then it is that time), and ``verdict``
and ``updates``: dedupe decides them by what came before, and live keeps its own when it takes a promotion.
"""

DIGEST_BYTES: Final = 4
"""Bytes of a field's hash: of 2^32 changed fields one is taken for unchanged."""
NO_LINK: Final = bytes(16)

_EXCERPT: Final = 120  # characters of a text shown around its first difference
_BEFORE: Final = 24  # of them before it


class Kind(StrEnum):
    """How live and a replay stand to each other over one article."""

    SAME = "same"
    CHANGED = "changed"
    OTHER_ORIGINAL = "other_original"
    MISSING = "missing"
    EXTRA = "extra"
    NEWER = "newer"


class Verdict(NamedTuple):
    """The latest event of one run about one article.

    ``time_ms`` is the Kafka time of the raw record it came from (a duplicate's version, which is that time); ``origin``
    hashes that record's place. ``link`` is the 16-byte id of the article that this one is a copy of, or extends;
    ``fields`` has `DIGEST_BYTES` for each of `CONTENT_FIELDS`, and is empty for a duplicate.
    """

    enriched: bool
    version: int
    time_ms: int
    origin: int
    link: bytes
    fields: bytes
    themes: tuple[str, ...]
    run: str


def enriched_verdict(event: Event) -> Verdict:
    """The verdict that an `EnrichedArticle` carries."""
    return Verdict(
        enriched=True,
        version=event["version"],
        time_ms=_milliseconds(event["ingested_at"]),
        origin=origin_of(event["provenance"]),
        link=_link(event.get("updates")),
        fields=b"".join(_digest(value) for value in _content(event)),
        themes=tuple(sorted({theme["theme"] for theme in event["themes"]})),
        run=event["provenance"]["run"],
    )


def duplicate_verdict(event: Event) -> Verdict:
    """The verdict that a `Duplicate` carries."""
    return Verdict(
        enriched=False,
        version=event["version"],
        time_ms=event["version"],
        origin=origin_of(event["provenance"]),
        link=_link(event["duplicate_of"]),
        fields=b"",
        themes=(),
        run=event["provenance"]["run"],
    )


def origin_of(provenance: Event) -> int:
    """A 64-bit hash of the place of a raw record: two verdicts of the same record have the same."""
    place = f"{provenance['topic']}\n{provenance['partition']}\n{provenance['offset']}"
    return int(xxhash.xxh3_64_intdigest(place.encode()))


def compare_verdicts(
    live: Verdict | None, replay: Verdict | None, *, expected: bool = True, by_version: bool = False
) -> Kind | None:
    """How the two stand to each other; None where there is nothing to compare.

    ``expected`` says whether the replay should have said something of an article that only live has: its raw record
    is among those that were replayed, and the stages that ran could have led to such an event. ``by_version`` is for a
    replay of what live's dedupe wrote: its versions are live's own, so a higher one in live is a later text or a
    promotion. Otherwise live is later if its raw record is.
    """
    if replay is None:
        return Kind.EXTRA if live is not None and expected else None
    if live is None:
        return Kind.MISSING
    if (live.enriched, live.link, live.fields) == (replay.enriched, replay.link, replay.fields):
        return Kind.SAME
    if by_version and live.version > replay.version:
        return Kind.NEWER
    if live.origin != replay.origin and live.time_ms > replay.time_ms:
        return Kind.NEWER
    both = live.enriched and replay.enriched
    return Kind.CHANGED if both and live.fields != replay.fields else Kind.OTHER_ORIGINAL


def changed_fields(live: Verdict, replay: Verdict) -> tuple[str, ...]:
    """The content fields of two enriched articles that differ."""
    return tuple(
        name
        for place, name in enumerate(CONTENT_FIELDS)
        if live.fields[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
        != replay.fields[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
    )


def theme_moves(live: Iterable[str], replay: Iterable[str]) -> tuple[set[str], set[str]]:
    """The themes that an article enters and those that it leaves if the replay holds."""
    before, after = set(live), set(replay)
    return after - before, before - after


def describe_difference(live: Event | None, replay: Event | None) -> dict[str, dict[str, Any]]:
    """Field → what live and what the replay have; only fields that differ, whole but for the text.

    Of a text there are the number of characters on each side and an excerpt around the first difference. Where one of
    the runs has nothing there is no field to compare.
    """
    if live is None or replay is None:
        return {}
    if _copy_of(live) or _copy_of(replay):
        pair = (_copy_of(live), _copy_of(replay))
        return {"duplicate_of": {"live": pair[0], "replay": pair[1]}} if pair[0] != pair[1] else {}
    found: dict[str, dict[str, Any]] = {}
    for name, ours, theirs in zip(CONTENT_FIELDS, _content(live), _content(replay), strict=True):
        if _digest(ours) != _digest(theirs):
            if name == "text":
                found[name] = _text_difference(live["text"], replay["text"])
            else:
                found[name] = {"live": live.get(name), "replay": replay.get(name)}
    if live.get("updates") != replay.get("updates"):
        found["updates"] = {"live": live.get("updates"), "replay": replay.get("updates")}
    return found


def excerpts(a: str, b: str, width: int = _EXCERPT) -> tuple[str, str]:
    """Both texts, cut to so many characters around the first difference, on one line each."""
    start = max(0, _shared(a, b) - _BEFORE)
    if max(len(a), len(b)) <= width:
        start = 0

    def cut(text: str) -> str:
        piece = " ".join(text[start : start + width].split())
        return ("…" if start and piece else "") + piece + ("…" if len(text) > start + width else "")

    return cut(a), cut(b)


def _text_difference(live: str, replay: str) -> dict[str, Any]:
    before, after = excerpts(live, replay)
    return {
        "live": {"characters": len(live)},
        "replay": {"characters": len(replay)},
        "excerpt": f"@@ character {_shared(live, replay)} @@\n-{before}\n+{after}",
    }


def _shared(a: str, b: str) -> int:
    """Characters that both texts begin with: halving, so that a slice is compared and not a character."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _content(event: Event) -> list[Any]:
    """The values of `CONTENT_FIELDS`; a date that is only the raw record's time counts as none."""
    by_record = event["published_at_source"] == "record"
    return [None if by_record and name == "published_at" else event.get(name) for name in CONTENT_FIELDS]


def _digest(value: Any) -> bytes:
    hashed: bytes = xxhash.xxh3_64_digest(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return hashed[:DIGEST_BYTES]


def _copy_of(event: Event) -> str | None:
    original: str | None = event.get("duplicate_of")
    return original


def _link(ident: str | None) -> bytes:
    return bytes.fromhex(ident) if ident else NO_LINK


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
