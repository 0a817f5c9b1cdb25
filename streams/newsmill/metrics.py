"""Every metric once, and the endpoint that serves them: ``/metrics``, ``/healthz``, ``/readyz``.

Counted once a batch, after its commit, so that what is shown has happened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from newsmill.core.stage import State
from newsmill.errors import ConfigError

__all__ = ["LATENCY_BUCKETS", "Metrics", "serve_metrics"]

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# 1 and 60 are edges: the latency objective is "99 % of articles enriched within 60 s of landing"
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
_STAGE_BUCKETS = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.5)
_BATCH_BUCKETS = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)
_COMMIT_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_REBUILD_BUCKETS = (0.1, 0.5, 1, 2, 5, 8, 15, 30, 60, 120)


class Metrics:
    """The metrics of one process, on a registry of their own."""

    def __init__(self, mode: str = "live") -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.mode = mode
        make: dict[str, Any] = {"registry": self.registry}
        self.events = Counter("news_stage_events", "records consumed", ["stage", "mode"], **make)
        self.results = Counter("news_stage_results", "records by disposition", ["stage", "mode", "outcome"], **make)
        self.duration = Histogram(
            "news_stage_duration_seconds", "one article's share of its batch", ["stage", "mode"],
            buckets=_STAGE_BUCKETS, **make,
        )  # fmt: skip
        self.batch_records = Histogram(
            "news_batch_records", "records in one transaction", ["stage"], buckets=_BATCH_BUCKETS, **make
        )
        self.transaction = Histogram(
            "news_transaction_duration_seconds", "work and commit of one batch", ["stage"],
            buckets=_COMMIT_BUCKETS, **make,
        )  # fmt: skip
        self.transactions = Counter("news_transactions", "transactions by result", ["stage", "result"], **make)
        self.latency = Histogram(
            "news_pipeline_latency_seconds", "Kafka time of the raw record to its enriched record committed", ["mode"],
            buckets=LATENCY_BUCKETS, **make,
        )  # fmt: skip
        self.watermark = Gauge(
            "news_watermark_timestamp_seconds", "Kafka time of the newest record processed", ["stage"], **make
        )
        self.partitions = Gauge("news_consumer_assigned_partitions", "partitions held", ["stage"], **make)
        self.rebalances = Counter("news_consumer_rebalances", "assignments received", ["stage"], **make)
        self.dead_letters = Counter("news_dead_letters", "dead letters", ["stage", "reason"], **make)
        self.state_entries = Gauge("news_state_entries", "entries of a stage's state", ["stage", "partition"], **make)
        self.state_bytes = Gauge("news_state_bytes", "bytes of a stage's state", ["stage", "partition"], **make)
        self.rebuild = Histogram(
            "news_state_rebuild_duration_seconds", "time to rebuild state from its topic", ["stage"],
            buckets=_REBUILD_BUCKETS, **make,
        )  # fmt: skip
        self.build = Gauge("news_build_info", "versions; always 1", ["version", "rules_version"], **make)

    def batch(
        self,
        stage: str,
        counts: Mapping[str, int],
        reasons: Mapping[str, int],
        worked: float,
        total: float,
        raw_times_ms: Iterable[int],
        newest_ms: int,
    ) -> None:
        """Count one committed batch; seconds of work, and of work and commit together."""
        records = sum(counts.values())
        self.events.labels(stage, self.mode).inc(records)
        for outcome, count in counts.items():
            self.results.labels(stage, self.mode, str(outcome)).inc(count)
        for reason, count in reasons.items():
            self.dead_letters.labels(stage, str(reason)).inc(count)
        _observe_many(self.duration.labels(stage, self.mode), worked / records, records)
        self.batch_records.labels(stage).observe(records)
        self.transaction.labels(stage).observe(total)
        self.transactions.labels(stage, "committed").inc()
        self.watermark.labels(stage).set(newest_ms / 1000)
        now = time.time() * 1000
        latency = self.latency.labels(self.mode)
        for raw_time in raw_times_ms:
            latency.observe(max(0.0, now - raw_time) / 1000)

    def assigned(self, stage: str, partitions: int) -> None:
        """An assignment was received."""
        self.partitions.labels(stage).set(partitions)
        self.rebalances.labels(stage).inc()

    def state(self, stage: str, partition: int, state: State) -> None:
        """Size of a stage's state now."""
        self.state_entries.labels(stage, str(partition)).set(state.entries)
        self.state_bytes.labels(stage, str(partition)).set(state.nbytes)

    def rebuilt(self, stage: str, seconds: float) -> None:
        """State was rebuilt from its topic."""
        self.rebuild.labels(stage).observe(seconds)


def _observe_many(histogram: Histogram, value: float, times: int) -> None:
    """Observe one value so many times at the cost of one: a batch's records share its duration."""
    histogram._sum.inc(value * times)
    for bound, bucket in zip(histogram._upper_bounds, histogram._buckets, strict=True):
        if value <= bound:
            bucket.inc(times)
            break


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """No line on standard error for each scrape."""


def serve_metrics(metrics: Metrics, host: str, port: int, ready: Callable[[], bool]) -> int:
    """Serve on a daemon thread; returns the port. `ConfigError` if it is taken."""
    exposition = make_wsgi_app(metrics.registry)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return exposition(environ, start_response)
        if path == "/healthz":
            status, body = "200 OK", b"alive\n"
        elif path == "/readyz":
            status, body = ("200 OK", b"ready\n") if ready() else ("503 Service Unavailable", b"not ready\n")
        else:
            status, body = "404 Not Found", b"/metrics, /healthz, /readyz\n"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]

    try:
        server = make_server(host, port, app, ThreadingWSGIServer, _QuietHandler)
    except OSError as error:
        raise ConfigError(f"metrics port {host}:{port}: {error.strerror}; choose another: --metrics-port") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_port)
