"""Floors for the amounts found: exact (value, currency) sets, as F1 over all texts of a set."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from newsmill.core.amounts import AmountRules, find_amounts
from newsmill.core.rulebook import load_rulebook

OWN = Path(__file__).parent / "data" / "amounts.jsonl"
SHARED = Path(__file__).parents[2] / "../shared/data/amounts_en.jsonl"

# The English set names units in words. Out of scope: what has no ISO 4217 code (bitcoin, satoshi) or names no
# country's currency (sen), and mentions of a currency without a value. Cents count as hundredths of a dollar.
UNITS = {
    "Dollar": ("USD", 1),
    "Cent": ("USD", 100),
    "Pound": ("GBP", 1),
    "Pence": ("GBP", 100),
    "Penny": ("GBP", 100),
    "Franc": ("CHF", 1),
    "Rupee": ("INR", 1),
    "Finnish markka": ("FIM", 1),
    "Peseta": ("ESP", 1),
    "Netherlands guilder": ("NLG", 1),
    "Sri Lankan rupee": ("LKR", 1),
}
OUT_OF_SCOPE = {"Bitcoin", "Satoshi", "Sen"}

Sums = set[tuple[Decimal, str]]


@pytest.fixture(scope="module")
def rules() -> AmountRules:
    return AmountRules.from_rulebook(load_rulebook())


def found(text: str, rules: AmountRules) -> Sums:
    sums: Sums = set()
    for amount in find_amounts(text, rules):
        assert amount.text == text[amount.start : amount.end]
        sums.add((Decimal(amount.value).normalize(), amount.currency))
        if amount.value_max is not None:
            sums.add((Decimal(amount.value_max).normalize(), amount.currency))
    return sums


def f1(pairs: list[tuple[Sums, Sums]]) -> float:
    both = sum(len(gold & seen) for gold, seen in pairs)
    either = sum(len(gold) + len(seen) for gold, seen in pairs)
    return 2 * both / either


def own_rows(language: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in OWN.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["language"] == language]


def gold_of(row: dict[str, Any]) -> Sums:
    return {
        (Decimal(value).normalize(), amount["currency"])
        for amount in row["amounts"]
        for value in (amount["value"], amount["value_max"])
        if value is not None
    }


@pytest.mark.parametrize(("language", "floor"), [("ko", 0.97), ("en", 0.97)])
def test_own_set(rules: AmountRules, language: str, floor: float) -> None:
    rows = own_rows(language)
    wrong = [row["text"] for row in rows if found(row["text"], rules) != gold_of(row)]
    reached = f1([(gold_of(row), found(row["text"], rules)) for row in rows])
    print(f"\namounts, own set, {language}: F1 {reached:.3f}")
    assert reached >= floor, wrong


@pytest.mark.parametrize("language", ["ko", "en"])
def test_own_set_qualifiers(rules: AmountRules, language: str) -> None:
    right = total = 0
    wrong = []
    for row in own_rows(language):
        seen = {amount.value: amount.qualifier for amount in find_amounts(row["text"], rules)}
        for amount in row["amounts"]:
            total += 1
            if seen.get(amount["value"], "missing") == amount["qualifier"]:
                right += 1
            else:
                wrong.append(row["text"])
    assert right / total >= 0.95, wrong


def test_own_set_is_large_enough() -> None:
    assert sum(len(row["amounts"]) for language in ("ko", "en") for row in own_rows(language)) >= 150
    assert sum(not row["amounts"] for language in ("ko", "en") for row in own_rows(language)) >= 40


@pytest.mark.skipif(not SHARED.exists(), reason="the labelled English set is not beside the checkout")
def test_labelled_english_set(rules: AmountRules) -> None:
    pairs = []
    for line in SHARED.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        gold: Sums = set()
        for amount in row["amounts"]:
            if amount["value"] is None or amount["unit"] in OUT_OF_SCOPE:
                continue
            code, per = UNITS.get(amount["unit"], (amount.get("iso"), 1))
            gold.add(((Decimal(amount["value"]) / per).normalize(), code))
        pairs.append((gold, found(row["text"], rules)))
    print(f"\namounts, labelled English set: F1 {f1(pairs):.3f}")
    assert f1(pairs) >= 0.95
