"""A text → its near-duplicate sketch: which of its word 3-grams are sampled, which numbers it names, how long it is.

The sketch is a *levelled FracMinHash* (Hera, Pierce-Ward, Koslicki 2023, "Deriving confidence intervals for mutation
rates across a wide range of evolutionary distances using FracMinHash"): of all 64-bit shingle hashes those below
2^(64-L) are kept, with the smallest level L that leaves at most 64. Two sketches are comparable at the higher of their
levels, so a short text can be measured against a long one, and containment is as easy to estimate as resemblance.

Beside it stand a 64-bit bitmap of the words that begin with a digit (the same template with other numbers is another
article), a digest of exactly those words, and an *odd sketch* (Mitzenmacher, Pagh, Pham 2014, "Efficient estimation for
high similarities using odd sketches") of all shingles: 256 parity bits that tell how much two versions of one article
differ, exactly where it matters (above 0.9) and without any level.

Everything is integer arithmetic modulo 2^64, little-endian: the same bytes on every platform. The only outside input
is Python's Unicode table (which characters are letters), which differs between versions for newly assigned characters.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newsmill.core.folding import fold
from newsmill.errors import UnreadableFormat

__all__ = [
    "LEAD_SIZE",
    "SKETCH_FORMAT",
    "SKETCH_SIZE",
    "U64",
    "Sketch",
    "pack",
    "parity_resemblance",
    "same_numbers",
    "sketch",
    "sketch_folded",
    "unpack",
]

SKETCH_FORMAT: Final = 1
SKETCH_SIZE: Final = 64
"""Most hashes in a sketch; measured: 48 loses trimmed copies, 96 costs 40 % more memory and gains nothing."""

U64 = NDArray[np.uint64]

_LETTERS_END: Final = 0x32000  # above: variation selectors and private use, no letters
_CHUNK: Final = 1 << 16  # code points hashed at once: bounds the tables of powers to 1 MiB
_BASE: Final = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_M3: Final = np.uint64(0xD6E8FEB86659FD93)
_GOLDEN: Final = np.uint64(_BASE)
_ONE: Final = np.uint64(1)
_S32: Final = np.uint64(32)
_S56: Final = np.uint64(56)
_S58: Final = np.uint64(58)

_PARITY_BITS: Final = 256
LEAD_SIZE: Final = 24
"""Shingles of the beginning that are kept whole: a flash of 26 words is found again in the report it grows into."""

# format, level, hashes, lead hashes; words, letters, shingles, numbers; bitmap, parity
_HEADER: Final = struct.Struct("<BBBBIIIIQ32s")

# A number beside one of these counts visits, not facts: it changes with every crawl of an unchanged page.
_COUNTERS: Final = (
    "조회",
    "조회수",
    "추천수",
    "댓글",
    "댓글수",
    "좋아요",
    "공감",
    "읽음",
    "views",
    "comments",
    "likes",
    "reads",
)


def _powers(base: int, count: int) -> U64:
    out = [1]
    for _ in range(count - 1):
        out.append(out[-1] * base & 0xFFFFFFFFFFFFFFFF)
    return np.array(out, np.uint64)


_POWERS: Final = _powers(_BASE, _CHUNK)
_INVERSES: Final = _powers(pow(_BASE, -1, 1 << 64), _CHUNK)


def _tables() -> tuple[U64, NDArray[np.bool_], NDArray[np.bool_]]:
    """Per code point: the value it adds to a word's hash (0 = no letter or digit), whether it is a digit, and whether
    it is a word by itself (Han and kana are written without spaces)."""
    value = np.zeros(_LETTERS_END + 1, np.uint64)  # the last row stands for every code point above
    digit = np.zeros(_LETTERS_END + 1, np.bool_)
    alone = np.zeros(_LETTERS_END + 1, np.bool_)
    for code in range(_LETTERS_END):
        char = chr(code)
        if char.isalnum():
            value[code] = ord(char.lower()[0])
            digit[code] = char.isdigit()
    for first, last in ((0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)):
        alone[first : last + 1] = value[first : last + 1] != 0
    return value, digit, alone


_VALUE, _DIGIT, _ALONE = _tables()


class Sketch(NamedTuple):
    """What is remembered of a text.

    ``hashes``: sorted, distinct, each < 2^(64-``level``), at most `SKETCH_SIZE`. ``words``, ``letters`` (letters and
    digits) and ``shingles`` (distinct word 3-grams) are exact counts of the whole text. ``numbers``: digest of the set
    of words that begin with a digit; ``bitmap``: the same set as 64 bits; ``parity``: the odd sketch, 256 bits.
    ``lead``: sorted, distinct hashes of the first `LEAD_SIZE` shingles, without those in ``hashes``.
    """

    level: int
    hashes: U64
    words: int
    letters: int
    shingles: int
    numbers: int
    bitmap: int
    parity: int
    lead: U64


def _mix(values: U64) -> U64:
    """A bijection that spreads every input bit (the steps of splitmix64, Steele et al. 2014)."""
    out: U64 = values * _M1
    out ^= out >> _S32
    out *= _M2
    out ^= out >> _S32
    return out


def _chunk_words(codes: NDArray[np.uint32]) -> tuple[U64, NDArray[np.bool_], int]:
    """Code points of at most one chunk → 64-bit word hashes, which of them begin with a digit, and count of letters."""
    values = _VALUE.take(codes, mode="clip")
    size = len(values)
    edge = np.zeros(size + 2, np.bool_)
    np.not_equal(values, 0, out=edge[1:-1])
    inside = edge[1:-1]
    alone = _ALONE.take(codes, mode="clip")
    if alone.any():
        before = np.zeros(size, np.bool_)
        before[1:] = alone[:-1]
        starts = np.flatnonzero(inside & (~edge[:-2] | alone | before))
        after = np.zeros(size, np.bool_)
        after[:-1] = alone[1:]
        ends = np.flatnonzero(inside & (~edge[2:] | alone | after)) + 1
    else:
        changes = np.flatnonzero(edge[1:] != edge[:-1])
        starts, ends = changes[::2], changes[1::2]
    letters = int(np.count_nonzero(values))
    sums = np.zeros(size + 1, np.uint64)
    values *= _POWERS[:size]
    np.cumsum(values, out=sums[1:])
    words = sums[ends]
    words -= sums[starts]
    words *= _INVERSES[starts]
    return words, _DIGIT.take(codes[starts], mode="clip"), letters


def _words(text: str) -> tuple[U64, NDArray[np.bool_], int]:
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4").astype(np.uint32, copy=False)
    if len(codes) <= _CHUNK:
        return _chunk_words(codes)
    parts = []
    start = 0
    while start < len(codes):
        stop = min(start + _CHUNK, len(codes))
        if stop < len(codes):  # cut between words, if there is a gap at all
            gaps = np.flatnonzero(_VALUE.take(codes[start:stop], mode="clip") == 0)
            if len(gaps):
                stop = start + int(gaps[-1]) + 1
        parts.append(_chunk_words(codes[start:stop]))
        start = stop
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), sum(p[2] for p in parts)


_COUNTER_HASHES: Final = frozenset(int(_words(word)[0][0]) for word in _COUNTERS)


def _without_counters(words: U64, digit: NDArray[np.bool_]) -> tuple[U64, NDArray[np.bool_]]:
    """Drop visit counters, the number with its label: "조회수 1,234", "56 views"."""
    where = np.flatnonzero(digit)
    if not len(where):
        return words, digit
    around = set(words[where - 1].tolist())  # the word before the first one is the last one: harmless
    around.update(words[np.minimum(where + 1, len(words) - 1)].tolist())
    if not around & _COUNTER_HASHES:
        return words, digit
    keep = np.ones(len(words), np.bool_)
    position = 0
    numbers = where.tolist()
    while position < len(numbers):
        first = last = numbers[position]
        while position + 1 < len(numbers) and numbers[position + 1] == last + 1:
            position += 1
            last += 1
        if first and int(words[first - 1]) in _COUNTER_HASHES:
            keep[first - 1 : last + 1] = False
        elif last + 1 < len(words) and int(words[last + 1]) in _COUNTER_HASHES:
            keep[first : last + 2] = False
        position += 1
    return words[keep], digit[keep]


def _shingle_hashes(words: U64) -> U64:
    """Hashes of the word 3-grams in their order; of all words together where there are fewer than three."""
    if len(words) > 2:
        grams: U64 = words[:-2] * _M3
        grams += words[1:-1]
        grams *= _M3
        grams += words[2:]
    elif len(words):
        grams = words[:1] * _M3
        if len(words) == 2:
            grams += words[1:]
    else:
        return np.empty(0, np.uint64)
    return _mix(grams)


def _distinct(hashes: U64) -> U64:
    """Sorted, each once."""
    hashes = np.sort(hashes)
    if len(hashes) > 1:
        first = np.empty(len(hashes), np.bool_)
        first[0] = True
        np.not_equal(hashes[1:], hashes[:-1], out=first[1:])
        if not first.all():
            hashes = hashes[first]
    return hashes


def sketch(text: str) -> Sketch:
    """The sketch of a text. Linear in its length: about 100 µs for 1,500 characters, a third of it folding."""
    return sketch_folded(fold(text))


def sketch_folded(folded: str) -> Sketch:
    """The sketch of a text that `fold` made already."""
    words, digit, letters = _words(folded)
    words, digit = _without_counters(words, digit)
    ordered = _shingle_hashes(words)
    hashes = _distinct(ordered)
    level = 0
    kept, lead = hashes, hashes[:0]
    if len(hashes) > SKETCH_SIZE:
        # the smallest level whose threshold 2^(64-level) is not above the 65th hash
        level = 65 - int(hashes[SKETCH_SIZE]).bit_length()
        threshold = np.uint64(1 << (64 - level))
        kept = hashes[: int(hashes.searchsorted(threshold))].copy()
        lead = ordered[:LEAD_SIZE]
        lead = _distinct(lead[lead >= threshold])
    bitmap = numbers = 0
    if digit.any():
        values = np.unique(words[digit])
        bitmap = int(np.bitwise_or.reduce(_ONE << ((values * _GOLDEN) >> _S58)))
        numbers = int(_mix(values).sum(dtype=np.uint64)) >> 32
    bits = np.bincount(((hashes * _GOLDEN) >> _S56).astype(np.intp), minlength=_PARITY_BITS) & 1
    parity = int.from_bytes(np.packbits(bits.astype(np.uint8), bitorder="little").tobytes(), "little")
    return Sketch(level, kept, len(words), letters, len(hashes), numbers, bitmap, parity, lead)


def same_numbers(a: Sketch, b: Sketch) -> bool:
    """Whether both texts name exactly the same set of numbers (visit counters left out)."""
    return a.numbers == b.numbers


def parity_resemblance(parity_a: int, shingles_a: int, parity_b: int, shingles_b: int) -> float:
    """Jaccard similarity of two full shingle sets, 0..1, from their odd sketches; trustworthy above about 0.8.

    The parity bits that differ tell the size of the symmetric difference: d = -n/2 · ln(1 - 2z/n), n = 256.
    """
    total = shingles_a + shingles_b
    if not total:
        return 1.0
    differing = (parity_a ^ parity_b).bit_count()
    half = _PARITY_BITS / 2
    if differing >= half:  # as many as in unrelated sets
        return 0.0
    difference = max(-half * math.log(1.0 - differing / half), abs(shingles_a - shingles_b))
    return max(0.0, (total - difference) / (total + difference))


def pack(value: Sketch) -> str:
    """A sketch as base64 text: a format byte, the counts, then the hashes, little-endian."""
    head = _HEADER.pack(
        SKETCH_FORMAT,
        value.level,
        len(value.hashes),
        len(value.lead),
        value.words,
        value.letters,
        value.shingles,
        value.numbers,
        value.bitmap,
        value.parity.to_bytes(32, "little"),
    )
    hashes = np.concatenate((value.hashes, value.lead)).astype("<u8", copy=False)
    return base64.b64encode(head + hashes.tobytes()).decode("ascii")


def unpack(text: str) -> Sketch:
    """The sketch that `pack` wrote. `UnreadableFormat` if a newer newsmill wrote it, `ValueError` if it is damaged."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the sketch is no base64: {error}") from error
    if raw and raw[0] > SKETCH_FORMAT:
        raise UnreadableFormat(f"a sketch of format {raw[0]}; this newsmill reads up to {SKETCH_FORMAT}")
    if len(raw) < _HEADER.size or raw[0] != SKETCH_FORMAT:
        raise ValueError("the sketch is damaged")
    _, level, count, leading, words, letters, shingles, numbers, bitmap, parity = _HEADER.unpack_from(raw)
    if len(raw) != _HEADER.size + 8 * (count + leading):
        raise ValueError("the sketch is damaged: its length does not fit its count")
    both = np.frombuffer(raw, "<u8", count + leading, _HEADER.size).astype(np.uint64, copy=False)
    hashes, lead = both[:count], both[count:]
    return Sketch(level, hashes, words, letters, shingles, numbers, bitmap, int.from_bytes(parity, "little"), lead)
