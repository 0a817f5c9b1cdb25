"""How far a replay is: every stage and every sort moves what is left, down to nothing, whatever the broker does."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from aiokafka.errors import KafkaConnectionError

from newsmill.core.rulebook import load_rulebook
from newsmill.errors import BrokerError, NewsmillError
from newsmill.metrics import ReplayMetrics
from newsmill.replay import run
from newsmill.replay.plan import ReplayPlan
from newsmill.replay.run import Replay, phases_of
from newsmill.settings import Settings
from newsmill.topics import STAGES
from newsmill.transport import TransactionFailed


def replay_of(stages: tuple[str, ...], records: int) -> Replay:
    plan = ReplayPlan(
        name="july", source_topic="news.raw.v1", stages=stages, from_ms=0, to_ms=1, warm_up_ms=0, begin={0: 0},
        end={0: records}, records=records, warm_up_records=0, newsmill_version="0", rules_version="0", options={},
        made_at="2026-07-01T00:00:00.000Z",
    )  # fmt: skip
    return Replay(Settings(), plan, load_rulebook(), 1, None, ReplayMetrics("july", records), None)


@pytest.mark.parametrize("stages", [STAGES, ("prepare",), ("prepare", "dedupe"), ("enrich",)])
def test_each_step_takes_its_share_of_what_is_left(stages: tuple[str, ...]) -> None:
    replay = replay_of(stages, 600)
    steps = [step for phase in phases_of(stages) for step in phase.steps]
    assert {step for step in steps if not step.startswith("sort ")} == set(stages)
    left = [600.0]
    for step in steps:
        for share in (0.5, 1.0):
            replay._advance(step, share, 5000)
            value = replay.metrics.registry.get_sample_value("news_replay_remaining_records", {"run": "july"})
            assert value is not None
            left.append(value)
    assert all(after < before for before, after in pairwise(left))
    assert left[-1] == 0
    position = replay.metrics.registry.get_sample_value("news_replay_position_timestamp_seconds", {"run": "july"})
    assert position == 5


async def _outcome(failures: list[Exception], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a phase that fails like this was begun."""
    monkeypatch.setattr(run, "_AGAIN_SECONDS", 0.0)
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if failures:
            raise failures.pop(0)

    await replay_of(("prepare",), 1)._insist(work)
    return begun


def test_a_phase_is_begun_again_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    away: list[Exception] = [BrokerError("away"), KafkaConnectionError(), TimeoutError()] * 20
    assert asyncio.run(_outcome([*away, TransactionFailed("aborted")], monkeypatch)) == 62


def test_a_phase_whose_transactions_fail_over_and_over_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NewsmillError, match=r"replay july: fenced; .* `newsmill replay run july` goes on"):
        asyncio.run(_outcome([TransactionFailed("fenced")] * 9, monkeypatch))
