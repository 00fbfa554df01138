"""Letters that the usual font lacks: taken from a font that has them, else named with a remedy."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from orchestrator.report.figures.drawing import make_figures
from orchestrator.report.figures.fonts import families_for, lacking_note
from orchestrator.report.figures.style import drawing_style
from orchestrator.titles import Titles
from tests.unit.orchestrator.report.factory import arranged, make_data

RUNIC, WEDGE = "\u16a0", "\U00012000"  # no font of the usual ones has them


def make_font(path, family, letters, *, outline=True):
    """Writes a font with a square for each letter."""
    names = {ord(letter): f"g{number}" for number, letter in enumerate(letters)}
    pen = TTGlyphPen(None)
    if outline:
        for move, point in (
            (pen.moveTo, (0, 0)),
            *((pen.lineTo, at) for at in ((500, 0), (500, 500), (0, 500))),
        ):
            move(point)
        pen.closePath()
    glyph = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    order = [".notdef", *names.values()]
    font.setupGlyphOrder(order)
    font.setupCharacterMap(names)
    font.setupGlyf(dict.fromkeys(order, glyph))
    font.setupHorizontalMetrics(dict.fromkeys(order, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    font.setupPost()
    font.save(path)
    font_manager.fontManager.addfont(path)


@pytest.fixture
def fonts(tmp_path):
    """Makes fonts that the manager of fonts forgets afterwards."""
    known = list(font_manager.fontManager.ttflist)
    yield lambda family, letters, **options: make_font(
        tmp_path / f"{family}.ttf", family, letters, **options
    )
    font_manager.fontManager.ttflist[:] = known
    font_manager.fontManager._findfont_cached.cache_clear()  # type: ignore[attr-defined]


def test_the_usual_font_is_enough_for_most_names():
    assert families_for(["Über α χ² × − σ", "Ж", "a\u3000b"]) == ["DejaVu Sans"]


def test_as_few_fonts_as_have_the_letters_are_taken(fonts):
    fonts("One", RUNIC)
    fonts("Both", RUNIC + WEDGE)
    assert families_for([f"a {RUNIC}", WEDGE]) == ["DejaVu Sans", "Both"]
    assert families_for([RUNIC]) == ["DejaVu Sans", "One"]  # the later name of two as good
    with drawing_style([WEDGE]):
        assert mpl.rcParams["font.family"] == ["DejaVu Sans", "Both"]


def test_a_font_without_outlines_is_not_used(fonts):
    fonts("Blank", RUNIC, outline=False)
    assert families_for([RUNIC]) == ["DejaVu Sans"]


def test_missing_letters_give_one_note_with_a_remedy(fonts, caplog, recwarn):
    data = make_data(2, 1, 2, 1, num_epochs=1, image_size=8)
    titles = Titles(losses={"iou": f"{RUNIC} loss"}, datasets={"synthetic-skin": WEDGE})
    sweep = arranged(dataclasses.replace(data, titles=titles))
    found = make_figures(sweep, names=["figure2a", "figure2b"], formats=["svg"])
    assert found.notes == (
        f"The letters {RUNIC} (U+16A0) and {WEDGE} (U+12000) are drawn as boxes in the figures: "
        "no font on this machine that matplotlib can draw has them; install Noto Sans Cuneiform "
        "and Noto Sans Runic and draw again, or give an alias in other letters.",
    )
    fonts("Both", RUNIC + WEDGE)
    found = make_figures(sweep, names=["figure2b"], formats=["pdf"])
    assert found.notes == ()
    assert b"/Type3" in found.files["figure2b.pdf"]
    assert not caplog.records
    assert not recwarn


def test_remedies_by_script():
    assert "install Noto Sans CJK and draw" in lacking_note("漢한ひ")
    assert "Noto Emoji" in lacking_note("\U0001f642")
    assert lacking_note("漢").startswith("The letter 漢 (U+6F22) is drawn as a box")
