"""A grid with a loss both ways: the page shows the tuned one beside its default."""

from __future__ import annotations

import pytest

from orchestrator.report.content import collect
from orchestrator.report.data import Sampling
from orchestrator.report.page import render_page
from tests.published import published_trials
from tests.unit.orchestrator.report.factory import Tables, arranged

FEW = Sampling(num_samples=100)


def sweep_of(renamed):
    trials = published_trials(num_repeats=2).drop(columns="spec")  # it has the labels too
    trials["loss"] = trials["loss"].replace(renamed)
    return arranged(Tables(trials=trials, sampling=FEW))


def test_the_tuned_loss_stands_beside_its_default():
    content = collect(sweep_of({"IoUFocal": "Focal (tuned)", "BCE": "nobody (tuned)"}))
    (pair,) = content.tuned
    assert (pair.default, pair.tuned) == ("Focal", "Focal (tuned)")
    assert pair.default_mean == pytest.approx(0.7685, abs=1e-4)
    assert pair.tuned_mean == pytest.approx(0.7938, abs=1e-4)
    assert pair.compared is not None
    assert pair.compared.difference == pytest.approx(0.0253, abs=2e-4)
    assert pair.compared.p_better > 0.99
    page = render_page(content, [])
    assert "Tuned beside default" in page
    assert page.index(">+0.025") < page.index('id="heat"')


def test_a_grid_without_tuned_losses_says_nothing_of_them():
    content = collect(sweep_of({}))
    assert content.tuned == ()
    assert "Tuned beside default" not in render_page(content, [])
