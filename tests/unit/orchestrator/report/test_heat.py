"""Heat tables: their numbers are the means of the trials, in every metric."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from orchestrator.ranking.rank import rank
from orchestrator.report import heat as module
from orchestrator.report.heat import heat_metrics, heat_table, heat_views
from tests.unit.orchestrator.ranking.frames import scored
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data


def tables(data):
    sweep = arranged(data)
    return {podium.axis: heat_table(sweep, podium) for podium in sweep.ranking.podiums}


def test_numbers_equal_the_means_of_the_trials():
    data = make_data(3, 2, 4, 2, predictions=False)
    for axis, table in tables(data).items():
        means = data.trials.groupby([axis, "loss"])["dice"].mean()
        for (label,), cells in table.rows.items():
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
    a, b, c, d = table.rows["w",]
    assert [cell.place for cell in (a, b, c, d)] == [1, 3, 2, None]
    assert [cell.shade for cell in (a, b, c, d)] == pytest.approx([1, 5 / 9, 7 / 9, 0])
    assert (d.mean, d.num_diverged) == (0.0, 1)
    a, b, c, d = table.rows["v",]
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


def test_each_metric_has_the_numbers_of_its_ranking():
    data = make_data(3, 2, 4, 2, predictions=False)
    sweep = arranged(data)
    views = {view.axis: view for view in heat_views(sweep)}
    assert list(views) == ["dataset", "model", "cell"]
    for metric in ("dice", "iou", "recall"):
        ranking = rank(scored(data.trials, metric=metric))
        for podium in ranking.podiums:
            values = views[podium.axis].values[metric]
            expected = [
                [podium.blocks[name].means[loss] for loss in sweep.losses]
                for name in sweep.grid.blocks(podium.axis)
            ]
            assert values["means"] == expected
            assert values["points"] == [podium.points[loss] for loss in sweep.losses]


def test_cells_of_dataset_and_model_by_hand():
    table = pd.DataFrame(
        [
            ("w", "u", "a", 0, 0.8),
            ("w", "u", "a", 1, 0.6),
            ("w", "u", "b", 0, 0.7),
            ("w", "v", "b", 0, 0.5),
        ],
        columns=["dataset", "model", "loss", "repeat", "dice"],
    )
    view = heat_views(arranged(Tables(trials=table)))[-1]
    assert view.table is not None
    assert list(view.table.rows) == [("w", "u"), ("w", "v")]
    first, second = view.table.rows.values()
    by_loss = dict(zip(view.table.losses, first, strict=True))
    assert by_loss["a"].mean == pytest.approx(0.7)
    assert [cell.place for cell in first] == [1, 1]
    assert all(cell.joint for cell in first)
    assert sorted((cell.num_present, cell.num_expected) for cell in first) == [(1, 2), (2, 2)]
    assert sorted(cell.mean is None for cell in second) == [False, True]
    assert dict(view.table.points) == pytest.approx({"a": 2.5, "b": 5.5})
    assert (view.table.has_diverged, view.table.has_partial) == (False, True)


def test_only_metrics_of_every_trial():
    data = make_data(1, 1, 2, 1, predictions=False)
    data.trials.loc[0, "recall"] = None
    assert heat_metrics(arranged(data)) == ("dice", "iou", "precision", "best_val_dice")


def test_a_too_large_table_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 7)
    view = heat_views(arranged(make_data(2, 2, 2, 1, predictions=False)))[-1]
    assert view.table is None


def test_the_lowest_distance_is_the_best_and_darkest_cell():
    rows = [(d, m, loss, value) for d in "wx" for m in "uv"
            for loss, value in (("a", 9.0), ("b", 3.0), ("c", 5.0))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dataset", "model", "loss", "hd95"])
    sweep = arranged(Tables(trials=table, metric="hd95"))
    assert sweep.losses == ("b", "c", "a")
    for view in heat_views(sweep):
        assert view.table is not None
        for cells in view.table.rows.values():
            assert [cell.place for cell in cells] == [1, 2, 3]
            assert [cell.shade for cell in cells] == pytest.approx([1, 2 / 3, 0])
        assert view.values["hd95"]["lower_is_better"]  # for the page's script
