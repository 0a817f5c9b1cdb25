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
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, product
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


class _Term(NamedTuple):
    """A term with the weight of its kind and its rarity."""

    term: str
    kind: float
    rarity: float


class _LatinWord(NamedTuple):
    """A Latin word made plain, the phrases that may begin with it, and its terms where none does."""

    plain: str
    phrases: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    terms: tuple[_Term, ...]


class _Lexicon(NamedTuple):
    """The rules, and what they make of each word."""

    rules: StoryRules
    latin: Memo[_LatinWord]
    korean: Memo[tuple[_Term, ...]]
    numbers: Memo[tuple[_Term, ...]]  # "1,500 만": digits and unit
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
    terms: dict[str, _Term] = {}  # in the order of first appearance
    frequencies: dict[str, float] = {}  # of the terms that stand not just once, and in the lead
    for found, factor in ((_scan(head, lexicon), weights.title_weight), (_scan(lead, lexicon), 1.0)):
        for item in found:
            term = item[0]
            if term in terms:
                frequencies[term] = frequencies.get(term, 1.0) + factor
            else:
                terms[term] = item
                if factor != 1.0:
                    frequencies[term] = factor
    _add_entities(head, lead, entities, terms, frequencies, lexicon)
    for amount in amounts:
        if amount.end <= weights.lead_characters:
            term = f"~{float(amount.value):.3g}"
            terms.setdefault(term, _Term(term, weights.number, rules.unseen))
    return _heaviest(terms, frequencies, rules)


def _heaviest(terms: Mapping[str, _Term], frequencies: Mapping[str, float], rules: StoryRules) -> dict[str, float]:
    """The weights of the heaviest terms and conjunctions, heaviest first. What stays behind is never spelled out."""
    count, flattening = rules.weights.count, rules.weights.flattening
    scores: dict[str, float] = {}  # negative: the heaviest sort first
    for term, kind, rarity in terms.values():
        if kind:
            scores[term] = -kind * rarity
    for term, frequency in frequencies.items():
        if frequency > 1.0 and term in scores:
            scores[term] *= 1.0 + math.log(frequency)
    pairs = _pairs(terms, rules)
    ranked = [*scores.values(), *[pair[0] for pair in pairs]]
    ranked.sort()
    last = ranked[count - 1] if len(ranked) > count else 0.0
    best = [(score, term) for term, score in scores.items() if score <= last]
    best += [(score, f"{left}+{right}") for score, left, right in pairs if score <= last]
    best.sort()
    # int() rounds to four decimals eight times as fast as round()
    flat = [(term, int((-evidence) ** flattening * 10_000 + 0.5) / 10_000) for evidence, term in best[:count]]
    return {term: weight for term, weight in flat if weight > 0.0}


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


def _scan(text: str, lexicon: _Lexicon) -> list[_Term]:
    found: list[_Term] = []
    latin: list[str] = []  # a run of Latin words, for phrases
    rules = lexicon.rules
    endings = rules.particles.endings
    for hangul, word, after, digits, unit, han in _TOKEN.findall(text)[:_MAX_TOKENS]:
        if word:
            latin.append(word)
            if after and after not in endings:
                _flush(latin, lexicon, found)
                found += lexicon.korean[after]
            continue
        if latin:
            _flush(latin, lexicon, found)
        if hangul:
            found += lexicon.korean[hangul]
        elif han:
            term = han[:_LONGEST_WORD]
            found.append(_Term(term, rules.weights.word, rules.rarity(term)))
        else:
            found += lexicon.numbers[f"{digits} {unit}"]
            if len(unit) > 2 and not unit.startswith(_COUNTED):
                if _HANGUL_FIRST <= unit[0] <= _HANGUL_LAST:
                    found += lexicon.korean[unit]
                else:
                    latin.append(unit)
    if latin:
        _flush(latin, lexicon, found)
    return found


def _flush(latin: list[str], lexicon: _Lexicon, found: list[_Term]) -> None:
    """_Terms of a run of Latin words: the longest phrase at each place, else the stemmed word. Empties the run."""
    at, count = 0, len(latin)
    while at < count:
        plain, phrases, terms = lexicon.latin[latin[at]]
        step = 1
        for rest, ids in phrases:
            size = len(rest)
            if at + size < count and all(lexicon.latin[latin[at + 1 + k]][0] == rest[k] for k in range(size)):
                step = size + 1
                terms = _named(ids, stem_english(" ".join((plain, *rest))), lexicon.rules)
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
    return _LatinWord(plain, phrases, (_Term(term, rules.weights.word, rules.rarity(term)),))


def _named(ids: Iterable[str], surface: str, rules: StoryRules) -> tuple[_Term, ...]:
    """The terms of entities and concepts, and of the words that name them."""
    weights = rules.weights
    kinds = [_Term(term, weights.entity if term[0] == "@" else weights.concept, rules.rarity(term)) for term in ids]
    return (*kinds, _Term(surface, weights.surface, rules.rarity(surface)))


def _korean_word(word: str, rules: StoryRules) -> tuple[_Term, ...]:
    """_Terms of one run of Hangul."""
    weights = rules.weights
    word = word[:_LONGEST_WORD]
    noun = rules.particles.strip_particle(word)
    ids = _concepts_of(word, noun, rules)
    if ids:
        return _named(ids, noun[:6], rules)
    if word in rules.stop_korean or noun in rules.stop_korean:
        return ()
    base = rules.ending.sub("", noun) or noun
    if len(base) < 2 or base in rules.stop_korean:
        return ()
    if base in rules.korean:
        return _named(rules.korean[base], base[:6], rules)
    terms = [_Term(base, weights.word, rules.rarity(base))]
    if len(base) >= 3:
        bigrams = [f"#{base[k : k + 2]}" for k in range(len(base) - 1)]
        terms += [_Term(bigram, weights.bigram, rules.rarity(bigram)) for bigram in bigrams]
    return tuple(terms)


def _number_term(number: str, rules: StoryRules) -> tuple[_Term, ...]:
    digits, _, unit = number.partition(" ")
    term = _number(digits, unit)
    return (_Term(term, rules.weights.number, rules.rarity(term)),) if term else ()


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
    head: str,
    lead: str,
    entities: Iterable[Entity],
    terms: dict[str, _Term],
    frequencies: dict[str, float],
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
                if word in terms and terms[word].kind > weights.surface:
                    terms[word] = _Term(word, weights.surface, terms[word].rarity)
            if named:  # as common as its commonest name, a name as rare as its rarest word
                rarity = min(rarity, max(map(rules.rarity, named)))
        terms[term] = _Term(term, weights.entity, rarity)
        frequencies[term] = frequency


def _name_words(surface: str, lexicon: _Lexicon) -> tuple[str, ...]:
    """The plain words of a name, as `_scan` finds them."""
    return tuple(term for term, _, _ in _scan(surface, lexicon) if term[0] not in "@=#~")


def _pairs(terms: Mapping[str, _Term], rules: StoryRules) -> list[tuple[float, str, str]]:
    """Conjunctions of the first entities and concepts, as rare as if their parts were independent: negative weights."""
    weights, unseen = rules.weights, rules.unseen
    named: dict[str, float] = {}
    spoken: dict[str, float] = {}
    for term, _, rarity in terms.values():
        if term[0] == "@":
            country = rules.stands_for.get(term, term)
            named[country] = min(rarity, named.get(country, rarity))
        elif term[0] == "=":
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
