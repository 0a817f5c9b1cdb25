"""Files of any kind → raw articles ready to publish, or refusals that name file and line.

A reader turns one open file into what it found; which reader, the suffix says. Other packages add suffixes with the
entry point group ``newsmill.readers``: the entry's name is the suffix without its dot, its object a `Reader`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from pydantic import ValidationError

from newsmill.core.decoding import MAX_VALUE, decode_json, decode_text, describe_error
from newsmill.core.folding import nfc
from newsmill.core.identity import canonicalize_url
from newsmill.errors import ConfigError, Refused
from newsmill.events import RawArticle
from newsmill.readers.compression import DAMAGED, describe_damage, open_stream, plain_name
from newsmill.readers.found import Found, Reader
from newsmill.readers.warc import read_warc

__all__ = ["Found", "Item", "RawItem", "Reader", "Refusal", "read_path", "suffixes"]

MAX_DOCUMENT: Final = 64 << 20
"""Bytes of a .json file, which is parsed whole; more belongs into .jsonl, which is read line by line."""


class RawItem(NamedTuple):
    """One article to publish: ``data`` has the fields of a `RawArticle` and unknown ones, ``key`` is the record's."""

    data: dict[str, Any]
    key: bytes
    place: str


class Refusal(NamedTuple):
    """What cannot be read. ``line`` counts from 1, 0 is the whole file.

    ``notice``: skipped, but no mistake; ``parts`` says how many parts of the file are.
    """

    file: str
    line: int
    message: str
    notice: bool = False
    parts: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


Item = RawItem | Refusal


def read_path(path: str | Path, source: str | None = None) -> Iterator[Item]:
    """The articles of a file, of all files of a folder (sorted, recursive), or of standard input ("-", JSON lines).

    ``source`` is the publisher of articles that name none. An article without an address gets ``file:NAME``; where a
    file holds several, ``file:NAME:LINE``. Nothing raises but `ConfigError` (a broken reader of another package).
    """
    if str(path) == "-":
        yield from _read(sys.stdin.buffer, _read_lines, "stdin", "standard input", source)
        return
    root = Path(path)
    if not root.is_dir():
        yield from _read_file(root, root.name, source)
        return
    for file in _walk(root):
        if isinstance(file, Refusal):
            yield file
        elif _reader_of(file) is None:
            yield Refusal(str(file), 0, f"skipped, no reader for {_kind(file)}", notice=True)
        else:
            yield from _read_file(file, file.relative_to(root).as_posix(), source)


def _walk(root: Path) -> Iterator[Path | Refusal]:
    """Every visible file below a folder, depth first, sorted by name; what cannot be listed as a `Refusal`."""
    waiting = [root]
    while waiting:
        entry = waiting.pop()
        if entry != root and entry.is_symlink() and entry.is_dir():
            continue  # a link may lead back up
        if not entry.is_dir():
            yield entry
            continue
        try:
            inside = [inner for inner in entry.iterdir() if not inner.name.startswith(".")]
        except OSError as error:
            yield Refusal(str(entry), 0, error.strerror or str(error))
            continue
        waiting += sorted(inside, key=lambda inner: inner.name, reverse=True)


def _suffix(path: Path) -> str:
    return Path(plain_name(path.name)).suffix.removeprefix(".")


def _kind(path: Path) -> str:
    suffix = _suffix(path)
    return f".{suffix} files" if suffix else "files without a suffix"


def _reader_of(path: Path) -> Reader | None:
    return _readers().get(_suffix(path))


def _read_file(path: Path, name: str, source: str | None) -> Iterator[Item]:
    reader = _reader_of(path)
    if reader is None:
        known = ", ".join(suffixes())
        yield Refusal(str(path), 0, f"no reader for {_kind(path)} (there are: {known})")
        return
    try:
        with open_stream(path) as stream:
            yield from _read(stream, reader, name, str(path), source)
    except DAMAGED as error:
        yield Refusal(str(path), 0, describe_damage(path, error))
    except OSError as error:
        yield Refusal(str(path), 0, error.strerror or str(error))


def _read(stream: BinaryIO, reader: Reader, name: str, file: str, source: str | None) -> Iterator[Item]:
    for place, content, skipped in reader(stream):
        if skipped and isinstance(content, str):
            yield Refusal(file, place, content, notice=True, parts=skipped)
        else:
            yield _item(content, place, name, file, source)


