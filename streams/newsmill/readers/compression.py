"""A file, compressed or not (.gz, .zst) → one stream of its bytes, and what is wrong where it is damaged.

Streams hold one block at a time, whatever the file expands to. zstd comes from ``backports.zstd``, the module of
Python 3.14 (``compression.zstd``): it reports a file that ends early (zstandard's reader takes that for the end), reads
many frames as one, and bounds the window. cramjam, which aiokafka needs, expands all it is given in one step.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DAMAGED", "describe_damage", "open_stream", "plain_name"]

DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
"""What reading a damaged or cut compressed file raises."""

_SUFFIXES: Final = (".gz", ".zst")
_WINDOW_LOG: Final = 27  # 128 MiB, the most that `zstd -d` takes unasked; a file may ask for 2 GiB
_BUFFER: Final = 1 << 16
_DICTIONARY_MAGIC: Final = b"\x5d\x2a\x4d\x18"  # a skippable frame; .warc.zst 1.0 puts its dictionary there
_MAX_DICTIONARY: Final = 16 << 20
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def plain_name(name: str) -> str:
    """The name of a file without the suffix of its compression, in lower case."""
    name = name.lower()
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def open_stream(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed by its suffix; reading raises one of `DAMAGED` where they cannot be."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return _buffered(gzip.open(path))
    if name.endswith(".zst"):
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
        file = zstd.ZstdFile(path, options=options, zstd_dict=_dictionary(path))
        return _buffered(file)
    return path.open("rb")


class _Decompressed(Protocol):
    def read1(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class _Pieces(io.RawIOBase):
    """What one step decompresses is handed on at once: damage in the next step then costs nothing before it."""

    def __init__(self, file: _Decompressed) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        piece = self._file.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


def _buffered(file: _Decompressed) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Pieces(file), _BUFFER))


def describe_damage(path: Path, error: BaseException) -> str:
    """One of `DAMAGED`, raised by this file, in words for a person."""
    kind = "zst" if path.name.lower().endswith(".zst") else "gzip"
    if "too much memory" in str(error):
        return f"damaged {kind} file, or one that asks for a window of more than {(1 << _WINDOW_LOG) >> 20} MiB"
    return f"damaged {kind} file: {error}"


def _dictionary(path: Path) -> zstd.ZstdDict | None:
    """The dictionary that a .warc.zst carries in its first frame, itself compressed or not; None for other files."""
    with path.open("rb") as file:
        head = file.read(8)
        if not head.startswith(_DICTIONARY_MAGIC):
            return None
        size = int.from_bytes(head[4:8], "little")
        if size > _MAX_DICTIONARY:
            raise zstd.ZstdError(f"its dictionary has more than {_MAX_DICTIONARY} bytes")
        content = file.read(size)
    if content.startswith(_ZSTD_MAGIC):
        decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        content = decompressor.decompress(content, _MAX_DICTIONARY)
        if not decompressor.eof:
            raise zstd.ZstdError(f"its dictionary is cut off or has more than {_MAX_DICTIONARY} bytes")
    try:
        return zstd.ZstdDict(content)
    except ValueError as error:
        raise zstd.ZstdError(f"its dictionary cannot be read: {error}") from error
