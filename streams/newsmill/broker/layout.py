"""Two ports and a data folder → the files that configure one small Kafka: server.properties and log4j2.xml.

The broker runs inside its data folder, so every path in these files is relative: a folder may have any name and may
be moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["BROKER_PROPERTIES", "HOST", "KAFKA_LOG", "server_properties", "write_configuration"]

HOST = "127.0.0.1"
"""The only address it listens on: an embedded broker has no passwords, so nobody else may reach it."""

KAFKA_LOG = "kafka.log"

_MESSAGE_BYTES = 10 * 1024 * 1024  # dead letters are up to 9 MiB (DESIGN section 3), plus the batch around them

BROKER_PROPERTIES: Mapping[str, int | str] = {
    # one process is broker and controller (KRaft combined mode)
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "log.dirs": "logs",
    # one broker: one replica
    "default.replication.factor": 1,
    "min.insync.replicas": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # a group that stands idle for the usual 7 days would forget where it was, and begin again at the oldest record
    "offsets.retention.minutes": 525_600,
    # few internal partitions: each costs files and start-up time (defaults 50)
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    # groups start at once, may be watched closely, and a dead worker's transaction ends soon after its timeout
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    # after a kill, the controller refuses the new broker until the old one's session is over (default 9 s)
    "broker.session.timeout.ms": 4000,
    "broker.heartbeat.interval.ms": 1000,
    # topics come from topics.py only; large articles fit
    "auto.create.topics.enable": "false",
    "message.max.bytes": _MESSAGE_BYTES,
    "replica.fetch.max.bytes": _MESSAGE_BYTES,
    # a small machine
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 4,
    "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
}

_LOG4J = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="{KAFKA_LOG}" filePattern="{KAFKA_LOG}.%i">
      <PatternLayout pattern="%d{{ISO8601}} %p %m (%c{{1}})%n"/>
      <SizeBasedTriggeringPolicy size="10 MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""


def server_properties(port: int, controller_port: int) -> str:
    """The text of server.properties. The voters are static, so both ports may differ from one start to the next."""
    properties = dict(BROKER_PROPERTIES) | {
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def write_configuration(data_dir: Path, port: int, controller_port: int) -> None:
    """Write both files into the data folder."""
    (data_dir / "server.properties").write_text(server_properties(port, controller_port), "ascii")
    (data_dir / "log4j2.xml").write_text(_LOG4J, "utf-8")
