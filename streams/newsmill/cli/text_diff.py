"""Two texts → what they share and where they differ, measured as dedupe measures and told sentence by sentence."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

from newsmill.core.copies import Comparison, CopyRules, compare
from newsmill.core.fingerprint import sketch
from newsmill.core.folding import fold
from newsmill.core.sentences import split_sentences

__all__ = ["TextDiff", "diff_texts"]

_MOST_PAIRED: Final = 40  # sentences of each side that are compared with each other, which costs their product
_ALIKE: Final = 0.6  # ratio of difflib from which two sentences are one, edited


class TextDiff(NamedTuple):
    """An earlier text A beside a later text B. Sentences are as they stand in the texts.

    ``changed`` pairs (A's, B's) are the same sentence, edited; ``only_a`` and ``only_b`` stand in one text alone.
    """

    measured: Comparison
    sentences_a: int
    sentences_b: int
    shared: int
    changed: list[tuple[str, str]]
    only_a: list[str]
    only_b: list[str]

    def for_programs(self) -> dict[str, Any]:
        """A JSON object."""
        return self._asdict() | {"measured": self.measured._asdict()}


def diff_texts(a: str, b: str, rules: CopyRules) -> TextDiff:
    """Compare an earlier text with a later one; the order of sentences does not matter."""
    ours, theirs = _sentences(a), _sentences(b)
    shared = ours.keys() & theirs.keys()
    left = {folded: sentence for folded, sentence in ours.items() if folded not in shared}
    right = {folded: sentence for folded, sentence in theirs.items() if folded not in shared}
    changed = _paired(left, right)
    return TextDiff(
        compare(sketch(a), sketch(b), rules),
        len(ours),
        len(theirs),
        len(shared),
        changed,
        list(left.values()),
        list(right.values()),
    )


def _sentences(text: str) -> dict[str, str]:
    """Folded sentence → sentence, each once, in the order of the text."""
    found: dict[str, str] = {}
    for start, end in split_sentences(text):
        sentence = " ".join(text[start:end].split())
        folded = fold(sentence).strip()
        if folded:
            found.setdefault(folded, sentence)
    return found


def _paired(left: dict[str, str], right: dict[str, str]) -> list[tuple[str, str]]:
    """The sentences that were edited; they leave ``left`` and ``right``."""
    pairs = []
    matcher: SequenceMatcher[str] = SequenceMatcher(autojunk=False)
    for theirs in list(right)[:_MOST_PAIRED]:
        matcher.set_seq2(theirs)
        best, ratio = None, _ALIKE
        for ours in list(left)[:_MOST_PAIRED]:
            matcher.set_seq1(ours)
            if matcher.real_quick_ratio() > ratio and matcher.quick_ratio() > ratio and matcher.ratio() > ratio:
                best, ratio = ours, matcher.ratio()
        if best is not None:
            pairs.append((left.pop(best), right.pop(theirs)))
    return pairs
