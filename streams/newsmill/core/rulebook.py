"""Rule files (TOML) → one validated, versioned rulebook: packaged files, overlaid by a folder of the user's.

A file of the overlay replaces the packaged file of the same relative name (``entities/companies.toml``); a new name
adds one (``themes/batteries.toml``). Every mistake names file and line.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from newsmill.errors import ConfigError

__all__ = ["RuleFile", "Rulebook", "load_rulebook"]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One parsed rule file. ``name`` is its path below the rules folder, with forward slashes."""

    name: str
    path: str
    text: str
    data: Mapping[str, Any]

    def line_of(self, needle: str, after: int = 1) -> int:
        """The first line (from 1), not before ``after``, that holds ``needle``; ``after`` if none does."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if number >= after and needle in line:
                return number
        return after

    def line_of_key(self, key: str, after: int = 1) -> int:
        """The first line, not before ``after``, that sets ``key`` or opens a table of that name; else ``after``."""
        sets = re.compile(rf"""(?:^|[\s{{,])["']?{re.escape(key)}["']?\s*=""")
        opens = re.compile(rf"""^\s*\[+\s*{re.escape(key)}\s*[\].]""")
        for wanted in (sets, opens):
            for number, line in enumerate(self.text.splitlines(), 1):
                if number >= after and wanted.search(line):
                    return number
        return after

    def line_of_table(self, header: str, nth: int = 0) -> int:
        """The line of the nth (from 0) ``[[header]]`` or ``[header]``; 1 if there is none."""
        seen = 0
        for number, line in enumerate(self.text.splitlines(), 1):
            if line.split("#")[0].strip().strip("[]").strip() == header and line.lstrip().startswith("["):
                if seen == nth:
                    return number
                seen += 1
        return 1

    def error(self, message: str, needle: str = "", after: int = 1) -> ConfigError:
        """An error that names this file and the line of ``needle``, looked for from line ``after`` on."""
        return ConfigError(f"{self.path}:{self.line_of(needle, after) if needle else after}: {message}")


@dataclass(frozen=True)
class Rulebook:
    """All rule files by name, and their version: 12 hex digits of a hash of every file's name and text."""

    files: Mapping[str, RuleFile]
    version: str

    def file(self, name: str) -> RuleFile:
        """The file of that name; `ConfigError` if there is none."""
        try:
            return self.files[name]
        except KeyError:
            raise ConfigError(f"rule file {name} is missing from the package and from NEWSMILL_RULES_DIR") from None

    def under(self, folder: str) -> Iterator[RuleFile]:
        """The files of one folder, sorted by name."""
        for name in sorted(self.files):
            if name.startswith(folder + "/"):
                yield self.files[name]


def _parse(name: str, path: str, raw: bytes) -> RuleFile:
    try:
        text = raw.decode("utf-8")
        return RuleFile(name, path, text, tomllib.loads(text))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:  # its text carries line and column
        raise ConfigError(f"{path}: {error}") from error


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{name}/")
        elif entry.suffix == ".toml":
            yield name, entry


def load_rulebook(overlay: Path | None = None) -> Rulebook:
    """Read the packaged rules and the overlay folder; `ConfigError` names file and line of a mistake."""
    files: dict[str, RuleFile] = {}
    with resources.as_file(resources.files("newsmill.core") / "rules") as packaged:
        for name, path in _walk(packaged):
            files[name] = _parse(name, f"newsmill/core/rules/{name}", path.read_bytes())
    if overlay is not None:
        if not overlay.is_dir():
            raise ConfigError(f"NEWSMILL_RULES_DIR is {overlay}, which is no folder")
        for name, path in _walk(overlay):
            files[name] = _parse(name, str(path), path.read_bytes())
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name].text.encode() + b"\0")
    return Rulebook(files, digest.hexdigest()[:12])
