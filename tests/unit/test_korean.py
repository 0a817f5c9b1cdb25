"""Where a Korean noun ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsmill.core.korean import Particles, has_final_consonant, is_hangul
from newsmill.core.rulebook import load_rulebook
from newsmill.errors import ConfigError


@pytest.fixture(scope="module")
def particles() -> Particles:
    return Particles.from_rulebook(load_rulebook())


@pytest.mark.parametrize(
    ("word", "noun"),
    [
        ("공장이", "공장"),
        ("공장은", "공장"),
        ("회사가", "회사"),
        ("배터리를", "배터리"),
        ("배터리와의", "배터리"),
        ("서울로", "서울"),
        ("부산으로", "부산"),
        ("센터에서는", "센터"),
        ("센터까지도", "센터"),
        ("AWS가", "AWS"),
        ("5G를", "5G"),
    ],
)
def test_a_particle_is_taken_off(particles: Particles, word: str, noun: str) -> None:
    assert particles.strip_particle(word) == noun


@pytest.mark.parametrize(
    "word",
    ["국가", "효과", "평가", "전문가", "민주주의", "경기도", "고속도로", "회의", "도로", "인도", "가", "", "cloud"],
)
def test_a_whole_word_stays_whole(particles: Particles, word: str) -> None:
    assert particles.strip_particle(word) == word


def test_a_particle_must_agree_with_the_final_consonant(particles: Particles) -> None:
    assert particles.strip_particle("제미나이") == "제미나이"
    assert particles.strip_particle("제미나이는") == "제미나이"  # 이 of 이는 follows a consonant only
    assert particles.strip_particle("전기을") == "전기을"  # 을 follows a consonant only
    assert particles.strip_particle("부산로") == "부산로"
    assert particles.strip_particle("배터리과") == "배터리과"


def test_what_follows_decides_whether_a_noun_is_complete(particles: Particles) -> None:
    assert particles.follow("엔비디아와의 협력", 4)
    assert particles.follow("엔비디아", 4)
    assert particles.follow("엔비디아, 그리고", 4)
    assert particles.follow("애플발 충격", 2)
    assert not particles.follow("인텔리전스", 2)
    assert not particles.follow("메타버스", 2)
    assert not particles.follow("삼성" + "전" * 5000, 2)


def test_final_consonants_by_the_arithmetic_of_unicode() -> None:
    assert [has_final_consonant(c) for c in "각가힣히A"] == [True, False, True, False, False]
    assert is_hangul("가")
    assert not is_hangul("ㄱ")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[particles]\nany = ["의"]\nwrong = ["도"]\n', 3, "unknown key 'wrong'"),
        ('[particles]\nany = "의"\n', 2, "particles.any must be a list"),
        ("[typo]\n", 1, "unknown key 'typo'"),
    ],
)
def test_a_mistake_names_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    (tmp_path / "korean.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        Particles.from_rulebook(load_rulebook(tmp_path))
    assert f"korean.toml:{line}: " in str(caught.value)
    assert message in str(caught.value)
