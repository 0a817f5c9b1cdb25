"""One stage's shell → one Faust app: an agent that hands each batch to the shell. No module-level app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from yarl import URL

from newsmill import kafka
from newsmill.settings import Settings
from newsmill.transport import BatchTransport, StageShell

__all__ = ["build_app"]


def _credentials(settings: Settings) -> Any:
    """Faust's own producer connects too, though nothing is ever sent with it."""
    if settings.security_protocol == "PLAINTEXT":
        return None
    options = kafka.client_options(settings)
    context = options.get("ssl_context")
    if settings.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=settings.sasl_username,
        password=options["sasl_plain_password"],
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )


def build_app(shell: StageShell, settings: Settings, instance: str, folder: Path) -> faust.App:
    """The Faust app of one stage in one process.

    ``instance`` is its name in the group (static membership); Faust makes folders below ``folder``, though no table
    is ever kept there.
    """
    session = settings.session_timeout_ms / 1000
    app = faust.App(
        shell.group,
        broker=[URL(f"kafka://{server}") for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,  # `newsmill topics create` makes topics, with the right settings
        stream_buffer_maxsize=4,  # counts batches here, not records
        stream_wait_empty=False,
        table_standby_replicas=0,
        broker_max_poll_records=settings.batch_max_records,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 4,
        broker_request_timeout=20.0,
        consumer_group_instance_id=instance,
        datadir=folder,
    )
    transport = BatchTransport([URL(f"kafka://{settings.bootstrap_servers.split(',')[0]}")], app)
    transport.hooks = shell
    transport.consumer_options = kafka.client_options(settings) | {
        "group_instance_id": instance,
        "max_poll_records": settings.batch_max_records,
        "max_partition_fetch_bytes": 4 << 20,
        "fetch_max_wait_ms": settings.fetch_wait_ms,
        "retry_backoff_ms": 50,
        "session_timeout_ms": settings.session_timeout_ms,
        "heartbeat_interval_ms": settings.session_timeout_ms // 4,
        # a member that does not rejoin within this time is left behind; the batch in hand has 3 s to end
        "rebalance_timeout_ms": max(settings.session_timeout_ms, 10_000),
        # The shell bounds the work of a batch itself; with a limit here, a long rebuild behind full buffers would make
        # aiokafka leave the group and never come back.
        "max_poll_interval_ms": 2**31 - 1,
        "request_timeout_ms": 20_000,
        "metadata_max_age_ms": 30_000,
    }
    app._transport = transport
    shell.app = app
    source = app.topic(*shell.sources, key_serializer="raw", value_serializer="raw", acks=False)

    async def run(stream: Any) -> None:
        async for event in stream.noack().events():
            await shell.handle(event.value)

    # one actor a partition: partitions go on independently, each with its own transactions
    app.agent(source, isolated_partitions=True, name=f"newsmill.{shell.stage.name}")(run)
    return app
