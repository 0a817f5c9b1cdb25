"""A real Prometheus scrapes real workers: every panel has data while articles flow, and faults make their alerts fire.

Times in rules are divided (DIVISORS), so that 5 minutes pass in 10 seconds; what is watched is the same.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from bench.articles import make_articles
from harness import Mill
from preview import preview
from prometheus_server import ROOT, Prometheus, free_port, free_ports

from newsmill import kafka
from newsmill.core.comparison import Kind

HERE = Path(__file__).parent
BOARDS = {path.stem: orjson.loads(path.read_bytes()) for path in sorted((ROOT / "ops/grafana/dashboards").glob("*"))}
DIVISORS = {"alerts": 30.0, "recording": 30.0, "silence": 600.0, "replay": 30.0}
VARIABLES = {"$__rate_interval": "10s", "$__range": "1m", "$job": ".+", "$instance": ".+", "$run": ".+"}
# panels that rightly show nothing while all is well, each with its reason
EMPTY = {
    ("overview", "Alerts"): "a table of alerts has no row while none fires; it is looked at again when some do",
    ("replay", "Differences from live by kind"): "a replay compares itself with live when it has ended",
}
GROUPS = {"wire": [f"Publisher {number}" for number in range(40)]}


class Feed(threading.Thread):
    """Publishes about 40 articles a second until told to stop; a third of them are copies."""

    def __init__(self, mill: Mill, seed: int) -> None:
        super().__init__(daemon=True)
        self.mill = mill
        self.seed = seed
        self.done = threading.Event()

    def run(self) -> None:
        asyncio.run(self._feed())

    async def _feed(self) -> None:
        articles = list(make_articles(4000, self.seed))
        async with kafka.producer(self.mill.settings) as producer:
            for number, article in enumerate(articles):
                if self.done.is_set():
                    return
                article = article if number % 3 else {**article, "body": articles[max(0, number - 4)]["body"]}
                await producer.send(self.mill.name("raw"), orjson.dumps(article), key=b"%d" % number)
                await asyncio.sleep(0.025)

    def stop(self) -> None:
        self.done.set()
        self.join(10)


class Scene:
    """A pipeline, a worker of another prefix that can be made to hang, and a Prometheus that scrapes both."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        (folder / "hang").mkdir()
        settings: dict[str, Any] = {"metrics_lag_seconds": 0.5}
        groups = orjson.dumps(GROUPS).decode()
        self.mill = Mill(bootstrap, prefix, folder, **settings, log_level="debug")
        self.hanging = Mill(bootstrap, f"{prefix}hang.", folder / "hang", **settings)
        self.hanging.env["PYTHONPATH"] = os.pathsep.join([str(HERE), self.hanging.env["PYTHONPATH"]])
        self.mill.env["NEWSMILL_METRICS_SOURCE_GROUPS"] = groups
        ports = [free_port(), free_port()]
        self.worker = self.mill.newsmill("worker", "--metrics-port", str(ports[0]))
        self.hanging.spawn(str(HERE / "hang_worker.py"), str(ports[1]))
        self.targets = [f"127.0.0.1:{number}" for number in ports]
        self.replay_port = free_ports(2)
        replays = [f"127.0.0.1:{self.replay_port + index}" for index in range(2)]
        self.prometheus = Prometheus(folder / "prometheus", free_port(), self.targets, DIVISORS, replays)

    def close(self) -> None:
        self.prometheus.stop()
        self.mill.close()
        self.hanging.close()

    def wait(self, alert: str, seconds: float) -> float:
        return self.prometheus.wait(lambda: alert in self.prometheus.firing(), f"{alert} to fire", seconds)


@pytest.fixture(scope="module")
def scene(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(bootstrap, f"t{os.getpid():x}m.", tmp_path_factory.mktemp("monitoring"))
    try:
        yield made
    finally:
        made.close()


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def targets() -> Iterator[tuple[str, str, str]]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for inner in [panel, *(panel.get("panels") or ())]:
                for target in inner.get("targets") or ():
                    yield name, inner["title"], filled(target["expr"])


def has_number(result: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(series["value"][1])) for series in result)


