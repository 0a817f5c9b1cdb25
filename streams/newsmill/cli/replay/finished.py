"""A replay's name → its plan, if it has run to its end; else one clear line that says how far it is."""

from __future__ import annotations

from newsmill import kafka
from newsmill.errors import NewsmillError
from newsmill.ledger import read_counts
from newsmill.replay.plan import FINISHED_KEY, ReplayPlan, read_entries, replay_settings, require_plan
from newsmill.settings import Settings
from newsmill.topic_admin import topic_name

__all__ = ["finished_plan"]


async def finished_plan(settings: Settings, name: str, unfinished: bool = False) -> ReplayPlan:
    """The plan of a replay that has finished, or of any if ``unfinished`` will do."""
    plan = await require_plan(settings, name)
    if unfinished or FINISHED_KEY in await read_entries(settings, name):
        return plan
    theirs = replay_settings(settings, name)
    async with kafka.admin_client(theirs) as admin:  # a replay that has only just begun has no topics yet
        begun = topic_name(theirs, "ledger") in await admin.list_topics()
    counts = await read_counts(theirs) if begun else {}
    done = ", ".join(f"{stage} {sum(counts.get(stage, {}).values()):,}" for stage in plan.stages)
    raise NewsmillError(
        f"replay {name} has not finished (records so far: {done}), so what it lacks would count as different; "
        f"`newsmill replay run {name}` goes on with it, --unfinished takes it as it stands"
    )
