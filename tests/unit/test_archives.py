"""Archives: which Kafka time an article gets, which names a topic may have, what is said at the end."""

from __future__ import annotations

from typing import Any

import pytest

from newsmill.cli.archive_times import ArchiveTimes
from newsmill.errors import ConfigError
from newsmill.settings import Settings
from newsmill.topics import archive_topic

SETTINGS = Settings.model_construct()
NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
FETCHED, PUBLISHED = "2024-05-06T07:08:09Z", "2024-05-06T06:00:00Z"
FETCHED_MS, PUBLISHED_MS = 1_714_979_289_000, 1_714_975_200_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"fetched_at": FETCHED, "published_at": PUBLISHED}, FETCHED_MS),
        ({"fetched_at": "2024-05-06 16:08:09"}, FETCHED_MS),  # no offset: the default zone, Asia/Seoul
        ({"fetched_at": 1_714_979_289}, FETCHED_MS),
        ({"published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": None, "published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": "yesterday", "published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": "2031-01-01T00:00:00Z", "published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": "1970-01-01T00:00:00Z", "published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": "1969-12-31T23:59:59Z", "published_at": PUBLISHED}, PUBLISHED_MS),
        ({"fetched_at": "2026-01-01T00:04:00Z"}, NOW + 240_000),  # a crawler's clock
        ({"fetched_at": "1990-01-01T00:00:00Z"}, 631_152_000_000),
        ({}, "fetched_at is missing and published_at is missing"),
        ({"fetched_at": "soon"}, "fetched_at cannot be read and published_at is missing"),
        ({"fetched_at": ["2024"], "published_at": ""}, "fetched_at cannot be read and published_at is missing"),
        (
            {"fetched_at": "2026-01-01T00:06:00Z", "published_at": "1989-12-31T00:00:00Z"},
            "fetched_at is in the future and published_at is before 1990",
        ),
    ],
)
def test_the_time_of_an_article(fields: dict[str, Any], expected: int | str) -> None:
    found = ArchiveTimes(SETTINGS, NOW).time_of(fields, "a.jsonl:1")
    if isinstance(expected, str):
        assert found == f"no time for the archive: {expected}; a replay selects by time, so give one of them"
    else:
        assert found == expected


def test_what_is_said_at_the_end() -> None:
    times = ArchiveTimes(SETTINGS, NOW)
    assert list(times.lines("spring")) == []
    times.time_of({}, "a.jsonl:1")
    assert list(times.lines("spring")) == []
    times.time_of({"fetched_at": FETCHED}, "a.jsonl:2")
    times.time_of({"fetched_at": "2024-05-01T00:00:00.5Z"}, "a.jsonl:3")
    times.time_of({"fetched_at": "x", "published_at": PUBLISHED}, "a.jsonl:4")
    times.time_of({"published_at": PUBLISHED}, "a.jsonl:5")
    assert list(times.lines("spring")) == [
        "2 got published_at as their time (a.jsonl:4: fetched_at cannot be read)",
        "times from 2024-05-01T00:00:00.500Z to 2024-05-06T07:08:09Z",
        "next: newsmill replay run spring --topic news.archive.spring.v1"
        " --from 2024-05-01T00:00:00Z --to 2024-05-06T07:08:10Z",
    ]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "봄", "a.b", "..", "a\n", "x" * 234])
def test_names_that_no_archive_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="archive"):
        archive_topic(name, SETTINGS)


def test_the_topic_of_an_archive() -> None:
    topic = archive_topic("Spring_2024-b", SETTINGS)
    assert topic.name == "news.archive.Spring_2024-b.v1"
    assert len(archive_topic("x" * 233, SETTINGS).name) == 249
    config = topic.config(SETTINGS)
    assert config["message.timestamp.type"] == "CreateTime"
    assert config["retention.ms"] == "-1"
    assert config["cleanup.policy"] == "delete"
    assert int(config["segment.ms"]) > 30 * 365 * 86_400_000