@pytest.mark.timeout(120)
def test_every_panel_shows_data_while_articles_flow(scene: Scene) -> None:
    feed = Feed(scene.mill, seed=7)
    feed.start()
    try:
        scene.mill.wait_processed("stories", 200, 60)
        time.sleep(6)  # rates look back 10 s
        empty = {}
        for board, title, expression in targets():
            if board != "replay" and not has_number(scene.prometheus.query(expression)):
                empty[board, title] = expression
        alerts = [series["metric"] for series in scene.prometheus.query("ALERTS")]
        assert set(empty) == {place for place in EMPTY if place[0] != "replay"}, (empty, alerts)
        up = scene.prometheus.query('up{job="newsmill"}')
        assert {series["metric"]["instance"]: series["value"][1] for series in up} == dict.fromkeys(scene.targets, "1")
        exemplars = scene.prometheus.ask(
            "query_exemplars", query="news_pipeline_latency_seconds_bucket", start=time.time() - 60, end=time.time()
        )
        raws = {one["labels"]["raw"] for series in exemplars for one in series["exemplars"]}
        assert raws, "exemplars survive the scrape"
        assert all(raw.startswith(f"{scene.mill.name('raw')}-") for raw in raws)
    finally:
        feed.stop()


@pytest.mark.timeout(60)
def test_counts_agree_with_the_ledger(scene: Scene) -> None:
    """What Prometheus holds is what the transactions did, and nothing waits when all is done."""
    mill = scene.mill
    mill.wait_processed("dedupe", mill.processed("prepare")["ok"], 30)
    unique = sum(mill.processed("dedupe").get(name, 0) for name in ("original", "update", "revision"))
    mill.wait_processed("enrich", unique, 30)
    mill.wait_processed("stories", unique + mill.processed("dedupe").get("duplicate", 0), 30)

    def agree() -> bool:
        shown: dict[tuple[str, str], int] = {}
        for series in scene.prometheus.query(f'news_stage_results_total{{instance="{scene.targets[0]}"}} > 0'):
            shown[series["metric"]["stage"], series["metric"]["outcome"]] = int(float(series["value"][1]))
        ledger = {
            (stage, outcome): count
            for stage in ("prepare", "dedupe", "enrich", "stories")
            for outcome, count in mill.processed(stage).items()
        }
        return shown == ledger

    scene.prometheus.wait(agree, "metrics to agree with the ledger", 20)
    lag = 'sum(news_consumer_lag_records{group=~".*newsmill-.*"})'
    scene.prometheus.wait(lambda: scene.prometheus.query(lag)[0]["value"][1] == "0", "no lag: markers are none", 20)


@pytest.mark.timeout(180)
def test_a_replay_fills_its_board_and_alarms_nobody(scene: Scene) -> None:
    """Beside live, slowly; its last figures are fetched before it is gone."""
    prometheus = scene.prometheus
    feed = Feed(scene.mill, seed=8)
    feed.start()
    try:
        p99 = "histogram_quantile(0.99, rate(news_pipeline_latency_seconds_bucket[10s]))"
        prometheus.wait(lambda: has_number(prometheus.query(p99)), "live to work", 30)
        began = time.time() - 3
        records = len(scene.mill.read("unique"))
        span = ("--from", "earliest", "--to", "latest", "--stages", "enrich")
        port = ("--metrics-port", str(scene.replay_port))
        replay = scene.mill.newsmill("replay", "run", "july", *span, "--rate", f"{records / 8:.0f}", *port)

        def empty() -> set[tuple[str, str]]:
            """Panels of the board of which a target gives nothing: lines over the time since shortly before."""
            shown = set()
            for panel in BOARDS["replay"]["panels"]:
                for target in panel.get("targets") or ():
                    if target.get("range"):
                        window = {"start": began, "end": time.time(), "step": 1}
                        rows = prometheus.ask("query_range", query=filled(target["expr"]), **window)["result"]
                        result = [{"value": value} for row in rows for value in row["values"]]
                    else:
                        result = prometheus.query(filled(target["expr"]))
                    if not has_number(result):
                        shown.add(("replay", panel["title"]))
            return shown

        rightly = {place for place in EMPTY if place[0] == "replay"}
        prometheus.wait(lambda: empty() == rightly, lambda: f"{empty() - rightly} to show data", 60)
        assert replay.poll() is None, "it was still at work"
        up = prometheus.query('up{job="newsmill-replay"}')
        assert [series["value"][1] for series in up] == ["1", "1"]
        counted = prometheus.query('count by (mode) (news_stage_events_total{job="newsmill-replay"})')
        assert [series["metric"] for series in counted] == [{"mode": "replay"}]
        assert replay.wait(timeout=60) == 0, scene.mill.logs()[-3000:]
        assert not prometheus.firing() & {"NewsmillReplayStuck", "NewsmillReplayHurtsLive", "NewsmillWorkerDown"}
        [left] = prometheus.query("last_over_time(news_replay_remaining_records[1m])")
        assert (left["metric"]["run"], left["value"][1]) == ("july", "0")
        compared = prometheus.query("last_over_time(news_replay_differences[1m])")
        kinds = {series["metric"]["kind"]: int(series["value"][1]) for series in compared}
        assert set(kinds) == {kind.value for kind in Kind}
        assert kinds["same"] >= records / 2
        assert kinds["changed"] == 0, "the same rules"
        assert "waiting until Prometheus has fetched the final figures" in " ".join(scene.mill.logs().split())
        page = preview(prometheus.url, 1, 10)
        assert page.count("no data") == 0, "the comparison is shown now, too"
        assert page.count('class="panel"') == len({(board, title) for board, title, _ in targets()})
        if path := os.environ.get("NEWSMILL_TEST_PREVIEW"):  # to look at
            Path(path).write_text(page, "utf-8")
    finally:
        feed.stop()


