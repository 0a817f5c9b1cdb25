"""WARC files of a crawl: every page becomes an article, all else is counted, damage costs no more than it must."""

from __future__ import annotations

import gzip
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cramjam
import pytest

from newsmill.core.decoding import MAX_BODY
from newsmill.readers import RawItem, Refusal, read_path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATE = "2024-05-06T07:08:09Z"
KOREAN = "<html><title>청람대교</title><p>청람대교가 월요일에 다시 열렸다. 똠방각하</p></html>"
FERRY = "<html><title>Ferry</title><p>The ferry runs again.</p></html>"


def record(block: bytes, kind: str = "response", url: str = "https://news.example/1", **fields: str | None) -> bytes:
    given = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": DATE,
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def answer(body: bytes | str = FERRY, status: str = "200 OK", content_type: str = "text/html", **fields: str) -> bytes:
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    encoded = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{head}\r\n".encode() + encoded


def page(number: int) -> bytes:
    return record(answer(f"<p>page {number}</p>"), url=f"https://news.example/{number}")


def read(path: Path, content: bytes) -> tuple[list[RawItem], list[Refusal]]:
    path.write_bytes(content)
    items = list(read_path(path))
    return [i for i in items if isinstance(i, RawItem)], [i for i in items if isinstance(i, Refusal)]


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%X;x=y\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nTrailer: x\r\n\r\n"


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


CRAWL = [
    record(b"software: crawler\r\n", "warcinfo", Content_Type="application/warc-fields", WARC_Target_URI=None),
    record(b"GET /1 HTTP/1.1\r\nHost: news.example\r\n\r\n", "request"),
    record(answer()),
    record(answer(KOREAN.encode("cp949"), content_type="Text/HTML; charset=EUC-KR"), url="<https://news.example/2>"),
    record(answer("plain words", content_type="text/plain"), url="https://news.example/3.txt"),
    record(answer("", "301 Moved Permanently", Location="/1"), url="https://news.example/old"),
    record(answer("<p>gone</p>", "404 Not Found"), url="https://news.example/gone"),
    record(answer(b"\xff\xd8", content_type="image/jpeg"), url="https://news.example/i.jpg"),
    record(answer("User-agent: *", content_type="text/plain"), url="https://news.example/robots.txt"),
    record(answer(" \r\n"), url="https://news.example/empty"),
    record(answer()[:60], "revisit", WARC_Profile="identical-payload-digest"),
    record(b"20240506070809\nnews.example. IN A 192.0.2.1", url="dns:news.example", Content_Type="text/dns"),
    record(b"fetchTimeMs: 5\r\n", "metadata", Content_Type="application/warc-fields"),
]
SHAPES: dict[str, Callable[[list[bytes]], bytes]] = {
    "crawl.warc": b"".join,
    "crawl.WARC.gz": lambda records: b"".join(map(gzip.compress, records)),
    "one.warc.gz": lambda records: gzip.compress(b"".join(records)),
    "crawl.warc.zst": lambda records: b"".join(map(zstd.compress, records)),
    "one.warc.zst": lambda records: zstd.compress(b"".join(records)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_crawl(tmp_path: Path, name: str) -> None:
    articles, notes = read(tmp_path / name, SHAPES[name](CRAWL))
    page = {"fetched_at": DATE, "content_type": "text/html"}
    assert [article.data for article in articles] == [
        page | {"url": "https://news.example/1", "body": FERRY},
        page | {"url": "https://news.example/2", "body": KOREAN},
        page | {"url": "https://news.example/3.txt", "body": "plain words", "content_type": "text/plain"},
    ]
    assert articles[1].key == b"https://news.example/2"
    assert articles[1].place == f"{tmp_path / name}:4"
    kinds = "1 empty pages, 1 image, 1 metadata, 1 not over http, 1 request, 1 revisit, 1 robots.txt, 1 status 301, "
    message = f"skipped records that are no pages: {kinds}1 status 404, 1 warcinfo"
    assert notes == [Refusal(str(tmp_path / name), 0, message, notice=True, parts=10)]


def test_a_zst_with_a_dictionary(tmp_path: Path) -> None:
    """The form of .warc.zst 1.0: a skippable frame with the dictionary, itself compressed, then a frame a record."""
    pages = [page(number) for number in range(400)]
    dictionary = zstd.train_dict(pages, 4096)
    frames = b"".join(zstd.compress(one, zstd_dict=dictionary) for one in pages)
    for content in (dictionary.dict_content, zstd.compress(dictionary.dict_content)):
        head = struct.pack("<4sI", b"\x5d\x2a\x4d\x18", len(content)) + content
        articles, notes = read(tmp_path / "a.warc.zst", head + frames)
        assert (len(articles), notes) == (400, [])
    for content, wrong in ((b"", "dictionary"), (zstd.compress(bytes(17 << 20)), "dictionary is cut off or has more")):
        _, (refusal,) = read(tmp_path / "b.warc.zst", struct.pack("<4sI", b"\x5d\x2a\x4d\x18", len(content)) + content)
        assert "damaged zst file" in refusal.message
        assert wrong in refusal.message


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(FERRY.encode())),
        ("x-gzip", gzip.compress(FERRY[:20].encode()) + gzip.compress(FERRY[20:].encode()) + b"\0\0"),
        ("deflate", zlib.compress(FERRY.encode())),
        ("deflate", raw_deflate(FERRY.encode())),
        ("br", bytes(cramjam.brotli.compress(FERRY.encode()))),
        ("zstd", zstd.compress(FERRY.encode())),
        ("deflate, GZIP", gzip.compress(zlib.compress(FERRY.encode()))),
        ("identity", FERRY.encode()),
        ("gzip", FERRY.encode()),  # the crawler undid it and kept the header
        ("br", FERRY.encode()),
        ("deflate", FERRY.encode()),
        ("zstd", FERRY.encode()),
    ],
)
def test_content_encodings(tmp_path: Path, encoding: str, body: bytes) -> None:
    blocks = [
        answer(body, Content_Encoding=encoding),
        answer(chunked(body), Content_Encoding=encoding, Transfer_Encoding="chunked"),
        answer(body, Content_Encoding=encoding, Transfer_Encoding="chunked"),  # joined by the crawler
    ]
    articles, notes = read(tmp_path / "a.warc", b"".join(map(record, blocks)))
    assert [article.data["body"] for article in articles] == [FERRY] * 3
    assert notes == []


