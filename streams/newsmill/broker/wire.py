"""An address → whether a Kafka answers there that would create a topic at once.

One CreateTopics request with ``validate_only`` proves more than an open port or a metadata answer: the broker has
forwarded it to the controller, and the controller found a live broker for the partition.
"""

from __future__ import annotations

import socket
import struct

__all__ = ["can_create_topics"]

_CREATE_TOPICS = 19
_VERSION = 4  # the last one before flexible encoding; Kafka 4 still reads 2 to 7 (KIP-896)
_PROBE_TOPIC = b"newsmill-readiness-probe"  # validated, never created


def can_create_topics(host: str, port: int, timeout: float = 2.0) -> bool:
    """True if the broker would create a topic now; False if it refuses, is not up yet or is no Kafka."""
    body = (
        struct.pack(">ih", 1, len(_PROBE_TOPIC))
        + _PROBE_TOPIC
        + struct.pack(">ihiiib", 1, 1, 0, 0, int(timeout * 1000), 1)  # partitions, replicas, no maps, validate only
    )
    header = struct.pack(">hhih", _CREATE_TOPICS, _VERSION, 1, -1)
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 0 < size < 65_536:
                return False
            answer = _read(connection, size)
        # correlation id, throttle time, one topic: its name, its error code
        correlation, _, topics, length = struct.unpack_from(">iiih", answer)
        (error,) = struct.unpack_from(">h", answer, 14 + length)
    except (OSError, struct.error):
        return False
    return (correlation, topics, error) == (1, 1, 0)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError("closed by the broker")
        data += part
    return data
