"""The sample files beside this module → records to put on the raw topic, each with what must become of it.

All news in them is invented. The demo and the integration tests publish them wave by wave, because what is a copy
depends on what came before: within a wave no sample's outcome depends on another one of the same wave.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from newsmill.core.identity import canonicalize_url
from newsmill.errors import NewsmillError, Reason
from newsmill.events import Outcome
from newsmill.readers import Refusal, read_path

__all__ = ["FOLDER", "Sample", "samples"]

FOLDER = Path(__file__).parent
"""Where the files are: ``articles/`` can be given to ``newsmill ingest``, ``bad/`` holds records as raw bytes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One record for the raw topic and its expected way through the pipeline.

    ``label`` is stable and unique; an article carries it as ``extra["sample"]``. ``key`` and ``value`` are the bytes
    to publish. ``outcome`` is the decision of the stage that decides: dedupe, or prepare for a dead letter (then with
    its ``reason``). ``of`` is the label of the sample that this one repeats, revises, updates or copies. Samples of
    one ``group`` tell the same text, those of one ``story`` the same event. ``themes`` are those that an original,
    an update or a revision must get, no other; None where it is not asked (digests, copies, dead letters).
    """

    label: str
    wave: int
    kind: str
    key: bytes
    value: bytes
    outcome: Outcome
    group: str
    language: str | None = None
    reason: Reason | None = None
    of: str | None = None
    story: str | None = None
    themes: tuple[str, ...] | None = None
    published_at_source: str | None = None


def samples() -> Iterator[Sample]:
    """Every sample in the order of its wave, from 1; always the same bytes in the same order."""
    expected: list[dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text("utf-8"))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in expected:
        file = entry["file"]
        if file.startswith("bad/"):
            yield _sample(entry, f"bad:{entry['label']}".encode(), (FOLDER / file).read_bytes())
            continue
        if file not in found:
            found[file] = _articles(file, entry)
        data = found[file][entry["label"]]
        yield _sample(entry, canonicalize_url(data["url"]).encode(), orjson.dumps(data))


def _articles(file: str, entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The articles of one file by label: a page's own label and fields (what a crawler knows) stand in its entry."""
    articles = {}
    for item in read_path(FOLDER / file):
        if isinstance(item, Refusal):
            raise NewsmillError(f"the sample {item} cannot be read: install newsmill again")
        data = item.data
        if "fields" in entry:
            data = data | entry["fields"] | {"extra": {"sample": entry["label"]}}
        articles[data["extra"]["sample"]] = data
    return articles


def _sample(entry: Mapping[str, Any], key: bytes, value: bytes) -> Sample:
    reason, themes = entry.get("reason"), entry.get("themes")
    return Sample(
        label=entry["label"],
        wave=entry["wave"],
        kind=entry["kind"],
        key=key,
        value=value,
        outcome=Outcome(entry["outcome"]),
        group=entry["group"],
        language=entry["language"],
        reason=Reason(reason) if reason is not None else None,
        of=entry.get("of"),
        story=entry.get("story"),
        themes=tuple(themes) if themes is not None else None,
        published_at_source=entry.get("published_at_source"),
    )
