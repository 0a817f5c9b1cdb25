"""The pinned packages: they fit pyproject.toml, agree with each other, carry hashes and name no machine."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DEV = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]


def pins(name: str) -> dict[str, set[str]]:
    """Package → pinned versions (several where they depend on the Python version)."""
    found = defaultdict(set)
    for line in (ROOT / "requirements" / name).read_text("utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==(\S+)", line):
            found[canonicalize_name(match[1])].add(match[2])
    return found


@pytest.mark.parametrize(
    ("name", "wanted"), [("runtime.txt", PROJECT["dependencies"]), ("dev.txt", DEV)], ids=["runtime", "dev"]
)
def test_every_dependency_is_pinned_within_its_bounds(name: str, wanted: list[str]) -> None:
    pinned = pins(name)
    for requirement in map(Requirement, wanted):
        versions = pinned[canonicalize_name(requirement.name)]
        assert versions, f"{requirement.name} is not in {name}: make lock"
        assert all(requirement.specifier.contains(v, prereleases=True) for v in versions), (str(requirement), versions)


@pytest.mark.parametrize("name", ["runtime.txt", "build.txt"])
def test_one_environment_can_hold_all(name: str) -> None:
    dev = pins("dev.txt")
    assert {
        package: (v, dev[package]) for package, v in pins(name).items() if package in dev and v != dev[package]
    } == {}


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "build.txt"])
def test_everything_has_a_hash_and_nothing_names_a_machine(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) >= 5
    assert [entry.split("\n")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|(?<![\w.])/\w+/\S*", text) == []