LATIN = "<p>caf\xe9 ouvert</p>"


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/html; charset=euc-kr", KOREAN.encode("cp949"), KOREAN),
        ('text/html; Charset="utf-8"', KOREAN.encode(), KOREAN),
        ("text/html", KOREAN.encode("cp949"), KOREAN),
        ("text/html; charset=utf-8", KOREAN.encode("cp949"), KOREAN),  # the header is wrong
        ("text/html; charset=nonsense", KOREAN.encode(), KOREAN),
        ("text/html; charset=euc-kr", b"\xef\xbb\xbf" + KOREAN.encode(), KOREAN),
        ("text/html; charset=shift_jis", "<p>橋が開いた</p>".encode("cp932"), "<p>橋が開いた</p>"),
        ("text/html; charset=iso-8859-1", b"<meta charset=euc-kr>" + KOREAN.encode("cp949"), None),
        ("text/html; charset=iso-8859-1", KOREAN.encode(), KOREAN),
        ("text/html; charset=iso-8859-1", LATIN.encode("latin-1"), LATIN),
        ("application/xhtml+xml", KOREAN.encode(), KOREAN),
        ("text/plain; charset=ks_c_5601-1987", "청람대교".encode("cp949"), "청람대교"),
    ],
)
def test_charsets(tmp_path: Path, content_type: str, body: bytes, text: str | None) -> None:
    (article,), _ = read(tmp_path / "a.warc", record(answer(body, content_type=content_type)))
    assert article.data["body"] == ("<meta charset=euc-kr>" + KOREAN if text is None else text)


