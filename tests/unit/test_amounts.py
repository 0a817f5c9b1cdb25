"""find_amounts: exact values, ISO codes, code-point spans, ranges, qualifiers, look-alikes, and linear time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.core.amounts import AmountRules, find_amounts
from newsmill.core.numerals import decimal_text, parse_digits, parse_english, parse_korean
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError
from newsmill.events import Amount

RULES = AmountRules.from_rulebook(load_rulebook())


def sums(text: str) -> list[tuple[str, str]]:
    return [(amount.value, amount.currency) for amount in find_amounts(text, RULES)]


def only(text: str) -> Amount:
    amounts = find_amounts(text, RULES)
    assert len(amounts) == 1, amounts
    return amounts[0]


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("62억달러", "6200000000", "USD"),
        ("9조원", "9000000000000", "KRW"),
        ("5조8000억원", "5800000000000", "KRW"),
        ("3천5백만 원", "35000000", "KRW"),
        ("1억 2,345만 6,789원", "123456789", "KRW"),
        ("2억 3000여만 원", "230000000", "KRW"),
        ("1,200만 유로", "12000000", "EUR"),
        ("5천만 엔", "50000000", "JPY"),
        ("500만 홍콩 달러", "5000000", "HKD"),
        ("500만홍콩달러", "5000000", "HKD"),
        ("3달러 50센트", "3.5", "USD"),
        ("1,380.50원", "1380.5", "KRW"),
        ("백만 달러", "1000000", "USD"),
        ("１００억원", "10000000000", "KRW"),
        ("$6.2bn", "6200000000", "USD"),
        ("€450m", "450000000", "EUR"),
        ("US$ 3.5 trillion", "3500000000000", "USD"),
        ("c $ 210 million", "210000000", "CAD"),
        ("passes a $ 7 billion", "7000000000", "USD"),
        ("EUR 3.5bn", "3500000000", "EUR"),
        ("64 USD million", "64000000", "USD"),
        ("140 MEUR", "140000000", "EUR"),
        ("Rs.500", "500", "INR"),
        ("23,45,678.90 rupees", "2345678.9", "INR"),
        ("five million yen", "5000000", "JPY"),
        ("half a billion dollars", "500000000", "USD"),
        ("one hundred and twenty thousand pounds", "120000", "GBP"),
        ("fifteen dollars and twenty-five cents", "15.25", "USD"),
        ("18-cent-a-share", "0.18", "USD"),
        ("385 pence", "3.85", "GBP"),
        ("$.50 a unit", None, None),
    ],
)
def test_one_sum(text: str, value: str | None, currency: str | None) -> None:
    assert sums(text) == ([] if value is None else [(value, currency)])


@pytest.mark.parametrize(
    "text",
    [
        "제3조에 따라",
        "제3조 원칙",
        "3원칙과 5엔진",
        "수십억원",
        "수조 원대 거래",
        "몇 억원",
        "20만 위안부",
        "유로2028",
        "5프랑스",
        "2024년 5월 3일",
        "010-1234-5678",
        "3.2% 올랐다",
        "1만2000명",
        "2조 개의 별",
        "3조 2교대",
        "세계 인구 80억 시대",
        "in 2019 won the cup",
        "5 per cent",
        "lost 20 pounds",
        "a 200-pound man",
        "10,000 bitcoins",
        "several million dollars",
        "the million dollar question",
        "50 Cent sang",
        "version 2.1.5",
        "",
    ],
)
def test_no_money(text: str) -> None:
    assert sums(text) == []


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3~5만원", "30000", "50000"),
        ("3만~5만원", "30000", "50000"),
        ("3000∼5000억원", "300000000000", "500000000000"),
        ("1000원~3000원", "1000", "3000"),
        ("8000억~1조원", "800000000000", "1000000000000"),
        ("$3-5 million", "3000000", "5000000"),
        ("$3m-$5m", "3000000", "5000000"),
        ("$3 to $5 million", "3000000", "5000000"),
        ("between $3 million and $5 million", "3000000", "5000000"),
        ("10-15 million euros", "10000000", "15000000"),
    ],
)
def test_ranges(text: str, low: str, high: str) -> None:
    amount = only(text)
    assert (amount.value, amount.value_max) == (low, high)


def test_two_sums_are_no_range() -> None:
    assert sums("rose from $3 million to $5 million") == [("3000000", "USD"), ("5000000", "USD")]
    assert sums("$70 and $50") == [("70", "USD"), ("50", "USD")]


@pytest.mark.parametrize(
    ("text", "qualifier"),
    [
        ("약 9조원", "about"),
        ("30여만원", "about"),
        ("5조원대 적자", "about"),
        ("최대 300만원", "up_to"),
        ("300만원 이하", "up_to"),
        ("최소 7조원", "at_least"),
        ("천만 원 이상", "at_least"),
        ("10억원이 넘는", "at_least"),
        ("£1m-plus", "at_least"),
        ("예약 5만원", None),
        ("about $3bn", "about"),
        ("up to $5 million", "up_to"),
        ("more than $5 million", "at_least"),
        ("$50k or more", "at_least"),
        ("moreover $5", None),
    ],
)
def test_qualifiers(text: str, qualifier: str | None) -> None:
    assert only(text).qualifier == qualifier


def test_gloss_without_currency_is_no_second_sum() -> None:
    assert sums("4,000억 달러(약 400 billion)") == [("400000000000", "USD")]


def test_bare_won_needs_a_word_of_money() -> None:
    assert sums("100조 투입") == [("100000000000000", "KRW")]
    assert sums("매출 3조 돌파") == [("3000000000000", "KRW")]
    assert sums("시가총액 12조를 기록") == [("12000000000000", "KRW")]
    assert sums("매출은 3조를 넘었다") == [("3000000000000", "KRW")]
    assert sums("100조 규모") == []
    assert sums("매출 상위 3조 개") == []


def test_spans_are_code_points_of_the_original() -> None:
    text = "🎉 총 ＄５ million, 곧 약 ７０억원(5달러)"
    for amount in find_amounts(text, RULES):
        assert text[amount.start : amount.end] == amount.text
    assert [amount.text for amount in find_amounts(text, RULES)] == ["＄５ million", "７０억원", "5달러"]


@given(st.text(alphabet="0123456789,.$€원달러억만조 ~-여약usd millionbk제수천", max_size=60))
def test_amounts_are_always_valid_and_in_place(text: str) -> None:
    last = 0
    for amount in find_amounts(text, RULES):
        assert Amount.model_validate(amount.model_dump()) == amount
        assert text[amount.start : amount.end] == amount.text
        assert last <= amount.start < amount.end <= len(text)
        assert amount.value_max is None or float(amount.value_max) > float(amount.value)
        last = amount.end


@given(st.integers(0, 10**15), st.integers(0, 6))
def test_decimal_text_is_exact(mantissa: int, decimals: int) -> None:
    text = decimal_text(mantissa, decimals)
    whole, _, fraction = text.partition(".")
    assert not fraction.endswith("0")
    assert int(whole + fraction) * 10 ** (decimals - len(fraction)) == mantissa


def test_numerals() -> None:
    units = RULES.units
    assert parse_digits("1,234.50") == (123450, 2)
    assert parse_digits("1,23,456") == (123456, 0)
    assert parse_digits("1,2,3") is None
    assert parse_digits("9" * 50) is None
    assert parse_korean("1조 2,345억", units) == (1_234_500_000_000, 0)
    assert parse_korean("3.5억", units) == (3_500_000_000, 1)
    assert parse_korean("3억5억", units) is None
    assert parse_english(["three", "quarters", "billion"], RULES.scales) == (75_000_000_000, 2)
    assert parse_english(["a"], RULES.scales) is None


HOSTILE = {
    "digits": "1",
    "commas": "1,",
    "groups": "111,",
    "points": "1.",
    "units": "1만 ",
    "descending": "1조2억3만4",
    "symbols": "$",
    "dollars": "dollars ",
    "words": "one million and ",
    "ranges": "1~",
    "bare": "백만",
    "money": "$1 ",
    "letters": "1 aaaaaaaa.",
    "vague": "수 1억 ",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_time_is_linear(kind: str) -> None:
    text = HOSTILE[kind] * (100_000 // len(HOSTILE[kind]))
    spent = []
    for size in (len(text) // 8, len(text)):
        begin = time.process_time()
        find_amounts(text[:size], RULES)
        spent.append(time.process_time() - begin)
    assert spent[1] < max(24 * spent[0], 1.0)  # eight times the text; quadratic time would be 64 times


def test_number_of_amounts_is_bounded() -> None:
    assert len(find_amounts("$1 " * 5_000, RULES)) == 1_000
    assert find_amounts(" " * 100_000 + "$1", RULES) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('code = "KRW"', 'code = "won"', "ISO 4217"),
        ("million = 1_000_000", "million = 0", "multiplier"),
        ('korean = ["엔", ', 'korean = ["원", "엔", ', "two currencies"),
        ("scaled = [", "scale = [", "unknown key"),
        ("about = [", "roughly = [", "qualifier"),
    ],
)
def test_bad_rules_are_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = load_rulebook().file("units.toml").text
    assert old in text
    (tmp_path / "units.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"units\.toml:\d+: .*{message}"):
        AmountRules.from_rulebook(load_rulebook(tmp_path))
