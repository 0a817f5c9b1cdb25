"""An article's title and text → the organizations, people, products and places it names, one id across languages.

The longest name wins; a Korean name may carry particles; an ambiguous name needs corroboration; a source that is only
cited is no subject. Names are data: ``rules/entities/*.toml``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from newsmill.core.entity_rules import Citing, EntityLexicon, NameKind, read_entities
from newsmill.core.matching import Place
from newsmill.core.reading import Reading, read_for
from newsmill.core.rulebook import Rulebook
from newsmill.events import Entity

__all__ = ["EntityRules", "find_entities"]

_HANGUL = re.compile("[가-힣]")
_SENTENCE_END = re.compile(r"[.!?。]\s|\n")
_DATELINE = re.compile(r"[(\[【][^()\[\]【】=\n]{1,30}=")  # (서울=연합뉴스): where it was written, not what it is about
_LONGEST_RUN = 6  # 韓美日中 and a companion; more hanja in a row are Chinese or Japanese text
_CLOSING = frozenset("’”'\")]}%")
_LOOSE_ENDS = frozenset(".!?)]}\"'”’")


@dataclass(frozen=True, slots=True)
class EntityRules:
    """The entities, compiled."""

    lexicon: EntityLexicon

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> EntityRules:
        """Read and check the entity files; `newsmill.errors.ConfigError` names file and line of a mistake."""
        return cls(read_entities(rulebook))


def find_entities(title: str | None, text: str, rules: EntityRules, reading: Reading | None = None) -> list[Entity]:
    """The entities named, most mentions first, then by first appearance.

    ``surfaces`` are the forms as they stand in title and text, each once, in the order they appear. NFC is expected.
    ``reading`` is of this title and text, by a scanner that holds the names, where other steps share it.
    """
    lexicon = rules.lexicon
    if reading is None:
        reading = read_for(lexicon.matcher, title, text)
    places = reading.places(lexicon.matcher)
    if not places:
        return []
    whole = reading.whole
    mentions: dict[int, list[str]] = {}
    for start, end, entity in _resolve(reading, places, lexicon):
        if entity in mentions:
            mentions[entity].append(whole[start:end])
        else:
            mentions[entity] = [whole[start:end]]
    found = [
        Entity(
            id=(known := lexicon.entities[entity]).id,
            name=known.name,
            type=known.type,
            mentions=len(surfaces),
            surfaces=list(dict.fromkeys(surfaces)),
        )
        for entity, surfaces in mentions.items()
    ]
    if len(found) > 1:
        found.sort(key=_by_mentions)  # stable: first appearance decides between equals
    return found


def _by_mentions(entity: Entity) -> int:
    return -entity.mentions


def _resolve(reading: Reading, places: list[Place], lexicon: EntityLexicon) -> list[tuple[int, int, int]]:
    """The hits that count: start, end and entity, from left to right; none overlaps another."""
    names, whole = lexicon.names, reading.whole
    has_hangul: bool | None = None
    certain: set[int] | None = None
    corroborated: dict[int, bool] = {}
    resolved: list[tuple[int, int, int]] = []
    dateline_ends = [match.end() for match in _DATELINE.finditer(whole)] if "=" in whole else []
    covered = 0
    for start, end, pattern in places:
        if start < covered:
            continue
        end = -end
        entity, kind = names[pattern]
        if kind is not NameKind.PLAIN:
            if kind is NameKind.KOREAN:
                if has_hangul is None:
                    has_hangul = _HANGUL.search(whole) is not None
                if not has_hangul:
                    continue
            elif kind is NameKind.HANJA:
                if not _stands_for_country(whole, start, lexicon):
                    continue
            elif kind is NameKind.AMBIGUOUS:
                if certain is None:
                    certain = {names[other].entity for _, _, other in places if names[other].kind is NameKind.PLAIN}
                if entity not in corroborated:
                    folded, context = reading.folded, lexicon.entities[entity].context
                    corroborated[entity] = entity in certain or any(word in folded for word in context)
                if not corroborated[entity]:
                    continue
        if start and whole[start:end] in lexicon.like_particles and _is_ending(whole[start - 1]):
            continue
        covered = end
        if kind is NameKind.MASK:
            continue
        known = lexicon.entities[entity]
        if dateline_ends and known.type == "place" and _in_dateline(whole, start, dateline_ends):
            continue
        if known.cited and _is_cited(reading.folded, whole, start, end, lexicon.citing):
            continue
        resolved.append((start, end, entity))
    return resolved


def _is_ending(before: str) -> bool:
    """Whether what follows this character is an ending, not a name: AI란, '공정'이란."""
    return before in _CLOSING or before.isalnum()


def _in_dateline(whole: str, at: int, ends: list[int]) -> bool:
    """Whether a place stands between the bracket and the equals sign of a dateline that ends after it."""
    nearest = bisect_right(ends, at)
    if nearest == len(ends):
        return False
    dateline = _DATELINE.match(
        whole, max(whole.rfind(opening, ends[nearest] - 32, ends[nearest]) for opening in "([【")
    )
    return dateline is not None and dateline.start() < at


def _is_hanja(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff"


def _stands_for_country(whole: str, at: int, lexicon: EntityLexicon) -> bool:
    """Whether a single character such as 中 is the country: alone or among its kind, not in 사용中, 10日 or 東北."""
    start, end = at, at + 1
    while start and _is_hanja(whole[start - 1]) and end - start <= _LONGEST_RUN:
        start -= 1
    while end < len(whole) and _is_hanja(whole[end]) and end - start <= _LONGEST_RUN:
        end += 1
    if end - start > _LONGEST_RUN:
        return False
    for character in whole[start:end]:
        if character not in lexicon.country_hanja and character not in lexicon.hanja_companions:
            return False
    if start and (whole[start - 1].isalnum()):
        return False
    if whole[start:end] == lexicon.during_hanja and lexicon.during.search(whole[max(0, start - 8) : start]):
        return False
    # a headline's country goes on (中 정부, 中·日); "작업 中." does not
    return end < len(whole) and whole[end] not in _LOOSE_ENDS and whole[end] != "\n"


def _is_cited(folded: str, whole: str, start: int, end: int, citing: Citing) -> bool:
    """Whether this mention of a source only says where the news comes from."""
    if citing.before.search(folded[max(0, start - citing.before_characters) : start]):
        return True
    stop = min(len(whole), end + citing.after_characters)
    boundary = _SENTENCE_END.search(whole, end, stop)
    return citing.after.search(folded, end, boundary.start() if boundary else stop) is not None
