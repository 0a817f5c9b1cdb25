"""A real Prometheus with newsmill's own configuration and rules, times divided so that minutes pass in seconds."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import orjson
import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "ops/prometheus/rules"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def free_port() -> int:
    """A port of 127.0.0.1 where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of so many ports of 127.0.0.1, one after another, where nothing listens."""
    while True:
        first = free_port()
        try:
            with ExitStack() as held:
                for number in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
        except (OSError, OverflowError):
            continue
        return first


def _shorter(text: str, divisor: float) -> str:
    """A duration such as 5m, divided; never less than a second."""
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", text))
    return f"{max(1, round(seconds / divisor))}s"


def scaled(expression: str, divisor: float) -> str:
    """A rule's expression with its windows, offsets and times (N * 60, N * 3600 seconds) divided."""
    if divisor == 1:
        return expression
    expression = re.sub(r"\[(\w+)\]", lambda m: f"[{_shorter(m[1], divisor)}]", expression)
    expression = re.sub(r"offset (\w+)", lambda m: f"offset {_shorter(m[1], divisor)}", expression)
    return re.sub(r"\b((?:\d+ \* )+)(60|3600)\b", lambda m: f"{m[1]}{m[2]} / {divisor:g}", expression)


class Prometheus:
    """Started on a free port with its data in ``folder``; ``divisors`` has how much shorter times are, by rule file.

    ``targets`` are live's workers; ``replays`` where replays and their processes may come to serve.
    """

    def __init__(
        self, folder: Path, port: int, targets: Sequence[str], divisors: dict[str, float], replays: Sequence[str] = ()
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.targets = targets
        rules = folder / "rules"
        rules.mkdir(parents=True)
        for path in sorted(RULES.glob("*.yml")):
            data = yaml.safe_load(path.read_text("utf-8"))
            divisor = divisors[path.stem]
            for group in data["groups"]:
                for rule in group["rules"]:
                    rule["expr"] = scaled(rule["expr"], divisor)
                    if "for" in rule and divisor != 1:
                        rule["for"] = _shorter(rule["for"], divisor)
            (rules / path.name).write_text(yaml.safe_dump(data), "utf-8")
        config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text("utf-8"))
        if any(divisor != 1 for divisor in divisors.values()):
            config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        jobs = {job["job_name"]: job for job in config["scrape_configs"]}
        for name, addresses in (("newsmill", targets), ("newsmill-replay", replays)):
            del jobs[name]["dns_sd_configs"]  # a name server is the one thing that is not here
            jobs[name]["static_configs"] = [{"targets": list(addresses)}]
            if config["global"]["scrape_interval"] == "500ms":
                jobs[name] = {k: v for k, v in jobs[name].items() if not k.startswith("scrape_")}
        config["scrape_configs"] = [jobs["newsmill"], jobs["newsmill-replay"]]
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), "utf-8")
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        self.wait(self._ready, "Prometheus to be ready", 30)

    def _ready(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text("utf-8", "replace")[-3000:]
        try:
            with urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()

    def ask(self, path: str, **parameters: str | float) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=20) as answer:
            return orjson.loads(answer.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def wait(self, condition: Callable[[], bool], what: str | Callable[[], str], seconds: float) -> float:
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                raise AssertionError(f"waited {seconds:g} s for {what if isinstance(what, str) else what()}")
            time.sleep(0.2)
        return time.monotonic() - began
