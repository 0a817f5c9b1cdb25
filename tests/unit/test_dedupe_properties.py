"""Laws of the dedupe stage, whatever the texts are."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsmill.core.chrome import ChromeRules
from newsmill.core.copies import compare, load_copy_rules
from newsmill.core.dedupe import Dedupe, DedupeOptions
from newsmill.core.dedupe_state import DedupeState
from newsmill.core.fingerprint import parity_resemblance, sketch
from newsmill.core.folding import content_hash
from newsmill.core.plaintext import clean_plain
from newsmill.core.prepare import Prepare
from newsmill.core.rulebook import load_rulebook
from newsmill.core.stage import Change, Context, Record, Result
from newsmill.events import Duplicate, Outcome

RULES = load_rulebook()
COPY_RULES = load_copy_rules(RULES)
CHROME = ChromeRules.from_rulebook(RULES)
CONTEXT = Context("live", "0", "Asia/Seoul", {})
PREPARE = Prepare(CONTEXT, RULES)
T0 = 1_760_000_000_000
DAY = 86_400_000
LAWS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

KOREAN = ["".join(random.Random(n).choices("가나다라마바사아자차카타파하고노도로모", k=3)) for n in range(900)]
ENGLISH = ["".join(random.Random(n).choices("abcdefghijklmnoprstu", k=6)) for n in range(900)]
MENUS = (
    ["홈", "정치", "경제", "사회", "로그인", "회원가입"],
    ["Home", "World", "Business", "Sport", "Subscribe", "Sign in"],
)
TAILS = (
    ["많이 본 뉴스", "저작권자 ⓒ 한빛누리신문 무단 전재 및 재배포 금지"],
    ["Most read", "Copyright Northfield Courier. All rights reserved."],
)


def article(seed: int, sentences: int) -> tuple[list[str], bool]:
    """Sentences of an invented article of 8 to 14 words each, and whether it is Korean. Numbers, quotes, dots."""
    rng = random.Random(seed)
    korean = seed % 2 == 0
    out = []
    for _ in range(sentences):
        words = rng.choices(KOREAN if korean else ENGLISH, k=rng.randint(8, 14))
        words[2] = f'"{words[2]}'
        words[4] += '"'
        words[5] = f"{words[5]}·{words[6]}" if korean else f"{words[5]} - '{words[6]}'"
        words[7] = f"{rng.randint(2, 9000)}"
        out.append(" ".join(words) + ("라고 밝혔다." if korean else ", he said."))
    return out, korean


articles = st.builds(article, st.integers(0, 10**6), st.integers(6, 40))


def raw(name: str, body: str, at: int) -> Record:
    value = {"url": f"https://{name}.example/a", "title": "", "body": body, "content_type": "text/plain"}
    return Record("news.raw.v1", 0, at - T0, at, None, orjson.dumps(value), ())


def prepared(name: str, body: str, at: int) -> Record:
    (output,) = PREPARE(raw(name, body, at), None).outputs
    return Record("news.prepared.v1", 0, at - T0, at, output.key, output.value, ())


def verdict(first: str, second: str) -> Result:
    """What the stage says of a second text, after the first."""
    dedupe = Dedupe(CONTEXT, DedupeOptions(max_entries=100), RULES)
    state = dedupe.new_state()
    for change in dedupe(prepared("first", first, T0), state).changes:
        state.apply(change)
    return dedupe(prepared("second", second, T0 + 1000), state)


@given(st.text(min_size=1, max_size=400))
@LAWS
def test_any_text_is_a_copy_of_itself(text: str) -> None:
    own = compare(sketch(text), sketch(text), COPY_RULES)
    assert (own.verdict, own.resemblance) == ("duplicate", 1.0)


@given(articles)
@LAWS
def test_an_article_is_an_exact_copy_of_itself(one: tuple[list[str], bool]) -> None:
    body = "\n".join(one[0])
    result = verdict(body, body)
    assert result.outcome is Outcome.DUPLICATE
    copy = Duplicate.model_validate_json(result.outputs[0].value or b"")
    assert (copy.method, copy.similarity) == ("exact", 1.0)


@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(0, 300), st.integers(0, 300))
@LAWS
def test_similarity_is_symmetric(seed: int, shared: int, left: int, right: int) -> None:
    rng = random.Random(seed)
    common = rng.choices(KOREAN, k=shared)
    a, b = (sketch(" ".join([*common, *rng.choices(ENGLISH, k=more)])) for more in (left, right))
    one, other = compare(a, b, COPY_RULES), compare(b, a, COPY_RULES)
    assert parity_resemblance(a.parity, a.shingles, b.parity, b.shingles) == parity_resemblance(
        b.parity, b.shingles, a.parity, a.shingles
    )
    assert one.numbers_equal == other.numbers_equal
    if min(a.level, b.level) or not (len(a.lead) or len(b.lead)):
        # a text of which every shingle is kept is also sought in the beginning of the later one, and only there
        assert (one.shared, one.resemblance) == (other.shared, other.resemblance)
        assert (one.a_in_b, one.b_in_a) == (other.b_in_a, other.a_in_b)
        assert (one.verdict == "original") == (other.verdict == "original")


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and not c.isalpha() else c for c in text)


TYPOGRAPHY: dict[str, Callable[[str], str]] = {
    "nfd": lambda text: unicodedata.normalize("NFD", text),
    "quotes": lambda text: text.replace('"', "“").replace("'", "’"),
    "corner quotes": lambda text: text.replace('"', "〝"),
    "middle dots": lambda text: text.replace("·", "ㆍ"),
    "spaces": lambda text: text.replace(" ", "\u00a0 ").replace(".", ".\u200b"),
    "full width": _full_width,
    "dashes": lambda text: text.replace("-", "–"),
}


@pytest.mark.parametrize("name", sorted(TYPOGRAPHY))
@given(one=articles)
@settings(LAWS, max_examples=20)
def test_typography_never_changes_the_verdict(name: str, one: tuple[list[str], bool]) -> None:
    body = "\n".join(one[0])
    changed = TYPOGRAPHY[name](body)
    assert content_hash(changed) == content_hash(body)
    result = verdict(body, changed)
    assert result.outcome is Outcome.DUPLICATE
    assert Duplicate.model_validate_json(result.outputs[0].value or b"").method == "exact"


@given(articles, st.integers(1, 3))
@LAWS
def test_chrome_never_changes_the_verdict(one: tuple[list[str], bool], paragraphs: int) -> None:
    sentences, korean = one
    body = "\n".join(" ".join(sentences[n : n + paragraphs]) for n in range(0, len(sentences), paragraphs))
    menu, tail = MENUS[not korean], TAILS[not korean]
    wrapped = "\n".join([*menu, "", body, "", *tail])
    assert content_hash(clean_plain(wrapped, CHROME).text) == content_hash(clean_plain(body, CHROME).text)
    assert verdict(body, wrapped).outcome is Outcome.DUPLICATE
    assert verdict(wrapped, body).outcome is Outcome.DUPLICATE


@given(st.integers(0, 10**6), st.integers(20, 60), st.floats(0.05, 0.27))
@LAWS
def test_trimming_below_30_percent_ends_it(seed: int, count: int, share: float) -> None:
    """Less than 30 % of a text is no copy of it, neither alone nor with other text beside it, whichever comes first."""
    sentences, _ = article(seed, count)
    other, _ = article(seed + 1_000_002, count)  # of the same language
    kept = sentences[: int(share * count)]
    mixed = " ".join([*kept, *other[len(kept) :]])
    assert verdict(" ".join(sentences), " ".join(kept) or other[0]).outcome is Outcome.ORIGINAL
    assert verdict(" ".join(sentences), mixed).outcome is Outcome.ORIGINAL
    assert verdict(mixed, " ".join(sentences)).outcome is Outcome.ORIGINAL


@given(st.integers(0, 10**6), st.integers(20, 60), st.floats(0.45, 1.0))
@LAWS
def test_a_text_trimmed_to_half_is_a_copy(seed: int, count: int, share: float) -> None:
    sentences, _ = article(seed, count)
    kept = " ".join(sentences[: int(share * count)])
    assert verdict(" ".join(sentences), kept).outcome is Outcome.DUPLICATE


def _history(seed: int, count: int) -> list[Record]:
    """Prepared records with copies, updates, re-crawls and gaps in time."""
    rng = random.Random(seed)
    at = T0
    records = []
    for _ in range(count):
        at += rng.choice((1, 1000, DAY // 40, DAY // 2 if rng.random() < 0.1 else 7))
        sentences, _ = article(rng.randrange(12), 14)
        kind = rng.randrange(4)
        if kind == 1:
            sentences = sentences[: rng.randint(3, 13)]
        elif kind == 2:
            sentences = [*sentences, *article(rng.randrange(100), rng.randint(1, 9))[0]]
        records.append(prepared(f"site{rng.randrange(30)}", " ".join(sentences), at))
    return records


def _plain(result: Result) -> tuple[object, ...]:
    return result.outcome, list(result.outputs), [(change.key, change.value) for change in result.changes]


@given(st.integers(0, 10**6), st.lists(st.integers(1, 59), max_size=6, unique=True), st.sampled_from((8, 25, 1000)))
@settings(LAWS, max_examples=25)
def test_verdicts_depend_neither_on_batches_nor_on_rebuilds(seed: int, cuts: list[int], room: int) -> None:
    """At each cut the process is another one: its state comes from the log of changes, compacted or not."""
    rng = random.Random(seed)
    dedupe = Dedupe(CONTEXT, DedupeOptions(2 * DAY, 5 * DAY, room, room + 5), RULES)
    records = _history(seed, 60)

    def run(stops: set[int]) -> list[tuple[object, ...]]:
        state: DedupeState = dedupe.new_state()
        log: list[Change] = []
        out = []
        for n, record in enumerate(records):
            if n in stops:
                state = dedupe.new_state()
                last = {change.key: place for place, change in enumerate(log)}
                until = rng.randint(0, len(log))
                for place, change in enumerate(log):
                    if place >= until or last[change.key] == place:
                        state.load(change.key, change.value)
                state.loaded()
            result = dedupe(record, state)
            out.append(_plain(result))
            for change in result.changes:
                state.apply(change)
                log.append(change)
        return out

    assert run(set(cuts)) == run(set())
