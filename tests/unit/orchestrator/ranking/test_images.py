"""Scores of single test images from a store: they average to the stored metrics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestrator.store import Store
from orchestrator.target import read_target
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.contract import Component, ImageCounts, TrialStatus, UserError
from workers.metrics.scores import score_images

Key = tuple[str, str, int]
TESTED = {0: ("a", "b", "c"), 1: ("b", "d")}
"""Names of the test images of both repeats."""


def fill(root: Path, *, without: tuple[Key, ...] = (), diverged: tuple[Key, ...] = ()) -> Store:
    """Writes model x loss x repeat of random counts, and one image without a lesion."""
    store = Store(root)
    random = np.random.default_rng(0)
    for model in ("fcn", "unet"):
        for loss in ("bce", "dice"):
            for repeat, names in TESTED.items():
                key = (model, loss, repeat)
                table = random.integers(1, 50, size=(len(names), 4))
                table[-1] = (0, 0, 0, 9) if loss == "bce" else (0, 3, 0, 6)
                images = tuple(
                    ImageCounts(image=name, tp=tp, fp=fp, fn=fn, tn=tn)
                    for name, (tp, fp, fn, tn) in zip(names, table.tolist(), strict=True)
                )
                result = replace(
                    make_result(0, num_images=len(names)),
                    images=images,
                    metrics=score_images(table),
                )
                if key in diverged:
                    result = replace(
                        result, status=TrialStatus.DIVERGED, images=(), metrics={}, message="NaN"
                    )
                spec = replace(
                    make_spec(0),
                    model=Component(name=model),
                    loss=Component(name=loss),
                    repeat=repeat,
                )
                if key not in without:
                    store.commit(spec, result, committed_at=NOW)
    return store


@pytest.mark.parametrize("metric", ["dice", "iou_pooled", "recall", "precision_pooled"])
def test_mean_over_images_is_the_stored_metric(tmp_path: Path, metric: str) -> None:
    fill(tmp_path, diverged=(("unet", "dice", 1),))
    target = read_target(tmp_path, metric=metric)
    images = target.image_scores()
    assert images is not None
    stored = target.table.rows.groupby(["loss", "repeat"])[metric].mean().unstack()
    assert np.nanmean(images.scores_DLRN[0], axis=2) == pytest.approx(stored.to_numpy())
    assert images.means_L == pytest.approx(stored.mean(axis=1).to_numpy())
    assert (images.losses, images.num_repeats, images.notes) == (("bce", "dice"), 2, ())
    assert np.isnan(images.scores_DLRN[0][0]).tolist() == [
        [False, False, False, True],
        [True, False, True, False],
    ]
    assert images.tested_per_trained_D == pytest.approx([2.5 / 6])


def test_loss_whose_trials_all_diverged_scores_zero(tmp_path: Path) -> None:
    fill(tmp_path, diverged=tuple((m, "dice", r) for m in ("fcn", "unet") for r in (0, 1)))
    images = read_target(tmp_path).image_scores()
    assert images is not None
    assert images.means_L[1] == 0


def test_cell_without_a_trial_of_every_loss_is_not_counted(tmp_path: Path) -> None:
    store = fill(tmp_path, without=(("unet", "dice", 0), ("fcn", "bce", 1)))
    images = read_target(tmp_path).image_scores()
    assert images is not None
    assert images.notes == (
        "Images of 2 of 4 pairs of a cell and a repeat are counted: in the others, a loss has no "
        "trial, or its images are missing.",
    )
    rows = store.read("trials")
    fcn = rows[(rows["model"] == "fcn") & (rows["repeat"] == 0)].sort_values("loss")["dice"]
    assert np.nanmean(images.scores_DLRN[0][:, 0], axis=1) == pytest.approx(fcn.to_numpy())


def test_units_join_the_images_of_a_patient(tmp_path: Path) -> None:
    fill(tmp_path)
    units = pd.DataFrame({"dataset": "set-0", "image": ["a", "d"], "unit": 7})
    target = read_target(tmp_path)
    images = target.image_scores(units)
    assert images is not None
    assert images.units_DN[0].tolist() == [0, 1, 2, 0]
    with pytest.raises(UserError, match="units: no column 'unit'; give the columns dataset, image"):
        target.image_scores(units.drop(columns="unit"))
    with pytest.raises(UserError, match="units: image 'a' of 'set-0' is in two rows; keep one"):
        target.image_scores(pd.concat([units, units]))


def test_metric_without_counts_has_no_image_scores(tmp_path: Path) -> None:
    fill(tmp_path)
    assert read_target(tmp_path, metric="best_val_dice").image_scores() is None
