"""An article's title and text → the themes it is about, each with a score and the words that decided.

A theme is a rule file: weighted terms, masks, context that speaks against, and pairs of term classes. The sum of the
weights, by zone and with falling returns for repeats, is compared with the theme's threshold; the score is a logistic
function of the margin, 0.5 at the threshold. Where a model was trained on these very rules (theme_model.py), its
learned weights for the same terms decide instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from newsmill.core.reading import Reading, read_for
from newsmill.core.rulebook import Rulebook
from newsmill.core.theme_model import Feature, ThemeModel, load_model
from newsmill.core.theme_rules import ThemeFile, ThemeLexicon, read_lexicon
from newsmill.events import Theme

__all__ = ["TermTrace", "ThemeRules", "ThemeTrace", "classify", "explain_themes", "features_of"]

_MOST_EVIDENCE = 8
_JUST_BELOW = 0.99  # of the threshold
_LEAST_GAIN = 0.001
_REFUSED = -0.0005  # a margin that reads as a score just below 0.5
_WIDEST = 30.0  # log-odds beyond this are all the same
_MODEL_CHARACTERS = 400  # the model learned from titles and leads of this length; on longer texts it has less say
_TERM_VALUE = 0.7  # of a term as a feature: two of them together have length 1
_DIGITS = 4  # of a score: enough to rank by, few enough to read
_ZONES = ("title", "lead", "body", "text")
_TITLE, _LEAD, _BODY, _TEXT = range(4)
_ANY = -1

_Gains = tuple[float, ...]  # one for each theme of the model


class TermTrace(NamedTuple):
    """One term's part in a decision: as it stands in the article, where, what it added or took, whose term it is."""

    surface: str
    zone: str
    weight: float
    theme: str


@dataclass(frozen=True, slots=True)
class ThemeTrace:
    """One theme's decision, whether it applies or not.

    ``total`` is the sum of the rules' weights against ``threshold``. ``by_model`` says that learned weights decided on
    top of it; the weight of a term is then the rule's own plus what was learned for it. ``terms``: the heaviest first.
    """

    theme: str
    label: str
    applies: bool
    score: float
    total: float
    threshold: float
    by_model: bool
    terms: tuple[TermTrace, ...]


class _LearnedTerm(NamedTuple):
    """What one term of a theme adds to each margin, by zone: where it stands first, and where it stands again."""

    surface: str
    at_first: tuple[_Gains | None, ...]
    by_zone: tuple[_Gains | None, ...]


@dataclass(frozen=True)
class ThemeRules:
    """The themes, compiled, and the learned weights for them if there are any."""

    lexicon: ThemeLexicon
    model: ThemeModel | None
    gains: dict[tuple[int, int], _LearnedTerm] = field(default_factory=dict, compare=False, repr=False)
    """By theme and pattern, as they are met: at most every pattern for every theme."""

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook, *, use_model: bool = True) -> ThemeRules:
        """Read and check the theme files; `newsmill.errors.ConfigError` names file and line of a mistake."""
        lexicon = read_lexicon(rulebook)
        return cls(lexicon, load_model(rulebook) if use_model else None)

    @property
    def themes(self) -> tuple[str, ...]:
        """The ids of all themes, sorted."""
        return tuple(theme.id for theme in self.lexicon.themes)

    @cached_property
    def columns(self) -> tuple[int | None, ...]:
        """The model's column of each theme; None where the rules alone decide."""
        known = self.model.themes if self.model else ()
        return tuple(known.index(theme) if theme in known else None for theme in self.themes)

    @cached_property
    def totals(self) -> tuple[tuple[_Gains | None, ...], ...]:
        """The learned weights of each theme's totals."""
        if self.model is None:
            return ((),) * len(self.themes)
        return tuple(tuple(self.model.learned[key] for key in _totals_of(theme)) for theme in self.lexicon.themes)

    def learn(self, index: int, pattern: int) -> _LearnedTerm:
        """Look up what was learned for one pattern's term in one theme."""
        theme, surface = self.lexicon.themes[index], self.lexicon.surfaces[pattern]
        at_first: list[_Gains | None] = []
        by_zone: list[_Gains | None] = []
        for zone in range(len(_ZONES)):
            anywhere, here = [self._gains(key) for key in _keys_of(theme, surface, zone)]
            if anywhere and here:
                at_first.append(tuple(one + other for one, other in zip(anywhere, here, strict=True)))
            else:
                at_first.append(anywhere or here)
            by_zone.append(here)
        learned = self.gains[index, pattern] = _LearnedTerm(surface, tuple(at_first), tuple(by_zone))
        return learned

    def _gains(self, key: str) -> _Gains | None:
        weights = self.model.learned[key] if self.model else None
        return weights and tuple(weight * _TERM_VALUE for weight in weights)


class _Term(NamedTuple):
    """One term's part: what it added or took, where it stands (a zone's index), and the pattern that found it."""

    weight: float
    surface: str
    zone: int
    pattern: int


class _Sum:
    """One theme's running sum."""

    __slots__ = ("anchored", "spoken_for", "support", "taken", "terms", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self.support = 0.0
        self.anchored = False
        self.spoken_for = False  # by a term of the theme's own: without evidence no theme applies
        self.taken = 0  # up to here a longer term of this theme, or a mask, covers the text
        self.terms: list[_Term] = []

    def add(self, weight: float, surface: str, zone: int, pattern: int) -> None:
        self.total += weight
        if weight > 0:
            self.spoken_for = True
        self.terms.append(_Term(weight, surface, zone, pattern))


class _Place(NamedTuple):
    """The best place where a class of terms stands."""

    zone: int
    surface: str
    pattern: int


class _Decision(NamedTuple):
    """One theme's margin in log-odds, and the model's column if learned weights decided."""

    theme: int
    margin: float
    applies: bool
    column: int | None

    @property
    def score(self) -> float:
        """Between 0 and 1, 0.5 at the threshold."""
        return round(1 / (1 + math.exp(-max(-_WIDEST, min(_WIDEST, self.margin)))), _DIGITS)


def classify(title: str | None, text: str, rules: ThemeRules, reading: Reading | None = None) -> list[Theme]:
    """The themes that apply, highest score first, with at most 8 words of evidence each, the strongest first.

    ``title`` and ``text`` are NFC. The score is between 0 and 1, 0.5 at the threshold. ``reading`` is of this title
    and text, by a scanner that holds the terms, where other steps share it.
    """
    sums = _weigh(title, text, rules.lexicon, reading)
    if not any(total.spoken_for for total in sums):
        return []
    themes = rules.lexicon.themes
    found = [
        Theme(
            theme=themes[decision.theme].id,
            score=decision.score,
            evidence=_evidence(_worth(sums, decision, rules, own=True)),
        )
        for decision in _decide(sums, len(text), rules)
        if decision.applies
    ]
    if len(found) > 1:
        found.sort(key=_by_score)
    return found


def explain_themes(title: str | None, text: str, rules: ThemeRules) -> list[ThemeTrace]:
    """Every theme's decision with the weight of every term, the rejected ones too, highest score first."""
    sums = _weigh(title, text, rules.lexicon, None)
    traces = []
    for decision in _decide(sums, len(text), rules):
        theme = rules.lexicon.themes[decision.theme]
        if not decision.applies:
            decision = decision._replace(margin=min(decision.margin, _REFUSED))
        traces.append(
            ThemeTrace(
                theme.id,
                theme.labels.get("en") or next(iter(theme.labels.values())),
                decision.applies,
                decision.score,
                round(_reached(sums[decision.theme], theme), _DIGITS),
                theme.threshold,
                decision.column is not None,
                tuple(_worth(sums, decision, rules, own=False)),
            )
        )
    traces.sort(key=_by_score)
    return traces


def features_of(title: str | None, text: str, rules: ThemeRules) -> list[Feature]:
    """The inputs of the model for one article, as it is trained on them."""
    lexicon = rules.lexicon
    features: list[Feature] = []
    for theme, total in zip(lexicon.themes, _weigh(title, text, lexicon, None), strict=True):
        features += [Feature(key, value) for key, value in zip(_totals_of(theme), _values(total, theme), strict=True)]
        seen: set[str] = set()
        for term in total.terms:
            if term.zone != _BODY:
                for key in _keys_of(theme, lexicon.surfaces[term.pattern], term.zone):
                    if key not in seen:
                        seen.add(key)
                        features.append(Feature(key, _TERM_VALUE))
    return features


def _totals_of(theme: ThemeFile) -> tuple[str, str, str]:
    """The names of a theme's totals as inputs of the model; their values are `_values`."""
    return f"total {theme.id}", f"reached {theme.id}", f"anchored {theme.id}"


def _values(total: _Sum, theme: ThemeFile) -> tuple[float, float, float]:
    reached = max(-2.0, min(6.0, _reached(total, theme)))
    return reached / 2, float(reached >= theme.threshold), float(total.anchored)


def _keys_of(theme: ThemeFile, surface: str, zone: int) -> tuple[str, str]:
    """The names of a theme's term as inputs of the model: the term anywhere, and in its zone."""
    return f"term {theme.id} {surface}", f"{_ZONES[zone]} {theme.id} {surface}"


def _reached(total: _Sum, theme: ThemeFile) -> float:
    """The sum, but below the threshold where only supporting terms speak: support alone never decides."""
    return total.total if total.anchored else min(total.total, theme.threshold * _JUST_BELOW)


def _decide(sums: list[_Sum], length: int, rules: ThemeRules) -> list[_Decision]:
    """The decisions on a text of ``length`` code points, theme by theme."""
    learned = _learned_margins(sums, rules)
    trust = min(1.0, _MODEL_CHARACTERS / length) if length else 1.0
    decisions = []
    for index, (theme, total, known) in enumerate(zip(rules.lexicon.themes, sums, rules.columns, strict=True)):
        margin = theme.slope * (_reached(total, theme) - theme.threshold)
        column = None if learned is None else known
        if learned is not None and column is not None:
            margin = trust * learned[column] + (1 - trust) * margin
        decisions.append(_Decision(index, margin, margin >= 0 and total.spoken_for, column))
    return decisions


def _learned_margins(sums: list[_Sum], rules: ThemeRules) -> list[float] | None:
    """What the model says, in log-odds by its themes; None where there is no model, or no term at all."""
    model = rules.model
    if model is None or not any(total.terms for total in sums):
        return None
    margins = list(model.bias)
    for index, (theme, total) in enumerate(zip(rules.lexicon.themes, sums, strict=True)):
        if rules.columns[index] is None:
            continue
        for gains, value in zip(rules.totals[index], _values(total, theme), strict=True):
            if gains is not None and value:
                margins = [margin + gain * value for margin, gain in zip(margins, gains, strict=True)]
        if not total.terms:
            continue
        for gains in _gains(index, total.terms, rules):
            if gains is not None:
                margins = [margin + gain for margin, gain in zip(margins, gains, strict=True)]
    return margins


def _gains(index: int, terms: list[_Term], rules: ThemeRules) -> Iterator[_Gains | None]:
    """What each of a theme's terms adds to each margin; a repeated one adds nothing, one in another zone its zone."""
    seen: set[tuple[str, int]] = set()
    learned = rules.gains
    for _, _, zone, pattern in terms:
        gains = None
        if zone != _BODY:
            known = learned.get((index, pattern)) or rules.learn(index, pattern)
            surface = known.surface
            if (surface, zone) not in seen:
                gains = (known.by_zone if (surface, _ANY) in seen else known.at_first)[zone]
                seen.add((surface, zone))
                seen.add((surface, _ANY))
        yield gains


def _worth(sums: list[_Sum], decision: _Decision, rules: ThemeRules, *, own: bool) -> list[TermTrace]:
    """The terms that speak for or against a theme, heaviest first: the rule's own weight plus what was learned.

    ``own``: those of the theme's own rules only, not of other themes' that the model heeds.
    """
    column = decision.column
    traces = []
    for index, theme in enumerate(rules.lexicon.themes):
        is_own = index == decision.theme
        if (own or column is None) and not is_own:
            continue
        if column is not None and rules.columns[index] is None:
            continue
        terms = sums[index].terms
        if column is None:
            traces += [TermTrace(term.surface, _ZONES[term.zone], term.weight, theme.id) for term in terms]
            continue
        for term, gains in zip(terms, _gains(index, terms, rules), strict=True):
            share = 0.0 if gains is None else gains[column]
            if is_own or share:
                weight = round(term.weight * is_own + share, _DIGITS)
                traces.append(TermTrace(term.surface, _ZONES[term.zone], weight, theme.id))
    traces.sort(key=_by_weight)
    return traces


def _weigh(title: str | None, text: str, lexicon: ThemeLexicon, reading: Reading | None) -> list[_Sum]:
    """The sums of all themes, from the hits in the order of the article, the longest first at each place."""
    scan, effects = lexicon.scan, lexicon.effects
    if reading is None:
        reading = read_for(lexicon.matcher, title, text)
    sums = [_Sum() for _ in lexicon.themes]
    places = reading.places(lexicon.matcher)
    if not places:
        return sums
    if title is None:
        begin = headline_end = len(text[: scan.headline_characters].split("\n", 1)[0])
    else:
        begin, headline_end = reading.begin, min(len(title), scan.lead_characters)
    lead_end, body_end = begin + scan.lead_characters, begin + scan.body_characters
    factors, against = (scan.title, scan.lead, scan.body), (scan.against_title, scan.against_lead, scan.against_body)
    whole = reading.whole
    classes: dict[str, _Place] = {}
    mentions: dict[int, int] = {}
    for start, end, pattern in places:
        end = -end
        if start >= begin:
            if end > body_end:
                continue
            zone = _LEAD if start < lead_end else _BODY
        elif end <= headline_end:
            zone = _TITLE
        else:
            continue
        theme, weight, class_name = effects[pattern]
        if theme < 0:
            if class_name not in classes:
                classes[class_name] = _Place(zone, whole[start:end], pattern)
            continue
        total = sums[theme]
        if start < total.taken:
            continue
        total.taken = end
        if not weight:
            continue
        earlier = mentions.get(pattern, 0)
        mentions[pattern] = earlier + 1
        if weight < 0:
            if not earlier and against[zone]:
                total.add(weight * against[zone], whole[start:end], zone, pattern)
            continue
        gain = weight * factors[zone] * scan.repeat**earlier
        if weight >= scan.anchor:
            total.anchored = True
        else:
            gain = min(gain, scan.support_cap - total.support)
            total.support += gain
        if gain >= _LEAST_GAIN:
            total.add(gain, whole[start:end], zone, pattern)
    if classes:
        _combine(lexicon, sums, classes)
    return sums


def _combine(lexicon: ThemeLexicon, sums: list[_Sum], classes: dict[str, _Place]) -> None:
    scan = lexicon.scan
    for theme, total in zip(lexicon.themes, sums, strict=True):
        for first, second, weight in theme.combinations:
            if first not in classes or second not in classes:
                continue
            one, other = classes[first], classes[second]
            in_title = (one.zone == _TITLE) + (other.zone == _TITLE)
            factor = (scan.combination_title_none, scan.combination_title_one, 1.0)[in_title]
            total.anchored = True
            half = weight * factor / 2
            for place in (one, other):
                total.add(half, place.surface, _TITLE if place.zone == _TITLE else _TEXT, place.pattern)


def _evidence(terms: list[TermTrace]) -> list[str]:
    """The surfaces that spoke for the theme, the strongest first, each once; never none for a theme that applies."""
    gains: dict[str, float] = {}
    for surface, _, weight, _ in terms:
        gains[surface] = gains.get(surface, 0.0) + weight
    ranked = sorted([(-gain, surface) for surface, gain in gains.items()])
    return [surface for gain, surface in ranked if gain < 0][:_MOST_EVIDENCE] or [surface for _, surface in ranked[:1]]


def _by_weight(term: TermTrace) -> tuple[float, str]:
    return -term.weight, term.surface


def _by_score(found: Theme | ThemeTrace) -> tuple[float, str]:
    return -found.score, found.theme
