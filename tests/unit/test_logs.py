"""Log lines: one JSON object or one plain line each, complaints limited, an article followed by its id."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import orjson
import pytest

from newsmill.logs import configure_logs
from newsmill.settings import Settings

Start = Callable[..., io.StringIO]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Configure the root logger on a stream of the test's own; everything is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level

    def configure(**settings: str) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        configure_logs(Settings(**settings), "worker-0")  # type: ignore[arg-type]
        return stream

    yield configure
    root.handlers[:], root.level = before[0], before[1]


def test_json_has_one_object_a_line_with_fields(start: Start) -> None:
    stream = start(log_format="json", log_level="debug")
    extra = {"stage": "dedupe", "article": "0" * 32, "outcome": "duplicate"}
    logging.getLogger("newsmill.shell").debug("two\nlines", extra=extra)
    try:
        raise ValueError("why")
    except ValueError as error:
        logging.getLogger("newsmill.shell").error("it failed", exc_info=error)
    first, second = map(orjson.loads, stream.getvalue().splitlines())
    assert first["message"] == "two\nlines"
    assert (first["stage"], first["article"], first["outcome"]) == ("dedupe", "0" * 32, "duplicate")
    assert (first["level"], first["process"], first["logger"]) == ("debug", "worker-0", "newsmill.shell")
    assert first["time"].endswith("+00:00")
    assert "stage" not in second
    assert "ValueError: why" in second["exception"]


def test_plain_where_asked_and_json_where_no_terminal_is(start: Start) -> None:
    stream = start(log_format="plain")
    logging.getLogger("newsmill.worker").info("here")
    assert stream.getvalue().rstrip().endswith("worker-0 INFO here")
    stream = start(log_format="auto")
    logging.getLogger("newsmill.worker").info("here")
    assert orjson.loads(stream.getvalue())["message"] == "here"


def test_complaints_are_limited_and_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = start(log_format="plain")
    now = 1000.0
    monkeypatch.setattr("newsmill.logs.time.monotonic", lambda: now)
    log = logging.getLogger("newsmill.watch")
    for number in range(200):
        log.warning("the broker does not answer: %d", number)
    log.error("another complaint")
    assert len(stream.getvalue().splitlines()) == 6
    now += 61
    log.warning("the broker does not answer: %d", 200)
    assert stream.getvalue().splitlines()[-1].endswith("the broker does not answer: 200 (and 195 more like it)")


def test_what_is_no_complaint_is_not_limited(start: Start) -> None:
    stream = start(log_format="plain", log_level="debug")
    for number in range(50):
        logging.getLogger("newsmill.shell").debug("article %d", number)
        logging.getLogger("aiokafka.consumer.fetcher").debug("fetched %d", number)
    lines = stream.getvalue().splitlines()
    assert sum("article" in line for line in lines) == 50
    assert sum("fetched" in line for line in lines) == 5


def test_libraries_are_quiet_but_for_errors(start: Start) -> None:
    stream = start(log_format="plain", log_level="info")
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).warning("a retry")
    assert stream.getvalue() == ""
    logging.getLogger("aiokafka").error("an error")
    assert "an error" in stream.getvalue()
