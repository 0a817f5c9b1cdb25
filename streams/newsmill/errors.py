"""The errors that newsmill raises on purpose, in one tree.

NewsmillError                 one clear line for a person, exit code 1
├── ConfigError               a setting, flag or rule file is wrong: names what, where and what to do (exit code 2)
├── BrokerError               no broker, or the embedded one cannot start
├── TopicError                a topic is missing or differs from topics.py
├── StateMismatch             a stage's state and its group's offset disagree: the stage stops
└── UnreadableFormat          a record was written by a newer newsmill than this one: the stage stops

Refused                       one record's own failure: a dead letter, never the end of a batch
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "BrokerError",
    "ConfigError",
    "NewsmillError",
    "Reason",
    "Refused",
    "StateMismatch",
    "TopicError",
    "UnreadableFormat",
]


class NewsmillError(Exception):
    """Something a person can act on; its text is one clear line."""

    exit_code = 1


class ConfigError(NewsmillError):
    """A setting, a flag or a rule file is wrong."""

    exit_code = 2


class BrokerError(NewsmillError):
    """No broker answers, or the embedded one cannot start."""


class TopicError(NewsmillError):
    """A topic is missing, or is not as topics.py says."""


class StateMismatch(NewsmillError):
    """A stage's state topic and its group's committed offset disagree."""

    exit_code = 3


class UnreadableFormat(NewsmillError):
    """An internal record carries a higher format than this version knows."""

    exit_code = 3


class Reason(StrEnum):
    """Why a record became a dead letter: a closed set, used as header and as metric label."""

    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    WRONG_TYPE = "wrong_type"
    NO_BODY = "no_body"
    NO_IDENTITY = "no_identity"
    TOO_LARGE = "too_large"
    ONLY_MARKUP = "only_markup"
    TOO_EXPENSIVE = "too_expensive"
    OUTPUT_TOO_LARGE = "output_too_large"
    PROCESSING_ERROR = "processing_error"
    CRASHES = "crashes"


class Refused(Exception):
    """One record cannot be processed: it becomes a dead letter with this reason, and the others go on.

    ``reason`` is one of the closed set; ``detail`` says what and where in words (no article text).
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail
