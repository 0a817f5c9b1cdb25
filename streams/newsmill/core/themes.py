"""An article's title and text → the themes it is about, each with a score and the words that decided.

A theme is a rule file: weighted terms, masks, context that speaks against, and pairs of term classes. The sum of the
weights, by zone and with falling returns for repeats, is compared with the theme's threshold; the score is a logistic
function of the margin, 0.5 at the threshold. Where a model was trained on these very rules (theme_model.py), its
learned weights for the same terms decide instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from newsmill import events
from newsmill.core.matching import Hit, fold
from newsmill.core.rulebook import Rulebook
from newsmill.core.theme_model import Feature, ThemeModel, load_model
from newsmill.core.theme_rules import ThemeFile, ThemeLexicon, read_lexicon

__all__ = ["TermTrace", "ThemeRules", "ThemeTrace", "classify", "explain_themes", "features_of"]

_MOST_EVIDENCE = 8
_JUST_BELOW = 0.99  # of the threshold
_LEAST_GAIN = 0.001
_REFUSED = -0.0005  # a margin that reads as a score just below 0.5
_WIDEST = 30.0  # log-odds beyond this are all the same
_MODEL_CHARACTERS = 400  # the model learned from titles and leads of this length; on longer texts it has less say
_TERM_VALUE = 0.7  # of a term as a feature: two of them together have length 1
_DIGITS = 4  # of a score: enough to rank by, few enough to read


_fold_term = lru_cache(maxsize=1 << 13)(fold)


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


@dataclass(frozen=True, slots=True)
class ThemeRules:
    """The themes, compiled, and the learned weights for them if there are any."""

    lexicon: ThemeLexicon
    model: ThemeModel | None

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook, *, use_model: bool = True) -> ThemeRules:
        """Read and check the theme files; `newsmill.errors.ConfigError` names file and line of a mistake."""
        lexicon = read_lexicon(rulebook)
        return cls(lexicon, load_model(rulebook) if use_model else None)

    @property
    def themes(self) -> tuple[str, ...]:
        """The ids of all themes, sorted."""
        return tuple(theme.id for theme in self.lexicon.themes)


class _Sum:
    """One theme's running sum."""

    __slots__ = ("_theme", "anchored", "mentions", "spoken_for", "support", "taken", "terms", "total")

    def __init__(self, theme: str) -> None:
        self._theme = theme
        self.total = 0.0
        self.support = 0.0
        self.anchored = False
        self.spoken_for = False  # by a term of the theme's own: without evidence no theme applies
        self.taken = 0  # up to here a longer term of this theme, or a mask, covers the text
        self.mentions: dict[int, int] = {}
        self.terms: list[TermTrace] = []

    def add(self, weight: float, surface: str, zone: str) -> None:
        self.total += weight
        if weight > 0:
            self.spoken_for = True
        self.terms.append(TermTrace(surface, zone, weight, self._theme))


class _Zone(NamedTuple):
    name: str
    rank: int
    factor: float
    against: float


class _Place(NamedTuple):
    """The best place where a class of terms stands."""

    rank: int
    surface: str


def classify(title: str | None, text: str, rules: ThemeRules) -> list[events.Theme]:
    """The themes that apply, highest score first, with at most 8 words of evidence each, the strongest first.

    ``title`` and ``text`` are NFC. The score is between 0 and 1, 0.5 at the threshold.
    """
    sums = _weigh(title, text, rules.lexicon)
    if not any(total.spoken_for for total in sums):
        return []
    return [
        events.Theme(theme=trace.theme, score=trace.score, evidence=_evidence(trace))
        for trace in _traces(sums, len(text), rules, rejected=False)
    ]


def explain_themes(title: str | None, text: str, rules: ThemeRules) -> list[ThemeTrace]:
    """Every theme's decision with the weight of every term, the rejected ones too, highest score first."""
    return _traces(_weigh(title, text, rules.lexicon), len(text), rules, rejected=True)


