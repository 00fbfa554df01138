"""Fonts of a figure, and letters that none of them has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.text import Text

from orchestrator.wording import list_text

BASE = "DejaVu Sans"
"""Part of matplotlib: figures with Latin, Greek and Cyrillic names are equal on every machine."""

_PREFERRED = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "Microsoft YaHei", "PingFang SC", "Arial Unicode MS",
)  # fmt: skip
"""The order of preference among fonts that have the same number of letters."""

_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")
_INVISIBLE = ("Cc", "Cf", "Zs", "Zl", "Zp")
_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_MAX_NAMED = 6


def families_for(texts: Iterable[str]) -> list[str]:
    """Returns the base font, and the fewest installed fonts with the letters that it lacks."""
    missing = _visible("".join(texts))
    missing -= _of_family(BASE, missing)
    chosen = [BASE]
    while missing:
        # Only if letters are missing: reading every installed font takes a second.
        best = max(_candidates(missing), key=lambda name: _rank(name, missing), default=None)
        if best is None or not _of_family(best, missing):
            break
        chosen.append(best)
        missing -= _of_family(best, missing)
    return chosen


def lacking_letters(figure: Figure, families: Iterable[str]) -> frozenset[str]:
    """Returns the letters in a figure that none of the fonts can draw."""
    letters = _visible("".join(text.get_text() for text in figure.findobj(Text)))
    for name in families:
        letters -= _of_family(name, letters)
    return letters


def lacking_note(letters: Iterable[str]) -> str:
    """Returns a sentence that names the letters and what to do."""
    known = sorted(letters)
    named = list_text([f"{letter} (U+{ord(letter):04X})" for letter in known], limit=_MAX_NAMED)
    fonts = list_text(sorted({_font_with(letter) for letter in known}))
    several = len(known) > 1
    are, them = ("are drawn as boxes", "them") if several else ("is drawn as a box", "it")
    return (
        f"The letter{'s' * several} {named} {are} in the figures: no font on this machine that "
        f"matplotlib can draw has {them}; install {fonts} and draw again, or give an alias in "
        "other letters."
    )


def _font_with(letter: str) -> str:
    """Returns the name of a free font that has a letter, by its script."""
    if unicodedata.category(letter) in ("So", "Sk"):
        return "Symbola or Noto Emoji (a font of coloured emoji does not help)"
    script = unicodedata.name(letter, "Symbols").split()[0].split("-")[0]
    return f"Noto Sans {'CJK' if script in _CJK else script.capitalize()}"


def _visible(text: str) -> frozenset[str]:
    """Returns the letters of a text that leave a mark; U+FE0F and the like only choose a form."""
    return frozenset(
        letter
        for letter in set(text) - _SELECTORS
        if unicodedata.category(letter) not in _INVISIBLE
    )


def _candidates(letters: frozenset[str]) -> set[str]:
    """Returns families with an upright font of normal weight that has one of the letters.

    "Last Resort" fonts, which have a box for every letter, are excluded.
    """
    return {
        entry.name
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal"
        and entry.weight in (400, "normal", "regular")
        and not entry.name.replace(" ", "").lstrip(".").startswith("LastResort")
        and _drawable(entry.fname, getattr(entry, "index", 0), letters)
    }


def _rank(name: str, missing: frozenset[str]) -> tuple[int, int, bool, str]:
    place = _PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED)
    return len(_of_family(name, missing)), -place, "Serif" not in name, name


def _of_family(name: str, letters: frozenset[str]) -> frozenset[str]:
    """Returns which letters the font file has that matplotlib uses for a family."""
    found = font_manager.findfont(name, fallback_to_default=False)
    return _drawable(str(found), getattr(found, "face_index", 0), letters)


@cache
def _drawable(path: str, face: int, letters: frozenset[str]) -> frozenset[str]:
    """Returns which letters matplotlib can draw of a font file: those with an outline in it.

    Fonts of coloured emoji have pictures instead. Before matplotlib 3.11 only the first face of a
    collection is known, and has no number.
    """
    try:
        font = FT2Font(path, face_index=face) if face else FT2Font(path)
        if not font.scalable:
            return frozenset()
        shared = letters.intersection(map(chr, font.get_charmap()))
        return frozenset(letter for letter in shared if _has_outline(font, letter))
    except (OSError, RuntimeError):  # Some files in font folders are not fonts.
        return frozenset()


def _has_outline(font: FT2Font, letter: str) -> bool:
    font.load_char(ord(letter), flags=LoadFlags.NO_SCALE)
    return len(font.get_path()[0]) > 0
