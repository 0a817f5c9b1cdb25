"""Nothing but Python → a real Apache Kafka on this machine: Java from a wheel, Kafka's jars from Maven, pinned by hash.

jars.lock    the jars of KAFKA_VERSION: SHA-256, size and Maven coordinate of each
jars.py      jars.lock → a verified folder of jars below the user's cache
resolve.py   KAFKA_VERSION → jars.lock (run by `make lock`, never at run time)
layout.py    ports and a data folder → the broker's configuration files
leash.py     a command → the same command, ended with the process that started it
wire.py      an address → does a Kafka answer there that can create topics?
embedded.py  all of these → EmbeddedKafka and serve
"""

from newsmill.broker.embedded import DEFAULT_PORT, EmbeddedKafka, RunningBroker, serve
from newsmill.broker.jars import KAFKA_VERSION

__all__ = ["DEFAULT_PORT", "KAFKA_VERSION", "EmbeddedKafka", "RunningBroker", "serve"]
