"""Bytes → text, JSON or a valid `RawArticle`, or a refusal that says which byte, line or field is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import ValidationError

from newsmill.errors import Reason, Refused
from newsmill.events import RawArticle

__all__ = ["MAX_BODY", "MAX_VALUE", "check_raw", "decode_json", "decode_raw", "decode_text", "describe_error"]

MAX_BODY: Final = 1 << 20
"""Bytes of UTF-8 that a body may have."""
MAX_VALUE: Final = 8 << 20
"""Bytes that a raw record may have: the limit of its topic."""
_MAX_DEPTH: Final = 64  # nesting of `extra`; the serialiser's own limit is about 250

# A backslash pair is consumed first, so that an escaped backslash before "ud800" is no surrogate.
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def decode_raw(value: bytes | None) -> RawArticle:
    """The bytes of a raw record as a valid `RawArticle` with a body and an identity; `Refused` says what is wrong."""
    if not value:
        raise Refused(Reason.NO_BODY, "the record has no value")
    if len(value) > MAX_VALUE:
        raise Refused(Reason.TOO_LARGE, f"the record has {len(value)} bytes, more than {MAX_VALUE}")
    return check_raw(decode_json(value))


def check_raw(data: object) -> RawArticle:
    """Decoded JSON as a valid `RawArticle` with a body and an identity; `Refused` names the field that is wrong."""
    if not isinstance(data, dict):
        raise Refused(Reason.WRONG_TYPE, f"expected a JSON object, found {_json_type(data)}")
    body = data.get("body")
    if body is None or (isinstance(body, str) and (not body or body.isspace())):
        raise Refused(Reason.NO_BODY, "body is missing" if body is None else "body is empty")
    try:
        raw = RawArticle.model_validate(data)
    except ValidationError as error:
        raise Refused(Reason.WRONG_TYPE, describe_error(error)) from None
    if len(raw.body) > MAX_BODY or (len(raw.body) * 4 > MAX_BODY and len(raw.body.encode()) > MAX_BODY):
        raise Refused(Reason.TOO_LARGE, f"body has more than {MAX_BODY} bytes of UTF-8")
    if not _has_text(raw.url) and not (_has_text(raw.title) and _has_text(raw.source)):
        raise Refused(Reason.NO_IDENTITY, "neither url nor both title and source are given")
    if raw.extra is not None and _is_deep(raw.extra):
        raise Refused(Reason.TOO_EXPENSIVE, f"extra is nested deeper than {_MAX_DEPTH}")
    return raw


def decode_json(value: bytes) -> Any:
    """Parse UTF-8 JSON, with or without a byte order mark; `Refused` (bad_utf8, bad_json) names the place.

    JavaScript cuts strings in the middle of an emoji and writes the half that is left as an escape: such a lone
    surrogate becomes U+FFFD, and costs no article.
    """
    value = value.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as first:
        error = first
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise Refused(Reason.BAD_UTF8, f"byte {wrong.start} is not UTF-8: {wrong.reason}") from None
    mended = _SURROGATES.sub(_mend, value)
    if mended != value:
        try:
            return orjson.loads(mended)
        except orjson.JSONDecodeError as second:
            error = second
    raise Refused(Reason.BAD_JSON, f"{error.msg} (line {error.lineno}, column {error.colno})")


def _has_text(value: str | None) -> bool:
    return value is not None and value != "" and not value.isspace()


def _mend(found: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(found[0]) == 6 else found[0]


def _json_type(data: object) -> str:
    match data:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def describe_error(error: ValidationError) -> str:
    """The first thing that is wrong: the field, what was expected, what kind of value was found."""
    first = error.errors(include_url=False, include_context=False, include_input=True)[0]
    field = ".".join(map(str, first["loc"])) or "the record"
    return f"{field}: {first['msg']}, found {_json_type(first['input'])}"


def _is_deep(extra: dict[str, Any]) -> bool:
    level: list[Any] = [extra]
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            values = node.values() if isinstance(node, dict) else node
            below += [value for value in values if isinstance(value, dict | list)]
        if not below:
            return False
        level = below
    return True


_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_META = re.compile(rb"<meta[^>]{0,400}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_META_WITHIN = 4096  # bytes; the HTML standard asks for the first 1,024, pages exceed it
# What a page may declare → the codec that browsers use for it (WHATWG Encoding, section 4.2).
_CHARSETS: Mapping[str, str] = {
    **dict.fromkeys(("utf-8", "utf8"), "utf-8"),
    **dict.fromkeys(("euc-kr", "euckr", "ks_c_5601-1987", "ks_c_5601-1989", "ksc5601", "korean"), "cp949"),
    **dict.fromkeys(("windows-949", "cp949", "ms949", "uhc", "x-windows-949"), "cp949"),
    **dict.fromkeys(("iso-8859-1", "latin1", "us-ascii", "ascii", "windows-1252", "cp1252"), "cp1252"),
    **{f"iso-8859-{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258, 874)},
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "windows-31j"), "cp932"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    "iso-8859-9": "cp1254",
    "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "big5": "big5hkscs",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
}


def decode_text(encoded: bytes, *, is_html: bool, charset: str | None = None, mend: bool = False) -> str | None:
    """Text by byte order mark, the charset that HTTP declared, (HTML) the page's own, UTF-8, CP949; None if none fits.

    Each must fit every byte. ``charset`` is a label of the Content-Type field. Latin-1 there is what servers add
    unasked: it counts only where the page declares nothing and is not UTF-8 (in browsers it wins, and Korean is noise).
    ``mend``: where none fits, the one that fits best if at most one character in 100 is wrong, that becoming U+FFFD.
    """
    for mark, unicode in _BOMS:
        if encoded.startswith(mark):
            return encoded[len(mark) :].decode(unicode, "replace")
    candidates = ["utf-8", "cp949"]
    if is_html and (declared := _META.search(encoded, 0, _META_WITHIN)):
        candidates.insert(0, _CHARSETS.get(declared[1].decode("ascii").lower(), "utf-8"))
    if (sent := _CHARSETS.get((charset or "").lower())) is not None:
        candidates.insert(len(candidates) - 1 if sent == "cp1252" else 0, sent)
    for candidate in candidates:
        try:
            return encoded.decode(candidate)
        except UnicodeDecodeError:
            continue
    if mend:
        nearest = min((encoded.decode(each, "replace") for each in candidates), key=lambda text: text.count("\ufffd"))
        return nearest if nearest.count("\ufffd") * 100 <= len(nearest) else None
    return None
