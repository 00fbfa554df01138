"""The tables to look around in: every axis in every metric."""

from __future__ import annotations

import pandas as pd
import pytest

from orchestrator.ranking.podium import rank
from orchestrator.report import heat as module
from orchestrator.report.data import ReportData, arrange
from orchestrator.report.heat import heat_metrics, heat_views
from tests.unit.orchestrator.report.factory import make_data


def test_each_metric_has_the_ranking_s_own_numbers():
    data = make_data(3, 2, 4, 2, predictions=False)
    sweep = arrange(data)
    views = {view.axis: view for view in heat_views(sweep)}
    assert list(views) == ["dataset", "model", "cell"]
    for metric in ("dice", "iou", "recall"):
        ranking = rank(data.trials, metric=metric)
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
    view = heat_views(arrange(ReportData(trials=table)))[-1]
    first, second = view.rows
    assert (first.titles, second.titles) == (("w", "u"), ("w", "v"))
    by_loss = dict(zip(view.points, first.cells, strict=False))
    assert by_loss["a"].mean == pytest.approx(0.7)
    assert [cell.place for cell in first.cells] == [1, 1]
    assert all(cell.joint for cell in first.cells)
    assert sorted((cell.num_present, cell.num_expected) for cell in first.cells) == [(1, 2), (2, 2)]
    assert sorted(cell.mean is None for cell in second.cells) == [False, True]
    assert dict(view.points) == pytest.approx({"a": 2.5, "b": 5.5})
    assert view.marks == {"partial"}


def test_only_metrics_of_every_trial():
    data = make_data(1, 1, 2, 1, predictions=False)
    data.trials.loc[0, "recall"] = None
    assert heat_metrics(arrange(data)) == ("dice", "iou", "precision", "best_val_dice")


def test_a_table_too_large_is_said_to_be_left_out(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 7)
    view = heat_views(arrange(make_data(2, 2, 2, 1, predictions=False)))[-1]
    assert view.too_large
    assert view.rows == ()


def test_the_lowest_distance_is_the_best_of_a_row_and_the_darkest():
    rows = [(d, m, loss, value) for d in "wx" for m in "uv"
            for loss, value in (("a", 9.0), ("b", 3.0), ("c", 5.0))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dataset", "model", "loss", "hd95"])
    sweep = arrange(ReportData(trials=table, metric="hd95"))
    assert sweep.losses == ("b", "c", "a")
    for view in heat_views(sweep):
        for row in view.rows:
            assert [cell.place for cell in row.cells] == [1, 2, 3]
            assert [cell.shade for cell in row.cells] == pytest.approx([1, 2 / 3, 0])
        assert view.values["hd95"]["lower_is_better"]  # for the page's script