def _traces(sums: list[_Sum], length: int, rules: ThemeRules, *, rejected: bool) -> list[ThemeTrace]:
    """The decisions on a text of ``length`` code points; those against a theme only if ``rejected``."""
    learned = _learned(sums, rules)
    trust = min(1.0, _MODEL_CHARACTERS / length) if length else 1.0
    traces = []
    for theme, total in zip(rules.lexicon.themes, sums, strict=True):
        reached = _reached(total, theme)
        margin, terms = theme.slope * (reached - theme.threshold), total.terms
        if theme.id in learned.margins:
            margin = trust * learned.margins[theme.id] + (1 - trust) * margin
        applies = margin >= 0 and total.spoken_for
        if not applies:
            if not rejected:
                continue
            margin = min(margin, _REFUSED)
        if theme.id in learned.margins:
            terms = learned.worth(theme.id)
        label = theme.labels.get("en") or next(iter(theme.labels.values()))
        traces.append(
            ThemeTrace(
                theme.id,
                label,
                applies,
                round(1 / (1 + math.exp(-max(-_WIDEST, min(_WIDEST, margin)))), _DIGITS),
                round(reached, _DIGITS),
                theme.threshold,
                theme.id in learned.margins,
                tuple(sorted(terms, key=_by_weight)),
            )
        )
    traces.sort(key=_by_score)
    return traces


def features_of(title: str | None, text: str, rules: ThemeRules) -> list[Feature]:
    """The inputs of the model for one article, as it is trained on them."""
    return _features(_weigh(title, text, rules.lexicon), rules, rules.themes)[0]


def _reached(total: _Sum, theme: ThemeFile) -> float:
    """The sum, but below the threshold where only supporting terms speak: support alone never decides."""
    return total.total if total.anchored else min(total.total, theme.threshold * _JUST_BELOW)


class _Learned(NamedTuple):
    """What the model says: margins in log-odds by theme, and what each of the terms added to each of them."""

    margins: dict[str, float]
    terms: list[TermTrace]
    shares: dict[str, list[float]]

    def worth(self, theme: str) -> list[TermTrace]:
        """The terms of one theme with the rule's own weight plus the learned one."""
        return [
            term._replace(weight=round(term.weight * (term.theme == theme) + share, _DIGITS))
            for term, share in zip(self.terms, self.shares[theme], strict=True)
            if term.theme == theme or share
        ]


def _learned(sums: list[_Sum], rules: ThemeRules) -> _Learned:
    model = rules.model
    if model is None or not any(total.terms for total in sums):
        return _Learned({}, [], {})
    features, terms = _features(sums, rules, model.themes)
    margins, shares = model.margins(features, len(terms))
    return _Learned(dict(zip(model.themes, margins, strict=True)), terms, dict(zip(model.themes, shares, strict=True)))


def _features(sums: list[_Sum], rules: ThemeRules, themes: tuple[str, ...]) -> tuple[list[Feature], list[TermTrace]]:
    """Totals, and the terms of title and lead, of these themes; and the terms that the features point at."""
    features: list[Feature] = []
    terms: list[TermTrace] = []
    for theme, total in zip(rules.lexicon.themes, sums, strict=True):
        if theme.id not in themes:
            continue
        reached = max(-2.0, min(6.0, _reached(total, theme)))
        features.append(Feature(f"total {theme.id}", reached / 2))
        features.append(Feature(f"reached {theme.id}", float(reached >= theme.threshold)))
        features.append(Feature(f"anchored {theme.id}", float(total.anchored)))
        seen: set[str] = set()
        for term in total.terms:
            if term.zone != "body":
                surface = _fold_term(term.surface)
                for key in (f"term {theme.id} {surface}", f"{term.zone} {theme.id} {surface}"):
                    if key not in seen:
                        seen.add(key)
                        features.append(Feature(key, _TERM_VALUE, len(terms)))
            terms.append(term)
    return features, terms


