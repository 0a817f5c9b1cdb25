"""KAFKA_VERSION → jars.lock: resolves Kafka's Maven dependencies and pins each jar by hash (``make lock``).

Development only: ``python -m newsmill.broker.resolve`` rewrites the file; its diff is reviewed like any other.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from newsmill.broker.jars import KAFKA_VERSION

__all__ = ["lock_text", "main"]

_LOG4J_VERSION = "2.25.5"

_HEADER = f"""\
# The jars of Apache Kafka {KAFKA_VERSION}, in class path order: SHA-256, size in bytes, Maven coordinate.
# Written by `make lock` (newsmill/broker/resolve.py); not to be edited by hand.
"""


def lock_text() -> str:
    """Resolve, download and hash: the text of jars.lock. Needs the network."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch))
        kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
        binding = [
            context.create_dependency(f"org.apache.logging.log4j:{name}:{_LOG4J_VERSION}")
            for name in ("log4j-slf4j-impl", "log4j-core")  # the binding of Kafka's own distribution
        ]
        for dependency in (kafka, *binding):
            dependency.scope = "compile"
        for dependency in binding:
            # Else jgo lets log4j's parent POM manage everybody's versions: it brought kafka-clients 3.9.1 to Kafka 4.
            dependency.raw = True
        inputs, transitive = context.resolver.resolve([kafka, *binding])
        lines = []
        for found in [*inputs, *(d for d in transitive if d.scope in ("compile", "runtime"))]:
            data = found.artifact.resolve().read_bytes()
            coordinate = f"{found.groupId}:{found.artifactId}:{found.version}"
            lines.append(f"{hashlib.sha256(data).hexdigest()} {len(data):>9} {coordinate}\n")
    return _HEADER + "".join(lines)


def main() -> int:
    """Rewrite jars.lock beside this file."""
    path = Path(__file__).with_name("jars.lock")
    path.write_text(lock_text(), "utf-8")
    sys.stderr.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
