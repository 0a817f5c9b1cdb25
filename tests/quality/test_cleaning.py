"""Floors of the cleaner on labelled pages and articles; skipped where the data is absent."""

from __future__ import annotations

import json
import re
import time
import unicodedata

import pytest
from cleaning import (
    DATA,
    LabelledPage,
    Score,
    character_score,
    flatten,
    is_held_out,
    label_lines,
    labelled_pages,
    shingle_score,
)

from newsmill.core.chrome import ChromeRules
from newsmill.core.html import extract_page, looks_like_html
from newsmill.core.plaintext import clean_plain
from newsmill.core.rulebook import load_rulebook

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the labelled data is not beside the checkout")


@pytest.fixture(scope="module")
def rules() -> ChromeRules:
    return ChromeRules.from_rulebook(load_rulebook())


@pytest.fixture(scope="module")
def pages() -> list[LabelledPage]:
    return list(labelled_pages())


def test_article_text_of_pages(rules: ChromeRules, pages: list[LabelledPage]) -> None:
    start = time.process_time()
    found = [(page, extract_page(page.markup, rules).text) for page in pages]
    cost = (time.process_time() - start) / len(pages)
    every = shingle_score((page.text, text) for page, text in found)
    held_out = shingle_score((page.text, text) for page, text in found if is_held_out(page.id))
    print(f"\npages: {every}; held out: {held_out}; {cost * 1e3:.2f} ms CPU a page")
    assert every.f1 >= 0.965
    assert held_out.f1 >= 0.959
    assert cost < 0.012, "four times the cost on an idle core: something became slow"


def test_article_lines_of_flattened_pages(rules: ChromeRules, pages: list[LabelledPage]) -> None:
    rows = []
    for page in pages:
        lines = flatten(page.markup, rules)
        kept = clean_plain("\n".join(lines), rules).text.split("\n")
        rows.append((page.id, (label_lines(lines, page.text), kept)))
    every = character_score(row for _, row in rows)
    held_out = character_score(row for page_id, row in rows if is_held_out(page_id))
    print(f"\nflattened pages, characters: {every}; held out: {held_out}")
    assert every.precision >= 0.92
    assert every.recall >= 0.94
    assert held_out.precision >= 0.92
    assert held_out.recall >= 0.93


def _solid(text: str) -> int:
    return len(re.sub(r"\s", "", unicodedata.normalize("NFC", text)))


@pytest.mark.parametrize(("language", "limit"), [("ko", 0.01), ("en", 0.001)])
def test_clean_articles_lose_little(rules: ChromeRules, language: str, limit: float) -> None:
    with (DATA / f"articles_{language}.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    start = time.process_time()
    cleaned = [clean_plain(text, rules).text for text in texts]
    cost = (time.process_time() - start) / sum(len(text.encode()) for text in texts) * 2_500
    loss = 1 - sum(map(_solid, cleaned)) / sum(map(_solid, texts))
    print(f"\n{language}: {loss:.2%} of characters lost; {cost * 1e3:.2f} ms CPU for 2.5 KB")
    assert loss <= limit
    assert cost < 0.003


def test_scraped_pages_come_out_without_chrome(rules: ChromeRules) -> None:
    paths = sorted((DATA / "scraped").glob("*.txt"))
    assert paths
    for path in paths:
        scraped = path.read_text(encoding="utf-8")
        plain = clean_plain(scraped, rules)
        assert not looks_like_html(scraped)
        assert plain.source
        assert len(plain.text) > 0.7 * len(scraped)
        for line in plain.text.split("\n"):
            assert not re.search(r"\S@\S+\.\S|저작권자|무단 전재|원문보기|[\[(]\s?사진\s?=|파워링크|건너뛰기", line)
            assert not re.search(r"^(광고|AD|관련\s?기사|뉴스|실시간)$|언론사 이미지|하이라이트$", line)
            assert not re.match(r"\[[^\]]{2,30}기자\]", line)
            assert line != plain.title


def test_metric_by_hand() -> None:
    score = shingle_score([("a b c d e", "a b c d x"), ("a b c d", "a b c d")])
    assert score == Score(0.75, 0.75)
    lines = label_lines(["one two", "one two", "three"], "one two")
    assert lines == [("one two", True), ("one two", False), ("three", False)]
    assert character_score([(lines, ["one two", "three"])]) == Score(7 / 12, 1.0)
