"""A sketch and the earlier ones like it → the article that the text is a copy or an update of, if any, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from newsmill.core.fingerprint import Sketch, parity_resemblance, same_numbers
from newsmill.core.rulebook import Rulebook, RuleFile
from newsmill.core.sketch_index import Match

__all__ = ["Comparison", "CopyRules", "Link", "compare", "judge", "load_copy_rules"]

_FILE = "dedupe.toml"


@dataclass(frozen=True, slots=True)
class CopyRules:
    """The thresholds of rules/dedupe.toml, which gives the reason of each."""

    copy_containment: float
    copy_hits: int
    copy_few: int
    copy_few_containment: float
    short_words: int
    short_containment: float
    title_words: int
    numbers_least: int
    numbers_share: float
    update_added: float
    repeat_similarity: float
    repeat_other_cleaner: float
    boilerplate: int
    new_share: float


_KEYS = {
    "copy_containment": ("copy", "containment"),
    "copy_hits": ("copy", "hits"),
    "copy_few": ("copy", "few"),
    "copy_few_containment": ("copy", "few_containment"),
    "short_words": ("short", "words"),
    "short_containment": ("short", "containment"),
    "title_words": ("short", "title_words"),
    "numbers_least": ("numbers", "least"),
    "numbers_share": ("numbers", "share"),
    "update_added": ("update", "added"),
    "repeat_similarity": ("repeat", "similarity"),
    "repeat_other_cleaner": ("repeat", "other_cleaner"),
    "boilerplate": ("index", "boilerplate"),
    "new_share": ("index", "new_share"),
}


def load_copy_rules(rulebook: Rulebook) -> CopyRules:
    """The validated thresholds; `ConfigError` names file and line of a missing, unknown or impossible one."""
    file = rulebook.file(_FILE)
    known: dict[str, set[str]] = {}
    for table, key in _KEYS.values():
        known.setdefault(table, set()).add(key)
    for table, body in file.data.items():
        if table not in known:
            raise file.error(f"[{table}] is no table of this file", f"[{table}]")
        if not isinstance(body, dict):
            raise file.error(f"{table} must be a table", table)
        for key in body:
            if key not in known[table]:
                raise file.error(f"{key} is no threshold of [{table}]", key)
    values = {field.name: _threshold(file, field.name, field.type == "int") for field in fields(CopyRules)}
    return CopyRules(**values)


def _threshold(file: RuleFile, name: str, whole: bool) -> Any:
    table, key = _KEYS[name]
    value = file.data.get(table, {}).get(key)
    if value is None:
        raise file.error(f"{key} is missing in [{table}]", f"[{table}]")
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise file.error(f"{key} must be a {'whole number' if whole else 'number'}", key)
    if whole and not 1 <= value <= 1000:
        raise file.error(f"{key} must be 1 to 1000", key)
    if not whole and not 0 <= value <= 1:
        raise file.error(f"{key} must be 0 to 1", key)
    return value


class Link(NamedTuple):
    """An earlier article that a text belongs to: as its update, or as its copy. ``containment`` is the share of the
    shorter text that is in the longer one; ``reason`` says why in words."""

    match: Match
    update: bool
    containment: float
    resemblance: float
    reason: str


def _numbers_agree(a: int, b: int, words: int, their_words: int, rules: CopyRules) -> bool:
    """Whether two number bitmaps fit one text: of two short ones all, of a short one all of its own, else a share."""
    shared = (a & b).bit_count()
    fewer = min(a.bit_count(), b.bit_count())
    if max(words, their_words) < rules.short_words:
        return a == b
    if words < rules.short_words:
        return shared == a.bit_count()
    if their_words < rules.short_words:
        return shared == b.bit_count()
    return fewer < rules.numbers_least or shared >= rules.numbers_share * fewer


def _refusal(
    hits: int, mine: int, theirs: int, words: int, their_words: int, bitmap: int, their_bitmap: int, rules: CopyRules
) -> str | None:
    """Why two texts that share ``hits`` hashes do not belong together; None if they do."""
    least = min(mine, theirs)
    short = min(words, their_words) < rules.short_words
    if hits < min(rules.copy_hits, least) or hits < 3:
        return f"only {hits} shared word sequences"
    if short:
        needed = rules.short_containment
    elif least < rules.copy_few:
        needed = rules.copy_few_containment
    else:
        needed = rules.copy_containment
    if hits < needed * least:
        return f"only {hits / least:.0%} of the shorter text is in the other, {needed:.0%} needed"
    if not _numbers_agree(bitmap, their_bitmap, words, their_words, rules):
        return "the same words with other numbers"
    return None


def _is_update(hits: int, mine: int, theirs: int, words: int, their_words: int, rules: CopyRules) -> bool:
    """Whether the new text holds the earlier one (not only a part of it) and adds enough of its own."""
    grown = words > (1.0 + rules.update_added) * their_words
    return grown and mine - hits > rules.update_added * mine and hits >= rules.copy_containment * theirs


def judge(sketch: Sketch, matches: Sequence[Match], own: bytes, rules: CopyRules) -> Link | None:
    """The earlier article that a new text is a copy or an update of, if any.

    A copy goes before an update, then the more alike, then the earlier. ``own`` is the new article's id: a family of
    which it was the root itself does not count.
    """
    best: tuple[tuple[bool, bool, float, int], Link] | None = None
    for match in matches:
        if match.root == own:
            continue
        hits, mine, theirs = match.hits, match.mine, match.theirs
        if match.exact:
            link = Link(match, False, 1.0, 1.0, "the same text")
        else:
            if _refusal(hits, mine, theirs, sketch.words, match.words, sketch.bitmap, match.bitmap, rules):
                continue
            update = _is_update(hits, mine, theirs, sketch.words, match.words, rules)
            containment = hits / min(mine, theirs)
            resemblance = hits / (mine + theirs - hits)
            if update:
                reason = f"holds {hits / theirs:.0%} of it and adds {1 - hits / mine:.0%} of its own"
            else:
                reason = f"{containment:.0%} of the shorter text is in the other"
            link = Link(match, update, containment, resemblance, reason)
        rank = (not match.exact, link.update, -link.resemblance, match.number)
        if best is None or rank < best[0]:
            best = (rank, link)
    return best[1] if best else None


class Comparison(NamedTuple):
    """What two texts share, for people. Shares are 0..1 and estimated from the sketches.

    ``a_in_b``: share of A's word 3-grams that are in B; ``resemblance``: Jaccard similarity; ``numbers_shared``: share
    of the numbers of the text that has fewer (None if one has none); ``verdict``: what B would be if A came first.
    """

    a_in_b: float
    b_in_a: float
    resemblance: float
    shared: int
    sampled: int
    numbers_shared: float | None
    numbers_equal: bool
    verdict: str
    reason: str


def compare(a: Sketch, b: Sketch, rules: CopyRules) -> Comparison:
    """Compare an earlier text A with a later text B of another id, as the index would, but without its losses."""
    level = max(a.level, b.level)
    limit = np.uint64(0xFFFFFFFFFFFFFFFF if level == 0 else 1 << (64 - level))
    mine, theirs = (s.hashes[: int(s.hashes.searchsorted(limit))] if s.level < level else s.hashes for s in (b, a))
    hits = len(np.intersect1d(mine, theirs, assume_unique=True))
    sizes = len(mine), len(theirs)
    if a.level == 0 and len(b.lead):  # a short text, within the beginning of the later one
        leading = len(np.intersect1d(np.concatenate((b.hashes, b.lead)), a.hashes))
        if leading > 0.6 * len(a.hashes):
            hits, sizes = leading, (b.shingles, a.shingles)
    fewer = min(a.bitmap.bit_count(), b.bitmap.bit_count())
    numbers = (a.bitmap & b.bitmap).bit_count() / fewer if fewer else None
    union = sum(sizes) - hits
    resemblance = hits / union if union else 1.0
    full = parity_resemblance(a.parity, a.shingles, b.parity, b.shingles)
    refusal = _refusal(hits, *sizes, b.words, a.words, b.bitmap, a.bitmap, rules)
    same = a.shingles == b.shingles and a.parity == b.parity and same_numbers(a, b) and resemblance == 1.0
    if same:
        verdict, reason = "duplicate", "the same words in the same order"
    elif refusal:
        verdict, reason = "original", refusal
    elif _is_update(hits, *sizes, b.words, a.words, rules):
        verdict = "update"
        reason = f"holds {hits / sizes[1]:.0%} of the earlier text and adds {1 - hits / sizes[0]:.0%} of its own"
    else:
        verdict = "duplicate"
        reason = f"{hits / min(sizes):.0%} of the shorter text is in the other"
    return Comparison(
        hits / sizes[1] if sizes[1] else 0.0,
        hits / sizes[0] if sizes[0] else 0.0,
        max(resemblance, full) if full > 0.9 else resemblance,
        hits,
        union,
        numbers,
        same_numbers(a, b),
        verdict,
        reason,
    )
