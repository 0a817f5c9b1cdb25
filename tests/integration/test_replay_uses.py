"""What replays are for, from the command to what live shows: changed rules, a new theme, a lost source, an archive."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from bench.articles import make_articles
from harness import Mill

import newsmill.core
from newsmill.core.enrich import EnrichRules, enrich_article
from newsmill.core.rulebook import load_rulebook
from newsmill.events import Article
from newsmill.topics import registry

PACKAGED_RULES = Path(newsmill.core.__file__).parent / "rules"
ALL = ("--from", "earliest", "--to", "latest", "--metrics-port", "0")
# words that no packaged rule knows
BEFORE, AFTER, NEW = "harbour lantern", "moonlit lattice", "amber cell stack"
TERMS = '\n[[terms]]\nweight = 4\nmatch = "inside"\nterms = ["{term}"]\n'


def told(kind: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Articles of one kind: bodies of their own, of which each says ``kind`` now and then."""
    articles = []
    for article in make_articles(count, seed):
        paragraphs = article["body"].split("\n\n")
        article["title"] = f"{kind}: {article['title']}"
        article["body"] = "\n\n".join(f"The {kind} of number {n}. {text}" for n, text in enumerate(paragraphs))
        articles.append(article)
    return articles


def publish(mill: Mill, articles: Iterable[dict[str, Any]]) -> None:
    mill.publish("raw", [(article["url"].encode(), orjson.dumps(article)) for article in articles])


def command(mill: Mill, *arguments: str, code: int = 0) -> str:
    ended = mill.call(*arguments, timeout=150)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def diff(mill: Mill, name: str) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """The counts, and the articles that differ by id."""
    summary, *articles = map(orjson.loads, command(mill, "replay", "diff", name, "--json").splitlines())
    return summary, {article["id"]: article for article in articles}


def latest(mill: Mill, short: str) -> dict[str, dict[str, Any] | None]:
    """A compacted topic as a consumer that keeps the last record of a key sees it."""
    return {record.key.decode(): record.json for record in mill.read(short) if record.key is not None}


