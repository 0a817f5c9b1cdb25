"""The bytes of an HTTP/1 response as a crawler stored them → status, type and the body with its encodings undone.

Crawlers differ in what they undo before they write: a body that is not what its header says, but text already, is
taken as it is. Every step is bounded, so a body that expands without end costs its limit.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import cramjam

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MAX_HEAD", "BadResponse", "Head", "Lines", "decode_body", "read_head"]

MAX_HEAD: Final = 64 << 10
"""Bytes of status line and header fields together; servers and browsers take 8 to 256 KiB."""
_MAX_ENCODINGS: Final = 4
_MAX_MEMBERS: Final = 64  # of a gzip body; each costs a copy of what follows it
_WINDOW_LOG: Final = 23  # RFC 9659: content encodings use windows of at most 8 MiB
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?:[ \t\r\n]|$)")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,1000})?\r?\n")


class BadResponse(Exception):
    """The response cannot be read; the text says why."""


class Lines(Protocol):
    """A stream that is read line by line."""

    def readline(self, limit: int, /) -> bytes: ...


class Head(NamedTuple):
    """Status line and header. ``media_type`` is in lower case, "" where none is given."""

    status: int
    media_type: str
    charset: str | None
    fields: Mapping[str, str]


def read_head(stream: Lines) -> Head:
    """Status line and header fields of a response; the stream stands at its body then.

    `BadResponse` where there is no HTTP header or it has more than `MAX_HEAD` bytes. A field that is given twice
    counts with both values, as RFC 9110 says.
    """
    line = stream.readline(MAX_HEAD)
    status = _STATUS.match(line)
    if status is None:
        raise BadResponse("the record has no HTTP header")
    left = MAX_HEAD - len(line)
    fields: dict[str, str] = {}
    name = ""
    while (line := stream.readline(left)).strip():
        left -= len(line)
        if not left:
            raise BadResponse(f"the HTTP header has more than {MAX_HEAD} bytes")
        text = line.decode("utf-8", "replace")
        if text[0] in " \t" and name:
            fields[name] += f" {text.strip()}"
            continue
        name, _, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    media_type, charset = _content_type(fields.get("content-type", ""))
    return Head(int(status[1]), media_type, charset, fields)


def _content_type(value: str) -> tuple[str, str | None]:
    media_type, _, parameters = value.partition(";")
    found = re.search(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", parameters, re.IGNORECASE)
    return media_type.split(",")[0].strip().lower(), found[1] if found else None


def decode_body(body: bytes, fields: Mapping[str, str], limit: int) -> bytes:
    """The body without chunks and content encodings; `BadResponse` where they are damaged or it exceeds ``limit``."""
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body = _join_chunks(body)
    encodings = [name.strip().lower() for name in fields.get("content-encoding", "").split(",") if name.strip()]
    if len(encodings) > _MAX_ENCODINGS:
        raise BadResponse(f"more than {_MAX_ENCODINGS} content encodings")
    for encoding in reversed(encodings):
        body = _decode(body, encoding.removeprefix("x-"), limit)
    if len(body) > limit:
        raise BadResponse(_too_large(limit))
    return body


def _too_large(limit: int) -> str:
    return f"the body has more than {limit} bytes"


def _join_chunks(body: bytes) -> bytes:
    """RFC 9112, section 7.1; what does not begin with a chunk was joined by the crawler already."""
    parts: list[bytes] = []
    place = 0
    while chunk := _CHUNK.match(body, place):
        size = int(chunk[1], 16)
        if not size:
            return b"".join(parts)
        place = chunk.end() + size
        if place >= len(body):
            raise BadResponse("the chunked body is cut off")
        parts.append(body[chunk.end() : place])
        place += 2 if body[place : place + 2] == b"\r\n" else body[place : place + 1] == b"\n"
    if parts:
        raise BadResponse(f"no chunk begins at byte {place} of the chunked body")
    return body


def _decode(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity", "none", "utf-8") or not body:
        return body
    try:
        match encoding:
            case "gzip":
                return _inflate(body, 31, limit) if body.startswith(b"\x1f\x8b") else _as_it_is(body, encoding)
            case "deflate":
                return _inflate_either(body, limit)
            case "br":
                return _unbrotli(body, limit)
            case "zstd":
                return _unzstd(body, limit)
    except (zlib.error, zstd.ZstdError) as error:
        raise BadResponse(f"the {encoding} body is damaged: {error}") from None
    raise BadResponse(f"the content encoding {encoding[:40]!r} cannot be read")


def _as_it_is(body: bytes, encoding: str) -> bytes:
    if body.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<"):
        return body
    raise BadResponse(f"the body is not {encoding}, as its header says")


def _inflate(body: bytes, wbits: int, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit + 1
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(wbits)
        part = inflater.decompress(body, room)
        room -= len(part)
        if not room:
            raise BadResponse(_too_large(limit))
        parts.append(part)
        if not inflater.eof:
            raise BadResponse("the compressed body is cut off")
        body = inflater.unused_data
        if wbits != 31 or not body.startswith(b"\x1f\x8b"):  # gzip may have several members; the rest is padding
            return b"".join(parts)
    raise BadResponse(f"the gzip body has more than {_MAX_MEMBERS} members")


def _inflate_either(body: bytes, limit: int) -> bytes:
    """RFC 9110 means zlib's format by "deflate"; many servers send the bare stream."""
    try:
        return _inflate(body, 15, limit)
    except zlib.error:
        try:
            return _inflate(body, -15, limit)
        except (zlib.error, BadResponse):
            return _as_it_is(body, "deflate")


def _unbrotli(body: bytes, limit: int) -> bytes:
    room = bytearray(limit + 1)  # a fixed room: the stream decompressor of cramjam has no limit
    try:
        size = cramjam.brotli.decompress_into(body, room)
    except cramjam.DecompressionError as error:
        if "write whole buffer" in str(error):
            raise BadResponse(_too_large(limit)) from None
        return _as_it_is(body, "br")
    return bytes(memoryview(room)[:size])


def _unzstd(body: bytes, limit: int) -> bytes:
    if not body.startswith(b"\x28\xb5\x2f\xfd"):
        return _as_it_is(body, "zstd")
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    decoded = decompressor.decompress(body, limit + 1)
    if len(decoded) > limit:
        raise BadResponse(_too_large(limit))
    if not decompressor.eof:
        raise BadResponse("the compressed body is cut off")
    return decoded
