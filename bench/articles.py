"""Seed → a mix of Korean and English raw articles of about 1.5 KB, made of the bundled samples' sentences."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import orjson

from newsmill.samples import samples

__all__ = ["make_articles", "with_copies"]

_COPIES = 0.4
_BACK = 5000  # a copy repeats one of so many articles before it


def _sentences() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ko": [], "en": []}
    for sample in samples():
        if sample.reason is None and sample.language in found:
            body = orjson.loads(sample.value)["body"]
            if "<" not in body:
                found[sample.language] += [s for s in re.split(r"(?<=[.다])\s+", body) if 40 < len(s) < 300]
    return found


def make_articles(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """So many raw articles, half Korean, half English; always the same ones for a seed."""
    rng = random.Random(seed)
    sentences = _sentences()
    for number in range(count):
        language = "ko" if number % 2 else "en"
        chosen: list[str] = []
        size = 0
        while size < 1500:
            sentence = rng.choice(sentences[language])
            # numbers of its own, or all articles of a seed would be copies of one another
            sentence = re.sub(r"\d+", lambda m: str(int(m.group()[:6]) + rng.randrange(90)), sentence)
            words = sentence.split(" ")
            rng.shuffle(words)
            chosen.append(" ".join(words))
            size += len(chosen[-1].encode())
        yield {
            "id": f"{number:032x}",
            "url": f"https://news{number % 97}.example/{seed}/{number}",
            "title": f"{chosen[0][:50]} {number}",
            "source": f"Publisher {number % 97}",
            "published_at": f"2026-03-{1 + number % 28:02d}T{number % 24:02d}:00:00+09:00",
            "body": "\n\n".join(chosen),
        }


def with_copies(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Raw articles; two of five repeat an earlier one: the same, shortened, or under a byline."""
    rng = random.Random(seed)
    recent: list[dict[str, Any]] = []
    originals = make_articles(count, seed)
    for number in range(count):
        if recent and rng.random() < _COPIES:
            body = rng.choice(recent)["body"]
            match rng.randrange(3):
                case 0:
                    body = body[: int(len(body) * rng.uniform(0.55, 0.8))]
                case 1:
                    body = f"(Harbour Wire) {body}\n\nThis story was supplied by the Harbour Wire."
            yield {"url": f"https://copies{number % 31}.example/{number}", "title": f"Notice {number}", "body": body}
            continue
        article = next(originals)
        recent.append(article)
        del recent[:-_BACK]
        yield article
