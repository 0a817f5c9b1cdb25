"""What a replay reads: the order of arrival, its pace, and whether a second start asks for the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from newsmill.core.rulebook import load_rulebook
from newsmill.marker import Marker
from newsmill.metrics import Metrics
from newsmill.replay.plan import ReplayPlan, differences
from newsmill.replay.sorting import sorted_rows
from newsmill.settings import Settings
from newsmill.stages import build_stages
from newsmill.topics import DEFAULT_THEMES, STAGES, registry, replay_registry
from newsmill.transport import ORDER_HEADER, Bounds, StageShell, context_of
from newsmill.transport.bounded import Pace, arrival_of, order_of, time_of_order

AT = 1_780_000_000_123


def raw(*headers: tuple[str, bytes | None], **fields: Any) -> Any:
    values = {"topic": "news.raw.v1", "partition": 2, "offset": 40, "timestamp": AT, "key": b"k", "value": b"{}"}
    return SimpleNamespace(**(values | {"headers": headers} | fields))


def shell_of(stage: str, folder: Path) -> StageShell:
    settings = Settings(topic_prefix="replay.july.")
    (one,) = build_stages(settings, load_rulebook(), (stage,), run="july")
    bounds = Bounds(
        run="july", first="prepare", topic="news.raw.v1", ends={2: 50}, since_ms=0, until_ms=AT + 1, emit_ms=AT
    )
    topics = registry(settings=settings) | replay_registry(DEFAULT_THEMES, settings)

    def fail(error: BaseException) -> NoReturn:
        raise error

    return StageShell(
        one, settings, context_of(settings, "july"), topics, Metrics("replay", DEFAULT_THEMES, {}),
        Marker(folder / "marker", (stage,)), fail, bounds=bounds,
    )  # fmt: skip


@pytest.mark.parametrize("order", [b"no time", b"", b"\xff" * 80, b"0000000000001-0000000000-0000000000000000001"])
def test_a_raw_record_stands_where_it_arrived_whatever_its_headers_say(order: bytes, tmp_path: Path) -> None:
    record = raw((ORDER_HEADER, order))
    shell = shell_of("prepare", tmp_path)
    item = ("replay.july.news.prepared-unsorted.v1", 0, b"k", b"{}", AT, [])
    (written,) = shell._ordered(record, [("prepared", item)])
    assert written[5] == [(ORDER_HEADER, arrival_of(raw()))]
    assert time_of_order(arrival_of(record)) == AT


def test_later_stages_keep_the_order_of_the_raw_record(tmp_path: Path) -> None:
    order = arrival_of(raw(timestamp=AT, partition=1, offset=7))
    item = ("replay.july.news.unique.v1", None, b"k", b"{}", AT, [])
    (written,) = shell_of("dedupe", tmp_path)._ordered(raw((ORDER_HEADER, order)), [("unique", item)])
    assert written[5] == [(ORDER_HEADER, order)]
    assert order_of(raw((ORDER_HEADER, order))) == order


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_of_a_replay_sends_anybody_to_reset_live(stage: str, tmp_path: Path) -> None:
    told = str(shell_of(stage, tmp_path)._out_of_range("5 of a topic"))
    assert "newsmill reset" not in told
    assert "newsmill replay drop july" in told


def test_who_is_held_back_is_not_in_the_way_of_a_rebalance() -> None:
    async def held() -> float:
        pace = Pace(0.01)
        loop = asyncio.get_running_loop()
        began = loop.time()
        given_up = [False]
        loop.call_later(0.05, lambda: given_up.__setitem__(0, True))
        await pace.wait(1, lambda: given_up[0])  # 100 s otherwise
        return loop.time() - began

    assert asyncio.run(held()) < 3


def test_a_pace_is_kept() -> None:
    async def taken() -> float:
        pace = Pace(100)
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            await pace.wait(10, lambda: False)
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(taken()) >= 0.39


@pytest.mark.parametrize("asked", [3 * 86_400_000, 0])
def test_the_same_call_goes_on_where_nothing_is_before_the_range(asked: int) -> None:
    settings, rulebook = Settings(), load_rulebook()
    plan = ReplayPlan(
        name="july", source_topic="news.raw.v1", stages=STAGES, from_ms=0, to_ms=AT, warm_up_ms=0, begin={0: 0},
        end={0: 1}, records=1, warm_up_records=0, newsmill_version="0", rules_version=rulebook.version, options={},
        made_at="2026-07-01T00:00:00.000Z",
    )  # fmt: skip
    told = differences(plan, settings, rulebook, {"from_ms": 0, "warm_up_ms": asked})
    assert not [line for line in told if line.startswith("warm_up_ms")]


def test_two_records_of_one_place_are_no_order() -> None:
    rows = [(b"1", 0, b"k", b"v", 1, []), (b"1", 0, b"k", b"v", 1, [])]
    with pytest.raises(Exception, match="come from one raw record"):
        list(sorted_rows([rows[:1], rows[1:]]))
