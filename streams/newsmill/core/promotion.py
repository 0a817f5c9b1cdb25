"""What a replay found, as a person promotes it → the same record in the one log that live dedupe reads.

Checked here and passed on byte for byte: it joins the arrivals, so that dedupe's verdicts stay a function of one log.
"""

from __future__ import annotations

from typing import Final

from newsmill.core.prepared_record import PROMOTION_FORMAT, read_prepared
from newsmill.core.stage import Context, Facts, Output, Record, Result
from newsmill.errors import Reason, Refused
from newsmill.events import Outcome

__all__ = ["ForwardPromotion"]

# The clocks of the brokers that wrote the raw record and this one may differ, but not by more; an article of tomorrow
# would hold off every later version of itself.
_AHEAD_MS: Final = 86_400_000


class ForwardPromotion:
    """What the prepare stage does with a record of news.promote; `Refused` if it is no promotion."""

    def __init__(self, context: Context) -> None:
        self._run = context.run
        self._shards: dict[str, int] | None = context.options.get("shard_of_language")

    def __call__(self, record: Record, state: None = None) -> Result:
        """One promotion → the same bytes for news.prepared, in the shard of the article's language."""
        prepared = read_prepared(record)
        article, run = prepared.article, prepared.article.provenance.run
        if prepared.promotion is None or prepared.format < PROMOTION_FORMAT:
            raise Refused(Reason.WRONG_TYPE, f"no promotion: it needs format {PROMOTION_FORMAT} and what it replaces")
        if run == self._run:
            raise Refused(Reason.WRONG_TYPE, f"no promotion: its provenance names no replay, but {run}")
        if article.version > record.timestamp + _AHEAD_MS:
            raise Refused(Reason.WRONG_TYPE, f"no promotion: version {article.version} is of a time to come")
        output = Output(
            to="prepared",
            key=article.id.encode(),
            value=record.value,
            type="prepared",
            id=f"{article.id}-{article.version}-{run}",
            time_ms=record.timestamp,
            subject=article.id,
            partition=None if self._shards is None else self._shards.get(article.language, 0),
        )
        # no publisher and no time: a promotion is no sign of life of a publisher, and no latency
        return Result(Outcome.OK, outputs=(output,), facts=Facts(article.id))
