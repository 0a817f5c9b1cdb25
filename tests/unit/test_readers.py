"""Readers: every article of a file is found, every mistake names its file and line."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import re
import resource
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from newsmill import readers
from newsmill.core.decoding import MAX_VALUE
from newsmill.errors import ConfigError
from newsmill.readers import Found, RawItem, Refusal, read_path, suffixes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ARTICLE = {"url": "http://www.example.com/a?utm_source=x", "title": "새 다리", "body": "다리가 열렸다."}


def split(path: Path | str, source: str | None = None) -> tuple[list[RawItem], list[Refusal]]:
    items = list(read_path(path, source))
    return [i for i in items if isinstance(i, RawItem)], [i for i in items if isinstance(i, Refusal)]


def write(path: Path, content: bytes | str | Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    elif not isinstance(content, bytes):
        content = orjson.dumps(content)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


LINES = b"\n".join(
    [
        orjson.dumps(ARTICLE),
        b"",
        b'{"body": ',
        b'["body"]',
        b'{"body": 5, "url": "u"}',
        b'{"url": "u"}',
        orjson.dumps({"body": "no address"}),
        orjson.dumps({"body": "titled", "title": "t", "source": "s"}),
        '{"body": "옛 문서", "url": "u"}'.encode("cp949"),
        b'{"body": "cut \\ud83d", "url": "u"}',
        b'{"body": "\xff\xff", "url": "u"}',
    ]
)


@pytest.mark.parametrize("name", ["in.jsonl", "in.ndjson", "in.JSONL", "in.jsonl.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, LINES)
    articles, refusals = split(path)
    assert [article.data["body"] for article in articles] == [
        *("다리가 열렸다.", "no address", "titled", "옛 문서", "cut \ufffd"),
    ]
    assert [str(refusal).removeprefix(str(path)) for refusal in refusals] == [
        ":3: not JSON: unexpected end of data (line 1, column 9)",
        ":4: expected a JSON object",
        ":5: body: Input should be a valid string, found a number",
        ":6: body: Field required, found an object",
        ":11: not JSON: byte 10 is not UTF-8: invalid start byte",
    ]
    assert not any(refusal.notice for refusal in refusals)
    assert articles[0].data == ARTICLE  # as given, not rewritten
    assert articles[0].key == b"https://www.example.com/a"
    assert articles[0].place == f"{path}:1"
    assert articles[1].data["url"] == f"file:{name}:7"
    assert "url" not in articles[2].data
    assert len(articles[2].key) == 32


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = types.SimpleNamespace(buffer=io.BytesIO(b'{"body": "x"}\n{'))
    monkeypatch.setattr(sys, "stdin", stdin)
    articles, refusals = split("-", "가상일보")
    assert articles[0].data == {"body": "x", "source": "가상일보", "url": "file:stdin:1"}
    assert str(refusals[0]).startswith("standard input:2: not JSON")


def test_lines_are_read_one_by_one_and_long_ones_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        """A short line, a line of 3 x the limit, then short lines for ever."""

        largest = 0
        calls = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size >= 0
            self.largest = max(self.largest, size)
            self.calls += 1
            if self.calls in (2, 3, 4):
                return b"x" * size
            return b'{"body": "x", "url": "u"}\n'

    stream = Endless()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stream))
    items: Iterator[readers.Item] = read_path("-")
    first, second, third = next(items), next(items), next(items)
    assert isinstance(first, RawItem)
    assert second == Refusal("standard input", 2, f"the line has more than {MAX_VALUE} bytes")
    assert isinstance(third, RawItem)
    assert third.place == "standard input:3"
    assert stream.largest <= MAX_VALUE + 1


def test_json(tmp_path: Path) -> None:
    (one,), _ = split(write(tmp_path / "one.json", {"body": "x", "title": "t"}), "s")
    assert one.data == {"body": "x", "title": "t", "source": "s", "url": "file:one.json"}
    articles, refusals = split(write(tmp_path / "list.json", [ARTICLE, 5, {"body": "y"}]))
    assert [article.data["url"] for article in articles] == [ARTICLE["url"], "file:list.json:3"]
    assert [(refusal.line, refusal.message) for refusal in refusals] == [(2, "expected a JSON object")]
    assert split(write(tmp_path / "bad.json", "{"))[1][0].message.startswith("not JSON")
    assert split(write(tmp_path / "text.json", '"x"'))[1][0].message == "expected a JSON object or a list of them"


def test_a_given_source_is_kept(tmp_path: Path) -> None:
    (article,), _ = split(write(tmp_path / "a.json", ARTICLE | {"source": "own"}), "other")
    assert article.data["source"] == "own"


KOREAN = "다리가 열렸다. 똠방각하"  # 똠 is in CP949, not in EUC-KR


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", KOREAN.encode(), KOREAN),
        ("a.txt", b"\xef\xbb\xbf" + KOREAN.encode(), KOREAN),
        ("a.txt", b"\xff\xfe" + KOREAN.encode("utf-16-le"), KOREAN),
        ("a.txt", b"\xfe\xff" + KOREAN.encode("utf-16-be"), KOREAN),
        ("a.txt", KOREAN.encode("cp949"), KOREAN),
        ("a.txt.gz", KOREAN.encode("cp949"), KOREAN),
        ("a.html", b'<meta charset="euc-kr">' + KOREAN.encode("cp949"), '<meta charset="euc-kr">' + KOREAN),
        ("a.html", b"<meta charset=utf-8>" + KOREAN.encode("cp949"), "<meta charset=utf-8>" + KOREAN),
        ("a.htm", b"<meta charset='shift_jis'>" + "橋".encode("cp932"), "<meta charset='shift_jis'>橋"),
        ("a.htm", b"<meta charset=iso-8859-1>caf\xe9", "<meta charset=iso-8859-1>café"),
        ("a.htm", b"<meta charset=punycode>" + KOREAN.encode(), "<meta charset=punycode>" + KOREAN),
        ("a.htm", b"<p>" + KOREAN.encode("cp949"), "<p>" + KOREAN),
    ],
)
def test_charsets(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (article,), refusals = split(write(tmp_path / name, content))
    assert refusals == []
    assert article.data["body"] == text
    assert article.data["url"] == f"file:{name}"
    assert article.data.get("content_type") == ("text/html" if "htm" in name else None)
    assert article.key == f"file:{name}".encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b" \n ", "the file is empty"),
        ("a.txt", b"\xff\xff\xff", "neither UTF-8 nor CP949"),
        ("a.jsonl", b"\xff\xfe{\x00", "UTF-16"),
        ("a.pdf", b"%PDF", "no reader for .pdf files .there are: htm, html, json, jsonl, ndjson, txt, warc"),
        ("LICENSE", b"x", "no reader for files without a suffix"),
        ("a.html", b"x" * (MAX_VALUE + 1), "the file has more than"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    articles, (refusal,) = split(write(tmp_path / name, content))
    assert articles == []
    assert re.search(message, refusal.message)
    assert not refusal.notice
    assert refusal.line == 0


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    assert split(tmp_path / "none.jsonl")[1] == [Refusal(str(tmp_path / "none.jsonl"), 0, "No such file or directory")]
    whole = gzip.compress(b'{"body": "x", "url": "u"}\n' * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-12])
    articles, (refusal,) = split(tmp_path / "cut.jsonl.gz")
    assert len(articles) <= 50
    assert "damaged gzip file" in refusal.message
    (tmp_path / "no.jsonl.gz").write_bytes(b"plain")
    assert "damaged gzip file" in split(tmp_path / "no.jsonl.gz")[1][0].message


def test_folders(tmp_path: Path) -> None:
    write(tmp_path / "b" / "2.txt", "two")
    write(tmp_path / "b" / "10.txt", "ten")
    write(tmp_path / "a.txt", "a")
    write(tmp_path / "c.jsonl", ARTICLE)
    write(tmp_path / "read.me", "not for us")
    write(tmp_path / ".hidden" / "x.txt", "x")
    (tmp_path / "loop").symlink_to(tmp_path)
    articles, refusals = split(tmp_path)
    assert [article.data["url"] for article in articles] == [
        *("file:a.txt", "file:b/10.txt", "file:b/2.txt", ARTICLE["url"]),
    ]
    assert refusals == [Refusal(str(tmp_path / "read.me"), 0, "skipped, no reader for .me files", notice=True)]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.txt"
    try:
        path.write_text("x")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    (article,), _ = split(path)
    assert orjson.loads(orjson.dumps(article.data))["url"] == "file:a?.txt"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[importlib.metadata.EntryPoint]]:
    entries: list[importlib.metadata.EntryPoint] = []
    monkeypatch.setattr(readers, "entry_points", lambda group: entries)
    readers._readers.cache_clear()
    yield entries
    readers._readers.cache_clear()


def read_upper(stream: Any) -> Iterator[Found]:
    yield Found(0, {"body": stream.read().decode().upper()})


def entry(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, "newsmill.readers")


def test_other_packages_add_suffixes(
    tmp_path: Path, plugins: list[importlib.metadata.EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("upper_reader")
    module.read = read_upper  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "upper_reader", module)
    plugins.append(entry(".up", "upper_reader:read"))
    (article,), _ = split(write(tmp_path / "a.up", "text"))
    assert article.data == {"body": "TEXT", "url": "file:a.up"}
    assert "up" in suffixes()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("html", "html_reader:read", "html, which has one already"),
        ("up", "no_such_module_here:read", "for up files cannot be loaded"),
        ("up", "sys:no_such_name", "for up files cannot be loaded"),
    ],
)
def test_a_broken_reader_is_named(
    plugins: list[importlib.metadata.EntryPoint], name: str, value: str, message: str
) -> None:
    plugins.append(entry(name, value))
    with pytest.raises(ConfigError, match=message):
        suffixes()


LINE = b'{"body": "x", "url": "u"}\n'


@pytest.mark.parametrize("name", ["in.jsonl.zst", "in.JSONL.ZST"])
def test_zst_files(tmp_path: Path, name: str) -> None:
    """One frame or many, with skippable ones between them."""
    skippable = b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
    for content in (zstd.compress(LINE * 3), zstd.compress(LINE) * 2 + skippable + zstd.compress(LINE)):
        (tmp_path / name).write_bytes(content)
        assert [len(found) for found in split(tmp_path / name)] == [3, 0]
    (tmp_path / "a.html.zst").write_bytes(zstd.compress(KOREAN.encode("cp949")))
    assert split(tmp_path / "a.html.zst")[0][0].data["url"] == "file:a.html.zst"


def test_damaged_zst_files(tmp_path: Path) -> None:
    """What comes before the damage is kept; the file is named."""
    path = tmp_path / "a.jsonl.zst"
    parameter = zstd.CompressionParameter
    wide = zstd.ZstdCompressor(options={parameter.window_log: 28, parameter.enable_long_distance_matching: 1})
    whole = zstd.compress(LINE)
    for content, count, wrong in (
        (whole * 2 + zstd.compress(bytes(range(256)) * 9)[:-5], 2, "ended before the end"),
        (whole * 3 + b"rubbish, no frame", 3, "Unknown frame"),
        (b"plain", 0, "Unknown frame"),
        (b"", 0, "ended before the end"),
        (wide.compress(LINE * 9) + wide.flush(), 0, "asks for a window of more than 128 MiB"),
    ):
        path.write_bytes(content)
        articles, (refusal,) = split(path)
        assert len(articles) == count
        assert str(refusal).startswith(f"{path}: damaged zst file")
        assert wrong in refusal.message


def test_a_zst_bomb_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.zst"
    path.write_bytes(zstd.compress(bytes(256 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "more than" in split(path)[1][0].message
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 64 << 20
