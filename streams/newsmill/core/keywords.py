"""Title and text → at most ten ranked terms: Korean nouns without particles, English words and phrases of up to three.

No morphological analyser: a Korean word is taken for a noun unless its end is a verb's (rules), and its particle is
taken off. A term's score is how often it stands (the title and the first lines count more, repeats less and less) times
how rare it is in news at large; both common words and stop words are data (``rules/stopwords.toml``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any, Final, NamedTuple

from newsmill.core.korean import Particles
from newsmill.core.memo import Memo
from newsmill.core.reading import Reading, Scanner
from newsmill.core.rulebook import Rulebook, RuleFile
from newsmill.events import Keyword

__all__ = ["KeywordRules", "rank_keywords"]

_FILE: Final = "stopwords.toml"
_MOST: Final = 10
_READ: Final = 3_000  # code points of the text; keywords of news stand early
_TITLE_READ: Final = 300
_TITLE_PIECES: Final = 100
_BETWEEN: Final = 4  # pieces that the two line breaks after the title add
_LONGEST: Final = 40  # code points of a word; longer ones are addresses
_LEAD: Final = 300  # code points in which a word counts fully
_TITLE_WEIGHT: Final = 2.5
_LATER_WEIGHT: Final = 0.6
_ZONE_WEIGHTS: Final = (_TITLE_WEIGHT, 1.0, _LATER_WEIGHT)
_TITLED: Final = 1.0 + math.log(_TITLE_WEIGHT)  # for a word that stands once, in the title
_ONCE: Final = 0.7  # for a word that stands once, and not in the title
_PHRASE_GAIN: Final = 1.1  # for each word more: a phrase beats its words where they stand together mostly
_UNSEEN: Final = 0.5  # documents of 10,000 that hold a word which the background does not list
_ENOUGH: Final = 24  # of the best words ten are seldom not chosen
_CACHE: Final = 1 << 16

# A word, or a mark that ends a run of words. Latin and Hangul written together (AI칩이, SK하이닉스) are one word.
_TOKEN: Final = re.compile(
    r"[A-Za-z0-9À-ɏ가-힣][A-Za-z0-9À-ɏ가-힣&+]*+(?:['’.-](?=[A-Za-zÀ-ɏ])[A-Za-z0-9À-ɏ가-힣&+]*+)*+|[^\w\s]|\n"
)
_HANGUL: Final = re.compile(r"[가-힣]")


_words_of = itemgetter(1)


class _Word(NamedTuple):
    """A word that may be (part of) a keyword. ``key`` is what counts as the same; ``idf`` is its rarity."""

    key: str
    surface: str
    idf: float
    korean: bool
    closed: bool  # a particle was taken off: the next word does not belong to it


@dataclass(frozen=True, eq=False)
class KeywordRules:
    """Stop words, verb ends and the background, validated. Made by `from_rulebook`; caches analysed words, bounded."""

    particles: Particles
    stop_korean: frozenset[str]
    stop_english: frozenset[str]
    verb_ends: re.Pattern[str]
    suffixes: re.Pattern[str]
    short_ends: frozenset[str]  # second syllables of words of two that are a noun of one and a particle: 때를
    common: Mapping[str, float]  # word → documents of 10,000
    analysed: Memo[_Word | None] = field(init=False, repr=False)
    latin_of: Memo[tuple[_Word | None, ...]] = field(init=False, repr=False)  # words of a script without spaces
    scanner: Scanner = field(init=False, repr=False)

    def __post_init__(self) -> None:
        def latin(piece: str) -> tuple[_Word | None, ...]:
            return tuple([self.analysed[word] if word.isascii() else None for word in _TOKEN.findall(piece)])

        object.__setattr__(self, "analysed", Memo(lambda word: _analyse(word, self), _CACHE))
        object.__setattr__(self, "latin_of", Memo(latin, _CACHE))
        object.__setattr__(self, "scanner", Scanner((), self.words_of))

    def words_of(self, piece: str) -> tuple[_Word | None, ...]:
        """The words of what stands between two spaces; None for one that is no keyword, and for a mark."""
        return tuple(map(self.analysed.__getitem__, _TOKEN.findall(piece)))

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> KeywordRules:
        """Read and check ``stopwords.toml``; `ConfigError` names file and line."""
        file = rulebook.file(_FILE)
        for key in file.data:
            if key not in ("korean", "english", "documents_per_10000"):
                raise file.error(f"unknown table [{key}]", key)
        korean, english = _table(file, "korean"), _table(file, "english")
        return cls(
            particles=Particles.from_rulebook(rulebook),
            stop_korean=frozenset(_words(file, korean, "stop")),
            stop_english=frozenset(_words(file, english, "stop")),
            verb_ends=_ends(_words(file, korean, "verb_ends")),
            suffixes=_ends(_words(file, korean, "suffixes")),
            short_ends=frozenset(_words(file, korean, "short_ends")),
            common=_common(file),
        )

    def idf(self, key: str) -> float:
        """Rarity of a word: ln(10,000 / documents of 10,000 that hold it)."""
        return math.log(10_000 / self.common.get(key, _UNSEEN))


def rank_keywords(
    title: str | None, text: str, language: str, rules: KeywordRules, reading: Reading | None = None
) -> list[Keyword]:
    """At most ten terms, best first, scores relative to the best (1.0); ties by place in the article, then by term.

    Words tell their script themselves, so ``language`` only stops what this cannot read: Chinese and Japanese write
    without spaces, of them Latin words alone are ranked. Reads 3,000 code points; linear in them.
    """
    if reading is None:
        reading = rules.scanner.read(title, text)
    lead = text.find(" ", _LEAD, _READ) + 1 or min(_LEAD, len(text))
    if language.startswith(("zh", "ja")):
        read = rules.latin_of.__getitem__
        pieces = (title[:_TITLE_READ] if title else "", text[:lead], text[lead:_READ])
        runs = [list(chain.from_iterable(map(read, piece.replace("\n", " \n ").split(" ")))) for piece in pieces]
    else:
        words_of = list(map(_words_of, reading.pieces))
        begin = 0 if title is None else reading.count(title) + _BETWEEN
        middle = begin + (reading.count(text[:lead]) if lead < len(text) else len(words_of))
        end = begin + (reading.count(text[:_READ]) if len(text) > _READ else len(words_of))
        parts = words_of[: min(begin, _TITLE_PIECES)], words_of[begin:middle], words_of[middle:end]
        runs = [list(chain.from_iterable(part)) for part in parts]
    of_title, of_lead, of_rest = (list(filter(None, run)) for run in runs)
    found = of_title + of_lead + of_rest
    keys = [word[0] for word in found]
    counts = Counter(keys)  # in the order of first appearance: those of the title come first, then those of the lead
    words = dict(zip(reversed(keys), reversed(found), strict=True))
    title_keys = keys[: len(of_title)]
    lead_keys = keys[len(of_title) : len(of_title) + len(of_lead)]
    titled = len(set(title_keys))
    early = len({*title_keys, *lead_keys})
    scores: list[tuple[float, int, str]] = []
    late: list[tuple[float, int, str]] = []
    for place, (key, count) in enumerate(counts.items()):
        idf = words[key][2]
        if count > 1:
            at_title, at_lead = title_keys.count(key), lead_keys.count(key)
            weight = at_title * _TITLE_WEIGHT + at_lead + (count - at_title - at_lead) * _LATER_WEIGHT
            scores.append((-idf * (1.0 + math.log(weight)), place, key))
        elif place < titled:
            scores.append((-idf * _TITLED, place, key))
        elif place < early:
            scores.append((-idf * _ONCE, place, key))
        else:  # a word that stands once, and late, is seldom what an article is about
            late.append((-idf * _ONCE * _LATER_WEIGHT, place, key))
    if len(scores) < _MOST:
        scores += late
    repeated = {key for key, count in counts.items() if count > 1}
    again = _repeated_pairs(runs, repeated) if len(repeated) > 1 else {}
    phrases = _phrases(again, words, {key: place for place, key in enumerate(counts)}) if again else []
    enough = _ENOUGH if len(scores) > _ENOUGH else len(scores)
    while True:
        # few are looked at before ten are chosen: only those are ranked in full
        last = sorted([score for score, _, _ in scores])[enough - 1] if enough < len(scores) else math.inf
        ranked = [term for term in chain(scores, phrases) if term[0] <= last]
        ranked.sort()
        keywords = _choose(ranked, words)
        if len(keywords) == _MOST or enough >= len(scores):
            return keywords
        enough = len(scores)


def _repeated_pairs(runs: Sequence[Sequence[_Word | None]], repeated: Set[str]) -> dict[tuple[str, str], float]:
    """Weights of the pairs of words that stand side by side at least twice: both words must be ``repeated``."""
    once: dict[tuple[str, str], float] = {}
    again: dict[tuple[str, str], float] = {}
    for run, weight in zip(runs, _ZONE_WEIGHTS, strict=True):
        for pair in [
            (one[0], other[0])
            for one, other in pairwise(run)
            if one and other and one[0] in repeated and other[0] in repeated and not one[4] and one[3] is other[3]
        ]:
            if pair in once:
                again[pair] = again.get(pair, once[pair]) + weight
            else:
                once[pair] = weight
    return again


def _phrases(
    again: Mapping[tuple[str, str], float], words: Mapping[str, _Word], places: Mapping[str, int]
) -> list[tuple[float, int, str]]:
    """Repeated pairs, and the chains of three that they make where both pairs are about as frequent."""
    phrases: list[tuple[float, int, str]] = []
    following: dict[str, list[tuple[str, float]]] = {}
    for (first, second), weight in again.items():
        following.setdefault(first, []).append((second, weight))
    for (first, second), weight in again.items():
        if first == second:
            continue
        gain = (1.0 + math.log(weight)) * _PHRASE_GAIN  # a pair that stands twice weighs over 1
        idf = max(words[first].idf, words[second].idf)
        phrases.append((-idf * gain, places[first], f"{first} {second}"))
        if words[first].korean:
            continue
        for third, other in following.get(second, ()):
            if third not in (first, second) and other == weight:
                score = -max(idf, words[third].idf) * gain * _PHRASE_GAIN
                phrases.append((score, places[first], f"{first} {second} {third}"))
    return phrases


def _choose(ranked: list[tuple[float, int, str]], words: Mapping[str, _Word]) -> list[Keyword]:
    """The best terms, none of which is part of another."""
    keywords: list[Keyword] = []
    chosen: list[tuple[str, Set[str]]] = []
    said: set[str] = set()  # the words of all chosen terms
    for score, _, key in ranked:
        if key in said:
            continue
        phrase = " " in key
        order = key.split(" ") if phrase else [key]
        korean = words[order[0]].korean
        if phrase:
            parts = frozenset(order)
            if any(parts <= others or parts >= others for _, others in chosen):
                continue
        else:
            parts = frozenset()
        if korean and any(key in other or other in key for other, _ in chosen):
            continue  # 반도체 and 반도체주
        chosen.append((key, parts or {key}))
        said.update(order)
        surface = " ".join([words[part].surface for part in order]) if phrase else words[key].surface
        keywords.append(Keyword(term=surface, score=round(score / ranked[0][0], 3)))
        if len(keywords) == _MOST:
            break
    return keywords


def _analyse(word: str, rules: KeywordRules) -> _Word | None:
    if not 2 <= len(word) <= _LONGEST:
        return None
    if _HANGUL.search(word):
        return _analyse_korean(word, rules)
    lower = word.lower().replace("’", "'")
    surface = word
    if lower.endswith("'s"):
        lower, surface = lower[:-2], surface[:-2]
    if len(lower) < 2 or lower in rules.stop_english or not any("a" <= character <= "z" for character in lower):
        return None
    if word[0].isdigit():
        return None
    key = _singular(lower)
    if key in rules.stop_english:
        return None
    idf = rules.idf(key)
    if not surface[0].isupper():
        idf *= 0.4 if lower.endswith(("ed", "ing", "ly")) else 0.8  # what is no name is less telling; verbs least
    return _Word(key, surface, idf, False, False)


def _analyse_korean(word: str, rules: KeywordRules) -> _Word | None:
    if word[0].isdigit() or word in rules.stop_korean or rules.verb_ends.search(word):
        return None
    noun = rules.particles.strip_particle(word)
    if noun != word:
        noun = rules.suffixes.sub("", noun) or noun
    else:
        noun = rules.suffixes.sub("", word) or word
    if (
        len(noun) < 2
        or (len(noun) == 2 and noun[1] in rules.short_ends)
        or noun in rules.stop_korean
        or rules.verb_ends.search(noun)
    ):
        return None
    return _Word(noun, noun, rules.idf(noun), True, noun != word)


def _singular(word: str) -> str:
    """chips → chip, companies → company, so that both count together; bus, gas and analysis stay."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as")):
        return word[:-1]
    return word


def _ends(ends: list[str]) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join(re.escape(end) for end in sorted(ends, key=lambda end: (-len(end), end)))})$")


def _table(file: RuleFile, name: str) -> Mapping[str, Any]:
    table = file.data.get(name)
    if not isinstance(table, dict):
        raise file.error(f"table [{name}] is missing")
    return table


def _words(file: RuleFile, table: Mapping[str, Any], key: str) -> list[str]:
    text = table.get(key)
    if not isinstance(text, str) or not text.split():
        raise file.error(f"{key} must be words separated by white space", key)
    return text.split()


def _common(file: RuleFile) -> dict[str, float]:
    common: dict[str, float] = {}
    for documents, words in _table(file, "documents_per_10000").items():
        if not documents.isdigit() or not 0 < int(documents) <= 10_000 or not isinstance(words, str):
            raise file.error('a line must be a whole number up to 10000 = "words"', f"{documents} =")
        common.update(dict.fromkeys(words.split(), float(documents)))
    return common
