"""A name, two times and a topic → the frozen plan of a replay, kept on Kafka with how far the replay has come.

Everything that a second start must know is in the replay's own manifest topic, so a replay goes on from any machine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import orjson
from aiokafka.structs import TopicPartition
from pydantic import BaseModel, ConfigDict

from newsmill import __version__, kafka
from newsmill.core.rulebook import Rulebook
from newsmill.core.times import format_utc
from newsmill.errors import ConfigError, NewsmillError, TopicError, UnreadableFormat
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics
from newsmill.topics import STAGES, TOPICS, Topic

__all__ = [
    "DROPPING_KEY",
    "FINISHED_KEY",
    "LAST_MS",
    "PLAN_KEY",
    "ReplayPlan",
    "create_manifest",
    "decode_plan",
    "differences",
    "encode_entry",
    "freeze",
    "list_replays",
    "manifest_topic",
    "parse_stages",
    "read_entries",
    "read_plan",
    "replay_names",
    "replay_settings",
    "require_plan",
    "source_topic",
    "write_entry",
]

_FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MANIFEST: Final = Topic(
    "manifest", "manifest.v1", "entry", (), "the plan of a replay and how far it is", "compact", -1, 1, internal=True
)
PLAN_KEY: Final = "plan"
DROPPING_KEY: Final = "dropping"
"""The entry that stands in the manifest from the first thing that is deleted: what is left is no replay any more."""
FINISHED_KEY: Final = "finished"
"""The entry that stands in the manifest when the last phase is over and every record is accounted for."""
LAST_MS: Final = 9_999_999_999_999
"""Behind every record: ``--to latest`` means up to the end of the topic as it is when the plan is made."""
# settings that change what the stages decide
_DECIDING: Final = (
    "default_timezone", "dedupe_window_days", "dedupe_max_entries", "dedupe_shards", "dedupe_shard_map",
    "stories_window_hours", "stories_max_articles", "partitions",
)  # fmt: skip
_CHAINS: Final = (*(STAGES[: length + 1] for length in range(len(STAGES))), ("enrich",))


class ReplayPlan(BaseModel):
    """What a replay reads and by which rules; never changed after it is made.

    ``source_topic`` is a full name; ``begin`` and ``end`` are offsets by partition; times are milliseconds, the range
    is half open. Records from ``from_ms - warm_up_ms`` on are read into state, those from ``from_ms`` on are emitted.
    ``records`` were counted when the plan was made; ``warm_up_records`` of them are from before ``from_ms``.
    """

    model_config = ConfigDict(frozen=True)

    format: int = _FORMAT
    name: str
    source_topic: str
    stages: tuple[str, ...]
    from_ms: int
    to_ms: int
    warm_up_ms: int
    begin: dict[int, int]
    end: dict[int, int]
    records: int
    warm_up_records: int
    newsmill_version: str
    rules_version: str
    options: dict[str, Any]
    made_at: str

    @property
    def since_ms(self) -> int:
        """The Kafka time of the first record that is read."""
        return max(0, self.from_ms - self.warm_up_ms)

    @property
    def closed_ms(self) -> int:
        """No record with this Kafka time or a later one is in the range: ``to_ms``, or when the plan was made."""
        return min(self.to_ms, int(datetime.fromisoformat(self.made_at).timestamp() * 1000))


def replay_settings(settings: Settings, name: str) -> Settings:
    """Settings whose topics, groups and transactional ids are the replay's; `ConfigError` for an impossible name."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot name a replay: 1 to 40 small letters, digits, - and _, beginning with a letter or digit"
        )
    return settings.model_copy(update={"topic_prefix": f"{settings.topic_prefix}replay.{name}."})


def manifest_topic(settings: Settings, name: str) -> str:
    """The full name of a replay's manifest topic."""
    return replay_settings(settings, name).topic_prefix + _MANIFEST.name


def parse_stages(text: str | None) -> tuple[str, ...]:
    """ "prepare,dedupe" → stages in the order of the flow; None is all; `ConfigError` for what cannot run by itself."""
    if text is None:
        return STAGES
    names = {name.strip() for name in text.split(",") if name.strip()}
    stages = tuple(name for name in STAGES if name in names)
    if len(stages) < len(names) or stages not in _CHAINS:
        allowed = "; ".join(",".join(chain) for chain in _CHAINS)
        raise ConfigError(f"--stages {text}: a replay can run {allowed}")
    return stages


