"""Korean word ends → what is a particle and what is the noun: 삼성전자가 → 삼성전자, but 국가 stays 국가.

Rules are in ``rules/korean.toml``. Particles that agree with the final consonant of the noun (은/는, 이/가, 을/를,
과/와, 으로/로) are taken off only where they agree; that alone keeps 국가, 효과 and 평가 whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from newsmill.core.rulebook import Rulebook, RuleFile

__all__ = ["Particles", "has_final_consonant", "is_hangul"]

_FILE = "korean.toml"
_FIRST, _LAST = "가", "힣"
_FINALS = 28  # syllables come in blocks of 28: one without a final consonant, 27 with (Unicode, section 3.12)
_LIEUL = 8  # the final ㄹ: takes 로, not 으로
_LEAST_STEM = 2  # a noun of one syllable is too often the first half of another noun: 도로, 회의, 사과


def is_hangul(character: str) -> bool:
    """Whether the character is a composed Hangul syllable (NFC)."""
    return _FIRST <= character <= _LAST


def has_final_consonant(character: str) -> bool:
    """Whether a Hangul syllable ends in a consonant: 각 yes, 가 no. Other characters: no."""
    return is_hangul(character) and (ord(character) - ord(_FIRST)) % _FINALS != 0


@dataclass(frozen=True)
class Particles:
    """What may follow a noun. All sets hold Hangul strings; ``endings`` is every sequence that `follow` accepts."""

    any: frozenset[str]
    after_consonant: frozenset[str]
    after_vowel: frozenset[str]
    endings: frozenset[str]
    whole: frozenset[str]

    @classmethod
    def from_rulebook(cls, rulebook: Rulebook) -> Particles:
        """Read and check ``korean.toml``; `ConfigError` names file and line."""
        file = rulebook.file(_FILE)
        _refuse_unknown(file, file.data, ("particles", "copula", "suffixes", "words"))
        particles = _table(file, "particles", ("any", "after_consonant", "after_vowel", "auxiliary"))
        copula = _table(file, "copula", ("any",))["any"]
        suffixes = _table(file, "suffixes", ("any",))["any"]
        whole = _table(file, "words", ("whole",))["whole"]
        consonant, vowel = particles["after_consonant"], particles["after_vowel"]
        cases = particles["any"] + consonant + vowel
        chains = [case + more for case in cases for more in particles["auxiliary"]]
        plain = list(dict.fromkeys(cases + chains + copula))
        endings = plain + suffixes + [suffix + end for suffix in suffixes for end in plain]
        agreeing = frozenset(consonant) | frozenset(vowel)
        return cls(
            any=frozenset(p for p in particles["any"] + [c for c in chains if len(c) > 1] if p not in agreeing),
            after_consonant=frozenset(consonant),
            after_vowel=frozenset(vowel),
            endings=frozenset(endings),
            whole=frozenset(whole),
        )

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.endings))

    @cached_property
    def _particles(self) -> frozenset[str]:
        return self.any | self.after_consonant | self.after_vowel

    @cached_property
    def _ends(self) -> frozenset[str]:
        """Last characters of particles: most words end in none."""
        return frozenset(particle[-1] for particle in self._particles)

    def follow(self, text: str, end: int) -> bool:
        """Whether the noun that ends at ``end`` is complete there: no Hangul follows, or only particles do."""
        if end >= len(text) or not _FIRST <= text[end] <= _LAST:
            return True
        stop, limit = end + 1, min(len(text), end + self._longest + 1)
        while stop < limit and _FIRST <= text[stop] <= _LAST:
            stop += 1
        return text[end:stop] in self.endings

    def strip_particle(self, word: str) -> str:
        """The noun of a Korean word: the longest particle that fits is taken off, once; any other word is unchanged.

        At least two characters stay. A Latin or numeric noun (AWS가, 5G를) takes either form of a particle.
        """
        if len(word) <= _LEAST_STEM or word[-1] not in self._ends or word in self.whole:
            return word
        particles = self._particles
        for at in range(max(_LEAST_STEM, len(word) - self._longest), len(word)):
            if word[at:] in particles and self._fits(word[at - 1], word[at:]):
                return word[:at]
        return word

    def _fits(self, before: str, particle: str) -> bool:
        if particle in self.any:
            # a chain such as 과의 or 만은 must agree in its first part too
            head = particle[0]
            if particle[:1] in self.after_consonant or particle[:1] in self.after_vowel:
                return self._agrees(before, head)
            if particle.startswith("으로"):
                return self._agrees(before, "으로")
            return True
        return self._agrees(before, particle)

    def _agrees(self, before: str, particle: str) -> bool:
        if not is_hangul(before):
            return particle in self.after_consonant or particle in self.after_vowel
        final = (ord(before) - ord(_FIRST)) % _FINALS
        if particle.startswith("로"):
            return particle in self.after_vowel and final in (0, _LIEUL)
        if particle.startswith("으로"):
            return particle in self.after_consonant and final not in (0, _LIEUL)
        return particle in (self.after_consonant if final else self.after_vowel)


def _refuse_unknown(file: RuleFile, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            raise file.error(f"unknown key {key!r}; known are {', '.join(known)}", after=file.line_of_key(key))


def _table(file: RuleFile, name: str, keys: tuple[str, ...]) -> dict[str, list[str]]:
    table = file.data.get(name)
    if not isinstance(table, dict):
        raise file.error(f"table [{name}] is missing")
    _refuse_unknown(file, table, keys)
    for key in keys:
        words = table.get(key)
        if not isinstance(words, list) or not words or not all(isinstance(w, str) and w for w in words):
            raise file.error(
                f"{name}.{key} must be a list of words", after=file.line_of_key(key if key in table else name)
            )
    return {key: list(table[key]) for key in keys}
