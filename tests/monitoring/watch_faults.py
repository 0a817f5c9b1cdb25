"""Which alerts fire after how long, with the rules as they are: run by hand, not by pytest; about 15 minutes for all.

    PYTHONPATH=.:tests/integration:tests/monitoring python tests/monitoring/watch_faults.py [bad] [broker] [worker]

bad: 50 records that are no JSON. broker: it is stopped for a minute. worker: parent and process are killed with -9, and
started again after the alert. Every change of an alert is printed with the seconds since its fault. It has a Kafka, a
worker and a Prometheus of its own, and publishes 5 articles a second meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

import orjson
from aiokafka.errors import KafkaError
from bench.articles import make_articles
from harness import Mill
from prometheus_server import Prometheus, free_port

from newsmill import kafka
from newsmill.broker import EmbeddedKafka
from newsmill.errors import BrokerError


class Watch:
    """Prints what changes among the alerts."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self.states: dict[tuple[str, ...], str] = {}

    def look(self, since: float, seconds: float) -> None:
        while time.monotonic() - since < seconds:
            now = {
                tuple(alert["labels"].get(name, "") for name in ("alertname", "stage", "reason", "instance")): str(
                    alert["state"]
                )
                for alert in self.prometheus.ask("alerts")["alerts"]
            }
            for alert in sorted(set(now) | set(self.states)):
                before, after = self.states.get(alert, "quiet"), now.get(alert, "quiet")
                if before != after:
                    print(f"  {time.monotonic() - since:5.0f} s  {' '.join(filter(None, alert))}: {before} -> {after}")
            self.states = now
            time.sleep(1)


def feed(mill: Mill) -> None:
    """5 articles a second until the program ends; a fresh producer after each failure."""

    async def publish() -> None:
        articles = (orjson.dumps(article) for article in make_articles(20_000, seed=9))
        while True:
            try:
                async with kafka.producer(mill.settings) as producer:
                    for value in articles:
                        await asyncio.wait_for(producer.send_and_wait(mill.name("raw"), value), 10)
                        await asyncio.sleep(0.2)
                    return
            except (KafkaError, TimeoutError, BrokerError):
                await asyncio.sleep(2)

    threading.Thread(target=lambda: asyncio.run(publish()), daemon=True).start()


def main(faults: list[str]) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every try while the broker is away
    folder = Path(tempfile.mkdtemp(prefix="newsmill-faults-"))
    broker = EmbeddedKafka(0, folder / "kafka")
    running = broker.start()
    mill = Mill(running.bootstrap, "faults.", folder)
    port = free_port()
    worker = mill.newsmill("worker", "--metrics-port", str(port))
    divisors = {"alerts": 1.0, "recording": 1.0, "silence": 1.0, "replay": 1.0}
    prometheus = Prometheus(folder / "prometheus", free_port(), [f"127.0.0.1:{port}"], divisors)
    watch = Watch(prometheus)
    try:
        feed(mill)
        print("all is well")
        watch.look(time.monotonic(), 90)
        if "bad" in faults:
            print("50 bad records")
            since = time.monotonic()
            mill.publish("raw", [(b"bad", b"{not json %d" % number) for number in range(50)])
            watch.look(since, 150)
        if "broker" in faults:
            print("the broker stops for a minute")
            since = time.monotonic()
            broker.stop()
            watch.look(since, 60)
            broker = EmbeddedKafka(int(running.bootstrap.rpartition(":")[2]), folder / "kafka")
            broker.start()
            print(f"  {time.monotonic() - since:5.0f} s  it is back")
            watch.look(since, 300)
        if "worker" in faults:
            print("the worker is killed")
            since = time.monotonic()
            mill.kill(worker)
            watch.look(since, 180)
            mill.newsmill("worker", "--metrics-port", str(port))
            print(f"  {time.monotonic() - since:5.0f} s  it is started again")
            watch.look(since, 240)
    finally:
        prometheus.stop()
        mill.close()
        broker.stop()


if __name__ == "__main__":
    main(sys.argv[1:] or ["bad", "broker", "worker"])
