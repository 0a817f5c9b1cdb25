"""Who writes promotions knows what is under way to live, whatever other replays do at the same time."""

from __future__ import annotations

import asyncio

from harness import Mill
from replayed import NAME, Replayed

from newsmill import kafka
from newsmill.replay.promotion_writer import open_writer


def test_an_open_transaction_of_another_replay_hides_nothing(mill: Mill) -> None:
    Replayed(mill)
    topic = mill.name("promote")

    async def written_before() -> set[bytes]:
        async with (
            kafka.producer(mill.settings, transactional_id=f"{mill.settings.topic_prefix}other", linger_ms=0) as other,
            kafka.producer(mill.settings) as before,
        ):
            await other.begin_transaction()
            await other.send_and_wait(topic, b"{}", partition=0)
            await before.send_and_wait(topic, b"{}", partition=0, headers=[("ce_id", b"mine")])

            async def known() -> set[bytes]:
                async with open_writer(mill.settings, NAME, 0) as writer:
                    return writer._there

            asked = asyncio.create_task(known())
            await asyncio.wait({asked}, timeout=2)  # it would have its answer by now
            await other.abort_transaction()
            return await asked

    assert asyncio.run(written_before()) == {b"mine"}
