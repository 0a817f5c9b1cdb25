"""A replay's plan → its results, phase after phase: parallel stages, then a sort, then the next ordered stage.

Every phase can be broken off anywhere and begun again: what a stage has done stands in its group's offsets, what a sort
has written in its own, and which phases are over in the manifest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from newsmill import kafka
from newsmill.core.rulebook import Rulebook
from newsmill.core.themes import ThemeRules
from newsmill.errors import BrokerError, NewsmillError, TopicError
from newsmill.ledger import LedgerTail, StageLedger, read_ledger
from newsmill.metrics import ReplayMetrics
from newsmill.replay.draining import Standing, begin_groups_at, read_standing, settled_ends
from newsmill.replay.plan import ReplayPlan, read_entries, replay_settings, write_entry
from newsmill.replay.sorting import sort_topic
from newsmill.settings import Settings
from newsmill.topic_admin import create_topics
from newsmill.topics import TOPICS, replay_registry
from newsmill.transport import Bounds, TransactionFailed
from newsmill.worker import WorkerPlan, run_processes

__all__ = ["Accounts", "Phase", "Progress", "Replay", "account", "handed_to", "phases_of"]

log = logging.getLogger("newsmill.replay")

_POLL_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 2.0
_TRANSACTIONS: Final = 3  # that may fail in one phase: a broker that was away for long ends those that were open
_STALLED_SECONDS: Final = 60.0
# an ordered stage reads what the stages before it wrote in any order, sorted
_SOURCES: Final = {"dedupe": "prepared", "enrich": "unique", "stories": "story-input"}
_SORTED_BEFORE: Final = {"dedupe": "prepared", "stories": "story-input"}


@dataclass(frozen=True)
class Phase:
    """One step of a replay: stages that run together, or a topic that is sorted."""

    stages: tuple[str, ...] = ()
    sort: str | None = None

    @property
    def name(self) -> str:
        """As the manifest and people call it."""
        return f"sort {self.sort}" if self.sort else ", ".join(self.stages)

    @property
    def mark(self) -> str:
        """The manifest's key for it when it is over."""
        return f"phase {self.name}"

    @property
    def steps(self) -> tuple[str, ...]:
        """What progress is told of: each stage, or the sort."""
        return self.stages or (self.name,)


class Progress(Protocol):
    """What is told while a replay runs."""

    def begin(self, phase: Phase, number: int, of: int) -> None:
        """A phase begins, the ``number``-th ``of`` all."""

    def advance(self, step: str, done: int, total: int) -> None:
        """A stage (or a sort) has done so many of its records."""


@dataclass(frozen=True)
class Accounts:
    """Stage → disposition → records; ``problems`` says what does not add up, in words."""

    counts: Mapping[str, Mapping[str, int]]
    problems: tuple[str, ...]


def phases_of(stages: tuple[str, ...]) -> list[Phase]:
    """The phases of a replay of these stages, in order. Dedupe and enrich run together: no sort lies between them."""
    phases: list[Phase] = []
    for stage in stages:
        if stage in _SORTED_BEFORE and stage != stages[0]:
            phases.append(Phase(sort=_SORTED_BEFORE[stage]))
        if stage == "enrich" and phases and phases[-1].stages == ("dedupe",):
            phases[-1] = Phase(stages=("dedupe", "enrich"))
        else:
            phases.append(Phase(stages=(stage,)))
    return phases


