"""A sketch and the earlier ones like it → the article that the text is a copy or an update of, if any, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np

from newsmill.core.fingerprint import Sketch, parity_resemblance, same_numbers
from newsmill.core.rulebook import Rulebook, RuleFile
from newsmill.core.sketch_index import Match

__all__ = ["Comparison", "CopyRules", "Link", "compare", "judge", "load_copy_rules"]

_FILE: Final = "dedupe.toml"
_LEAST_HITS: Final = 3  # what the index reports at all


@dataclass(frozen=True, slots=True)
class CopyRules:
    """The thresholds of rules/dedupe.toml, which gives the reason of each."""

    copy_containment: float
    copy_hits: int
    copy_few: int
    copy_few_containment: float
    family_containment: float
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
    "family_containment": ("copy", "family_containment"),
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


class _Pair(NamedTuple):
    """A later text and an earlier one: hashes that they share and have at the common level, words, number bitmaps."""

    hits: int
    mine: int
    theirs: int
    words: int
    their_words: int
    bitmap: int
    their_bitmap: int

    @property
    def containment(self) -> float:
        least = min(self.mine, self.theirs)
        return self.hits / least if least else 0.0

    @property
    def resemblance(self) -> float:
        union = self.mine + self.theirs - self.hits
        return self.hits / union if union else 1.0


def _numbers_agree(pair: _Pair, rules: CopyRules) -> bool:
    """Whether two number bitmaps fit one text: of two short ones all, of a short one all of its own, else a share."""
    a, b = pair.bitmap, pair.their_bitmap
    shared = (a & b).bit_count()
    if max(pair.words, pair.their_words) < rules.short_words:
        return a == b
    if pair.words < rules.short_words:
        return shared == a.bit_count()
    if pair.their_words < rules.short_words:
        return shared == b.bit_count()
    fewer = min(a.bit_count(), b.bit_count())
    return fewer < rules.numbers_least or shared >= rules.numbers_share * fewer


def _refusal(pair: _Pair, rules: CopyRules, containment: float) -> str | None:
    """Why two texts do not belong together; None if they do. ``containment`` is what ordinary texts need."""
    least = min(pair.mine, pair.theirs)
    if pair.hits < min(rules.copy_hits, least) or pair.hits < _LEAST_HITS:
        return f"only {pair.hits} shared word sequences"
    if min(pair.words, pair.their_words) < rules.short_words:
        containment = rules.short_containment
    elif least < rules.copy_few:
        containment = rules.copy_few_containment
    if pair.hits < containment * least:
        return f"only {pair.containment:.0%} of the shorter text is in the other, {containment:.0%} needed"
    if not _numbers_agree(pair, rules):
        return "the same words with other numbers"
    return None


def _grown(pair: _Pair, rules: CopyRules) -> bool:
    return pair.words > (1.0 + rules.update_added) * pair.their_words


def _is_update(pair: _Pair, rules: CopyRules) -> bool:
    """Whether the later text holds the earlier one (not only a part of it) and adds enough of its own."""
    added = pair.mine - pair.hits > rules.update_added * pair.mine
    return _grown(pair, rules) and added and pair.hits >= rules.copy_containment * pair.theirs


def _reason(pair: _Pair, update: bool) -> str:
    if update:
        held, added = pair.hits / pair.theirs, 1 - pair.hits / pair.mine
        return f"holds {held:.0%} of the earlier text and adds {added:.0%} of its own"
    return f"{pair.containment:.0%} of the shorter text is in the other"


def judge(sketch: Sketch, matches: Sequence[Match], own: bytes, rules: CopyRules) -> Link | None:
    """The earlier article that a new text is a copy or an update of, if any.

    A copy goes before an update, then the more alike, then the earlier. ``own`` is the new article's id: a family of
    which it was the root itself does not count.
    """
    links: list[Link] = []
    others: list[tuple[Match, _Pair]] = []
    for match in matches:
        if match.root == own:
            continue
        if match.exact:
            return Link(match, False, 1.0, 1.0, "the same text")
        pair = _Pair(match.hits, match.mine, match.theirs, sketch.words, match.words, sketch.bitmap, match.bitmap)
        if _refusal(pair, rules, rules.copy_containment) is None:
            update = _is_update(pair, rules)
            links.append(Link(match, update, pair.containment, pair.resemblance, _reason(pair, update)))
        else:
            others.append((match, pair))
    if links and all(link.update for link in links):
        # The family is certain. Perhaps the text adds nothing to it, but is a loose copy of a longer member.
        families = {link.match.cluster for link in links}
        links += (
            Link(match, False, pair.containment, pair.resemblance, _reason(pair, False))
            for match, pair in others
            if match.cluster in families
            and not _grown(pair, rules)
            and _refusal(pair, rules, rules.family_containment) is None
        )
    return min(links, key=lambda link: (link.update, -link.resemblance, link.match.number), default=None)


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
    pair = _Pair(hits, *sizes, b.words, a.words, b.bitmap, a.bitmap)
    fewer = min(a.bitmap.bit_count(), b.bitmap.bit_count())
    numbers = (a.bitmap & b.bitmap).bit_count() / fewer if fewer else None
    full = parity_resemblance(a.parity, a.shingles, b.parity, b.shingles)
    refusal = _refusal(pair, rules, rules.copy_containment)
    if a.hashes.tobytes() == b.hashes.tobytes() and full == 1.0 and same_numbers(a, b):
        verdict, reason = "duplicate", "the same words in the same order"
    elif refusal:
        verdict, reason = "original", refusal
    else:
        update = _is_update(pair, rules)
        verdict, reason = "update" if update else "duplicate", _reason(pair, update)
    return Comparison(
        hits / pair.theirs if pair.theirs else 0.0,
        hits / pair.mine if pair.mine else 0.0,
        full if full > 0.9 else pair.resemblance,
        hits,
        pair.mine + pair.theirs - hits,
        numbers,
        same_numbers(a, b),
        verdict,
        reason,
    )
