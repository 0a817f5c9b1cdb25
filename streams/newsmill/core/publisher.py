"""What a producer, a page and a host say → the publisher's name, and the zone of times that it writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from newsmill.core.folding import fold, nfc, one_line
from newsmill.core.rulebook import Rulebook, RuleFile
from newsmill.core.times import zone
from newsmill.errors import ConfigError

__all__ = ["MAX_NAME", "Publisher", "PublisherRules", "find_publisher", "zone_for_host"]

_FILE = "publishers.toml"
MAX_NAME = 300
"""Characters of a publisher's or an author's name; what is longer is cut."""
_LONGEST_ON_PAGE = 120  # a longer "publisher" of a page is a sentence
_PARTS = re.compile(r"\s+[|·:]\s+|\s*[|]\s*|\s+[-–—]\s+")


class Publisher(NamedTuple):
    """A name, and where it comes from; ("", "none") where nothing is known."""

    name: str
    origin: Literal["given", "page", "host", "portal", "none"]


@dataclass(frozen=True)
class PublisherRules:
    """``rules/publishers.toml``: hosts are lower case without "www.", portals' names are folded and lower case."""

    names: Mapping[str, str]
    zones: Mapping[str, str]
    country_zones: Mapping[str, str]
    portals: frozenset[str]
    portal_names: frozenset[str]
    portal_codes: Mapping[str, Mapping[str, str]]

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> PublisherRules:
        """Read and check the file; `ConfigError` names file and line."""
        file = rulebook.file(_FILE)
        names: dict[str, str] = {}
        zones: dict[str, str] = {}
        entries = file.data.get("publisher", [])
        if not isinstance(entries, list):
            raise file.error("[[publisher]] must be a list of tables", "publisher")
        for entry in entries:
            name, hosts = entry.get("name"), _strings(file, entry, "hosts")
            if not isinstance(name, str) or not name.strip() or not hosts:
                raise file.error("a publisher needs a name and a list of hosts", str(name or "[[publisher]]"))
            for host in hosts:
                if host in names:
                    raise file.error(f"the host {host} stands twice", f'"{host}"')
                names[host] = nfc(name.strip())
                if "zone" in entry:
                    zones[host] = _zone(file, entry["zone"])
        countries = file.data.get("country_zones", {})
        if not isinstance(countries, dict):
            raise file.error("country_zones must be a table", "country_zones")
        portals = file.data.get("portals", {})
        if not isinstance(portals, dict):
            raise file.error("portals must be a table", "portals")
        return cls(
            names=names,
            zones=zones,
            country_zones={country.lower(): _zone(file, name) for country, name in countries.items()},
            portals=frozenset(_strings(file, portals, "hosts")),
            portal_names=frozenset(_key(name) for name in _strings(file, portals, "names")),
            portal_codes=_portal_codes(file),
        )


def _strings(file: RuleFile, table: Mapping[str, Any], name: str) -> list[str]:
    words = table.get(name, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise file.error(f"{name} must be a list of strings", name)
    return [word.lower() for word in words]


def _portal_codes(file: RuleFile) -> dict[str, dict[str, str]]:
    table = file.data.get("portal_codes", {})
    if not isinstance(table, dict):
        raise file.error("portal_codes must be a table", "portal_codes")
    for prefix, codes in table.items():
        if not isinstance(codes, dict) or not all(isinstance(name, str) and name.strip() for name in codes.values()):
            raise file.error(f"portal_codes of {prefix} must be a table of names", prefix)
    return {prefix: {code: nfc(name.strip()) for code, name in table[prefix].items()} for prefix in sorted(table)}


def _zone(file: RuleFile, name: object) -> str:
    try:
        return zone(str(name)).key
    except ConfigError as error:
        raise file.error(str(error), str(name)) from error


def find_publisher(
    given: str | None, page: str, host: str, rules: PublisherRules, canonical_url: str = ""
) -> Publisher:
    """The publisher: as given, else as the page says, else by its address.

    ``page`` is what the page or text says ("" if nothing), ``host`` the host of the canonical URL ("" if none). A
    portal carries others' news, so its name on a page counts for nothing, and its host only where neither the page nor
    the portal's code in the URL names the publisher.
    """
    if name := one_line(given, MAX_NAME):
        return Publisher(name, "given")
    if name := _page_name(page, rules):
        return Publisher(name, "page")
    portal = _registered(host, rules.portals)
    known = _registered(host, rules.names)
    if known and len(known) >= len(portal):
        return Publisher(rules.names[known], "host")
    if portal:
        return Publisher(_by_code(canonical_url, rules) or host, "portal")
    return Publisher(host, "host" if host else "none")


def _by_code(canonical_url: str, rules: PublisherRules) -> str:
    for prefix, codes in rules.portal_codes.items():
        if canonical_url.startswith(prefix):
            return codes.get(canonical_url[len(prefix) :].partition("/")[0], "")
    return ""


def zone_for_host(host: str, rules: PublisherRules, default_zone: str) -> str:
    """The IANA zone of times that this host writes without an offset."""
    known = _registered(host, rules.zones)
    if known:
        return rules.zones[known]
    return rules.country_zones.get(host.rpartition(".")[2], default_zone)


def _registered(host: str, hosts: Mapping[str, str] | frozenset[str]) -> str:
    """The longest parent of ``host`` (or itself) among ``hosts``; "" if there is none."""
    while host:
        if host in hosts:
            return host
        host = host.partition(".")[2]
    return ""


def _page_name(page: str, rules: PublisherRules) -> str:
    """What a page says of its publisher, without the portal around it: "Daum | Example Daily" → "Example Daily"."""
    name = one_line(page, MAX_NAME)
    if not name or len(name) > _LONGEST_ON_PAGE:
        return ""
    if _key(name) in rules.portal_names:
        return ""
    parts = _PARTS.split(name)
    if len(parts) > 1:
        own = [part for part in parts if part and _key(part) not in rules.portal_names]
        if len(own) < len(parts):
            return own[-1] if own else ""
    return name


def _key(name: str) -> str:
    return fold(name).lower()