def source_topic(settings: Settings, stages: Iterable[str], topic: str | None) -> str:
    """The full name of the topic that a replay of these stages reads; `ConfigError` if it does not fit them."""
    first = next(iter(stages))
    usual = TOPICS["unique" if first == "enrich" else "raw"].name
    if topic is None:
        return settings.topic_prefix + usual
    short = topic.removeprefix(settings.topic_prefix)
    archive = first == "prepare" and short.startswith("news.archive.")
    if short != usual and not archive:
        also = " or an archive (news.archive.NAME.v1)" if first == "prepare" else ""
        raise ConfigError(f"--topic {topic}: the stage {first} reads {usual}{also}")
    return settings.topic_prefix + short


async def freeze(
    settings: Settings,
    rulebook: Rulebook,
    name: str,
    topic: str,
    stages: tuple[str, ...],
    from_ms: int,
    to_ms: int,
    warm_up_ms: int,
) -> ReplayPlan:
    """Look up where the range begins and ends now; `TopicError` if the topic is not there."""
    async with kafka.admin_client(settings) as admin:
        if topic not in await admin.list_topics():
            raise TopicError(f"topic {topic} is missing: nothing can be replayed from it")
        (entry,) = await admin.describe_topics([topic])
    partitions = [TopicPartition(topic, part["partition"]) for part in entry["partitions"]]
    since = max(0, from_ms - warm_up_ms)
    made_at = format_utc(time.time_ns() // 1_000_000)  # before the ends are asked for
    async with kafka.consumer(settings) as client:
        end = await kafka.end_offsets(client, partitions)
        begin = await client.beginning_offsets(partitions)
        # only where to begin: records are chosen by their own times
        found = await client.offsets_for_times(dict.fromkeys(partitions, since)) if since else {}
        starts = {tp: begin[tp] if not since else found[tp].offset if found.get(tp) else end[tp] for tp in partitions}
        starts = {tp: min(starts[tp], end[tp]) for tp in partitions}
        records, warm_up = await _count(client, starts, end, since, from_ms, to_ms)
    return ReplayPlan(
        name=name,
        source_topic=topic,
        stages=stages,
        from_ms=from_ms,
        to_ms=to_ms,
        warm_up_ms=min(warm_up_ms, from_ms),
        begin={tp.partition: starts[tp] for tp in sorted(partitions)},
        end={tp.partition: end[tp] for tp in sorted(partitions)},
        records=records,
        warm_up_records=warm_up,
        newsmill_version=__version__,
        rules_version=rulebook.version,
        options=_options(settings),
        made_at=made_at,
    )


async def _count(
    client: Any,
    begin: dict[TopicPartition, int],
    end: dict[TopicPartition, int],
    since_ms: int,
    from_ms: int,
    to_ms: int,
) -> tuple[int, int]:
    """How many records the range has, and how many of them are before ``from_ms``: read, but not parsed."""
    left = {tp for tp in end if begin[tp] < end[tp]}
    records = warm_up = 0
    if left:
        client.assign(list(left))
        for tp in left:
            client.seek(tp, begin[tp])
    while left:
        for tp, fetched in (await client.getmany(*left, timeout_ms=500, max_records=5000)).items():
            for record in fetched:
                if record.offset < end[tp] and since_ms <= record.timestamp < to_ms:
                    records += 1
                    warm_up += record.timestamp < from_ms
        for tp in list(left):
            if await client.position(tp) >= end[tp]:
                left.discard(tp)
    return records, warm_up


def _options(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _DECIDING}


_FLAGS: Final = {
    "from_ms": "--from", "to_ms": "--to", "warm_up_ms": "--warm-up", "stages": "--stages", "source_topic": "--topic",
}  # fmt: skip


def differences(
    plan: ReplayPlan,
    settings: Settings,
    rulebook: Rulebook,
    asked: dict[str, Any],
    written: Callable[[str, Any], str] = lambda field, value: str(value),
) -> list[str]:
    """What of this call, its settings and its rules is not as the plan says; with any, the result would be mixed.

    ``written`` says a field of the plan and its value as a person writes it.
    """
    now = {"newsmill_version": __version__, "rules_version": rulebook.version}
    if "warm_up_ms" in asked:  # as `freeze` takes it: nothing is before the epoch
        asked = asked | {"warm_up_ms": min(asked["warm_up_ms"], asked.get("from_ms", plan.from_ms))}
    told = [
        f"{_FLAGS.get(name, name)} was {written(name, getattr(plan, name))}, is {written(name, value)}"
        for name, value in (asked | now).items()
        if getattr(plan, name) != value
    ]
    options = _options(settings)
    told += [
        f"{name} was {plan.options.get(name)}, is {options[name]}"
        for name in _DECIDING
        if plan.options.get(name) != options[name]
    ]
    return told


async def create_manifest(settings: Settings, name: str) -> None:
    """Create the manifest topic; nothing if it is there, `TopicError` where the broker refuses."""
    async with kafka.admin_client(settings) as admin:
        await create_topics(admin, {_MANIFEST.short: _MANIFEST}, replay_settings(settings, name))


def encode_entry(value: dict[str, Any]) -> bytes:
    """The bytes of a manifest entry."""
    return orjson.dumps(value)


async def write_entry(settings: Settings, name: str, key: str, value: dict[str, Any]) -> None:
    """Write one entry of the manifest; the last one of a key counts."""
    async with kafka.producer(settings) as producer:
        await producer.send_and_wait(manifest_topic(settings, name), encode_entry(value), key=key.encode(), partition=0)


async def read_entries(settings: Settings, name: str) -> dict[str, dict[str, Any]]:
    """All entries of a manifest, the youngest last; empty if there is no such replay."""
    topic = manifest_topic(settings, name)
    async with kafka.admin_client(settings) as admin:
        if topic not in await admin.list_topics():
            return {}
    entries: dict[str, dict[str, Any]] = {}
    async with kafka.consumer(settings) as client:
        async for _, records in kafka.read_range(client, [TopicPartition(topic, 0)]):
            for record in records:
                entries.pop(record.key.decode(), None)
                if record.value is not None:
                    entries[record.key.decode()] = orjson.loads(record.value)
    return entries


async def read_plan(settings: Settings, name: str) -> ReplayPlan | None:
    """The plan of a replay; None if there is none, `UnreadableFormat` if a newer newsmill made it.

    `NewsmillError` if a part of the replay is deleted: to go on would read again what it has read.
    """
    entries = await read_entries(settings, name)
    entry = entries.get(PLAN_KEY)
    if entry is None:
        return None
    if DROPPING_KEY in entries:
        raise NewsmillError(f"replay {name} is dropped in part: `newsmill replay drop {name}` drops the rest")
    return decode_plan(name, entry)


def decode_plan(name: str, entry: dict[str, Any]) -> ReplayPlan:
    """The plan in a manifest's entry; `UnreadableFormat` if a newer newsmill made it."""
    if entry["format"] > _FORMAT:
        raise UnreadableFormat(f"the plan of replay {name} has format {entry['format']}; this newsmill reads {_FORMAT}")
    return ReplayPlan.model_validate(entry)


def replay_names(settings: Settings, topics: Iterable[str]) -> list[str]:
    """The names of the replays that have a manifest among these topics, sorted."""
    pattern = re.compile(re.escape(f"{settings.topic_prefix}replay.") + f"({_NAME.pattern})" + r"\.manifest\.v1")
    return sorted(match[1] for topic in topics if (match := pattern.fullmatch(topic)))


async def list_replays(settings: Settings) -> list[str]:
    """The names of all replays on this broker below this prefix, sorted."""
    async with kafka.admin_client(settings) as admin:
        return replay_names(settings, await admin.list_topics())


async def require_plan(settings: Settings, name: str) -> ReplayPlan:
    """The plan of a replay; `NewsmillError` that names those there are, if there is none of this name."""
    plan = await read_plan(settings, name)
    if plan is None:
        names = await list_replays(settings)
        there = f"there are {', '.join(names)}" if names else "there is none"
        raise NewsmillError(f"no replay is named {name}; {there}")
    return plan