@pytest.mark.timeout(400)
def test_changed_rules_and_a_new_theme_reach_live_for_the_articles_that_they_change(mill: Mill, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    chips = (PACKAGED_RULES / "themes/chips.toml").read_text("utf-8")
    for folder, term in ((old, BEFORE), (new, AFTER)):
        (folder / "themes").mkdir(parents=True)
        (folder / "themes/chips.toml").write_text(chips + TERMS.format(term=term), "utf-8")
    (new / "themes/batteries.toml").write_text(
        'labels = { ko = "배터리", en = "Batteries" }\nthreshold = 2.0\nslope = 1.5\n' + TERMS.format(term=NEW), "utf-8"
    )
    articles = [
        *make_articles(40, seed=21),
        *told(BEFORE, 5, seed=22),
        *told(AFTER, 6, seed=23),
        *told(NEW, 7, seed=24),
    ]
    mill.env["NEWSMILL_RULES_DIR"] = str(old)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    publish(mill, articles)
    mill.wait_processed("enrich", len(articles), 120)
    mill.terminate(worker)

    mill.env["NEWSMILL_RULES_DIR"] = str(new)
    command(mill, "topics", "create")
    mill.topics = registry(("batteries", "chips", "cloud", "industrial-ai"), mill.settings)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    command(mill, "replay", "run", "again", "--stages", "enrich", *ALL)
    rules = [EnrichRules.from_rulebook(load_rulebook(folder)) for folder in (old, new)]
    changing, leaving = {}, set()
    for record in mill.read("unique"):
        article = Article.model_validate_json(record.value or b"")
        was, becomes = (enrich_article(article, one).themes for one in rules)
        if was != becomes:
            changing[article.id] = [theme.theme for theme in becomes]
            if "chips" in {theme.theme for theme in was} - {theme.theme for theme in becomes}:
                leaving.add(article.id)
    assert len(changing) >= 18
    summary, differing = diff(mill, "again")
    assert set(differing) == set(changing)
    assert all(set(article["fields"]) == {"themes"} for article in differing.values())
    assert (summary["changed"], summary["same"]) == (len(changing), len(articles) - len(changing))

    before = {short: mill.ends(short) for short in ("enriched", "theme.chips", "theme.batteries", "story")}
    themes_before = latest(mill, "theme.chips")
    assert "live judged them" in command(mill, "replay", "promote", "again", "--yes")
    mill.wait_processed("enrich", len(articles) + len(changing), 60)
    enriched = latest(mill, "enriched")
    assert len(enriched) == len(articles)
    assert before["enriched"] < mill.ends("enriched")
    for ident, event in enriched.items():
        assert event is not None
        assert event["provenance"]["run"] == ("again" if ident in changing else "live")
        if ident in changing:
            assert [theme["theme"] for theme in event["themes"]] == changing[ident]
    for theme in ("chips", "batteries", "cloud"):
        holds = {ident for ident, value in latest(mill, f"theme.{theme}").items() if value is not None}
        should = {ident for ident, event in enriched.items() if theme in {t["theme"] for t in event["themes"]}}
        assert holds == should, theme
    left = {ident for ident, value in latest(mill, "theme.chips").items() if value is None}
    assert left & set(themes_before) == leaving != set()
    assert len([v for v in latest(mill, "theme.batteries").values() if v is not None]) == 7
    assert not [ident for ident in diff(mill, "again")[1] if ident in changing]
    assert "nothing to promote" in command(mill, "replay", "promote", "again", "--yes")

    [original] = [ident for ident, event in enriched.items() if event and event["url"] == articles[-1]["url"]]
    publish(mill, [articles[-1] | {"url": "https://copies.example/late", "title": "Taken over"}])
    mill.wait(lambda: len(mill.read("duplicate")) == 1, "the copy")
    [copy] = mill.read("duplicate")
    assert copy.json["duplicate_of"] == original
    assert mill.terminate(worker) == 0
    command(mill, "replay", "drop", "again", "--yes")
    assert "no replay" in command(mill, "replay", "status")
    assert len(latest(mill, "enriched")) == len(articles)


@pytest.mark.timeout(400)
def test_a_source_that_was_dropped_is_filled_in(mill: Mill) -> None:
    kept, lost = list(make_articles(20, seed=31)), told("ferry", 8, seed=32)
    worker = mill.newsmill("worker", "--metrics-port", "0")
    publish(mill, kept[:10])
    mill.wait_processed("enrich", 10, 90)
    mill.terminate(worker)
    publish(mill, lost)  # which a defect passes over
    command(mill, "reset", "prepare", "--to", "latest", "--yes")
    worker = mill.newsmill("worker", "--metrics-port", "0")
    publish(mill, kept[10:])
    mill.wait_processed("enrich", 20, 90)

    command(mill, "replay", "run", "filled", *ALL)
    summary, differing = diff(mill, "filled")
    assert (summary["missing"], summary["same"]) == (8, 20)
    assert {article["kind"] for article in differing.values()} == {"missing"}
    stories = mill.ends("story")
    command(mill, "replay", "promote", "filled", "--only", "missing", "--yes")
    mill.wait_processed("stories", 28, 60)
    enriched = {event["url"]: event for event in latest(mill, "enriched").values() if event}
    assert {enriched[article["url"]]["provenance"]["run"] for article in lost} == {"filled"}
    assert {enriched[article["url"]]["provenance"]["run"] for article in kept} == {"live"}
    assert mill.ends("story") == stories  # old news opens no story today
    publish(mill, [lost[3] | {"url": "https://copies.example/ferry"}])
    mill.wait(lambda: len(mill.read("duplicate")) == 1, "the copy")
    assert mill.read("duplicate")[0].json["duplicate_of"] == enriched[lost[3]["url"]]["id"]
    assert diff(mill, "filled")[0]["missing"] == 0
    assert mill.terminate(worker) == 0


@pytest.mark.timeout(300)
def test_an_archive_is_replayed_beside_live(mill: Mill, tmp_path: Path) -> None:
    articles = [
        article | {"fetched_at": f"2024-05-{1 + n // 2:02d}T0{n % 2}:00:00Z"}
        for n, article in enumerate(make_articles(20, seed=41))
    ]
    lines = b"\n".join(orjson.dumps(article) for article in articles[:15])
    (tmp_path / "bay.jsonl.gz").write_bytes(gzip.compress(lines))
    crawl = b"".join(gzip.compress(page(article)) for article in articles[15:])
    (tmp_path / "crawl.warc.gz").write_bytes(crawl)
    out = command(mill, "ingest", str(tmp_path / "bay.jsonl.gz"), str(tmp_path / "crawl.warc.gz"), "--archive", "bay")
    assert "20 published, 0 refused" in out
    [following] = [line.removeprefix("next: newsmill ") for line in out.splitlines() if line.startswith("next: ")]
    command(mill, *following.split(), "--metrics-port", "0")

    replay = Mill(mill.settings.bootstrap_servers, f"{mill.settings.topic_prefix}replay.bay.", tmp_path, create=False)
    events = replay.read("enriched")
    assert {event.json["url"] for event in events} == {article["url"] for article in articles}
    assert {event.json["provenance"]["topic"] for event in events} == {
        f"{mill.settings.topic_prefix}news.archive.bay.v1"
    }
    assert [event.json["ingested_at"] for event in events if event.json["url"] == articles[0]["url"]] == [
        "2024-05-01T00:00:00Z"
    ]
    assert min(event.timestamp for event in events) == 1_714_521_600_000
    for short in ("raw", "prepared", "enriched", "ledger"):
        assert mill.ends(short) == 0, short  # live never sees an archive
    assert diff(mill, "bay")[0]["missing"] == 20
    half = command(mill, "replay", "run", "half", "--topic", "news.archive.bay.v1", "--from", "2024-05-06T00:00:00Z",
                   "--to", "2024-05-08T00:00:00Z", "--warm-up", "2d", "--metrics-port", "0")  # fmt: skip
    assert "8 records" in half
    assert "4 of them before, to warm up" in half


def page(article: dict[str, Any]) -> bytes:
    """A response record of a crawl."""
    paragraphs = "".join(f"<p>{text}</p>" for text in article["body"].split("\n\n"))
    html = f"<html><head><title>{article['title']}</title></head><body><article>{paragraphs}</article></body></html>"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {article['url']}\r\n"
        f"WARC-Date: {article['fetched_at']}\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(answer)}\r\n\r\n"
    )
    return head.encode() + answer + b"\r\n\r\n"
