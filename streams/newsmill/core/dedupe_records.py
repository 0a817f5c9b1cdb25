"""What dedupe remembers of an entry and of an id ↔ the records of its state topic, and the rows that memory holds.

Two kinds of record make the compacted state topic, both little-endian structs that begin with a format byte:

    b"s" + entry number (8 bytes, big-endian)   one indexed sketch; written once, gone when the window has passed
    b"i" + article id (16 bytes)                what is known of an id; rewritten whenever the id is seen again

The record of an id also carries the clock and the next entry number of that moment. It is the last one of each
input record's changes, so compaction always keeps the newest, and both survive with it. Nothing else is state.

In memory an id takes 83 bytes and 5 to 6 of index: times as 47- and 48-bit milliseconds or 32-bit seconds, 48 bits of
the content hash (two texts of one id would have to meet), and what an original updates only for the few that do.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from newsmill.core.sketch_index import MAX_LEVEL, Entries, Entry
from newsmill.core.stage import Change
from newsmill.errors import UnreadableFormat

__all__ = [
    "CONTENT_BYTES",
    "HELD_BYTES",
    "NO_ID",
    "STATE_FORMAT",
    "HeldIds",
    "Known",
    "entry_change",
    "entry_key",
    "hold",
    "known_change",
    "known_of",
    "read_version",
    "seen",
    "unpack_entries",
    "unpack_known",
]

STATE_FORMAT: Final = 1
CONTENT_BYTES: Final = 6
"""How much of the content hash is kept and compared."""

# format, level, hashes; words, number of the cluster, bitmap, exact, published, time; owner, root
_ENTRY: Final = struct.Struct("<BBBxIQQQQQ16s16s")
# format, copy?, prepare version; version, fetched, seen; cluster; shingles, numbers; parity; content hash, related id;
# clock, next number (these two are not kept for each id)
_KNOWN: Final = struct.Struct("<BBHqqqQII32s8s8x16sqQ")

# prepare version; version with the mark of a copy and fetched + 1, low and high; seen in seconds; cluster; numbers;
# shingles, low and high; parity; content hash
_HELD: Final = struct.Struct(f"<HIHIHIIIHB32s{CONTENT_BYTES}s")
HELD_BYTES: Final = _HELD.size

_ENTRY_TYPE: Final = np.dtype(
    [
        ("format", "u1"),
        ("level", "u1"),
        ("count", "u1"),
        ("", "V1"),
        ("words", "<u4"),
        ("cluster", "<u8"),
        ("bitmap", "<u8"),
        ("exact", "<u8"),
        ("published", "<u8"),
        ("time", "<u8"),
        ("owner", "u1", (16,)),
        ("root", "u1", (16,)),
    ]
)
_KNOWN_TYPE: Final = np.dtype(
    [
        ("format", "u1"),
        ("copy", "u1"),
        ("prepare_version", "<u2"),
        ("version", "<i8"),
        ("fetched", "<i8"),
        ("seen", "<i8"),
        ("cluster", "<u8"),
        ("shingles", "<u4"),
        ("numbers", "<u4"),
        ("parity", "u1", (32,)),
        ("content", "u1", (8,)),
        ("", "V8"),
        ("related", "u1", (16,)),
        ("clock", "<i8"),
        ("next_number", "<u8"),
    ]
)
_HELD_TYPE: Final = np.dtype(
    [
        ("prepare_version", "<u2"),
        ("version", "<u4"),
        ("version_high", "<u2"),
        ("fetched", "<u4"),
        ("fetched_high", "<u2"),
        ("seen", "<u4"),
        ("cluster", "<u4"),
        ("numbers", "<u4"),
        ("shingles", "<u2"),
        ("shingles_high", "u1"),
        ("parity", "u1", (32,)),
        ("content", "u1", (CONTENT_BYTES,)),
    ]
)

_RELATED: Final = slice(92, 108)  # where a record of an id has what it updates
_MOST: Final = 0xFFFFFFFF
_COPY: Final = 1 << 47
_MOST_MS: Final = _COPY - 2
_MOST_SHINGLES: Final = 0xFFFFFF

NO_ID: Final = bytes(16)


class Known(NamedTuple):
    """What is known of an id. ``version``, ``fetched`` (-1 = unknown) and ``seen`` are milliseconds; ``content`` is the
    first eight bytes of the content hash; ``related`` is what an original updates, or 16 zero bytes. ``cluster`` is
    the number of its family, modulo 2^32."""

    copy: bool
    prepare_version: int
    version: int
    fetched: int
    seen: int
    cluster: int
    shingles: int
    numbers: int
    parity: int
    content: bytes
    related: bytes
    clock: int
    next_number: int


def _pack_known(known: Known) -> bytes:
    return _KNOWN.pack(
        STATE_FORMAT,
        known.copy,
        known.prepare_version,
        known.version,
        known.fetched,
        known.seen,
        known.cluster,
        known.shingles,
        known.numbers,
        known.parity.to_bytes(32, "little"),
        known.content,
        known.related,
        known.clock,
        known.next_number,
    )


def hold(known: Known) -> bytes:
    """The row of an id: what the decisions need of it."""
    version = min(max(known.version, 0), _MOST_MS) | (_COPY if known.copy else 0)
    fetched = min(max(known.fetched, -1), _MOST_MS) + 1
    shingles = min(known.shingles, _MOST_SHINGLES)
    return _HELD.pack(
        known.prepare_version,
        version & _MOST,
        version >> 32,
        fetched & _MOST,
        fetched >> 32,
        min(max(known.seen // 1000, 0), _MOST),
        known.cluster & _MOST,
        known.numbers,
        shingles & 0xFFFF,
        shingles >> 16,
        known.parity.to_bytes(32, "little"),
        known.content[:CONTENT_BYTES],
    )


def seen(row: bytes) -> int:
    """When the id of a row was last seen, milliseconds."""
    return int(_HELD.unpack(row)[5]) * 1000


def known_of(row: bytes, related: bytes) -> Known:
    prepare_version, low, high, fetched_low, fetched_high, seen, *others = _HELD.unpack(row)
    cluster, numbers, shingles, more, parity, content = others
    version = low | high << 32
    return Known(
        version >= _COPY,
        prepare_version,
        version & (_COPY - 1),
        (fetched_low | fetched_high << 32) - 1,
        seen * 1000,
        cluster,
        shingles | more << 16,
        numbers,
        int.from_bytes(parity, "little"),
        content,
        related,
        0,
        0,
    )


def entry_key(number: int) -> bytes:
    return b"s" + number.to_bytes(8, "big")


def entry_change(entry: Entry) -> Change:
    """The change that indexes a sketch."""
    head = _ENTRY.pack(
        STATE_FORMAT,
        entry.level,
        len(entry.hashes),
        entry.words,
        entry.cluster,
        entry.bitmap,
        entry.exact,
        entry.published,
        entry.time,
        entry.owner,
        entry.root,
    )
    return Change(
        b"s%b" % entry.number.to_bytes(8, "big"), head + entry.hashes.astype("<u8", copy=False).tobytes(), entry
    )


def known_change(ident: bytes, known: Known) -> Change:
    """The change that remembers an id."""
    return Change(b"i" + ident, _pack_known(known), known)


class HeldIds(NamedTuple):
    """What records of ids hold: the row and the related id of each, and the latest clock and next number."""

    rows: list[bytes]
    related: list[bytes]
    clock: int
    following: int


def unpack_known(values: Sequence[bytes]) -> HeldIds:
    """Records of ids, decoded together. `ValueError` if one is damaged."""
    if any(len(value) != _KNOWN.size for value in values):
        raise ValueError("the length of a record of an id is wrong")
    known = np.frombuffer(b"".join(values), _KNOWN_TYPE)
    version = np.clip(known["version"], 0, _MOST_MS) | np.where(known["copy"] != 0, _COPY, 0)
    fetched = np.clip(known["fetched"], -1, _MOST_MS) + 1
    shingles = np.minimum(known["shingles"], _MOST_SHINGLES)
    rows = np.zeros(len(known), _HELD_TYPE)
    rows["prepare_version"] = known["prepare_version"]
    rows["version"], rows["version_high"] = version & _MOST, version >> 32
    rows["fetched"], rows["fetched_high"] = fetched & _MOST, fetched >> 32
    rows["seen"] = np.clip(known["seen"] // 1000, 0, _MOST)
    rows["cluster"] = known["cluster"] & np.uint64(_MOST)
    rows["numbers"] = known["numbers"]
    rows["shingles"], rows["shingles_high"] = shingles & 0xFFFF, shingles >> 16
    rows["parity"] = known["parity"]
    rows["content"] = known["content"][:, :CONTENT_BYTES]
    packed, size = rows.tobytes(), HELD_BYTES
    return HeldIds(
        [packed[start : start + size] for start in range(0, len(packed), size)],
        [value[_RELATED] for value in values],
        int(known["clock"].max()),
        int(known["next_number"].max()),
    )


def unpack_entries(first: int, values: Sequence[bytes]) -> Entries:
    """Records of entries numbered from ``first``, decoded together. `ValueError` if one is damaged."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    if (lengths < _ENTRY.size).any():
        raise ValueError("a record of an entry is too short")
    joined = np.frombuffer(b"".join(values), np.uint8)
    heads_at = (np.cumsum(lengths) - lengths)[:, None] + np.arange(_ENTRY.size)
    heads = joined[heads_at].view(_ENTRY_TYPE)[:, 0]
    if (lengths != _ENTRY.size + 8 * heads["count"].astype(np.int64)).any():
        raise ValueError("the length of a record of an entry does not fit its count")
    if (heads["level"] > MAX_LEVEL).any():
        raise ValueError(f"a level above {MAX_LEVEL}")
    rest = np.ones(len(joined), np.bool_)
    rest[heads_at] = False
    hashes = joined[rest].view("<u8").astype(np.uint64, copy=False)
    return Entries(
        first,
        heads["owner"],
        heads["root"],
        heads["cluster"],
        heads["level"],
        heads["words"],
        heads["bitmap"],
        heads["exact"],
        heads["published"],
        heads["time"],
        heads["count"],
        hashes,
    )


def read_version(key: bytes, value: bytes) -> tuple[bytes, int, bytes] | None:
    """Id, version and the first `CONTENT_BYTES` of the content hash, from a record of the state topic; None for a
    record that is not about an id. `UnreadableFormat` if a newer newsmill wrote it."""
    if key[:1] != b"i":
        return None
    if value[0] > STATE_FORMAT:
        raise UnreadableFormat(f"the dedupe state has format {value[0]}, this newsmill reads {STATE_FORMAT}")
    unpacked = _KNOWN.unpack(value)
    return key[1:], unpacked[3], unpacked[10][:CONTENT_BYTES]
