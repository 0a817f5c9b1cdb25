"""rules/chrome.toml → `ChromeRules`: what on a news page is not the article, compiled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["RULES_FILE", "ChromeRules"]

RULES_FILE = "chrome.toml"


@dataclass(frozen=True, slots=True)
class ChromeRules:
    """Compiled rules of page chrome; built once per process.

    Sets hold lower-case names; ``junk_name`` and ``outside_name`` are searched in "class id" of an element; the line
    patterns are matched against whole stripped lines.
    """

    skip_tags: frozenset[str]
    block_tags: frozenset[str]
    body_ids: frozenset[str]
    body_classes: frozenset[str]
    junk_name: re.Pattern[str]
    outside_name: re.Pattern[str]
    end_line: re.Pattern[str]
    related_line: re.Pattern[str]
    comments_line: re.Pattern[str]
    comment_line: re.Pattern[str]
    drop_line: re.Pattern[str]
    notice_start: re.Pattern[str]
    notice_part: re.Pattern[str]
    notice_cues: frozenset[str]
    caption_line: re.Pattern[str]
    caption_cue: re.Pattern[str]

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> ChromeRules:
        """Validate and compile rules/chrome.toml; `ConfigError` names file and line of a mistake."""
        file = rulebook.file(RULES_FILE)
        html = _section(file, "html")
        plain = _section(file, "plain")
        words = _alternation(file, html, "junk_words")
        parts = _alternation(file, html, "junk_parts")
        return cls(
            skip_tags=frozenset(_strings(file, html, "skip_tags")),
            block_tags=frozenset(_strings(file, html, "block_tags")),
            body_ids=frozenset(_strings(file, html, "body_ids")),
            body_classes=frozenset(_strings(file, html, "body_classes")),
            junk_name=re.compile(rf"(?:^|[\s_-])(?:{words})(?=$|[\s_-])|{parts}"),
            outside_name=re.compile(_alternation(file, html, "outside_parts"), re.IGNORECASE),
            end_line=_whole_line(_alternation(file, plain, "end_lines")),
            related_line=_whole_line(_alternation(file, plain, "related_lines")),
            comments_line=_whole_line(_alternation(file, plain, "comments_lines")),
            comment_line=_whole_line(_alternation(file, plain, "comment_lines")),
            drop_line=_whole_line(_alternation(file, plain, "drop_lines")),
            notice_start=re.compile(_alternation(file, plain, "notice_starts"), re.IGNORECASE),
            notice_part=re.compile(_alternation(file, plain, "notice_parts")),
            notice_cues=frozenset(_strings(file, plain, "notice_cues")),
            caption_line=_whole_line(_alternation(file, plain, "caption_lines")),
            caption_cue=re.compile(_alternation(file, plain, "caption_cues")),
        )


def _whole_line(alternation: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{alternation})\Z", re.IGNORECASE)


def _section(file: RuleFile, name: str) -> dict[str, Any]:
    section = file.data.get(name)
    if not isinstance(section, dict):
        raise file.error(f"section [{name}] is missing", f"[{name}]")
    return section


def _strings(file: RuleFile, section: dict[str, Any], key: str) -> Iterable[str]:
    values = section.get(key)
    if not isinstance(values, list) or not values or not all(isinstance(v, str) and v for v in values):
        raise file.error(f"{key} must be a list of strings, none of them empty", key)
    return values


def _alternation(file: RuleFile, section: dict[str, Any], key: str) -> str:
    values = list(_strings(file, section, key))
    for value in values:
        try:
            re.compile(value)
        except re.error as error:
            raise file.error(f"{key}: {value!r} is no regular expression: {error}", value) from error
    return "|".join(values)