@pytest.mark.parametrize("charset", ["utf-8", "cp949"])
def test_a_stray_byte_costs_a_character(tmp_path: Path, charset: str) -> None:
    """Pages that are cut in a character or carry a stray byte are read as browsers read them."""
    text = "청람대교가 다시 열렸다. " * 20
    stray = text.encode(charset) + b"\xff\x20" + "끝".encode(charset)[:1]
    (article,), refusals = read(
        tmp_path / "a.warc", record(answer(stray, content_type=f"text/html; charset={charset}"))
    )
    assert article.data["body"] == text + "\ufffd \ufffd"
    assert refusals == []


def test_forms_that_crawlers_write(tmp_path: Path) -> None:
    """Newlines alone, folded fields, no reason phrase, names in any case, one newline between records."""
    block = b"HTTP/1.1 200\nX-Long: a\n b\ncontent-TYPE:text/html\n\n<p>lines</p>"
    loose = b"WARC/1.1\nwarc-type: response\nWARC-Target-URI:\n https://news.example/9\ncontent-length:%d\n\n%b\n" % (
        len(block),
        block,
    )
    articles, notes = read(tmp_path / "a.warc", loose + page(2).rstrip())
    assert [article.data["url"] for article in articles] == ["https://news.example/9", "https://news.example/2"]
    assert "fetched_at" not in articles[0].data
    assert notes == []


BOMB = bytes(64 << 20)
URL = "https://news.example/1: "


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (record(b"<p>no header</p>"), URL + "the record has no HTTP header"),
        (record(answer(), WARC_Target_URI=None), "the record has no WARC-Target-URI"),
        (record(answer(), Content_Length=None), "the record has no readable Content-Length"),
        (record(answer(), Content_Length="-7"), "the record has no readable Content-Length"),
        (record(answer(), Content_Length="9" * 40), "the record has no readable Content-Length"),
        (record(answer(), Content_Length="60"), "the record's Content-Length is wrong; what it covers is lost"),
        (b"rubbish\r\n" * 9000, "what follows is no WARC record"),
        (b"x" * (1 << 20), "what follows is no WARC record"),
        (record(answer(), X="a" * (1 << 20)), "the record has a header of more than 65536 bytes"),
        (record(answer(), **{f"X{n}": "a" for n in range(9999)}), "the record has a header of more than 65536 bytes"),
        (record(answer(X="a" * (1 << 20))), URL + "the HTTP header has more than 65536 bytes"),
        (record(answer(**{f"X{n}": "a" for n in range(9999)})), URL + "the HTTP header has more than 65536 bytes"),
        (record(answer("<p>" + "a" * MAX_BODY)), URL + "the body has more than 1048576 bytes of UTF-8"),
        (record(answer(BOMB[: 5 << 20])), URL + "the body has more than 4194304 bytes"),
        (record(answer(gzip.compress(BOMB), Content_Encoding="gzip")), URL + "the body has more than 2097152 bytes"),
        (record(answer(zlib.compress(BOMB), Content_Encoding="deflate")), URL + "the body has more than 2097152 bytes"),
        (
            record(answer(bytes(cramjam.brotli.compress(BOMB)), Content_Encoding="br")),
            URL + "the body has more than 2097152 bytes",
        ),
        (
            record(answer(gzip.compress(gzip.compress(BOMB)), Content_Encoding="gzip, gzip")),
            URL + "the body has more than 2097152 bytes",
        ),
        (record(answer(Content_Encoding="gzip, " * 9)), URL + "more than 4 content encodings"),
        (
            record(answer(gzip.compress(b"") * 150_000, Content_Encoding="gzip")),
            URL + "the gzip body has more than 64 members",
        ),
        (record(answer(Content_Encoding="rot13")), URL + "the content encoding 'rot13' cannot be read"),
        (
            record(answer(gzip.compress(FERRY.encode())[:-9], Content_Encoding="gzip")),
            URL + "the compressed body is cut off",
        ),
        (record(answer(b"\0\1\2", Content_Encoding="br")), URL + "the body is not br, as its header says"),
        (
            record(answer(chunked(FERRY.encode())[:30], Transfer_Encoding="chunked")),
            URL + "the chunked body is cut off",
        ),
        (
            record(answer(b"5\r\nhello\r\nzz", Transfer_Encoding="chunked")),
            URL + "no chunk begins at byte 10 of the chunked body",
        ),
        (record(answer(b"\xff\xff\xff")), URL + "neither UTF-8 nor CP949 text, and no charset that fits is declared"),
        (
            record(answer(), WARC_Segment_Number="1"),
            URL + "the page is split over several records, which cannot be read",
        ),
    ],
)
def test_damage_costs_one_record(tmp_path: Path, damaged: bytes, message: str) -> None:
    articles, refusals = read(tmp_path / "a.warc.gz", gzip.compress(page(7) + damaged + page(8) + page(9)))
    assert [article.data["url"][-2:] for article in articles] == ["/7", "/8", "/9"]
    assert [refusal.message for refusal in refusals] == [message]
    assert not refusals[0].notice
    assert str(refusals[0]).startswith(f"{tmp_path / 'a.warc.gz'}:")


