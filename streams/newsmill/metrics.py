"""Every metric once, and the endpoint that serves them: ``/metrics``, ``/healthz``, ``/readyz``.

Counted once a batch, after its commit, so that what is shown has happened. Labels come from closed sets: what is in
none of them is "other" or "none". No id, address, story or text is ever a label.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.samples import Exemplar

from newsmill.core.stage import Facts, State
from newsmill.errors import ConfigError, Reason
from newsmill.events import Outcome

__all__ = ["LANGUAGES", "LATENCY_BUCKETS", "Metrics", "serve_metrics"]

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# 1 and 60 are edges: the latency objective is "99 % of articles enriched within 60 s of landing"
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
LANGUAGES = ("ko", "en", "ja", "zh", "de", "es", "fr")
_AGE_BUCKETS = (60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 259_200, 604_800, 2_592_000)
_STAGE_BUCKETS = (0.00001, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.5)
_BATCH_BUCKETS = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)
_COMMIT_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_REBUILD_BUCKETS = (0.1, 0.5, 1, 2, 5, 8, 15, 30, 60, 120)
_LOOP_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# OpenMetrics allows 128 characters of names and values together in an exemplar
_EXEMPLAR_CHARACTERS = 128
_JUDGED = (Outcome.ORIGINAL, Outcome.UPDATE, Outcome.REVISION, Outcome.REPEAT, Outcome.STALE, Outcome.DUPLICATE)


class Metrics:
    """The metrics of one process, on a registry of their own.

    ``themes`` and ``source_groups`` (publisher, casefolded → group) are the closed sets of the labels of that name.
    """

    def __init__(
        self, mode: str = "live", themes: Sequence[str] = (), source_groups: Mapping[str, str] | None = None
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.scrapes = 0
        self.mode = mode
        self._themes = frozenset(themes)
        self._source_groups = dict(source_groups or {})
        self._evicted: dict[tuple[str, str], int] = {}
        self._series: dict[tuple[Any, tuple[str, ...]], Any] = {}  # of counters and histograms: never removed
        make: dict[str, Any] = {"registry": self.registry}
        by_stage, by_mode, by_partition = ["stage"], ["mode"], ["stage", "partition"]

        self.events = Counter("news_stage_events", "Records consumed.", ["stage", "mode"], **make)
        self.results = Counter("news_stage_results", "Records by disposition.", ["stage", "mode", "outcome"], **make)
        self.duration = Histogram(
            "news_stage_duration_seconds", "One article's share of the work of its batch.", ["stage", "mode"],
            buckets=_STAGE_BUCKETS, **make,
        )  # fmt: skip
        self.batch_records = Histogram(
            "news_batch_records", "Records in one transaction.", by_stage, buckets=_BATCH_BUCKETS, **make
        )
        self.transaction = Histogram(
            "news_transaction_duration_seconds", "Work and commit of one batch.", by_stage,
            buckets=_COMMIT_BUCKETS, **make,
        )  # fmt: skip
        self.transactions = Counter(
            "news_transactions", "Transactions: committed, or failed and followed by a restart of the process.",
            ["stage", "result"], **make,
        )  # fmt: skip
        self.latency = Histogram(
            "news_pipeline_latency_seconds", "Kafka time of the raw record to its enriched record committed.", by_mode,
            buckets=LATENCY_BUCKETS, **make,
        )  # fmt: skip
        self.age = Histogram(
            "news_event_age_seconds", "Publication of an article to its enriched record committed.", by_mode,
            buckets=_AGE_BUCKETS, **make,
        )  # fmt: skip
        self.watermark = Gauge(
            "news_watermark_timestamp_seconds", "Kafka time of the newest record processed.", by_stage, **make
        )
        self.lag = Gauge(
            "news_consumer_lag_records", "Offsets between the position and the read_committed end.",
            ["group", "topic", "partition"], **make,
        )  # fmt: skip
        self.lag_failures = Counter(
            "news_consumer_lag_failures", "Times that the broker did not answer when asked for the lag.", **make
        )
        self.retention = Gauge(
            "news_topic_retention_seconds", "How long an input topic keeps its records.", ["stage", "topic"], **make
        )
        self.partitions = Gauge("news_consumer_assigned_partitions", "Partitions held.", by_stage, **make)
        self.rebalances = Counter("news_consumer_rebalances", "Assignments received.", by_stage, **make)
        self.restarts = Counter("news_worker_restarts", "Times that this worker process was started again.", **make)
        self.dead_letters = Counter("news_dead_letters", "Dead letters.", ["stage", "reason"], **make)
        self.state_entries = Gauge("news_dedupe_state_entries", "Entries of a stage's state.", by_partition, **make)
        self.state_bytes = Gauge("news_dedupe_state_bytes", "Bytes of a stage's state.", by_partition, **make)
        self.state_capacity = Gauge(
            "news_dedupe_state_capacity_entries", "Entries at which the oldest leave early.", by_partition, **make
        )
        self.evicted_early = Counter(
            "news_dedupe_state_evicted_early", "Entries that left for want of room, not of age.", by_partition, **make
        )
        self.rebuild = Histogram(
            "news_state_rebuild_duration_seconds", "Time to rebuild state from its topic.", by_partition,
            buckets=_REBUILD_BUCKETS, **make,
        )  # fmt: skip
        self.duplicates = Counter("news_duplicates", "Duplicates by the way they were found.", ["method"], **make)
        self.classified = Counter(
            "news_articles_classified", "Enriched articles, once for each of their themes.", ["theme", "language"],
            **make,
        )  # fmt: skip
        self.stories_open = Gauge("news_stories_open", "Open stories, once for each theme.", ["theme"], **make)
        self.stories_opened = Counter("news_stories_opened", "Stories opened.", ["theme"], **make)
        self.story_articles = Counter("news_story_articles", "Articles put into a story.", ["theme"], **make)
        self.source_last = Gauge(
            "news_source_last_event_timestamp_seconds", "Kafka time of the newest record of a group of publishers.",
            ["source_group"], **make,
        )  # fmt: skip
        self.loop_lag = Histogram(
            "news_event_loop_lag_seconds", "How late the event loop wakes a task.", buckets=_LOOP_BUCKETS, **make
        )
        self.build = Gauge("news_build_info", "Versions; always 1.", ["version", "rules_version"], **make)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def expect(self, stages: Iterable[str]) -> None:
        """Show what these stages can count as 0 from the start: an increase from nothing would be no increase."""
        for stage in stages:
            outcomes = _JUDGED if stage == "dedupe" else (Outcome.OK,)
            self.events.labels(stage, self.mode)
            for outcome in (*outcomes, Outcome.DEAD_LETTER):
                self.results.labels(stage, self.mode, outcome.value)
            for reason in Reason:
                self.dead_letters.labels(stage, reason.value)
            for result in ("committed", "failed"):
                self.transactions.labels(stage, result)
            self.rebalances.labels(stage)
            self.duration.labels(stage, self.mode)
            self.batch_records.labels(stage)
            self.transaction.labels(stage)
            themes = (*sorted(self._themes), "none")
            if stage == "dedupe":
                for method in ("exact", "near"):
                    self.duplicates.labels(method)
            elif stage == "enrich":
                self.latency.labels(self.mode)
                self.age.labels(self.mode)
                for theme in themes:
                    for language in (*LANGUAGES, "other"):
                        self.classified.labels(theme, language)
            elif stage == "stories":
                for theme in themes:
                    self.stories_opened.labels(theme)
                    self.story_articles.labels(theme)

    def _of(self, metric: Any, *labels: str) -> Any:
        """The series of a metric, looked up by the client library once: its own way takes a microsecond each time."""
        found = self._series.get((metric, labels))
        if found is None:
            found = self._series[metric, labels] = metric.labels(*labels)
        return found

    def batch(
        self,
        stage: str,
        counts: Mapping[str, int],
        reasons: Mapping[str, int],
        worked: float,
        total: float,
        raw_times_ms: Sequence[int],
        newest_ms: int,
        facts: Sequence[Facts] = (),
    ) -> None:
        """Count one committed batch; seconds of work, and of work and commit together.

        ``raw_times_ms`` has the articles whose way ends here, in the order of ``facts`` where a stage gives them.
        """
        now = time.time()
        records = sum(counts.values())
        self._of(self.events, stage, self.mode).inc(records)
        for outcome, count in counts.items():
            self._of(self.results, stage, self.mode, str(outcome)).inc(count)
        for reason, count in reasons.items():
            self._of(self.dead_letters, stage, str(reason)).inc(count)
        _observe(self._of(self.duration, stage, self.mode), {worked / records: records})
        self._of(self.batch_records, stage).observe(records)
        self._of(self.transaction, stage).observe(total)
        self._of(self.transactions, stage, "committed").inc()
        self._of(self.watermark, stage).set(newest_ms / 1000)
        if raw_times_ms:
            oldest = min(raw_times_ms)
            exemplar = None
            if len(facts) == len(raw_times_ms):
                exemplar = _exemplar(facts[raw_times_ms.index(oldest)], max(0.0, now - oldest / 1000), now)
            waits = Count(max(0.0, now - raw_time / 1000) for raw_time in raw_times_ms)
            _observe(self._of(self.latency, self.mode), waits, exemplar)
        if facts:
            self._count_facts(facts, newest_ms, now)

    def _count_facts(self, facts: Sequence[Facts], newest_ms: int, now: float) -> None:
        ages: Count[float] = Count()
        classified: Count[tuple[str, str]] = Count()
        stories: Count[tuple[str, str]] = Count()
        groups: set[str] = set()
        methods: Count[str] = Count()
        for _, _, source, language, published_at, themes, method, story in facts:
            if themes is not None:
                known = [theme if theme in self._themes else "none" for theme in themes] or ["none"]
                if story is None:
                    spoken = language if language in LANGUAGES else "other"
                    for theme in known:
                        classified[theme, spoken] += 1
                else:
                    for theme in known:
                        stories[theme, story] += 1
            if published_at is not None:
                ages[max(0.0, now - datetime.fromisoformat(published_at).timestamp())] += 1
            if method is not None:
                methods[method] += 1
            if source is not None:
                groups.add(self._source_groups.get(source.casefold(), "other") if self._source_groups else "other")
        for (theme, spoken), count in classified.items():
            self._of(self.classified, theme, spoken).inc(count)
        for (theme, story), count in stories.items():
            self._of(self.story_articles, theme).inc(count)
            if story == "opened":
                self._of(self.stories_opened, theme).inc(count)
        if ages:
            _observe(self._of(self.age, self.mode), ages)
        for method, count in methods.items():
            self._of(self.duplicates, method).inc(count)
        for group in groups:
            self._of(self.source_last, group).set(newest_ms / 1000)

    def assigned(self, stage: str, partitions: Sequence[int]) -> None:
        """An assignment was received: the state of other partitions is somebody else's to show."""
        self.partitions.labels(stage).set(len(partitions))
        self.rebalances.labels(stage).inc()
        held = {(stage, str(number)) for number in partitions}
        for gauge in (self.state_entries, self.state_bytes, self.state_capacity):
            for labels in list(gauge._metrics):
                if labels[0] == stage and labels not in held:
                    gauge.remove(*labels)
        if stage == "stories" and not partitions:
            self.stories_open.clear()

    def state(self, stage: str, partition: int, state: State) -> None:
        """Size of a stage's state now."""
        labels = (stage, str(partition))
        self.state_entries.labels(*labels).set(state.entries)
        self.state_bytes.labels(*labels).set(state.nbytes)
        capacity = getattr(state, "capacity", None)
        if capacity is not None:
            self.state_capacity.labels(*labels).set(capacity)
        evicted = getattr(state, "evicted_early", None)
        if evicted is not None:  # counted by each state from its own beginning
            before = self._evicted.get(labels, 0)
            self.evicted_early.labels(*labels).inc(evicted - before if evicted >= before else evicted)
            self._evicted[labels] = evicted
        open_by_theme: Mapping[str, int] | None = getattr(state, "open_by_theme", None)
        if open_by_theme is not None:
            for theme in self._themes:
                self.stories_open.labels(theme).set(open_by_theme.get(theme, 0))
            self.stories_open.labels("none").set(open_by_theme.get("", 0))

    def rebuilt(self, stage: str, partition: int, seconds: float) -> None:
        """State was rebuilt from its topic."""
        self.rebuild.labels(stage, str(partition)).observe(seconds)


