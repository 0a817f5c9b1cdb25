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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, product
from operator import itemgetter
from typing import NamedTuple

from newsmill.core.memo import Memo
from newsmill.core.story_rules import StoryRules, TermWeights, plain_word, stem_english
from newsmill.events import Amount, Entity

__all__ = ["StoryRules", "TermWeights", "story_terms"]

_HANGUL_FIRST, _HANGUL_LAST = "가", "힣"
# The four kinds begin with different characters, so their order is free: the commonest first.
_TOKEN = re.compile(
    r"(?P<hangul>[가-힣]++)"
    r"|(?P<latin>[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ0-9&'’.]*+)(?P<after>[가-힣]++)?"
    r"|(?P<number>[$€£¥]?\d[\d,]*(?:\.\d+)?)\s?(?P<unit>%p?|[가-힣]+|[A-Za-z]+)?"
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


_CACHED = 1 << 15  # words of each kind
_name = itemgetter(0)  # of a term


_Term = tuple[str, float]
"""A term and its score where it stands once: weight of its kind x rarity, negative, so that the heaviest sort first."""


class _Terms(NamedTuple):
    """What a word gives; ``named`` are the ids of entities and concepts among it."""

    terms: tuple[_Term, ...]
    named: tuple[str, ...] = ()


class _LatinWord(NamedTuple):
    """A Latin word made plain, the phrases that may begin with it, and its terms where none does."""

    plain: str
    phrases: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    terms: tuple[_Term, ...]


class _Lexicon(NamedTuple):
    """The rules, and what they make of each word."""

    rules: StoryRules
    latin: Memo[_LatinWord]
    korean: Memo[_Terms]
    numbers: Memo[_Terms]  # "1,500 만": digits and unit
    names: Memo[tuple[str, ...]]


@lru_cache(maxsize=4)  # rules compare by identity
def _lexicon(rules: StoryRules) -> _Lexicon:
    lexicon = _Lexicon(
        rules,
        latin=Memo(lambda word: _latin_word(word, rules), _CACHED),
        korean=Memo(lambda word: _korean_word(word, rules), _CACHED),
        numbers=Memo(lambda number: _number_term(number, rules), _CACHED),
        names=Memo(lambda surface: _name_words(surface, lexicon), _CACHED),
    )
    return lexicon


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
    weights, lexicon = rules.weights, _lexicon(rules)
    head = _normal(title or "", weights.title_characters)
    lead = _normal(text, weights.lead_characters)
    if head and lead.startswith(head):
        lead = lead[len(head) :]
    named: list[str] = []
    of_head = _scan(head, lexicon, named)
    of_lead = _scan(lead, lexicon, named)
    scores = dict(reversed(of_lead))  # the first one of a term decides its kind
    scores.update(reversed(of_head))
    frequencies = Counter(map(_name, of_lead))
    frequent = {term: float(count) for term, count in frequencies.items() if count > 1}
    for term, _ in of_head:
        frequent[term] = frequent.get(term, frequencies[term]) + weights.title_weight
    rarities = {term: rules.rarity(term) for term in named}
    _add_entities(head, lead, entities, scores, frequent, rarities, lexicon)
    for amount in amounts:
        if amount.end <= weights.lead_characters:
            scores.setdefault(f"~{float(amount.value):.3g}", -weights.number * rules.unseen)
    for term, frequency in frequent.items():
        if frequency > 1.0:
            scores[term] *= 1.0 + math.log(frequency)
    return _heaviest(scores, _pairs(rarities, rules), rules)


def _heaviest(
    scores: Mapping[str, float], pairs: Sequence[tuple[float, str, str]], rules: StoryRules
) -> dict[str, float]:
    """The weights of the heaviest terms and conjunctions, heaviest first. What stays behind is never spelled out."""
    count, flattening = rules.weights.count, rules.weights.flattening
    ranked = [*scores.values(), *[pair[0] for pair in pairs]]
    ranked.sort()
    last = ranked[count - 1] if len(ranked) > count else 0.0
    best = [(score, term) for term, score in scores.items() if score <= last]
    best += [(score, f"{left}+{right}") for score, left, right in pairs if score <= last]
    best.sort()
    weight_of = _weights(flattening)
    return {term: weight for score, term in best[:count] if (weight := weight_of[score]) > 0.0}


class _Weights(dict[float, float]):
    """Score → flattened weight; many terms of an article are equally rare. Bounded."""

    def __init__(self, flattening: float) -> None:
        super().__init__()
        self._flattening = flattening

    def __missing__(self, score: float) -> float:
        if len(self) >= _CACHED:
            self.clear()
        # int() rounds to four decimals eight times as fast as round()
        weight = self[score] = int((-score) ** self._flattening * 10_000 + 0.5) / 10_000
        return weight


_weights = lru_cache(maxsize=4)(_Weights)


def _normal(text: str, limit: int) -> str:
    """The first ``limit`` characters, full-width forms folded, cut after a whole word."""
    part = unicodedata.normalize("NFKC", text[: limit + 1])
    if len(text) > limit:
        cut = part.rfind(" ")
        part = part[: cut if cut > limit // 2 else limit]
    dateline = _DATELINE.match(part)
    if dateline is not None:
        part = part[dateline.end() :]
    return _TAG.sub(" ", part) if "[" in part or "(" in part else part


def _scan(text: str, lexicon: _Lexicon, named: list[str]) -> list[_Term]:
    """The terms of a text, repeated ones too, in its order; ids of entities and concepts are added to ``named``."""
    found: list[_Term] = []
    latin: list[str] = []  # a run of Latin words, for phrases
    rules = lexicon.rules
    endings = rules.particles.endings
    korean = lexicon.korean
    for hangul, word, after, digits, unit, han in _TOKEN.findall(text)[:_MAX_TOKENS]:
        if word:
            latin.append(word)
            if after and after not in endings:
                _flush(latin, lexicon, found, named)
                terms, ids = korean[after]
                found += terms
                named += ids
            continue
        if latin:
            _flush(latin, lexicon, found, named)
        if hangul:
            terms, ids = korean[hangul]
            found += terms
            if ids:
                named += ids
        elif han:
            found.append(_weighed(han[:_LONGEST_WORD], rules.weights.word, rules))
        else:
            found += lexicon.numbers[f"{digits} {unit}"].terms
            if len(unit) > 2 and not unit.startswith(_COUNTED):
                if _HANGUL_FIRST <= unit[0] <= _HANGUL_LAST:
                    terms, ids = korean[unit]
                    found += terms
                    named += ids
                else:
                    latin.append(unit)
    if latin:
        _flush(latin, lexicon, found, named)
    return found


def _flush(latin: list[str], lexicon: _Lexicon, found: list[_Term], named: list[str]) -> None:
    """Terms of a run of Latin words: the longest phrase at each place, else the stemmed word. Empties the run."""
    known = lexicon.latin
    at, count = 0, len(latin)
    while at < count:
        plain, phrases, terms = known[latin[at]]
        step = 1
        for rest, ids in phrases:
            size = len(rest)
            if at + size < count and all(known[latin[at + 1 + k]].plain == rest[k] for k in range(size)):
                step = size + 1
                terms, _ = _named(ids, stem_english(" ".join((plain, *rest))), lexicon.rules)
                named += ids
                break
        found += terms
        at += step
    latin.clear()


def _latin_word(word: str, rules: StoryRules) -> _LatinWord:
    plain = plain_word(word)
    phrases = rules.english.get(plain, ()) if word.isupper() or plain not in rules.uppercase else ()
    if len(plain) < 2 or plain in rules.stop_english:
        return _LatinWord(plain, phrases, ())
    term = stem_english(plain)
    return _LatinWord(plain, phrases, (_weighed(term, rules.weights.word, rules),))


def _weighed(term: str, kind: float, rules: StoryRules) -> _Term:
    return term, -kind * rules.rarity(term)


def _named(ids: tuple[str, ...], surface: str, rules: StoryRules) -> _Terms:
    """The terms of entities and concepts, and of the words that name them."""
    weights = rules.weights
    kinds = [_weighed(term, weights.entity if term[0] == "@" else weights.concept, rules) for term in ids]
    return _Terms((*kinds, _weighed(surface, weights.surface, rules)), ids)


def _korean_word(word: str, rules: StoryRules) -> _Terms:
    """Terms of one run of Hangul."""
    weights = rules.weights
    word = word[:_LONGEST_WORD]
    noun = rules.particles.strip_particle(word)
    ids = _concepts_of(word, noun, rules)
    if ids:
        return _named(ids, noun[:6], rules)
    if word in rules.stop_korean or noun in rules.stop_korean:
        return _Terms(())
    base = rules.ending.sub("", noun) or noun
    if len(base) < 2 or base in rules.stop_korean:
        return _Terms(())
    if base in rules.korean:
        return _named(rules.korean[base], base[:6], rules)
    terms = [_weighed(base, weights.word, rules)]
    if len(base) >= 3:
        rarity, unseen, kind = rules.rarities.get, rules.unseen, weights.bigram
        bigrams = [f"#{base[k : k + 2]}" for k in range(len(base) - 1)]
        terms += [(bigram, -kind * rarity(bigram, unseen)) for bigram in bigrams]
    return _Terms(tuple(terms))


def _number_term(number: str, rules: StoryRules) -> _Terms:
    digits, _, unit = number.partition(" ")
    term = _number(digits, unit)
    return _Terms((_weighed(term, rules.weights.number, rules),) if term else ())


def _concepts_of(word: str, noun: str, rules: StoryRules) -> tuple[str, ...]:
    """Ids of a Korean word: the word itself, joined countries, or a known word with a particle or more after it."""
    known = rules.korean
    for whole in (noun, word):
        if whole in known:
            return known[whole]
    for joined in rules.joined if word.startswith(rules.joined) else ():
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
    head: str,
    lead: str,
    entities: Iterable[Entity],
    scores: dict[str, float],
    frequent: dict[str, float],
    rarities: dict[str, float],
    lexicon: _Lexicon,
) -> None:
    """Add a term for each entity named in title or lead; the words that name it then weigh as a surface does."""
    rules = lexicon.rules
    weights = rules.weights
    for entity in entities:
        frequency = 0.0
        for surface in entity.surfaces:
            if surface in head:
                frequency = weights.title_weight
                break
        for surface in entity.surfaces:
            if surface in lead:
                frequency += 1.0
                break
        if not frequency:
            continue
        term = f"@{entity.id}"
        rarity = rules.rarity(term)
        for surface in entity.surfaces:
            named = lexicon.names[surface]
            for word in named:
                if word in scores:
                    scores[word] = max(scores[word], -weights.surface * rules.rarity(word))
            if named:  # as common as its commonest name, a name as rare as its rarest word
                rarity = min(rarity, max(map(rules.rarity, named)))
        scores[term] = -weights.entity * rarity
        frequent[term] = frequency
        rarities[term] = rarity


def _name_words(surface: str, lexicon: _Lexicon) -> tuple[str, ...]:
    """The plain words of a name, as `_scan` finds them."""
    return tuple(term for term, _ in _scan(surface, lexicon, []) if term[0] not in "@=#~")


def _pairs(rarities: Mapping[str, float], rules: StoryRules) -> list[tuple[float, str, str]]:
    """Conjunctions of the first entities and concepts, as rare as if their parts were independent: scores as above."""
    weights, unseen = rules.weights, rules.unseen
    named: dict[str, float] = {}
    spoken: dict[str, float] = {}
    for term, rarity in rarities.items():
        if term[0] == "@":
            country = rules.stands_for.get(term, term)
            named[country] = min(rarity, named.get(country, rarity))
        else:
            spoken[term] = rarity
    entities = list(named.items())[: weights.pair_members]
    concepts = list(spoken.items())[: weights.pair_members]
    pairs: list[tuple[float, str, str]] = []
    for members, kind in ((entities, weights.entity_pair), (concepts, weights.concept_pair)):
        if kind:
            pairs += [
                (-kind * min(unseen, one + other), *((left, right) if left < right else (right, left)))
                for (left, one), (right, other) in combinations(members, 2)
            ]
    kind = weights.entity_concept
    if kind:
        pairs += [
            (-kind * min(unseen, one + other), left, right)
            for (left, one), (right, other) in product(entities, concepts)
        ]
    return pairs
