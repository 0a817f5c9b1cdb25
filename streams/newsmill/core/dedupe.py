"""Prepared articles, in order → original, update, revision, repeat, stale or duplicate.

A promotion, the result of a replay, comes in the same log and counts only while live still has what it was compared
with. A deterministic function of its input log: what came before, in that order, decides, and nothing else. Time is the
largest record or article time seen in the log, never a clock. `Dedupe` only decides; `DedupeState` folds the changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import xxhash

from newsmill.core.copies import CopyRules, Link, judge, load_copy_rules
from newsmill.core.dedupe_records import CONTENT_BYTES, NO_ID, Known, entry_change, known_change
from newsmill.core.dedupe_state import DedupeState
from newsmill.core.fingerprint import Sketch, parity_resemblance, unpack
from newsmill.core.folding import fold
from newsmill.core.prepared_record import read_prepared
from newsmill.core.rulebook import Rulebook
from newsmill.core.sketch_index import MAX_CAPACITY, Entry, Found
from newsmill.core.stage import Change, Context, Facts, Output, Record, Result
from newsmill.errors import ConfigError, Reason, Refused
from newsmill.events import Article, CopyNote, Duplicate, EnrichedArticle, Outcome, Prepared

__all__ = ["Dedupe", "DedupeOptions"]

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DedupeOptions:
    """How much dedupe remembers. Times in milliseconds of the log's time.

    ``window_ms``: how long a text can be recognised in a copy; ``id_window_ms``: how long an id is known after it was
    last seen. ``max_entries`` sketches take about 200 bytes each and ``max_ids`` ids about 90; the oldest leave first.
    """

    window_ms: int = 14 * _DAY_MS
    id_window_ms: int = 90 * _DAY_MS
    max_entries: int = 1_000_000
    max_ids: int = 4_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.max_entries <= MAX_CAPACITY:
            raise ConfigError(f"the dedupe window holds 1 to {MAX_CAPACITY} entries, not {self.max_entries}")
        if self.max_ids < 1:
            raise ConfigError(f"dedupe must know at least one id, not {self.max_ids}")
        if not 0 < self.window_ms <= self.id_window_ms:
            raise ConfigError("the window of dedupe must be positive, and no longer than ids are kept")


class _Incoming(NamedTuple):
    """One prepared article with everything the decision needs."""

    prepared: Prepared
    article: Article
    ident: bytes
    content: bytes
    sketch: Sketch
    exact: int
    fetched: int
    published: int
    now: int


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


class Dedupe:
    """The stage's function: ``Dedupe(context, options, rulebook)(record, state) -> Result``."""

    def __init__(self, context: Context, options: DedupeOptions, rulebook: Rulebook) -> None:
        self.context = context
        self.options = options
        self.rules: CopyRules = load_copy_rules(rulebook)

    def new_state(self) -> DedupeState:
        """An empty state for one partition."""
        options = self.options
        return DedupeState(
            window_ms=options.window_ms,
            id_window_ms=options.id_window_ms,
            max_entries=options.max_entries,
            max_ids=options.max_ids,
            boilerplate=self.rules.boilerplate,
        )

    def __call__(self, record: Record, state: DedupeState) -> Result:
        """Decide one record. `Refused` if it cannot be read, `UnreadableFormat` if a newer newsmill wrote it."""
        new = self._incoming(read_prepared(record), record, state)
        known = state.known(new.ident, new.now)
        if new.prepared.promotion is not None:
            return self._promoted(new, known, record, state)
        again = None if known is None else self._again(new, known, state)
        return again if again is not None else self._decide(new, known, state)

    def _promoted(self, new: _Incoming, known: Known | None, record: Record, state: DedupeState) -> Result:
        """Compare and set: whatever live decided since makes a promotion older than live, hence stale.

        What it leads to is written with the time of the promotion (topics expire by it), and counts for no latency.
        """
        if not _replaces(new, known):
            return Result(Outcome.STALE, facts=Facts(new.article.id))
        if known is not None:  # live may have fetched a repeat since: what was seen last stays so
            new = new._replace(fetched=max(new.fetched, known.fetched))
        result = self._decide(new, known, state)
        outputs = [output._replace(time_ms=max(output.time_ms, record.timestamp)) for output in result.outputs]
        return result._replace(outputs=outputs, raw_time_ms=None)

    def _decide(self, new: _Incoming, known: Known | None, state: DedupeState) -> Result:
        """The verdict on a text that its id did not have before."""
        version = new.article.version
        if known is not None:
            version = max(version, known.version + 1)  # two texts within one millisecond: a version only grows
        found = state.index.find(new.sketch, new.exact, new.ident, state.since(new.now))
        if known is not None and not known.copy:
            return self._revision(new, known, found, state, version)
        link = judge(new.sketch, found.matches, new.ident, self.rules)
        if link is not None and not link.update:
            return self._duplicate(new, link, found, state, version)
        return self._original(new, link, found, state, version)

    def _incoming(self, prepared: Prepared, record: Record, state: DedupeState) -> _Incoming:
        article = prepared.article
        try:
            sketch = unpack(prepared.sketch)
            content = bytes.fromhex(article.content_hash)
        except ValueError as error:
            raise Refused(Reason.WRONG_TYPE, f"a prepared record: {error}") from error
        if len(content) != 16:
            raise Refused(Reason.WRONG_TYPE, "a prepared record: content_hash is not 32 hex digits")
        title = fold(article.title or "").encode() if sketch.words < self.rules.title_words else b""
        return _Incoming(
            prepared,
            article,
            bytes.fromhex(article.id),
            content,
            sketch,
            xxhash.xxh3_64_intdigest(content + title),
            _milliseconds(prepared.fetched_at) if prepared.fetched_at else -1,
            max(0, _milliseconds(article.published_at) // 1000),
            # the version of a promotion is of an archive's clock, perhaps
            max(state.clock, record.timestamp, article.version if prepared.promotion is None else 0),
        )

    def _again(self, new: _Incoming, known: Known, state: DedupeState) -> Result | None:
        """A repeat or a stale record of a known id; None if its text is new."""
        version = new.article.version
        if new.content[:CONTENT_BYTES] == known.content[:CONTENT_BYTES]:
            if version <= known.version and new.fetched <= known.fetched:
                return Result(Outcome.REPEAT, raw_time_ms=version, facts=Facts(new.article.id))
            return self._repeat(new, known, state, cleaned=True)
        if version < known.version or (0 <= new.fetched < known.fetched):
            return Result(Outcome.STALE, raw_time_ms=version, facts=Facts(new.article.id))
        resemblance = parity_resemblance(new.sketch.parity, new.sketch.shingles, known.parity, known.shingles)
        if new.prepared.prepare_version != known.prepare_version:
            if resemblance >= self.rules.repeat_other_cleaner:
                return self._repeat(new, known, state, cleaned=True)
        elif resemblance >= self.rules.repeat_similarity and new.sketch.numbers == known.numbers:
            return self._repeat(new, known, state, cleaned=False)
        return None

    def _repeat(self, new: _Incoming, known: Known, state: DedupeState, *, cleaned: bool) -> Result:
        """Seen again. The text that was published stays the one compared with, so small edits cannot creep; only
        another cleaner's form of the same text replaces it."""
        seen = known._replace(
            version=max(known.version, new.article.version),
            fetched=max(known.fetched, new.fetched),
            seen=new.now,
            clock=new.now,
            next_number=state.index.next_number,
        )
        if cleaned:
            seen = seen._replace(
                prepare_version=new.prepared.prepare_version,
                content=new.content[:8],
                shingles=new.sketch.shingles,
                numbers=new.sketch.numbers,
                parity=new.sketch.parity,
            )
        changes = [*state.departures(new.now, new.ident, entry=False), known_change(new.ident, seen)]
        article = new.article
        return Result(Outcome.REPEAT, changes=changes, raw_time_ms=article.version, facts=Facts(article.id))

    def _changes(
        self,
        new: _Incoming,
        state: DedupeState,
        found: Found,
        version: int,
        *,
        copy: bool,
        related: bytes,
        root: bytes,
        published: int,
        cluster: int | None,
        index: bool,
    ) -> Sequence[Change]:
        number = state.index.next_number
        if cluster is None:
            cluster = number
        changes = list(state.departures(new.now, new.ident, entry=index))
        if index:
            sketch = new.sketch
            entry = Entry(
                number,
                new.ident,
                root,
                cluster,
                sketch.level,
                sketch.words,
                sketch.bitmap,
                new.exact,
                published,
                new.now // 1000,
                found.fresh,
            )
            changes.append(entry_change(entry))
        known = Known(
            copy,
            new.prepared.prepare_version,
            version,
            new.fetched,
            new.now,
            cluster,
            new.sketch.shingles,
            new.sketch.numbers,
            new.sketch.parity,
            new.content[:8],
            related,
            new.now,
            number + index,
        )
        changes.append(known_change(new.ident, known))
        return changes

    def _worth_indexing(self, new: _Incoming, found: Found, cluster: int) -> bool:
        """Whether a copy or revision brings enough new text to its family."""
        if new.sketch.words < self.rules.short_words:
            return True
        fresh = len(found.fresh)
        return fresh - found.known.get(cluster & 0xFFFFFFFF, 0) > self.rules.new_share * fresh

    def _original(self, new: _Incoming, link: Link | None, found: Found, state: DedupeState, version: int) -> Result:
        updates = link.match.root if link else NO_ID
        changes = self._changes(
            new,
            state,
            found,
            version,
            copy=False,
            related=updates,
            root=new.ident,
            published=new.published,
            cluster=link.match.cluster if link else None,
            index=True,
        )
        outcome = Outcome.UPDATE if link else Outcome.ORIGINAL
        article = new.article
        output = _unique(new, outcome, updates, version)
        return Result(outcome, [output], changes, article.version, Facts(article.id))

    def _revision(self, new: _Incoming, known: Known, found: Found, state: DedupeState, version: int) -> Result:
        changes = self._changes(
            new,
            state,
            found,
            version,
            copy=False,
            related=known.related,
            root=new.ident,
            published=new.published,
            cluster=known.cluster,
            index=self._worth_indexing(new, found, known.cluster),
        )
        output = _unique(new, Outcome.REVISION, known.related, version)
        article = new.article
        return Result(Outcome.REVISION, [output], changes, article.version, Facts(article.id))

    def _duplicate(self, new: _Incoming, link: Link, found: Found, state: DedupeState, version: int) -> Result:
        match = link.match
        changes = self._changes(
            new,
            state,
            found,
            version,
            copy=True,
            related=NO_ID,
            root=match.root,
            published=match.published,
            cluster=match.cluster,
            index=not match.exact and self._worth_indexing(new, found, match.cluster),
        )
        article = new.article
        original = match.root.hex()
        duplicate = Duplicate(
            id=article.id,
            version=version,
            url=article.url,
            source=article.source,
            title=article.title,
            language=article.language,
            published_at=article.published_at,
            duplicate_of=original,
            similarity=round(link.containment, 4),
            method="exact" if match.exact else "near",
            published_first=new.published < match.published,
            provenance=article.provenance,
        )
        note = CopyNote(
            id=article.id,
            duplicate_of=original,
            source=article.source,
            published_at=article.published_at,
            version=version,
        )
        ident = f"{article.id}-{version}"
        outputs = [
            Output(
                "duplicate",
                article.id.encode(),
                duplicate.__pydantic_serializer__.to_json(duplicate),
                "duplicate",
                ident,
                version,
                article.id,
            ),
            Output(
                "story-input",
                original.encode(),
                note.__pydantic_serializer__.to_json(note),
                "story-input",
                ident,
                version,
                article.id,
            ),
        ]
        facts = Facts(article.id, method=duplicate.method)
        return Result(Outcome.DUPLICATE, outputs, changes, article.version, facts)


def _replaces(new: _Incoming, known: Known | None) -> bool:
    """Whether live still has what the replay was compared with: the very version, or its text seen again since.

    A text that the promotion does not change cannot tell the second case from a promotion before it.
    """
    promotion = new.prepared.promotion
    assert promotion is not None
    if promotion.replaces is None or known is None:
        return promotion.replaces is None and known is None
    if promotion.replaces == known.version:
        return True
    if promotion.replaces_hash is None or promotion.replaces > known.version:
        return False
    told = bytes.fromhex(promotion.replaces_hash)
    return told != new.content and told[:CONTENT_BYTES] == known.content[:CONTENT_BYTES]


def _unique(new: _Incoming, verdict: Outcome, updates: bytes, version: int) -> Output:
    article = new.article.model_copy(
        update={
            "verdict": verdict.value,
            "updates": updates.hex() if updates != NO_ID else None,
            "version": version,
        }
    )
    promotion = new.prepared.promotion
    if promotion is not None and promotion.enrichment is not None:
        article = EnrichedArticle.model_construct(**vars(article), **vars(promotion.enrichment))
    value = article.__pydantic_serializer__.to_json(article)
    return Output("unique", article.id.encode(), value, "article", f"{article.id}-{version}", version, article.id)
