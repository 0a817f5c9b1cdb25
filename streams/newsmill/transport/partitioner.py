"""Keys → the hashes by which Kafka's default partitioner spreads them, many at a time.

aiokafka's murmur2 is pure Python: 5 µs for an article's id, a fifth of a hop's budget. All ids have one length, so a
batch's keys are hashed together in numpy, at a tenth of that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from aiokafka.partitioner import murmur2

__all__ = ["hash_keys"]

# below this many keys of one length numpy's own overhead costs more than it saves
_TOGETHER = 16
_M = np.uint32(0x5BD1E995)
_SEED = 0x9747B28C


def hash_keys(keys: Iterable[bytes]) -> dict[bytes, int]:
    """Each distinct key with its positive murmur2 hash (31 bits): ``toPositive(murmur2(key))`` of Kafka's clients."""
    by_length: defaultdict[int, list[bytes]] = defaultdict(list)
    for key in dict.fromkeys(keys):
        by_length[len(key)].append(key)
    hashes: dict[bytes, int] = {}
    for length, same in by_length.items():
        if len(same) < _TOGETHER or length % 4 or not length:
            hashes |= {key: murmur2(key) & 0x7FFFFFFF for key in same}
        else:
            hashes |= zip(same, _murmur2_of_words(same, length), strict=True)
    return hashes


def _murmur2_of_words(keys: list[bytes], length: int) -> list[int]:
    """murmur2 (A. Appleby's, 32 bits, Kafka's seed) of keys whose length is a multiple of four."""
    words = np.frombuffer(b"".join(keys), "<u4").reshape(len(keys), length // 4)
    hashed = np.full(len(keys), _SEED ^ length, np.uint32)
    for column in range(length // 4):
        word = words[:, column] * _M
        word ^= word >> np.uint32(24)
        word *= _M
        hashed *= _M
        hashed ^= word
    hashed ^= hashed >> np.uint32(13)
    hashed *= _M
    hashed ^= hashed >> np.uint32(15)
    positive: list[int] = (hashed & np.uint32(0x7FFFFFFF)).tolist()
    return positive
