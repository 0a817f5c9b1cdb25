"""Dropping a replay: not while it runs, and what is left of it does not go on."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from harness import Mill
from replayed import NAME, Replayed

from newsmill import kafka
from newsmill.replay.draining import begin_groups_at
from newsmill.replay.plan import DROPPING_KEY, read_entries, write_entry


def test_nothing_of_a_replay_that_runs_is_deleted(mill: Mill) -> None:
    replay = Replayed(mill)
    sorted_ = kafka.group_name(replay.settings, "sort-prepared")  # without members, also while the sort runs
    place = TopicPartition(replay.settings.topic_prefix + mill.topics["prepared"].name, 0)

    async def offsets() -> dict[TopicPartition, int]:
        async with kafka.admin_client(mill.settings) as admin:
            return await kafka.group_offsets(admin, sorted_)

    async def drop_beside_a_member() -> None:
        await begin_groups_at(replay.settings, sorted_, {place: 7})
        member = AIOKafkaConsumer(
            replay.settings.topic_prefix + mill.topics["story-input"].name,
            group_id=kafka.group_name(replay.settings, "stories"),
            bootstrap_servers=mill.settings.bootstrap_servers,
        )
        await member.start()
        try:
            told = await asyncio.to_thread(mill.call, "replay", "drop", NAME, "--yes")
        finally:
            await member.stop()
        assert told.returncode == 1
        assert "newsmill-stories has members" in told.stderr.replace("\n", "")

    asyncio.run(drop_beside_a_member())
    assert asyncio.run(offsets()) == {place: 7}
    assert DROPPING_KEY not in asyncio.run(read_entries(mill.settings, NAME))
    told = mill.call("replay", "drop", NAME, "--yes")
    assert told.returncode == 0, told.stderr
    assert asyncio.run(offsets()) == {}
    assert not mill.exists(mill.settings.topic_prefix + f"replay.{NAME}.manifest.v1")


def test_what_is_left_of_a_replay_does_not_go_on(mill: Mill) -> None:
    Replayed(mill)
    asyncio.run(write_entry(mill.settings, NAME, DROPPING_KEY, {}))  # where a drop was killed
    for command in ("run", "diff", "promote"):
        told = mill.call("replay", command, NAME)
        assert told.returncode == 1
        assert "is dropped in part" in told.stderr
    assert mill.call("replay", "drop", NAME, "--yes").returncode == 0