class ReplayMetrics:
    """How far a replay is: what its parent process counts, beside the `Metrics` of its worker processes."""

    def __init__(self, run: str, planned: int) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.scrapes = 0
        self._run = run
        make: dict[str, Any] = {"registry": self.registry}
        self.planned = Gauge("news_replay_planned_records", "Raw records in the range of a replay.", ["run"], **make)
        self.remaining = Gauge(
            "news_replay_remaining_records", "Records not yet through all stages, each stage counted by its share.",
            ["run"], **make,
        )  # fmt: skip
        self.position = Gauge(
            "news_replay_position_timestamp_seconds", "Kafka time of the newest record that is done.",
            ["run"], **make,
        )  # fmt: skip
        self.differences = Gauge(
            "news_replay_differences", "Articles by how the replay's result compares with live's.", ["run", "kind"],
            **make,
        )  # fmt: skip
        self.planned.labels(run).set(planned)
        self.remaining.labels(run).set(planned)

    def advance(self, remaining: float, position_ms: int | None) -> None:
        """So many records are left, and the stage at work has come up to a Kafka time in milliseconds."""
        self.remaining.labels(self._run).set(remaining)
        if position_ms is not None:
            self.position.labels(self._run).set(position_ms / 1000)

    def compared(self, kinds: Mapping[str, int]) -> None:
        """Kind of difference → articles."""
        for kind, count in kinds.items():
            self.differences.labels(self._run, kind).set(count)


