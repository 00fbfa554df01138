"""Heat tables: their numbers are the means of the trials."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.heat import heat_table
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data


def tables(data):
    sweep = arranged(data)
    return {podium.axis: heat_table(sweep, podium) for podium in sweep.ranking.podiums}


def test_numbers_equal_the_means_of_the_trials():
    data = make_data(3, 2, 4, 2, predictions=False)
    for axis, table in tables(data).items():
        means = data.trials.groupby([axis, "loss"])["dice"].mean()
        for label, cells in table.rows.items():
            for loss, cell in zip(table.losses, cells, strict=True):
                assert cell.mean == pytest.approx(means[label, loss])
                assert cell.num_present == cell.num_expected == {"dataset": 4, "model": 6}[axis]


HAND = pd.DataFrame(
    [
        ("w", "u", "a", "completed", 0.9),
        ("w", "u", "b", "completed", 0.5),
        ("w", "u", "c", "completed", 0.7),
        ("w", "u", "d", "diverged", None),
        ("v", "u", "a", "completed", 0.4),
        ("v", "u", "b", "completed", 0.4),
    ],
    columns=["dataset", "model", "loss", "status", "dice"],
)


def test_marks_and_shades_by_hand():
    table = tables(Tables(trials=HAND))["dataset"]
    assert table.losses == ("a", "b", "c", "d")
    a, b, c, d = table.rows["w"]
    assert [cell.place for cell in (a, b, c, d)] == [1, 3, 2, None]
    assert [cell.shade for cell in (a, b, c, d)] == pytest.approx([1, 5 / 9, 7 / 9, 0])
    assert (d.mean, d.num_diverged) == (0.0, 1)
    a, b, c, d = table.rows["v"]
    assert (a.place, a.joint, b.place, b.joint) == (1, True, 1, True)
    assert (a.shade, b.shade) == (0.5, 0.5)
    assert (c.mean, c.place, c.num_present, c.num_expected) == (None, None, 0, 1)
    assert table.points == {"a": 5.5, "b": 3.5, "c": 2, "d": 0}
    assert table.has_diverged
    assert not table.has_partial


def test_a_cell_with_too_few_trials_is_partial():
    data = make_data(2, 2, 3, 2, predictions=False)
    fewer = dataclasses.replace(data, trials=data.trials.iloc[1:])
    table = tables(fewer)["dataset"]
    partial = [c for row in table.rows.values() for c in row if c.num_present < c.num_expected]
    assert [cell.num_present for cell in partial] == [3]
    assert table.has_partial
    assert np.isfinite([cell.mean for row in table.rows.values() for cell in row]).all()
