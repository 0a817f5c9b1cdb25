"""A URL as found → one URL an article, and from it the article's id; the rule is frozen by a golden file.

An id must never change under the same article, so nothing here depends on a page's content: `canonicalize_url` is a
function of the URL and of ``rules/urls.toml`` alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from newsmill.core.folding import digest, fold
from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["UrlRules", "article_id", "article_id_without_url", "canonicalize_url", "host_of"]

_FILE = "urls.toml"
_LONGEST = 8_192
"""Longer URLs are kept as given: RFC 9110 (4.1) asks for 8,000 octets at least, and no article has such an address."""
_LONGEST_REWRITTEN = 512  # rewrites are regular expressions of a rule file; article addresses they name are short
_LONGEST_HOST = 253  # RFC 1035
_MOST_WRAPPED = 3  # an AMP cache around an AMP cache

_HTTP = re.compile(r"(https?):/*([^/?#\\]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?\Z", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"(?://)?(?=[^/?#:]*\.[^\W\d_]{2,}(?::\d+)?(?:[/?#]|\Z))")  # //host/path, host.tld/path
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::(\d*))?\Z", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\Z")
_WRITTEN_AS_IS = r"A-Za-z0-9._~!$&'()*+,;=:@/\-"
_TO_ENCODE = re.compile(rf"%[0-9A-Fa-f]{{2}}|[^{_WRITTEN_AS_IS}%]+|%")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_BREAKS = str.maketrans("", "", "\t\n\r")
_AMP_TAIL = re.compile(r"(?:/amp)+(?=/?\Z)|\.amp(?=(?:\.html?)?/?\Z)", re.IGNORECASE)
_AMP_HEAD = re.compile(r"\A(?:/amp)+(?=/[^/])", re.IGNORECASE)
# Under a country's domain these labels belong to its suffix: m.co.kr would be a site, m.example.co.kr is a variant.
_SUFFIX_LABELS = frozenset(("ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org", "pe", "re"))


@dataclass(frozen=True)
class UrlRules:
    """``rules/urls.toml``: what in a URL says nothing about which article it names. All names are lower case."""

    tracking: frozenset[str]
    tracking_prefixes: tuple[str, ...]
    variants: Mapping[str, frozenset[str]]
    mobile_labels: frozenset[str]
    aliases: Mapping[str, str]
    amp_caches: frozenset[str]
    amp_cache_suffixes: tuple[str, ...]
    rewrites: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]]

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> UrlRules:
        """Read and check the file; `ConfigError` names file and line."""
        return cls._from_file(rulebook.file(_FILE))

    @classmethod
    def _from_file(cls, file: RuleFile) -> UrlRules:
        data = file.data
        hosts = data.get("hosts", {})
        if not isinstance(hosts, dict):
            raise file.error("hosts must be a table", "hosts")
        variants = data.get("variants", {})
        if not isinstance(variants, dict):
            raise file.error("variants must be a table", "[variants]")
        aliases = hosts.get("aliases", {})
        if not isinstance(aliases, dict) or not all(isinstance(host, str) for host in aliases.values()):
            raise file.error("aliases must be a table of host names", "aliases")
        return cls(
            tracking=frozenset(_words(file, data, "tracking")),
            tracking_prefixes=tuple(sorted(_words(file, data, "tracking_prefixes"))),
            variants={name.lower(): frozenset(_words(file, variants, name)) for name in sorted(variants)},
            mobile_labels=frozenset(_words(file, hosts, "mobile_labels")),
            aliases={name.lower(): aliases[name].lower() for name in sorted(aliases)},
            amp_caches=frozenset(_words(file, hosts, "amp_caches")),
            amp_cache_suffixes=tuple(sorted(_words(file, hosts, "amp_cache_suffixes"))),
            rewrites=_rewrites(file),
        )


def _words(file: RuleFile, table: Mapping[str, Any], name: str) -> list[str]:
    words = table.get(name, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise file.error(f"{name} must be a list of strings", name)
    return [word.lower() for word in words]


def _rewrites(file: RuleFile) -> dict[str, tuple[tuple[re.Pattern[str], str], ...]]:
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for entry in file.data.get("rewrites", []):
        fields = [entry.get(name) for name in ("host", "pattern", "becomes")] if isinstance(entry, dict) else [None]
        if not all(isinstance(field, str) for field in fields):
            raise file.error("a rewrite needs host, pattern and becomes, all strings", "[[rewrites]]")
        host, pattern, becomes = map(str, fields)
        try:
            compiled = re.compile(pattern)
            compiled.sub(becomes, "")  # a reference to a missing group raises here
        except re.error as error:
            raise file.error(f"the pattern {pattern!r} is no regular expression: {error}", pattern) from error
        found.setdefault(host.lower(), []).append((compiled, becomes))
    return {host: tuple(found[host]) for host in sorted(found)}


@lru_cache(maxsize=1)
def _packaged() -> UrlRules:
    source = resources.files("newsmill.core") / "rules" / _FILE
    text = source.read_text("utf-8")
    return UrlRules._from_file(RuleFile(_FILE, f"newsmill/core/rules/{_FILE}", text, tomllib.loads(text)))


def canonicalize_url(url: str, rules: UrlRules | None = None) -> str:
    """The address that all variants of one article's URL share; ``rules`` are the packaged ones by default.

    http becomes https; the host goes to lower case and Punycode, without user, default port and mobile label
    (m., amp.); AMP paths and parameters, tracking parameters and the fragment go; the query is sorted; percent
    encoding is made uniform (RFC 3986, 6.2.2). "www." and a slash at the end stay, because the address should work;
    `article_id` ignores them.

    Never raises. What is no http(s) URL (file:…, urn:…), what cannot be read (bad port, bad host) and what is longer
    than 8,192 characters is returned as given, trimmed.
    """
    given = url.strip()
    if len(given) > _LONGEST:
        return given
    return _canonicalize(given.translate(_BREAKS), rules or _packaged(), _MOST_WRAPPED) or given


def _canonicalize(url: str, rules: UrlRules, wrapped: int) -> str | None:
    match = _HTTP.match(url)
    if match is None:
        if not (bare := _BARE.match(url)):
            return None
        match = _HTTP.match("https://" + url[bare.end() :])
        if match is None:
            return None
    scheme, authority, path, query = match.groups()
    host = _canonical_host(authority, scheme.lower())
    if host is None:
        return None
    path = _encode(path.replace("\\", "/")) or "/"
    inner = _unwrap(host, path, rules) if wrapped else None
    if inner is not None:
        return _canonicalize(f"https://{inner}?{query or ''}", rules, wrapped - 1)
    host = _site(host, rules)
    path = _article_path(path)
    kept = _canonical_query(query, rules) if query else ""
    address = f"{host}{path}?{kept}" if kept else f"{host}{path}"
    for pattern, becomes in _rewrites_for(host, rules):
        if len(address) <= _LONGEST_REWRITTEN and (found := pattern.match(address)):
            address = found.expand(becomes)
            break
    return f"https://{address}"


def _rewrites_for(host: str, rules: UrlRules) -> tuple[tuple[re.Pattern[str], str], ...]:
    if host in rules.rewrites:
        return rules.rewrites[host]
    return rules.rewrites.get(host.partition(".")[2], ())


def _canonical_host(authority: str, scheme: str) -> str | None:
    """Host and port as they are compared, or None where there is none that could be asked."""
    found = _AUTHORITY.match(authority.rpartition("@")[2])
    if found is None:
        return None
    host, port = found[1].lower(), found[2]
    if not host.startswith("["):
        host = host.rstrip(".")
        if not 0 < len(host) <= _LONGEST_HOST:
            return None
        if not host.isascii():
            try:
                host = host.encode("idna").decode("ascii")
            except UnicodeError:  # a label that is empty, too long or holds what no host name may
                return None
        if not _HOST.match(host):
            return None
    if not port or int(port[:6]) == (443 if scheme == "https" else 80):
        return host
    return f"{host}:{int(port)}" if len(port) <= 5 and 0 < int(port) <= 65_535 else None


def _unwrap(host: str, path: str, rules: UrlRules) -> str | None:
    """The address that an AMP cache wraps, without a scheme; None if it wraps none."""
    if host in rules.amp_caches and path.startswith("/amp/"):
        rest = path[5:]
    elif host.endswith(rules.amp_cache_suffixes) and path[1:2] in ("c", "v", "i") and path[2:3] == "/":
        rest = path[3:]
    else:
        return None
    rest = rest.removeprefix("s/")
    return rest if "." in rest.partition("/")[0] else None


def _site(host: str, rules: UrlRules) -> str:
    """The host without the label of a device: m.example.com, www.m.example.com, en.m.example.org."""
    labels = host.split(".")
    place = 0
    while place < len(labels) - 2:
        rest = labels[place + 1 :]
        is_site = len(rest) > 2 or len(rest[1]) > 2 or rest[0] not in _SUFFIX_LABELS
        if labels[place] in rules.mobile_labels and is_site:
            del labels[place]
        else:
            place += 1
    site = ".".join(labels)
    return rules.aliases.get(site, site)


def _article_path(path: str) -> str:
    if "/." in path:
        path = _without_dots(path)
    while "amp" in path.lower():
        bare = _AMP_HEAD.sub("", _AMP_TAIL.sub("", path, count=1), count=1)
        if bare in ("", "/", path):
            break
        path = bare  # shorter by at least four characters
    return path


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _canonical_query(query: str, rules: UrlRules) -> str:
    kept = []
    for pair in query.split("&"):
        name, equals, value = _encode(pair).partition("=")
        lowered = name.lower()
        if not pair or lowered in rules.tracking or lowered.startswith(rules.tracking_prefixes):
            continue
        if lowered in rules.variants and value.lower() in rules.variants[lowered]:
            continue
        kept.append(f"{name}{equals}{value}")
    return "&".join(sorted(kept))


def _encode(part: str) -> str:
    """Percent encoding made uniform: what needs it is encoded in upper case, what does not is plain."""
    return _TO_ENCODE.sub(_encode_one, part)


def _encode_one(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == "%" and len(text) == 3:
        plain = chr(int(text[1:], 16))
        return plain if plain in _UNRESERVED else text.upper()
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))


def host_of(canonical_url: str) -> str:
    """The host of a canonical URL without port and "www."; "" if it is no http(s) URL."""
    found = _HTTP.match(canonical_url)
    if found is None:
        return ""
    authority = _AUTHORITY.match(found[2])
    return authority[1].removeprefix("www.") if authority else ""


def article_id(canonical_url: str) -> str:
    """32 hex digits (BLAKE2b) of a canonical URL, with and without "www." or a slash at the end of the path alike."""
    address = canonical_url
    if address.startswith("https://"):
        address = address[8:].removeprefix("www.")
        path, mark, query = address.partition("?")
        address = f"https://{path.removesuffix('/')}{mark}{query}"
    return digest("url", address)


def article_id_without_url(source: str, title: str, text: str) -> str:
    """32 hex digits (BLAKE2b) of source, title and clean text, all folded: for articles that came without a URL."""
    return digest("text", fold(source), fold(title), fold(text))
