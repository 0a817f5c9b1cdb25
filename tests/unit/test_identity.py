"""Identity: one article, one id, whatever the address looked like; the rule is frozen."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsmill.core.identity import UrlRules, article_id, article_id_without_url, canonicalize_url, host_of
from newsmill.core.rulebook import Rulebook, RuleFile, load_rulebook
from newsmill.errors import ConfigError

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "identity.json").read_text("utf-8"))


@pytest.mark.parametrize("row", GOLDEN["canonical_urls"], ids=lambda row: ascii(row["url"])[:60])
def test_canonical_urls_and_ids_are_frozen(row: dict[str, str]) -> None:
    canonical = canonicalize_url(row["url"])
    assert canonical == row["canonical_url"]
    assert article_id(canonical) == row["id"]


@pytest.mark.parametrize("row", GOLDEN["without_url"], ids=lambda row: row["id"][:6])
def test_ids_without_url_are_frozen(row: dict[str, str]) -> None:
    assert article_id_without_url(row["source"], row["title"], row["text"]) == row["id"]


def test_variants_of_one_address_have_one_id() -> None:
    ids = {row["id"] for row in GOLDEN["canonical_urls"] if "harbour-bridge" in row["url"]}
    # the article's own, another port, another letter case of the path
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a?id=1", "https://example.com/a?id=2"),
        ("https://example.com/a", "https://example.org/a"),
        ("https://example.com/a", "https://news.example.com/a"),
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "https://example.com/b#a"),
        ("https://example.com/camp/a", "https://example.com/a"),
        ("https://example.com/a?view=list", "https://example.com/a"),
    ],
)
def test_other_articles_have_other_ids(one: str, other: str) -> None:
    assert article_id(canonicalize_url(one)) != article_id(canonicalize_url(other))


HOSTILE = [
    "http://[::1",
    "http://[" + "1:" * 500 + "]/",
    "http://a:" + "9" * 5000 + "/",
    "http://" + "a." * 5000 + "com/",
    "http://" + "가" * 300 + ".kr/",
    "http://\x00/\x00",
    "https://example.com/" + "\x00\x1f\x7f\ud800" * 100,
    "https://example.com/" + "a" * 100_000,
    "https://example.com/" + "/.." * 2_700,
    "https://example.com/?" + "&a=%" * 2_000,
    "https://www.google.com/amp/s/" * 200,
    "%" * 8_000,
    "//",
    "://",
    "http:",
    "http://@/",
    "http://:80/",
    "http://\u2028/",
    "https://xn--" + "a" * 60 + ".com/",
]


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_urls_are_kept_or_canonical_but_never_raise(url: str) -> None:
    canonical = canonicalize_url(url)
    assert canonical == url.strip() or canonical.startswith("https://")
    assert len(article_id(canonical)) == 32
    assert isinstance(host_of(canonical), str)


URLS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.text("ab.:/?#[]@%&=가\\ \t\x00-_mMwW1").map("http://".__add__),
    st.from_regex(
        r"https?://(www\.|m\.|amp\.)?[a-z]{1,5}\.(com|co\.kr)(/(amp|a|\.\.|[a-z%]{0,4})){0,4}"
        r"(\?([a-z]=[a-z0-9]&?){0,3})?",
        fullmatch=True,
    ),
)


@given(URLS)
@example("http://m.m.a.com/amp/amp/amp")
def test_canonical_is_stable(url: str) -> None:
    canonical = canonicalize_url(url)
    if canonical.startswith("https://"):
        assert article_id(canonicalize_url(canonical)) == article_id(canonical)


def test_host_of() -> None:
    assert host_of("https://www.example.com:8443/a") == "example.com"
    assert host_of("file:a.txt") == ""


def rulebook(text: str) -> Rulebook:
    return Rulebook({"urls.toml": RuleFile("urls.toml", "urls.toml", text, tomllib.loads(text))}, "0")


def test_own_rules_apply() -> None:
    rules = UrlRules.from_rulebook(rulebook('tracking = ["Von"]'))
    assert canonicalize_url("https://example.com/?von=1&utm_source=2", rules) == "https://example.com/?utm_source=2"
    assert UrlRules.from_rulebook(load_rulebook()).tracking


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tracking = 3", "urls.toml:1: tracking must be a list of strings"),
        ("hosts = 3", "urls.toml:1: hosts must be a table"),
        ("\nvariants = 3", "variants must be a table"),
        ("[hosts]\naliases = [1]", "urls.toml:2: aliases must be a table"),
        ('[[rewrites]]\nhost = "a.com"', "a rewrite needs host, pattern and becomes"),
        ('[[rewrites]]\nhost = "a.com"\npattern = "("\nbecomes = ""', "urls.toml:3: the pattern '\\(' is no regular"),
        ('[[rewrites]]\nhost = "a.com"\npattern = "a"\nbecomes = "\\\\1"', "is no regular expression"),
    ],
)
def test_a_mistake_in_the_rules_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UrlRules.from_rulebook(rulebook(text))
