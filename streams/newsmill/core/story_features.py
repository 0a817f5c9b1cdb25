"""Title and lead of an article, with its entities and amounts → weighted terms by which reports of one event meet.

A term is a string whose first character tells its kind, so that kinds never meet by chance:

    휴전, ceasefir        a word without its particle or ending; English words are stemmed lightly
    #휴전                 two syllables in a row of a longer Korean word
    @place:japan          an entity, the same in every language
    =tariff               a concept of ``rules/concepts.toml``, the same in every language
    ~1.5e+09, ~3%         a number
    @place:japan+=tariff  two of the above in one article

Its weight is kind weight x (1 + ln(frequency, the title counted more)) x ln(1 / share of background documents), raised
to a power below 1 that keeps one strong term from deciding alone.
Kinds, weights and bounds are in ``rules/stories.toml``, the shares in ``rules/background.toml``.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from newsmill.core.story_rules import StoryRules, TermWeights, plain_word, stem_english
from newsmill.events import Amount, Entity

__all__ = ["StoryRules", "TermWeights", "story_terms"]

_HANGUL_FIRST, _HANGUL_LAST = "가", "힣"
_TOKEN = re.compile(
    r"(?P<number>[$€£¥]?\d[\d,]*(?:\.\d+)?)\s?(?P<unit>%p?|[가-힣]+|[A-Za-z]+)?"
    r"|(?P<latin>[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ0-9&'’.]*)(?P<after>[가-힣]+)?"
    r"|(?P<hangul>[가-힣]+)"
    r"|(?P<han>[一-鿿]{2,})"
)
_SCALES = (
    ("trillion", 1e12), ("tn", 1e12), ("trn", 1e12), ("billion", 1e9), ("bn", 1e9), ("million", 1e6), ("mn", 1e6),
    ("조", 1e12), ("억", 1e8), ("만", 1e4),
)  # fmt: skip
_COUNTED = ("억", "조", "만", "천", "원", "달러", "명", "개", "여")  # what follows a number and is no word of its own
_PERCENT = ("%", "percent", "퍼센트", "프로")
_LEAST_COUNT = 13  # smaller plain numbers are days, months, ranks
_YEARS = (1900, 2100)
_DAYS = 31
# What the trade puts around a title and before a lead: [속보], (종합2보), (서울=연합뉴스) 기자 이름 =.
_DATELINE = re.compile(r"^\s*\([^()]{1,40}=[^()]{1,20}\)\s*(?:[가-힣· ]{2,30}(?:기자|특파원))?\s*=?")
_TAG = re.compile(r"\[[^\[\]]{1,12}\]|\((?:종합\d?보?|\d보|영상|사진)\)")
_LONGEST_WORD = 40
_MAX_TOKENS = 400  # of one part; its characters bound it too

_Found = tuple[tuple[str, float], ...]  # terms of one word with the weights of their kinds


def story_terms(
    title: str | None,
    text: str,
    language: str,
    entities: Sequence[Entity],
    amounts: Sequence[Amount],
    rules: StoryRules,
) -> dict[str, float]:
    """Weighted terms of title and lead, heaviest first (ties by term), at most ``weights.count`` of them.

    ``language`` (BCP 47) is not consulted: the script of each word tells how to read it, also in mixed text.
    ``amounts`` have offsets into ``text``. Weights are rounded to four decimals. Work is bounded by the characters of
    title and lead, whatever the text is.
    """
    weights = rules.weights
    head = _normal(title or "", weights.title_characters)
    lead = _normal(text, weights.lead_characters)
    if head and lead.startswith(head):
        lead = lead[len(head) :]
    counts: dict[str, list[float]] = {}  # term → frequency, kind weight, rarity
    for part, factor in ((head, weights.title_weight), (lead, 1.0)):
        for term, kind in _scan(part, rules):
            entry = counts.get(term)
            if entry is None:
                counts[term] = [factor, kind, rules.rarity(term)]
            else:
                entry[0] += factor
    _add_entities(head, lead, entities, counts, rules)
    for amount in amounts:
        if amount.end <= weights.lead_characters:
            counts.setdefault(f"~{float(amount.value):.3g}", [1.0, weights.number, rules.unseen])
    _add_pairs(counts, rules)
    scored = [
        (-kind * rarity * (1.0 + math.log(frequency) if frequency > 1.0 else 1.0), term)
        for term, (frequency, kind, rarity) in counts.items()
        if kind
    ]
    scored.sort()
    flat = ((term, round((-evidence) ** weights.flattening, 4)) for evidence, term in scored[: weights.count])
    return {term: weight for term, weight in flat if weight > 0.0}


def _normal(text: str, limit: int) -> str:
    """The first ``limit`` characters, full-width forms folded, cut after a whole word."""
    part = unicodedata.normalize("NFKC", text[: limit + 1])
    if len(text) > limit:
        cut = part.rfind(" ")
        part = part[: cut if cut > limit // 2 else limit]
    return _TAG.sub(" ", _DATELINE.sub("", part))


def _scan(text: str, rules: StoryRules) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    latin: list[tuple[str, bool]] = []  # a run of Latin words, for phrases: (lower-case word, all capitals)
    weights = rules.weights
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number >= _MAX_TOKENS:
            break
        kind = match.lastgroup
        if match["latin"] is not None:
            word = match["latin"]
            latin.append((plain_word(word), word.isupper()))
            if match["after"] is None:
                continue
            after = match["after"]
            if after not in rules.particles.endings:
                _flush(latin, rules, found)
                found.extend(_korean_word(after, rules))
            continue
        if latin:
            _flush(latin, rules, found)
        if kind == "hangul":
            found.extend(_korean_word(match["hangul"], rules))
        elif kind == "han":
            found.append((match["han"][:_LONGEST_WORD], weights.word))
        else:
            value = _number(match["number"], match["unit"] or "")
            if value:
                found.append((value, weights.number))
            unit = match["unit"] or ""
            if len(unit) > 2 and not unit.startswith(_COUNTED):
                if _HANGUL_FIRST <= unit[0] <= _HANGUL_LAST:
                    found.extend(_korean_word(unit, rules))
                else:
                    latin.append((plain_word(unit), unit.isupper()))
    if latin:
        _flush(latin, rules, found)
    return found


def _flush(latin: list[tuple[str, bool]], rules: StoryRules, found: list[tuple[str, float]]) -> None:
    """Terms of a run of Latin words: the longest phrase at each place, else the stemmed word. Empties the run."""
    weights = rules.weights
    at, count = 0, len(latin)
    while at < count:
        word, capitals = latin[at]
        step = 1
        phrases = rules.english.get(word)
        hit: tuple[str, ...] = ()
        if phrases is not None and (capitals or word not in rules.uppercase):
            for rest, ids in phrases:
                size = len(rest)
                if all(at + 1 + k < count and latin[at + 1 + k][0] == rest[k] for k in range(size)):
                    hit, step = ids, size + 1
                    break
        if hit:
            found.extend((term, weights.entity if term[0] == "@" else weights.concept) for term in hit)
            found.append((stem_english(" ".join(w for w, _ in latin[at : at + step])), weights.surface))
        elif len(word) > 1 and word not in rules.stop_english:
            found.append((stem_english(word), weights.word))
        at += step
    latin.clear()


@lru_cache(maxsize=1 << 15)  # the words of news repeat; rules compare by identity
def _korean_word(word: str, rules: StoryRules) -> _Found:
    """Terms of one run of Hangul."""
    weights = rules.weights
    word = word[:_LONGEST_WORD]
    noun = rules.particles.strip_particle(word)
    ids = _concepts_of(word, noun, rules)
    if ids:
        kinds = tuple((term, weights.entity if term[0] == "@" else weights.concept) for term in ids)
        return (*kinds, (noun[:6], weights.surface))
    if word in rules.stop_korean or noun in rules.stop_korean:
        return ()
    base = rules.ending.sub("", noun) or noun
    if len(base) < 2 or base in rules.stop_korean:
        return ()
    if base in rules.korean:
        return (
            *((t, weights.entity if t[0] == "@" else weights.concept) for t in rules.korean[base]),
            (base[:6], weights.surface),
        )
    terms = [(base, weights.word)]
    if len(base) >= 3:
        terms += [(f"#{base[k : k + 2]}", weights.bigram) for k in range(len(base) - 1)]
    return tuple(terms)


def _concepts_of(word: str, noun: str, rules: StoryRules) -> tuple[str, ...]:
    """Ids of a Korean word: the word itself, joined countries, or a known word with a particle or more after it."""
    known = rules.korean
    for whole in (noun, word):
        if whole in known:
            return known[whole]
    for joined in rules.joined:
        if word.startswith(joined):
            rest = rules.particles.strip_particle(word[len(joined) :])
            if not rest or rest in rules.particles.endings or rest in known:
                return (*(rules.abbreviations[c] for c in joined), *known.get(rest, ()))
            break
    for size in range(min(len(word) - 1, 8), 1, -1):
        if word[:size] in known and (size >= 3 or word[size:] in rules.particles.endings):
            return known[word[:size]]
    return ()


def _number(digits: str, unit: str) -> str | None:
    """The term of a number: 1.5 billion and 15억 are one. None where it tells nothing (days, years, ranks)."""
    value = float(digits.lstrip("$€£¥").replace(",", "")[:18])
    unit = unit.lower()
    if unit.startswith(_PERCENT):
        return f"~{value:g}%"
    for name, scale in _SCALES:
        if unit.startswith(name):
            return f"~{value * scale:.3g}"
    if value < _LEAST_COUNT or _YEARS[0] <= value <= _YEARS[1] or (value <= _DAYS and not unit):
        return None
    return f"~{value:.4g}"


def _add_entities(
    head: str, lead: str, entities: Iterable[Entity], counts: dict[str, list[float]], rules: StoryRules
) -> None:
    """Add a term for each entity named in title or lead; the words that name it then weigh as a surface does."""
    weights = rules.weights
    for entity in entities:
        frequency = 0.0
        if any(surface in head for surface in entity.surfaces):
            frequency += weights.title_weight
        if any(surface in lead for surface in entity.surfaces):
            frequency += 1.0
        if not frequency:
            continue
        term = f"@{entity.id}"
        rarity = rules.rarity(term)
        for surface in entity.surfaces:
            named = _name_words(surface, rules)
            for word in named:
                if word in counts:
                    counts[word][1] = min(counts[word][1], weights.surface)
            if named:  # as common as its commonest name, a name as rare as its rarest word
                rarity = min(rarity, max(map(rules.rarity, named)))
        counts[term] = [frequency, weights.entity, rarity]


@lru_cache(maxsize=1 << 14)
def _name_words(surface: str, rules: StoryRules) -> tuple[str, ...]:
    """The plain words of a name, as `_scan` finds them."""
    return tuple(term for term, _ in _scan(surface, rules) if term[0] not in "@=#~")


def _add_pairs(counts: dict[str, list[float]], rules: StoryRules) -> None:
    """Add conjunctions of the first entities and concepts, as rare as if their parts were independent."""
    weights = rules.weights
    named: dict[str, float] = {}
    spoken: dict[str, float] = {}
    for term, (_, _, rarity) in counts.items():
        if term[0] == "@":
            country = rules.stands_for.get(term, term)
            named[country] = min(rarity, named.get(country, rarity))
        elif term[0] == "=":
            spoken[term] = rarity
    members = [*list(named.items())[: weights.pair_members], *list(spoken.items())[: weights.pair_members]]
    for at, (first, rarity) in enumerate(members):
        for second, other in members[at + 1 :]:
            if first[0] != second[0]:
                kind = weights.entity_concept
            else:
                kind = weights.entity_pair if first[0] == "@" else weights.concept_pair
            left, right = (second, first) if first[0] == second[0] and second < first else (first, second)
            counts[f"{left}+{right}"] = [1.0, kind, min(rules.unseen, rarity + other)]
