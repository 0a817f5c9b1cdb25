"""A record of news.prepared or news.promote → the prepared article in it."""

from __future__ import annotations

from typing import Final

import orjson
from pydantic import ValidationError

from newsmill.core.stage import Record
from newsmill.errors import Reason, Refused, UnreadableFormat
from newsmill.events import Prepared

__all__ = ["PROMOTION_FORMAT", "read_prepared"]

PROMOTION_FORMAT: Final = 2
"""The format of a promotion, and the highest that is read; arrivals have format 1."""


def read_prepared(record: Record) -> Prepared:
    """The prepared article of a record; a higher format stops the stage, damage refuses the record."""
    if record.value is None:
        raise Refused(Reason.WRONG_TYPE, "a prepared record without a value")
    try:
        prepared = Prepared.model_validate_json(record.value)
    except ValidationError as error:
        try:
            data = orjson.loads(record.value)
        except orjson.JSONDecodeError:
            raise Refused(Reason.BAD_JSON, "a prepared record that is no JSON") from None
        if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] > PROMOTION_FORMAT:
            raise UnreadableFormat(f"a prepared record of format {data['format']}") from None
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(Reason.WRONG_TYPE, f"a prepared record: {where}: {first['msg']}") from None
    if prepared.format > PROMOTION_FORMAT:
        raise UnreadableFormat(f"a prepared record of format {prepared.format}; this newsmill reads {PROMOTION_FORMAT}")
    return prepared