class Replay:
    """One replay on its way. ``settings`` are live's; ``workers`` processes, ``rate`` records a second or None;
    the metrics endpoint of process i is on ``metrics_port`` + i, None: there is none."""

    def __init__(
        self, settings: Settings, plan: ReplayPlan, rulebook: Rulebook, workers: int, rate: float | None,
        metrics: ReplayMetrics, metrics_port: int | None,
    ) -> None:  # fmt: skip
        self.live = settings
        self.settings = replay_settings(settings, plan.name)
        self.plan = plan
        self.topics = replay_registry(ThemeRules.from_rulebook(rulebook).themes, self.settings)
        self.workers = workers
        self.rate = rate
        self.metrics = metrics
        self.metrics_port = metrics_port
        self._shares = dict.fromkeys((step for phase in phases_of(plan.stages) for step in phase.steps), 0.0)

    def name(self, short: str) -> str:
        """The full name of one of the replay's topics."""
        return self.settings.topic_prefix + self.topics[short].name

    async def run(self, progress: Progress, stopping: asyncio.Event) -> bool:
        """All phases that are not over; False if ``stopping`` was set before the last one ended.

        The worker processes run all stages from the start: one whose input is not sorted yet has nothing to read.
        """
        async with kafka.admin_client(self.settings) as admin:
            await create_topics(admin, self.topics, self.settings)
        first = kafka.group_name(self.settings, self.plan.stages[0])
        await begin_groups_at(self.settings, first, _places(self.plan.source_topic, self.plan.begin))
        over = await read_entries(self.live, self.plan.name)
        phases = [phase for phase in phases_of(self.plan.stages) if phase.mark not in over]
        for phase in set(phases_of(self.plan.stages)) - set(phases):
            for step in phase.steps:
                self._advance(step, 1.0)
        return not phases or await self._work(phases, progress, stopping)

    async def _work(self, phases: list[Phase], progress: Progress, stopping: asyncio.Event) -> bool:
        """Run worker processes while phase after phase is gone through; False if told to stop before the end."""
        enough = asyncio.Event()
        stages = tuple(stage for phase in phases for stage in phase.stages)
        plan = WorkerPlan(stages, self.workers, self.metrics_port, bounds=self._bounds())
        work = asyncio.create_task(run_processes(self.settings, plan, enough))
        steps = asyncio.create_task(self._run_phases(phases, progress))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({work, steps, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = steps.done()
            steps.cancel()
            stop.cancel()
            enough.set()
            code = await work
            await asyncio.wait({steps})
        if ended:
            steps.result()
            return True
        if stopping.is_set():
            return False
        raise NewsmillError(f"replay {self.plan.name}: its worker ended (exit code {code}) before all was done")

    async def _run_phases(self, phases: list[Phase], progress: Progress) -> None:
        for number, phase in enumerate(phases, 1):
            progress.begin(phase, number, len(phases))
            if phase.sort is not None:
                await self._insist(partial(self._sort, phase.sort, progress))
            else:
                await self._insist(partial(self._until_drained, phase, progress))
            await self._insist(partial(write_entry, self.live, self.plan.name, phase.mark, {"over": True}))

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what may be broken off anywhere; again if the broker does not answer.

        A transaction that fails over and over is another matter: somebody else does the same, or it cannot be done.
        """
        failures = 0
        while True:
            try:
                return await work()
            except TransactionFailed as error:
                failures += 1
                if failures > _TRANSACTIONS:
                    raise NewsmillError(
                        f"replay {self.plan.name}: {error}; does another run of it go on? `newsmill replay run "
                        f"{self.plan.name}` goes on from here"
                    ) from error
                log.warning("%s", error)
            except (BrokerError, KafkaError, OSError) as error:
                log.warning("the broker did not answer (%s: %s); it is asked again", type(error).__name__, error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _sort(self, short: str, progress: Progress) -> None:
        source, target = self.name(f"{short}-unsorted"), self.name(short)
        step = Phase(sort=short).name

        def tell(done: int, total: int) -> None:
            progress.advance(step, done, total)
            self._advance(step, done / max(total, 1))

        await settled_ends(self.settings, [source])
        await sort_topic(self.settings, short, source, target, self.topics[short].partitions, tell)
        self._advance(step, 1.0)

    def _advance(self, step: str, share: float, position_ms: int | None = None) -> None:
        """A stage or sort is done by a share, and has come up to a Kafka time in milliseconds."""
        self._shares[step] = share
        left = 1.0 - sum(self._shares.values()) / len(self._shares)
        self.metrics.advance(round(left * self.plan.records), position_ms)

    def _bounds(self) -> Bounds:
        plan = self.plan
        rates = {}
        if self.rate is not None:
            for stage in plan.stages:
                inputs = len(plan.end) if stage == plan.stages[0] else self.topics[_SOURCES[stage]].partitions
                rates[stage] = self.rate / min(self.workers, inputs)
        return Bounds(
            run=plan.name,
            first=plan.stages[0],
            topic=plan.source_topic,
            ends=plan.end,
            since_ms=plan.since_ms,
            until_ms=plan.to_ms,
            emit_ms=plan.from_ms,
            rates=rates,
        )

    async def _until_drained(self, phase: Phase, progress: Progress) -> None:
        """Return when every stage of the phase has nothing left."""
        async with (
            kafka.admin_client(self.settings) as admin,
            kafka.consumer(self.settings) as client,
            kafka.consumer(self.settings) as ledger_client,
        ):
            ledger = LedgerTail(ledger_client, self.settings)
            for stage in phase.stages:
                await self._until_stage_drained(stage, admin, client, ledger, progress)

    async def _until_stage_drained(
        self, stage: str, admin: Any, client: Any, ledger: LedgerTail, progress: Progress
    ) -> None:
        group = kafka.group_name(self.settings, stage)
        begin, end = await self._input_of(stage)
        seen, still = -1, False
        moved = asyncio.get_running_loop().time()
        while True:
            standing = await read_standing(admin, client, group, begin, end, probe=still)
            told = await (ledger.read_to_end() if standing.drained else ledger.read())
            entry = told.get(stage)
            total = self.plan.records if stage == self.plan.stages[0] else handed_to(stage, told)
            done, position = (entry.records, entry.last_ms) if entry is not None else (0, None)
            progress.advance(stage, done, total)
            self._advance(stage, 1.0 if standing.drained else min(1.0, done / max(total, 1)), position)
            if standing.drained:
                return
            still, seen = standing.done == seen, standing.done
            now = asyncio.get_running_loop().time()
            if not still:
                moved = now
            elif now - moved > _STALLED_SECONDS:
                await self._tell_stalled(stage, admin, {tp.topic for tp in end}, standing)
                moved = now
            await asyncio.sleep(_POLL_SECONDS)

    async def _tell_stalled(self, stage: str, admin: Any, topics: set[str], standing: Standing) -> None:
        """Nobody watches at night: say that nothing moves; `TopicError` if what the stage reads is gone."""
        if missing := sorted(topics - set(await admin.list_topics())):
            raise TopicError(
                f"replay {self.plan.name}: {', '.join(missing)} was deleted meanwhile, so {stage} can never end; "
                f"`newsmill replay drop {self.plan.name}`"
            )
        log.warning("%s has not moved for %g s: %d of %d offsets are behind it; its processes say why, if they do not "
                    "work", stage, _STALLED_SECONDS, standing.done, standing.total)  # fmt: skip

    async def _input_of(self, stage: str) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Where the input of a stage begins and ends; the stages that write it have ended."""
        plan = self.plan
        if stage == plan.stages[0]:
            return _places(plan.source_topic, plan.begin), _places(plan.source_topic, plan.end)
        end = await settled_ends(self.settings, [self.name(_SOURCES[stage])])
        return dict.fromkeys(end, 0), end


def _places(topic: str, offsets: Mapping[int, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, number): offset for number, offset in offsets.items()}


def handed_to(stage: str, ledger: Mapping[str, StageLedger]) -> int:
    """How many records the stages before ``stage`` handed on to it, by the ledger."""

    def given(by: str, *outcomes: str) -> int:
        return sum(ledger[by].counts.get(outcome, 0) for outcome in outcomes) if by in ledger else 0

    match stage:
        case "dedupe":
            return given("prepare", "ok")
        case "enrich":
            return given("dedupe", "original", "update", "revision")
        case _:  # stories also takes a note for each copy
            return given("enrich", "ok") + given("dedupe", "duplicate")


async def account(settings: Settings, plan: ReplayPlan) -> Accounts:
    """Add the replay's ledger up: what was counted before was taken in, and what a stage handed on, by the next."""
    own = replay_settings(settings, plan.name)
    await settled_ends(own, [own.topic_prefix + TOPICS["ledger"].name])
    async with kafka.consumer(own) as client:
        ledger, _ = await read_ledger(client, own, 0)
    counts = {stage: dict(ledger[stage].counts) if stage in ledger else {} for stage in plan.stages}
    problems = []
    for stage in plan.stages:
        first = stage == plan.stages[0]
        given = plan.records if first else handed_to(stage, ledger)
        taken = sum(counts[stage].values())
        if given != taken:
            before = (
                f"{plan.source_topic} has {given:,} records in the range"
                if first
                else f"{given:,} records were handed on"
            )
            problems.append(f"{before}, {stage} took {taken:,}")
    return Accounts(counts, tuple(problems))