def _weigh(title: str | None, text: str, lexicon: ThemeLexicon) -> list[_Sum]:
    scan = lexicon.scan
    sums = [_Sum(theme.id) for theme in lexicon.themes]
    classes: dict[str, _Place] = {}
    head = _Zone("title", 0, scan.title, scan.against_title)
    lead = _Zone("lead", 1, scan.lead, scan.against_lead)
    body = _Zone("body", 2, scan.body, scan.against_body)
    if title is None:
        headline = text[: scan.headline_characters].split("\n", 1)[0]
        text = text[len(headline) :]
    else:
        headline = title[: scan.lead_characters]
    _absorb(lexicon, headline, lexicon.matcher.find(headline), head, sums, classes)
    if text:
        text = text[: scan.body_characters]
        hits = lexicon.matcher.find(text)
        split = len(hits)
        if len(text) > scan.lead_characters:
            split = next((i for i, hit in enumerate(hits) if hit.start >= scan.lead_characters), split)
        for total in sums:
            total.taken = 0
        _absorb(lexicon, text, hits[:split], lead, sums, classes)
        _absorb(lexicon, text, hits[split:], body, sums, classes)
    _combine(lexicon, sums, classes)
    return sums


def _absorb(
    lexicon: ThemeLexicon, text: str, hits: list[Hit], zone: _Zone, sums: list[_Sum], classes: dict[str, _Place]
) -> None:
    """Add the hits of one zone, in the order of the text, the longest first at each place."""
    scan, effects = lexicon.scan, lexicon.effects
    for start, end, pattern in hits:
        theme, weight, class_name = effects[pattern]
        if theme < 0:
            if class_name not in classes:
                classes[class_name] = _Place(zone.rank, text[start:end])
            continue
        total = sums[theme]
        if start < total.taken:
            continue
        total.taken = end
        if not weight:
            continue
        earlier = total.mentions.get(pattern, 0)
        total.mentions[pattern] = earlier + 1
        if weight < 0:
            if not earlier and zone.against:
                total.add(weight * zone.against, text[start:end], zone.name)
            continue
        gain = weight * zone.factor * scan.repeat**earlier
        if weight >= scan.anchor:
            total.anchored = True
        else:
            gain = min(gain, scan.support_cap - total.support)
            total.support += gain
        if gain >= _LEAST_GAIN:
            total.add(gain, text[start:end], zone.name)


def _combine(lexicon: ThemeLexicon, sums: list[_Sum], classes: dict[str, _Place]) -> None:
    scan = lexicon.scan
    for theme, total in zip(lexicon.themes, sums, strict=True):
        for first, second, weight in theme.combinations:
            if first not in classes or second not in classes:
                continue
            one, other = classes[first], classes[second]
            in_title = (one.rank == 0) + (other.rank == 0)
            factor = (scan.combination_title_none, scan.combination_title_one, 1.0)[in_title]
            total.anchored = True
            half = weight * factor / 2
            for place in (one, other):
                total.add(half, place.surface, "title" if place.rank == 0 else "text")


def _evidence(trace: ThemeTrace) -> list[str]:
    """The surfaces that spoke for the theme, the strongest first, each once; never none for a theme that applies."""
    gains: dict[str, float] = {}
    for term in trace.terms:
        if term.theme == trace.theme:
            gains[term.surface] = gains.get(term.surface, 0.0) + term.weight
    ranked = sorted(gains, key=lambda surface: (-gains[surface], surface))
    return [surface for surface in ranked if gains[surface] > 0][:_MOST_EVIDENCE] or ranked[:1]


def _by_weight(term: TermTrace) -> tuple[float, str]:
    return -term.weight, term.surface


def _by_score(trace: ThemeTrace) -> tuple[float, str]:
    return -trace.score, trace.theme