def _exemplar(facts: Facts, seconds: float, now: float) -> Exemplar | None:
    """The raw record of the slowest article, as topic-partition-offset."""
    if facts.origin is None:
        return None
    place = "{}-{}-{}".format(*facts.origin)
    return Exemplar({"raw": place}, seconds, now) if len(place) + 3 <= _EXEMPLAR_CHARACTERS else None


def _observe(histogram: Histogram, values: Mapping[float, int], exemplar: Exemplar | None = None) -> None:
    """Observe values so many times each at the cost of one lock a bucket, not one a value."""
    bounds = histogram._upper_bounds
    buckets: Count[int] = Count()
    for value, times in values.items():
        buckets[bisect_left(bounds, value)] += times
    histogram._sum.inc(sum(value * times for value, times in values.items()))
    for index, times in buckets.items():
        histogram._buckets[index].inc(times)
    if exemplar is not None:
        histogram._buckets[bisect_left(bounds, exemplar.value)].set_exemplar(exemplar)


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """No line on standard error for each scrape."""


def serve_metrics(metrics: Metrics | ReplayMetrics, host: str, port: int, ready: Callable[[], bool]) -> int:
    """Serve on a daemon thread; returns the port. `ConfigError` if it is taken."""
    exposition = make_wsgi_app(metrics.registry)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            metrics.scrapes += 1
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
