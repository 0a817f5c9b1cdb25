"""Scores of the cleaner on labelled pages: 4-token-shingle precision, recall and F1, and character scores of lines."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from newsmill.core.article_body import article_lines
from newsmill.core.chrome import ChromeRules
from newsmill.core.dom import build_dom, parse_markup

__all__ = [
    "DATA",
    "LabelledPage",
    "Score",
    "character_score",
    "flatten",
    "is_held_out",
    "label_lines",
    "labelled_pages",
    "shingle_score",
]

DATA = Path(__file__).parents[2] / "../shared/data"
"""Labelled data beside the checkout; not part of the project (the texts are their publishers')."""

SHINGLE = 4
_TOKEN = re.compile(r"\w+")


class LabelledPage(NamedTuple):
    """One page: its id, its markup and the text of its article as a person marked it."""

    id: str
    markup: str
    text: str


class Score(NamedTuple):
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """2PR / (P + R)."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)

    def __str__(self) -> str:
        return f"P {self.precision:.4f} R {self.recall:.4f} F1 {self.f1:.4f}"


def labelled_pages() -> Iterator[LabelledPage]:
    """The pages of DATA/pages with their gold texts, in the order of the truth file."""
    with (DATA / "pages_truth.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            raw = (DATA / "pages" / f"{row['id']}.html.gz").read_bytes()
            yield LabelledPage(row["id"], gzip.decompress(raw).decode("utf-8"), row["text"])


def is_held_out(page_id: str) -> bool:
    """Whether a page is in the half that rules are not tuned on: by a hash of its id."""
    return hashlib.sha256(page_id.encode()).digest()[0] % 2 == 1


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)
    if not tokens:
        return Counter()
    return Counter(tuple(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1)))


def shingle_score(pairs: Iterable[tuple[str, str]]) -> Score:
    """Macro-averaged precision and recall of shingles over (gold, predicted) texts.

    The metric of scrapinghub's article-extraction-benchmark: shingles as a multiset; a page where nothing was
    predicted has no precision, one whose gold text is empty no recall, and neither enters the mean.
    """
    precisions: list[float] = []
    recalls: list[float] = []
    for gold, predicted in pairs:
        wanted, found = _shingles(gold), _shingles(predicted)
        shared = sum((wanted & found).values())
        if found:
            precisions.append(shared / sum(found.values()))
        if wanted:
            recalls.append(shared / sum(wanted.values()))
    return Score(sum(precisions) / len(precisions), sum(recalls) / len(recalls))


def flatten(markup: str, rules: ChromeRules) -> list[str]:
    """All lines of a page, menus and footers too: what a scraper saves that takes the text of the whole document."""
    every = replace(rules, skip_tags=frozenset({"script", "style", "noscript", "template", "svg", "textarea"}))
    return article_lines(build_dom(parse_markup(markup), every), 0, every, whole=True)


def label_lines(lines: Sequence[str], gold: str) -> list[tuple[str, bool]]:
    """Whether each line is of the article: half of its shingles are in the gold text, or the line is one of its lines.

    A line that the page shows twice is of the article once.
    """
    wanted = _shingles(gold)
    gold_lines = {" ".join(_TOKEN.findall(line)) for line in gold.split("\n")}
    labelled: list[tuple[str, bool]] = []
    seen: set[str] = set()
    for line in lines:
        tokens = _TOKEN.findall(line)
        if line in seen or not tokens:
            is_article = False
        elif len(tokens) < 2 * SHINGLE:
            is_article = " ".join(tokens) in gold_lines
        else:
            found = _shingles(line)
            is_article = sum(n for s, n in found.items() if s in wanted) >= 0.5 * sum(found.values())
        if is_article:
            seen.add(line)
        labelled.append((line, is_article))
    return labelled


def character_score(rows: Iterable[tuple[Sequence[tuple[str, bool]], Sequence[str]]]) -> Score:
    """Precision and recall of characters over pages of ((line, is article), ...) and the lines that were kept."""
    kept_right = kept = wanted = 0
    for lines, output in rows:
        left = Counter(output)
        kept += sum(len(line) for line in output)
        for line, is_article in lines:
            if is_article:
                wanted += len(line)
                if left[line] > 0:
                    left[line] -= 1
                    kept_right += len(line)
    return Score(kept_right / kept, kept_right / wanted)
