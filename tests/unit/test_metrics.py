"""Batches → metrics: every record once, labels from closed sets only, exemplars, and the endpoint that serves them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Context, Facts
from newsmill.errors import ConfigError
from newsmill.metrics import Metrics, serve_metrics
from newsmill.scrapes import Scrapes
from newsmill.worker.carried import Carried

NOW_MS = 1_780_000_000_000
ID = "0" * 32


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics("live", ("chips", "cloud"), {"publisher a": "wire"})
    made.expect(["prepare", "dedupe", "enrich", "stories"])
    return made


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def enriched(themes: list[str], language: str = "ko", offset: int = 7) -> Facts:
    return Facts(ID, ("news.raw.v1", 2, offset), language=language, published_at="2026-05-01T00:00:00Z", themes=themes)


def test_results_and_batches_add_up_to_the_records(metrics: Metrics) -> None:
    metrics.batch("dedupe", {"original": 3, "duplicate": 2, "dead_letter": 1}, {"wrong_type": 1}, 0.6, 0.7, (), NOW_MS)
    assert value(metrics, "news_stage_events_total", stage="dedupe", mode="live") == 6
    results = [
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "news_stage_results_total" and sample.labels["stage"] == "dedupe"
    ]
    assert sum(results) == 6
    assert value(metrics, "news_stage_duration_seconds_count", stage="dedupe", mode="live") == 6
    assert value(metrics, "news_stage_duration_seconds_sum", stage="dedupe", mode="live") == pytest.approx(0.6)
    assert value(metrics, "news_stage_duration_seconds_bucket", stage="dedupe", mode="live", le="0.05") == 0
    assert value(metrics, "news_stage_duration_seconds_bucket", stage="dedupe", mode="live", le="0.5") == 6
    assert value(metrics, "news_batch_records_count", stage="dedupe") == 1
    assert value(metrics, "news_transactions_total", stage="dedupe", result="committed") == 1
    assert value(metrics, "news_dead_letters_total", stage="dedupe", reason="wrong_type") == 1
    assert value(metrics, "news_watermark_timestamp_seconds", stage="dedupe") == NOW_MS / 1000


@pytest.mark.parametrize(("seconds", "edge"), [(1.0, "1.0"), (60.0, "60.0"), (59.0, "60.0"), (61.0, "120.0")])
def test_latency_falls_into_its_bucket(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch, seconds: float, edge: str
) -> None:
    monkeypatch.setattr("newsmill.metrics.time.time", lambda: NOW_MS / 1000)
    raw = NOW_MS - round(seconds * 1000)
    metrics.batch("enrich", {"ok": 2}, {}, 0.1, 0.1, [raw, NOW_MS], NOW_MS, [enriched([]), enriched([])])
    text = {
        sample.labels["le"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "news_pipeline_latency_seconds_bucket"
    }
    below = list(text)[list(text).index(edge) - 1]
    assert (text[below], text[edge]) == (1, 2)
    assert value(metrics, "news_pipeline_latency_seconds_sum", mode="live") == pytest.approx(seconds)


def test_labels_are_closed(metrics: Metrics) -> None:
    facts = [enriched(["chips", "cloud"]), enriched(["a-new-theme"], "xx"), enriched([], "en")]
    metrics.batch("enrich", {"ok": 3}, {}, 0.1, 0.1, [NOW_MS] * 3, NOW_MS, facts)
    classified = "news_articles_classified_total"
    assert value(metrics, classified, theme="chips", language="ko") == 1
    assert value(metrics, classified, theme="cloud", language="ko") == 1
    assert value(metrics, classified, theme="none", language="other") == 1
    assert value(metrics, classified, theme="none", language="en") == 1
    stories = [Facts(ID, themes=["chips"], story="opened"), Facts(ID, themes=[], story="joined"), Facts(ID)]
    metrics.batch("stories", {"ok": 3}, {}, 0.1, 0.1, (), NOW_MS, stories)
    assert value(metrics, "news_stories_opened_total", theme="chips") == 1
    assert value(metrics, "news_stories_opened_total", theme="none") == 0
    assert value(metrics, "news_story_articles_total", theme="none") == 1
    sources = [Facts(ID, source="PUBLISHER A"), Facts(ID, source="Somebody")]
    metrics.batch("prepare", {"ok": 2}, {}, 0.1, 0.1, (), NOW_MS, sources)
    shown = {
        sample.labels["source_group"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "news_source_last_event_timestamp_seconds"
    }
    assert shown == {"wire": NOW_MS / 1000, "other": NOW_MS / 1000}
    metrics.batch("dedupe", {"duplicate": 1}, {}, 0.1, 0.1, (), NOW_MS, [Facts(ID, method="near")])
    assert value(metrics, "news_duplicates_total", method="near") == 1


def test_all_that_can_happen_is_there_before_it_happens(metrics: Metrics) -> None:
    """An alert on an increase would miss the first dead letter of a series that was not there before."""
    for name, labels in {
        "news_dead_letters_total": {"stage": "prepare", "reason": "bad_json"},
        "news_transactions_total": {"stage": "stories", "result": "failed"},
        "news_stage_results_total": {"stage": "dedupe", "mode": "live", "outcome": "stale"},
        "news_articles_classified_total": {"theme": "none", "language": "other"},
    }.items():
        assert value(metrics, name, **labels) == 0, name


class Held:
    entries, nbytes, capacity, evicted_early = 5, 500, 10, 3

    def apply(self, change: object) -> None: ...
    def load(self, key: bytes, value: bytes | None) -> None: ...
    def load_all(self, records: Sequence[tuple[bytes, bytes | None]]) -> None: ...
    def loaded(self) -> None: ...


def test_state_is_shown_by_its_owner_only_and_evictions_only_grow(metrics: Metrics) -> None:
    held = Held()
    metrics.state("dedupe", 0, held)
    held.evicted_early = 4
    metrics.state("dedupe", 0, held)
    evicted = "news_dedupe_state_evicted_early_total"
    assert value(metrics, evicted, stage="dedupe", partition="0") == 4
    rebuilt = Held()
    rebuilt.evicted_early = 1
    metrics.state("dedupe", 0, rebuilt)
    assert value(metrics, evicted, stage="dedupe", partition="0") == 5
    assert value(metrics, "news_dedupe_state_capacity_entries", stage="dedupe", partition="0") == 10
    metrics.assigned("dedupe", [1])
    assert value(metrics, "news_dedupe_state_entries", stage="dedupe", partition="0") is None
    assert value(metrics, evicted, stage="dedupe", partition="0") == 5


def test_dedupe_tells_its_cap(metrics: Metrics) -> None:
    state = Dedupe(Context("live", "0", "Asia/Seoul", {}), DedupeOptions(max_entries=1000), load_rulebook()).new_state()
    metrics.state("dedupe", 0, state)
    assert value(metrics, "news_dedupe_state_capacity_entries", stage="dedupe", partition="0") == 1000


def test_failures_and_restarts_outlive_the_process(metrics: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "carried"
    first = Carried.begin(path, metrics)
    assert value(metrics, "news_worker_restarts_total") == 0
    first.fail(path, "enrich")
    path_of_killed = tmp_path / "carried"
    again = Metrics()
    Carried.begin(path_of_killed, again)
    assert value(again, "news_worker_restarts_total") == 1
    assert value(again, "news_transactions_total", stage="enrich", result="failed") == 1
    path.write_text('{"starts"')  # killed in the middle of writing
    assert Carried.begin(path, Metrics()).starts == 1


@pytest.fixture
def address(metrics: Metrics) -> str:
    return f"http://127.0.0.1:{serve_metrics(metrics, '127.0.0.1', 0, lambda: False)}"


def get(url: str, accept: str = "text/plain") -> tuple[str, str]:
    with urlopen(Request(url, headers={"Accept": accept}), timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_endpoint_negotiates_openmetrics_with_exemplars(metrics: Metrics, address: str) -> None:
    facts = [enriched([], offset=1), enriched([], offset=2)]
    metrics.batch("enrich", {"ok": 2}, {}, 0.1, 0.1, [NOW_MS + 5, NOW_MS], NOW_MS, facts)
    kind, text = get(f"{address}/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert '# {raw="news.raw.v1-2-2"}' in text, "the slowest article of the batch"
    assert text.rstrip().endswith("# EOF")
    assert "_created" not in text
    kind, text = get(f"{address}/metrics")
    assert kind.startswith("text/plain")
    assert "# {" not in text


def test_exemplar_that_openmetrics_forbids_is_left_out(metrics: Metrics) -> None:
    facts = Facts(ID, ("x" * 130, 0, 0), themes=[])
    metrics.batch("enrich", {"ok": 1}, {}, 0.1, 0.1, [NOW_MS], NOW_MS, [facts])
    assert all(sample.exemplar is None for family in metrics.registry.collect() for sample in family.samples)


def test_health_and_readiness(address: str) -> None:
    assert get(f"{address}/healthz")[1] == "alive\n"
    for path, code in (("/readyz", 503), ("/else", 404)):
        with pytest.raises(HTTPError) as caught:
            get(f"{address}{path}")
        assert caught.value.code == code
        caught.value.close()


def test_a_taken_port_is_one_clear_line(metrics: Metrics, address: str) -> None:
    with pytest.raises(ConfigError, match="metrics port"):
        serve_metrics(metrics, "127.0.0.1", int(address.rpartition(":")[2]), lambda: True)


def test_a_fetch_counts_when_it_began_later_and_its_answer_was_sent() -> None:
    scrapes = Scrapes()
    early = scrapes.begin()
    threading.Timer(0.05, lambda: list(scrapes.answer(early, [b"old"]))).start()
    assert not scrapes.wait_for_another(0.3)  # it may have read figures from before
    late = scrapes.answer(scrapes.begin(), [b"a", b"b"])
    assert len(late) == 2  # so the server can tell the length
    assert not scrapes.wait_for_another(0)
    assert list(late) == [b"a", b"b"]


def test_each_fetch_is_counted(metrics: Metrics, address: str) -> None:
    assert metrics.scrapes.begun == 0
    get(f"{address}/healthz")
    get(f"{address}/metrics")
    with urlopen(f"{address}/metrics", timeout=5) as answer:
        assert int(answer.headers["Content-Length"]) == len(answer.read())
    assert metrics.scrapes.begun == 2
