"""A WARC file of a crawl (ISO 28500, versions 1.0 and 1.1) → a raw article for each page that a server answered with.

A page is a ``response`` record with status 200 and the type text/html, application/xhtml+xml or text/plain. Everything
else (requests, metadata, redirects, images, revisits, robots.txt) is counted and skipped. A damaged record costs itself
and what its wrong length covers: reading goes on at the next line that begins a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from newsmill.core.decoding import MAX_BODY, decode_text
from newsmill.readers.compression import DAMAGED
from newsmill.readers.found import Found
from newsmill.readers.http_response import BadResponse, decode_body, read_head

__all__ = ["read_warc"]

_MAX_HEADER: Final = 64 << 10  # bytes of a record's header; crawlers write about 500
_MAX_STORED: Final = 4 * MAX_BODY  # bytes of a body as stored: chunk marks of tiny chunks may double it
_MAX_DECODED: Final = 2 * MAX_BODY  # UTF-16 has two bytes for one of UTF-8
_PIECE: Final = 1 << 16
_RECORD_TYPES: Final = frozenset(
    ("warcinfo", "request", "metadata", "revisit", "resource", "conversion", "continuation", "response")
)
_MEDIA_KINDS: Final = frozenset(
    ("application", "audio", "font", "image", "message", "model", "multipart", "text", "video")
)
_PAGES: Final = {"text/html": "text/html", "application/xhtml+xml": "text/html", "text/plain": "text/plain"}
_SHOWN: Final = 300  # characters of an address in a message


class _Skip(NamedTuple):
    """The record is no page; ``kind`` says what it is instead (of a small set, so that counting stays small)."""

    kind: str


class _Block:
    """What lies between a record's header and its end, as a stream that stops there."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self.left = size

    def readline(self, limit: int) -> bytes:
        line = self._stream.readline(min(limit, self.left))
        self.left -= len(line)
        return line

    def read(self, limit: int) -> bytes:
        parts = []
        limit = min(limit, self.left)
        while limit and (part := self._stream.read(min(limit, _PIECE))):
            parts.append(part)
            limit -= len(part)
            self.left -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read to the end; ``left`` is above 0 afterwards if the file ends first."""
        while self.left and (part := self._stream.read(min(self.left, _PIECE))):
            self.left -= len(part)


def read_warc(stream: BinaryIO) -> Iterator[Found]:
    """Every page of an (uncompressed) WARC stream; ``place`` is the number of its record, from 1.

    The last thing found says how many records are no pages, by kind. What the stream itself raises passes through.
    """
    skipped: Counter[str] = Counter()
    try:
        yield from _read_records(stream, skipped)
    except DAMAGED:
        yield from _count(skipped)
        raise
    yield from _count(skipped)


def _count(skipped: Counter[str]) -> Iterator[Found]:
    if total := skipped.total():
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items(), key=lambda i: (-i[1], i[0])))
        yield Found(0, f"skipped records that are no pages: {kinds}", skipped=total)


def _read_records(stream: BinaryIO, skipped: Counter[str]) -> Iterator[Found]:
    number = 0
    line = _next_line(stream)
    while line:
        if not line.startswith(b"WARC/"):
            yield Found(number, "what follows is no WARC record" if number else "the file does not begin as WARC does")
            line = _next_record(stream)
            continue
        number += 1
        fields = _read_fields(stream)
        size = None if fields is None else _number(fields.get("content-length", ""))
        if fields is None or size is None:
            wrong = "no readable Content-Length" if fields is not None else f"a header of more than {_MAX_HEADER} bytes"
            yield Found(number, f"the record has {wrong}")
            line = _next_record(stream)
            continue
        block = _Block(stream, size)
        found = _read_page(fields, block)
        block.drain()
        if block.left:
            yield Found(number, f"the file ends inside this record, {block.left} bytes before its end")
            return
        line = stream.readline(_PIECE)
        if line.strip() and not line.startswith(b"WARC/"):
            yield Found(number, "the record's Content-Length is wrong; what it covers is lost")
            line = _next_record(stream)
            continue
        if isinstance(found, _Skip):
            skipped[found.kind] += 1
        else:
            yield Found(number, found)
        if not line.strip():  # only now: what follows may be damaged
            line = _next_line(stream)


def _next_line(stream: BinaryIO) -> bytes:
    while (line := stream.readline(_PIECE)) and not line.strip():
        pass
    return line


def _next_record(stream: BinaryIO) -> bytes:
    while (line := stream.readline(_PIECE)) and not line.startswith(b"WARC/1."):
        pass
    return line


def _number(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else None


def _read_fields(stream: BinaryIO) -> dict[str, str] | None:
    """The header's named fields, by lower-case name, up to the empty line; None where they take too many bytes."""
    fields: dict[str, str] = {}
    name, left = "", _MAX_HEADER
    while (line := stream.readline(left)).strip():
        left -= len(line)
        if not left:
            return None
        text = line.decode("utf-8", "replace")
        if text[0] in " \t" and name:
            fields[name] += f" {text.strip()}"
            continue
        name, _, value = text.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields


def _read_page(fields: dict[str, str], block: _Block) -> dict[str, Any] | str | _Skip:
    """The article of one record, what is wrong with it, or that it is no page."""
    kind = fields.get("warc-type", "").lower()
    if kind != "response":
        return _Skip(kind if kind in _RECORD_TYPES else "of another kind")
    url = fields.get("warc-target-uri", "").strip("<> ")  # wget wrote <…>
    if not url:
        return "the record has no WARC-Target-URI"
    if not url.lower().startswith(("http://", "https://")):
        return _Skip("not over http")
    try:
        page = _read_response(url, block)
    except BadResponse as error:
        return f"{url[:_SHOWN]}: {error}"
    if isinstance(page, _Skip):
        return page
    if "warc-segment-number" in fields:
        return f"{url[:_SHOWN]}: the page is split over several records, which cannot be read"
    return {"url": url, "fetched_at": fields["warc-date"], **page} if "warc-date" in fields else {"url": url, **page}


def _read_response(url: str, block: _Block) -> dict[str, str] | _Skip:
    head = read_head(block)
    if head.status != 200:
        return _Skip(f"status {head.status}")
    content_type = _PAGES.get(head.media_type)
    if content_type is None:
        kind = head.media_type.partition("/")[0]
        return _Skip(kind if kind in _MEDIA_KINDS else "without a known type")
    if url.partition("?")[0].lower().endswith("/robots.txt"):
        return _Skip("robots.txt")
    if block.left > _MAX_STORED:
        raise BadResponse(f"the body has more than {_MAX_STORED} bytes")
    body = decode_body(block.read(block.left), head.fields, _MAX_DECODED)
    text = decode_text(body, is_html=content_type == "text/html", charset=head.charset, mend=True)
    if text is None:
        raise BadResponse("neither UTF-8 nor CP949 text, and no charset that fits is declared")
    if not text or text.isspace():
        return _Skip("empty pages")
    if len(text) * 4 > MAX_BODY and len(text.encode()) > MAX_BODY:
        raise BadResponse(f"the body has more than {MAX_BODY} bytes of UTF-8")
    return {"body": text, "content_type": content_type}
