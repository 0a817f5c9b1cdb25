"""Text → one spelling of it: NFC for what readers see, a folded form for what is compared and hashed."""

from __future__ import annotations

import hashlib
import re
from unicodedata import combining, is_normalized, normalize

__all__ = ["content_hash", "digest", "fold", "nfc", "one_line", "single_spaced", "without_controls"]

# Unicode writes the same mark in many ways, and news sites mix them. NFKC folds full-width signs, ligatures and the
# ellipsis, but not these; and it would turn U+318D (the middle dot of Korean keyboards) into the vowel U+119E, so they
# are folded before it.
_MIDDLE_DOTS = "\u318d\u119e\u00b7\u0387\u2022\u2027\u2219\u22c5\u30fb\uff65\u2e31"
_DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u275d\u275e\u301d\u301e\u301f\uff02\u00ab\u00bb"
_SINGLE_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u275b\u275c\u00b4\u0060\uff07\uff40\u2039\u203a"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2500\u2501\ufe58\ufe63\uff0d"
_INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\ufeff\uffa0" + "".join(
    map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)])
)
_FOLDED = {
    **dict.fromkeys(_MIDDLE_DOTS, "\u00b7"),
    **dict.fromkeys(_DOUBLE_QUOTES, '"'),
    **dict.fromkeys(_SINGLE_QUOTES, "'"),
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_INVISIBLE, ""),
    "\u22ef": "...",
    "\u301c": "~",
    "\u223c": "~",
    "\uff5e": "~",
}
_MARKS = re.compile("[" + re.escape("".join(sorted(_FOLDED))) + "]")


# Normalising sorts every run of combining marks, in Python by insertion: 64,000 marks in a row take 20 s. UAX 15
# (section 13, stream-safe text) allows 30, and no language writes more than a few. Five letters decompose into marks
# without being marks. Invisible characters count, because taking them out would join two runs.
_LONGEST_RUN = 30
_DECOMPOSING = "\u0f73\u0f75\u0f81\uff9e\uff9f"
_BMP_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if combining(chr(code))) + _DECOMPOSING + _INVISIBLE
_OTHER_MARKS = "".join(chr(code) for code in range(0x10000, 0x1F000) if combining(chr(code)))
_ANY_MARK = re.compile(f"[{_BMP_MARKS}]")  # a class of the BMP is a bitmap: 3 ns a character; a wider one takes 180
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_LONG_RUN = re.compile(f"([{_BMP_MARKS}]{{{_LONGEST_RUN}}})[{_BMP_MARKS}]+")
# A class with single characters beyond the BMP is slow, one with their whole range is not: no such run, no long run.
_MAYBE_LONG_RUN = re.compile(f"[{_BMP_MARKS}\U00010000-\U0010ffff]{{{_LONGEST_RUN + 1}}}")
_LONG_RUN_ANYWHERE = re.compile(f"([{_BMP_MARKS}{_OTHER_MARKS}]{{{_LONGEST_RUN}}})[{_BMP_MARKS}{_OTHER_MARKS}]+")


def _bound_marks(text: str) -> str:
    """The text with at most 30 combining marks and invisible characters in a row; the rest of a run goes."""
    if text.isascii():
        return text
    if _BEYOND_BMP.search(text):
        return _LONG_RUN_ANYWHERE.sub(r"\1", text) if _MAYBE_LONG_RUN.search(text) else text
    return _LONG_RUN.sub(r"\1", text) if _ANY_MARK.search(text) else text


def nfc(text: str) -> str:
    """The text in NFC: composed Hangul, as Korean keyboards write it (files from macOS hold it decomposed).

    Of a run of over 30 combining marks only the first 30 stay, so that time is linear in the length.
    """
    text = _bound_marks(text)
    return text if is_normalized("NFC", text) else normalize("NFC", text)


# One class without "+" is sought three times as fast.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def without_controls(text: str) -> str:
    """The text without control characters other than line breaks and tabs, and without Unicode's non-characters."""
    return _CONTROLS.sub("", text)


def single_spaced(text: str) -> str:
    """The text with every run of white space as one space, and none at its ends; as str.split sees white space."""
    # the only printable white space is the space: this tells a clean line three times as fast as splitting it
    if text.isprintable() and "  " not in text:
        return text.strip(" ")
    return " ".join(text.split())


def one_line(text: str | None, longest: int) -> str:
    """A title or a name as one line of at most ``longest`` characters: NFC, single spaces, no controls; "" for None."""
    if not text:
        return ""
    return single_spaced(_CONTROLS.sub(" ", nfc(text)))[:longest].rstrip()


def fold(text: str) -> str:
    """The form of a text for comparing and hashing: the same words with other typography become the same string.

    Quotes, dashes, middle dots and full-width signs become one of a kind, invisible characters go, every run of
    white space (NBSP too) becomes one space. Letters, case, digits and the order of words stay. Idempotent.
    """
    if not text.isascii() or "`" in text:
        folded = _bound_marks(text)
        folded = _MARKS.sub(lambda mark: _FOLDED[mark[0]], folded)
        if not is_normalized("NFKC", folded):
            # NFKC can bring marks back that were hidden in a compatibility character
            folded = normalize("NFKC", _MARKS.sub(lambda mark: _FOLDED[mark[0]], normalize("NFKC", folded)))
        text = folded
    return single_spaced(text.replace("\n", " "))


def digest(*parts: str) -> str:
    """32 hex digits (BLAKE2b, 128 bit) of the parts, which are kept apart; any string, lone surrogates too."""
    joined = "\0".join(parts)
    return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def content_hash(text: str) -> str:
    """32 hex digits of the folded text: equal for texts that differ in typography and white space only."""
    return digest(fold(text))
