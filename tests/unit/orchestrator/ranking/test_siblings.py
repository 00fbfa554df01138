"""Siblings in training: counts by hand, and the podium without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.siblings import SiblingEffect, find_siblings, siblings_query
from orchestrator.ranking.table import check_trials
from orchestrator.store import Store
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.contract import Component, ImageCounts, TrialResult
from workers.metrics.scores import score_images

KINDS = ("equal", "similar", "group", "none", "none")
METRICS = ("dice", "iou", "recall", "precision")


def counts(kinds: Sequence[Any], clean: int) -> tuple[ImageCounts, ...]:
    """Images with a sibling are found whole; of the others `clean` pixels of 10 each."""
    return tuple(
        ImageCounts(image=str(i), tp=10, fp=0, fn=0, tn=0, train_sibling=kind)
        if kind not in ("none", None)
        else ImageCounts(image=str(i), tp=clean, fp=1, fn=10 - clean, tn=0, train_sibling=kind)
        for i, kind in enumerate(kinds)
    )


def result(images: tuple[ImageCounts, ...]) -> TrialResult:
    table = [[one.tp, one.fp, one.fn, one.tn] for one in images]
    return replace(make_result(0), images=images, metrics=score_images(np.array(table)))


def fill(root: Path, cells: dict[tuple[str, str, int], tuple[ImageCounts, ...]]) -> Store:
    store = Store(root)
    for (dataset, loss, repeat), images in cells.items():
        spec = replace(
            make_spec(0),
            dataset=Component(name="kvasir-seg", label=dataset, parameters={"of": dataset}),
            loss=Component(name=loss),
            repeat=repeat,
        )
        store.commit(spec, result(images), committed_at=NOW)
    return store


def siblings(store: Store, metric: str = "dice") -> SiblingEffect:
    table = check_trials(store.read("trials"), metric=metric)
    counts = store.query(siblings_query(metric)).to_pandas()
    return find_siblings(table, counts, ties="split", expected=scores_of(table).expected)


@pytest.mark.parametrize("metric", [*METRICS, *(f"{name}_pooled" for name in METRICS)])
def test_clean_metric_is_that_of_images_without_sibling(tmp_path: Path, metric: str) -> None:
    images = (
        *counts(KINDS, clean=4),
        ImageCounts(image="a", tp=0, fp=0, fn=0, tn=9, train_sibling="none"),
        ImageCounts(image="b", tp=0, fp=2, fn=0, tn=7, train_sibling="none"),
        ImageCounts(image="c", tp=0, fp=0, fn=3, tn=6, train_sibling="none"),
    )
    store = fill(tmp_path, {("d", "bce", 0): images})
    (row,) = store.query(siblings_query(metric)).to_pandas().to_dict("records")
    clean = [[i.tp, i.fp, i.fn, i.tn] for i in images if i.train_sibling == "none"]
    assert row["clean"] == pytest.approx(score_images(np.array(clean))[metric], abs=1e-15)
    assert [row[f"num_{kind}"] for kind in ("images", "known", "equal", "similar", "group")] == [
        8, 8, 1, 1, 1,
    ]  # fmt: skip


def test_leader_changes_without_sibling_images(
    tmp_path: Path,
) -> None:
    many = ["group"] * 5 + ["none"] * 5
    few = ["equal"] * 1 + ["none"] * 9
    leaky = {"bce": 4, "dice": 6}
    cells = {
        ("leaky", loss, r): counts((many, few)[r], n) for loss, n in leaky.items() for r in (0, 1)
    }
    # On the leaky images BCE is perfect and Dice finds nothing: with them BCE leads.
    for r in (0, 1):
        cells["leaky", "dice", r] = tuple(
            replace(one, tp=0, fn=10) if one.train_sibling != "none" else one
            for one in cells["leaky", "dice", r]
        )
    cells |= {("clean", loss, 0): counts(["none"] * 3, 5) for loss in leaky}
    store = fill(tmp_path, cells)
    found = siblings(store)
    by_name = {one.dataset: one for one in found.datasets}
    assert by_name["leaky"].num_siblings == (5 + 1) / 2
    assert by_name["leaky"].by_kind == {"group": 2.5, "similar": 0.0, "equal": 0.5}
    assert by_name["leaky"].share == 0.3
    assert by_name["clean"].num_siblings == 0
    assert found.ranking is not None
    assert found.ranking.by_dataset is not None
    blocks = found.ranking.by_dataset.blocks
    assert blocks["leaky"].order == ("dice", "bce")
    assert blocks["leaky"].means["dice"] == pytest.approx(12 / 17)  # 2 * 6 / (2 * 6 + 1 + 4)
    stored = store.read("trials")
    assert blocks["clean"].means["bce"] == stored[stored.dataset == "clean"]["dice"].iloc[0]
    ranked_with = stored[stored.dataset == "leaky"].groupby("loss")["dice"].mean()
    assert ranked_with["bce"] > ranked_with["dice"]


def test_dataset_with_too_few_clean_images_is_not_ranked(tmp_path: Path) -> None:
    video = ["group"] * 9 + ["none"]
    some = ["equal"] * 2 + ["none"] * 8
    cells = {("video", loss, 0): counts(video, 5) for loss in ("bce", "dice")}
    only = siblings(fill(tmp_path / "a", cells))
    assert only.found
    assert only.ranking is None
    cells |= {("other", loss, 0): counts(some, n) for loss, n in (("bce", 5), ("dice", 6))}
    both = siblings(fill(tmp_path / "b", cells))
    assert [one.dataset for one in both.left_out] == ["video"]
    assert both.ranking is not None
    assert both.ranking.by_dataset is not None
    assert list(both.ranking.by_dataset.blocks) == ["other"]


def test_results_without_sibling_record_are_unknown(tmp_path: Path) -> None:
    cells = {("old", loss, 0): counts([None] * 9, 5) for loss in ("bce", "dice")}
    cells |= {("new", loss, 0): counts(["equal", *["none"] * 9], 5) for loss in ("bce", "dice")}
    cells["new", "bce", 1] = counts([None] * 10, 5)
    found = siblings(fill(tmp_path, cells))
    assert found.unknown == ("new", "old")
    assert not found.found
    assert found.ranking is None


def test_metric_not_from_counts_has_no_clean_podium(tmp_path: Path) -> None:
    kinds = ["equal", *["none"] * 9]
    found = siblings(fill(tmp_path, {("d", "bce", 0): counts(kinds, 5)}), "best_val_dice")
    assert found.found
    assert found.ranking is None
