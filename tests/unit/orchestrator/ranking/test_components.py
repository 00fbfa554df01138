"""Half-widths of a grid: by hand, from known components, and what is not known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.ranking.certainty import certainty
from orchestrator.ranking.components import (
    ASSUMED,
    Components,
    GridSize,
    HalfWidth,
    half_width,
    measure,
    power,
)
from tests.unit.orchestrator.ranking.frames import scored

SIZE = GridSize(num_datasets=6, num_models=12, num_losses=10, num_repeats=5)


def drawn(components: Components, size: GridSize, seed: int = 0) -> pd.DataFrame:
    """Draws a grid whose trials have these components."""
    random = np.random.default_rng(seed)
    shape = (size.num_datasets, size.num_models, size.num_losses, size.num_repeats or 1)
    axes = {"dataset": (1, 3), "model": (0, 3), "cell": (3,), "split": (1,), "training": ()}
    values = np.zeros(shape)
    for name, shared in axes.items():
        own = [1 if axis in shared else number for axis, number in enumerate(shape)]
        values = values + (getattr(components, name) or 0.0) * random.normal(size=own)
    where = np.indices(shape).reshape(4, -1)
    names = [[f"{axis}{number}" for number in row] for axis, row in zip("dml", where, strict=False)]
    return pd.DataFrame(
        {"dataset": names[0], "model": names[1], "loss": names[2], "repeat": where[3],
         "dice": 0.5 + values.ravel()}
    )  # fmt: skip


def test_half_width_by_hand():
    # Variance of one mean: (a2 + s2/R)/D + b2/M + (c2 + e2/R)/(DM), of a difference twice that;
    # 5 degrees of freedom and 4 that the other pairs lend.
    found = half_width(ASSUMED, SIZE, "other", 0.95)
    variance = 0.0016**2 / 6 + 0.0027**2 / 12 + (0.003**2 + 0.009**2 / 5) / 72
    assert found is not None
    assert found.pair == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(2 * variance))
    assert found.all_pairs == pytest.approx(
        stats.studentized_range.ppf(0.95, 10, 9) * math.sqrt(variance), rel=1e-3
    )
    here = half_width(ASSUMED, SIZE, "these", 0.95)
    assert here is not None  # 24 degrees of freedom and 4 lent
    assert here.pair == pytest.approx(stats.t.ppf(0.975, 28) * math.sqrt(2 * 0.009**2 / 5 / 72))


def test_repeats_without_end_leave_datasets_and_models():
    found = power(ASSUMED, SIZE)
    grids = {outlook.change: outlook.half_widths for outlook in found.outlooks}

    def width(change: str) -> float:
        elsewhere = grids[change]["other"]
        assert elsewhere is not None
        return elsewhere.pair

    assert width("this grid") > width("twice the repeats") > width("repeats without end") > 0
    assert grids["repeats without end"]["other"] == half_width(
        replace(ASSUMED, split=0.0, training=0.0), SIZE, "other", 0.95
    )
    assert width("one more dataset") < width("this grid")
    assert grids["repeats without end"]["these"] == HalfWidth(pair=0.0, all_pairs=0.0)


def test_components_are_those_of_the_drawn_grid():
    known = Components(
        dataset=0.02, model=0.03, cell=0.04, split=0.02, training=0.05, source="drawn"
    )
    size = GridSize(num_datasets=20, num_models=20, num_losses=12, num_repeats=4)
    found = measure(scored(drawn(known, size)), "drawn")
    assert found is not None
    for name in ("dataset", "model", "cell", "split", "training"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=0.1), name


def test_half_width_of_this_grid_is_that_of_the_pairs():
    scores = scored(drawn(replace(ASSUMED, dataset=0.008), SIZE, seed=3))
    found = measure(scores, "drawn")
    assert found is not None
    expected = half_width(found, SIZE, "other", 0.95)
    pairs = [pair.interval for pair in certainty(scores, num_draws=0).pairs]
    widths = [(interval.high - interval.low) / 2 for interval in pairs if interval]
    assert expected is not None
    assert expected.pair == pytest.approx(np.sqrt(np.mean(np.square(widths))), rel=0.02)


def test_one_repeat_does_not_tell_what_more_repeats_bring():
    once = replace(SIZE, num_repeats=1)
    found = measure(scored(drawn(ASSUMED, once)), "drawn")
    assert found is not None
    assert (found.split, found.training) == (None, None)
    widths = {
        outlook.change: outlook.half_widths["other"] for outlook in power(found, once).outlooks
    }
    assert [change for change, width in widths.items() if width is None] == [
        "twice the repeats", "repeats without end",
    ]  # fmt: skip


def test_estimands_are_those_that_the_grid_allows():
    about = {}
    for d, m in ((2, 2), (2, 1), (1, 2), (1, 1)):
        found = power(ASSUMED, replace(SIZE, num_datasets=d, num_models=m))
        about[d, m] = tuple(found.outlooks[0].half_widths)
    assert about == {
        (2, 2): ("other", "these"),
        (2, 1): ("other_datasets", "these"),
        (1, 2): ("other_networks", "these"),
        (1, 1): ("these",),
    }
    alone = measure(scored(drawn(ASSUMED, replace(SIZE, num_models=1))), "drawn")
    assert alone is not None
    assert alone.model is None
    assert half_width(alone, SIZE, "other", 0.95) is None  # another grid, with 12 models
    assert half_width(ASSUMED, SIZE, "other_networks", 0.95) is None  # defined for one dataset


def test_half_width_without_any_spread_is_not_known():
    level = replace(ASSUMED, dataset=0.0, model=0.0, cell=0.0, split=0.0, training=0.0)
    assert half_width(level, SIZE, "other", 0.95) is None
    assert half_width(level, replace(SIZE, num_repeats=None), "these", 0.95) is None


def test_gaps_do_not_look_like_noise():
    table = drawn(ASSUMED, SIZE, seed=1)
    whole = measure(scored(table), "drawn")
    table["status"] = np.where(table.index.isin([7, 500, 2000]), "diverged", "completed")
    table["dice"] = table["dice"].where(table["status"] == "completed")
    found = measure(scored(table.drop(index=range(50, 3600, 60))), "drawn")
    assert whole is not None
    assert found is not None
    assert found.training == pytest.approx(whole.training, rel=0.05)
    assert found.cell == pytest.approx(whole.cell, abs=0.0005)


def test_datasets_with_fewer_repeats_have_the_same_components():
    known = Components(
        dataset=0.02, model=0.03, cell=0.04, split=0.04, training=0.1, source="drawn"
    )
    size = GridSize(num_datasets=20, num_models=20, num_losses=12, num_repeats=4)
    table = drawn(known, size)
    fewer = table["dataset"].isin([f"d{number}" for number in range(10)]) & (table["repeat"] > 1)
    found = measure(scored(table[~fewer]), "drawn")
    assert found is not None
    for name in ("dataset", "model", "cell", "split", "training"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=0.1), name


def test_spared_trials_are_not_taken_for_trials():
    table = drawn(ASSUMED, SIZE, seed=5)
    gone = (table["repeat"] > 1) & table["loss"].isin(["l1", "l2", "l3", "l4", "l5"])
    rest = scored(table[~gone])
    keys = table.loc[gone, ["dataset", "model", "loss", "repeat"]]
    expected = replace(rest.expected, spared=frozenset(keys.itertuples(index=False, name=None)))
    spared = scored(table[~gone], expected=expected)
    assert spared.spared_DMLR.sum() == gone.sum()
    assert measure(spared, "drawn") == measure(rest, "drawn")
    found = measure(spared, "drawn")
    assert found is not None
    assert found.training == pytest.approx(ASSUMED.training, rel=0.05)


def test_wild_loss_is_left_out_and_named():
    table = drawn(ASSUMED, SIZE, seed=2)
    wild = table["loss"] == "l3"
    spread = dict(zip(sorted(set(table["dataset"])), np.linspace(-0.2, 0.2, 6), strict=True))
    table.loc[wild, "dice"] += table.loc[wild, "dataset"].map(spread)
    found = measure(scored(table), "drawn")
    assert found is not None
    assert found.source == "drawn without l3"
    assert found.dataset is not None
    assert found.dataset < 0.01


def test_components_need_two_losses():
    assert measure(scored(drawn(ASSUMED, replace(SIZE, num_losses=1))), "drawn") is None
