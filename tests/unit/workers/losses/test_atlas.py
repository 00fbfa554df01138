"""docs/losses.md is the catalogue in words and figures."""

from __future__ import annotations

from tests.unit.workers.losses import atlas
from workers.catalogue.losses import LOSSES


def test_page_of_losses_is_that_of_the_catalogue():
    page = atlas.PAGE.read_text(encoding="utf-8")
    assert atlas.fill(page) == page, "run `python -m tests.unit.workers.losses.atlas`"


def test_formula_of_a_section_is_one_span_of_code():
    lines = [line for line in atlas.sections().splitlines() if line.startswith("- **Formula:**")]
    assert [line for line in lines if line.count("`") != 2] == []


def test_every_loss_has_one_figure():
    assert {file.stem for file in atlas.FIGURES.iterdir()} == {
        name for name in LOSSES if LOSSES.origin(name) is None
    }


def test_every_entry_states_all_facts_of_the_atlas():
    for name, entry in LOSSES.items():
        facts = (entry.formula, entry.edges, entry.use, entry.fails, entry.agrees, entry.citation)
        assert all(facts), name
        assert len(entry.values) == 5, name


def test_curve_of_bce_has_the_values_by_hand(monkeypatch):
    monkeypatch.setattr(atlas, "NOISE", 0.0)
    certain, values, lesion, background = atlas.curve(LOSSES["bce"], (3, 3))
    # -log p_t, and 1 - p_t for every pixel.
    assert abs(values[-1] - 0.0050125418) < 1e-8
    assert abs(lesion[0] - (1 - certain[0])) < 1e-9
    assert abs(background[0] - 0.995) < 1e-9