@pytest.mark.timeout(30)
def test_an_article_is_followed_by_its_id_and_never_quoted(scene: Scene) -> None:
    lines = [orjson.loads(line) for line in scene.mill.logs().splitlines() if '"article"' in line]
    events = [event.json for event in scene.mill.read("enriched")[:50]]
    ways: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        ways.setdefault(line["article"], []).append((line["stage"], line["outcome"]))
    for event in events:
        way = [("prepare", "ok"), ("dedupe", event["verdict"]), ("enrich", "ok"), ("stories", "ok")]
        assert ways[event["id"]] == way
    logs = scene.mill.logs()
    assert not [event["id"] for event in events if event["text"][:40] in logs or event["title"] in logs]


@pytest.mark.timeout(60)
def test_bad_records_raise_their_alert_only(scene: Scene) -> None:
    before = scene.prometheus.firing()
    assert "NewsmillDeadLetters" not in before
    scene.mill.publish("raw", [(b"bad", b"{not json %d" % number) for number in range(50)])
    scene.wait("NewsmillDeadLetters", 30)
    labels = [a["labels"] for a in scene.prometheus.ask("alerts")["alerts"] if a["state"] == "firing"]
    [letters] = [alert for alert in labels if alert["alertname"] == "NewsmillDeadLetters"]
    assert (letters["stage"], letters["reason"], letters["severity"]) == ("prepare", "bad_json", "ticket")
    assert not {"NewsmillWorkerDown", "NewsmillStageStalled"} & scene.prometheus.firing()


@pytest.mark.timeout(120)
def test_a_stage_that_hangs_is_noticed_by_its_lag(scene: Scene) -> None:
    """One record hangs: the event loop stands, the process answers, and the lag that the timer asks for grows."""
    lag = f'sum(news_consumer_lag_records{{instance="{scene.targets[1]}"}})'
    article = {"url": "https://a.example/1", "body": "!hang"}
    scene.hanging.publish("raw", [(b"k", orjson.dumps(article))] + [(b"k", b"{}")] * 9)
    scene.prometheus.wait(lambda: float(scene.prometheus.query(lag)[0]["value"][1]) == 10, "a lag of 10", 20)
    scene.hanging.publish("raw", [(b"k", b"{}")] * 5)
    scene.prometheus.wait(lambda: float(scene.prometheus.query(lag)[0]["value"][1]) == 15, "a lag of 15", 20)
    scene.wait("NewsmillStageStalled", 60)
    [up] = scene.prometheus.query(f'up{{instance="{scene.targets[1]}"}}')
    assert up["value"][1] == "1"


@pytest.mark.timeout(90)
def test_silence_is_noticed(scene: Scene) -> None:
    """Nothing has come since the bad records: no input, and no word from the group of publishers."""
    scene.wait("NewsmillNoInput", 60)
    scene.wait("NewsmillSourceSilent", 60)


@pytest.mark.timeout(60)
def test_a_killed_worker_is_noticed(scene: Scene) -> None:
    assert "NewsmillWorkerDown" not in scene.prometheus.firing()
    scene.mill.kill(scene.worker)
    scene.wait("NewsmillWorkerDown", 30)
    down = [a["labels"]["instance"] for a in scene.prometheus.ask("alerts")["alerts"]
            if a["labels"]["alertname"] == "NewsmillWorkerDown"]  # fmt: skip
    assert down == [scene.targets[0]]
    # the board's table has rows now
    table = next(expression for board, title, expression in targets() if (board, title) == ("overview", "Alerts"))
    assert len(scene.prometheus.query(table)) >= 4
