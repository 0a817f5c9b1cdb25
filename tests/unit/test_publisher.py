"""Publisher: given, else the page, else the host; a portal is no publisher."""

from __future__ import annotations

import tomllib

import pytest

from newsmill.core.publisher import PublisherRules, find_publisher, zone_for_host
from newsmill.core.rulebook import Rulebook, RuleFile, load_rulebook
from newsmill.errors import ConfigError

RULES = PublisherRules.from_rulebook(load_rulebook())


@pytest.mark.parametrize(
    ("given", "page", "host", "name", "origin"),
    [
        (" 가상  일보 ", "다른신문", "yna.co.kr", "가상 일보", "given"),
        (None, "가상일보", "yna.co.kr", "가상일보", "page"),
        ("", "", "yna.co.kr", "연합뉴스", "host"),
        (None, "", "news.bbc.co.uk", "BBC", "host"),
        (None, "", "biz.chosun.com", "조선비즈", "host"),
        (None, "", "local.example.org", "local.example.org", "host"),
        (None, "네이버 뉴스", "n.news.naver.com", "n.news.naver.com", "portal"),
        (None, "가상일보", "n.news.naver.com", "가상일보", "page"),
        (None, "네이버뉴스 | 가상일보", "n.news.naver.com", "가상일보", "page"),
        (None, "Example Daily - Yahoo Finance", "finance.yahoo.com", "Example Daily", "page"),
        (None, "Daum", "v.daum.net", "v.daum.net", "portal"),
        (None, "x" * 200, "yna.co.kr", "연합뉴스", "host"),
        (None, "", "", "", "none"),
    ],
)
def test_find(given: str | None, page: str, host: str, name: str, origin: str) -> None:
    assert find_publisher(given, page, host, RULES) == (name, origin)


def test_a_portals_address_may_name_the_publisher() -> None:
    url = "https://n.news.naver.com/article/{}/0000000001"
    host = "n.news.naver.com"
    assert find_publisher(None, "", host, RULES, url.format("003")) == ("뉴시스", "portal")
    assert find_publisher(None, "가상일보", host, RULES, url.format("003")) == ("가상일보", "page")
    assert find_publisher(None, "", host, RULES, url.format("999")) == (host, "portal")
    assert all(set(codes.values()) <= set(RULES.names.values()) for codes in RULES.portal_codes.values())


def test_zones() -> None:
    assert zone_for_host("www.bbc.com", RULES, "Asia/Seoul") == "Europe/London"
    assert zone_for_host("paper.example.co.jp", RULES, "Asia/Seoul") == "Asia/Tokyo"
    assert zone_for_host("paper.example.com", RULES, "Europe/Paris") == "Europe/Paris"
    assert zone_for_host("", RULES, "Europe/Paris") == "Europe/Paris"


def test_every_publisher_has_a_zone_and_no_portal_is_one() -> None:
    assert len(set(RULES.names.values())) >= 100
    assert set(RULES.names) == set(RULES.zones)
    assert not RULES.portals & set(RULES.names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("publisher = 3", "must be a list of tables"),
        ("[[publisher]]\nname = 'A'", "publishers.toml:2: a publisher needs a name and a list of hosts"),
        ("[[publisher]]\nname = 'A'\nhosts = [1]", "publishers.toml:3: hosts must be a list of strings"),
        (
            "[[publisher]]\nname = 'A'\nhosts = [\"a.kr\"]\n[[publisher]]\nname = 'B'\nhosts = [\"a.kr\"]",
            "publishers.toml:3: the host a.kr stands twice",
        ),
        (
            "[[publisher]]\nname = 'A'\nhosts = ['a.kr']\nzone = 'Mars/Base'",
            "publishers.toml:4: 'Mars/Base' is no IANA",
        ),
        ("country_zones = 1", "country_zones must be a table"),
        ("portals = 1", "portals must be a table"),
        ("portal_codes = 1", "portal_codes must be a table"),
        ("[portal_codes]\nx = { 1 = 2 }", "publishers.toml:2: portal_codes of x must be a table of names"),
    ],
)
def test_a_mistake_in_the_rules_names_its_line(text: str, message: str) -> None:
    file = RuleFile("publishers.toml", "publishers.toml", text, tomllib.loads(text))
    with pytest.raises(ConfigError, match=message):
        PublisherRules.from_rulebook(Rulebook({"publishers.toml": file}, "0"))