def test_a_length_that_covers_the_next_records(tmp_path: Path) -> None:
    """What it covers is lost, and said to be; the page is not taken with the next records in it."""
    damaged = record(answer(), Content_Length=str(len(answer()) + 2 * len(page(1)) - 30))
    articles, refusals = read(tmp_path / "a.warc", page(1) + damaged + page(2) + page(3) + page(4))
    assert [article.data["url"][-2:] for article in articles] == ["/1", "/4"]
    assert [str(refusal) for refusal in refusals] == [
        f"{tmp_path / 'a.warc'}:2: the record's Content-Length is wrong; what it covers is lost"
    ]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_files_that_end_early(tmp_path: Path, name: str) -> None:
    whole = SHAPES[{"a.warc": "crawl.warc", "a.warc.gz": "crawl.WARC.gz", "a.warc.zst": "crawl.warc.zst"}[name]](
        [CRAWL[1], *map(page, range(20))]
    )
    articles, refusals = read(tmp_path / name, whole[:-25])
    assert [article.data["url"] for article in articles] == [f"https://news.example/{n}" for n in range(19)]
    (mistake,) = [refusal for refusal in refusals if not refusal.notice]
    assert mistake.message.startswith(
        {"a.warc": "the file ends inside", "a.warc.gz": "damaged gzip", "a.warc.zst": "damaged zst"}[name]
    )
    assert [refusal.parts for refusal in refusals if refusal.notice] == [1]


@pytest.mark.parametrize("content", [b"hello world\r\n" * 9, b"\0" * 100_000, KOREAN.encode()])
def test_what_is_no_warc_file(tmp_path: Path, content: bytes) -> None:
    articles, refusals = read(tmp_path / "a.warc", content)
    assert articles == []
    assert [refusal.message for refusal in refusals] == ["the file does not begin as WARC does"]
    assert read(tmp_path / "empty.warc", b"") == ([], [])


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A small gzip file that expands to 512 MiB: an image, a line without end, and a page between them."""
    path = tmp_path / "bomb.warc.gz"
    image = answer(b"", content_type="image/png")
    size = 256 << 20
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(record(image, Content_Length=str(len(image) + size)).removesuffix(b"\r\n\r\n"))
        for _ in range(4):
            file.write(BOMB)
        file.write(b"\r\n\r\n" + page(1))
        for _ in range(4):
            file.write(BOMB)
        file.write(b"\r\n" + page(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    items = list(read_path(path))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert [item.data["url"][-2:] for item in items if isinstance(item, RawItem)] == ["/1", "/2"]
    assert grown < 16 << 20