def _item(content: dict[str, Any] | str, place: int, name: str, file: str, source: str | None) -> Item:
    if isinstance(content, str):
        return Refusal(file, place, content)
    data = dict(content)
    if source and not data.get("source"):
        data["source"] = source
    if not data.get("url") and not (data.get("title") and data.get("source") and place):
        data["url"] = f"file:{_printable(name)}:{place}" if place else f"file:{_printable(name)}"
    try:
        raw = RawArticle.model_validate(data)
    except ValidationError as error:
        return Refusal(file, place, describe_error(error))
    return RawItem(data, _key(raw), f"{file}:{place}" if place else file)


def _key(raw: RawArticle) -> bytes:
    """The record's key: the canonical URL; without one a digest, so that the same article keeps its partition."""
    if raw.url:
        return canonicalize_url(raw.url).encode("utf-8", "replace")
    return hashlib.blake2b(f"{raw.source}\0{raw.title}".encode(), digest_size=16).hexdigest().encode()


def _printable(name: str) -> str:
    return nfc(name).encode("utf-8", "replace").decode()  # file names may hold bytes that are no text


def _read_lines(stream: BinaryIO) -> Iterator[Found]:
    number = 0
    while line := stream.readline(MAX_VALUE + 1):
        number += 1
        if len(line) > MAX_VALUE and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_VALUE)) and not rest.endswith(b"\n"):
                pass
            yield Found(number, f"the line has more than {MAX_VALUE} bytes")
        elif number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield Found(0, "UTF-16 text; JSON lines must be UTF-8")
            return
        elif line := line.strip():
            yield Found(number, _object(line))


def _object(encoded: bytes) -> dict[str, Any] | str:
    try:
        data = _json(encoded)
    except Refused as refused:
        return f"not JSON: {refused.detail}"
    return data if isinstance(data, dict) else "expected a JSON object"


def _json(encoded: bytes) -> Any:
    """JSON in UTF-8, else in CP949 (old Korean exports)."""
    try:
        return decode_json(encoded)
    except Refused as refused:
        try:
            recoded = encoded.decode("cp949").encode()
        except UnicodeDecodeError:
            raise refused from None
        return decode_json(recoded)


def _read_document(stream: BinaryIO) -> Iterator[Found]:
    encoded = stream.read(MAX_DOCUMENT + 1)
    if len(encoded) > MAX_DOCUMENT:
        yield Found(0, f"the file has more than {MAX_DOCUMENT} bytes; write it as .jsonl")
        return
    try:
        data = _json(encoded)
    except Refused as refused:
        yield Found(0, f"not JSON: {refused.detail}")
        return
    if isinstance(data, dict):
        yield Found(0, data)
    elif isinstance(data, list):
        for place, element in enumerate(data, 1):
            content = element if isinstance(element, dict) else "expected a JSON object"
            yield Found(place, content)
    else:
        yield Found(0, "expected a JSON object or a list of them")


def _read_page(stream: BinaryIO) -> Iterator[Found]:
    yield _whole(stream, "text/html")


def _read_text(stream: BinaryIO) -> Iterator[Found]:
    yield _whole(stream, None)  # the stage sniffs: scrapers save pages as .txt too


def _whole(stream: BinaryIO, content_type: str | None) -> Found:
    encoded = stream.read(MAX_VALUE + 1)
    if len(encoded) > MAX_VALUE:
        return Found(0, f"the file has more than {MAX_VALUE} bytes")
    text = decode_text(encoded, is_html=content_type is not None)
    if text is None:
        return Found(0, "neither UTF-8 nor CP949 text, and no charset is declared")
    if not text.strip():
        return Found(0, "the file is empty")
    return Found(0, {"body": text} if content_type is None else {"body": text, "content_type": content_type})


_BUILT_IN: Mapping[str, Reader] = {
    "jsonl": _read_lines,
    "ndjson": _read_lines,
    "json": _read_document,
    "html": _read_page,
    "htm": _read_page,
    "txt": _read_text,
    "warc": read_warc,
}


@lru_cache(maxsize=1)
def _readers() -> Mapping[str, Reader]:
    """Suffix → reader: the built-in ones, and those of other packages for further suffixes."""
    found = dict(_BUILT_IN)
    for entry in sorted(entry_points(group="newsmill.readers"), key=lambda entry: (entry.name, entry.value)):
        suffix = entry.name.lower().removeprefix(".")
        if suffix in found:
            raise ConfigError(f"the reader {entry.value} wants the suffix {suffix}, which has one already")
        try:
            found[suffix] = entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"the reader {entry.value} for {suffix} files cannot be loaded: {error}") from error
    return found


def suffixes() -> list[str]:
    """The suffixes that can be read, sorted, without dots; each also with .gz or .zst after it."""
    return sorted(_readers())
