"""Both podiums: the published numbers, small tables by hand, then properties."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking.grid import Grid
from orchestrator.ranking.podium import rank
from orchestrator.ranking.rows import podium_rows
from orchestrator.ranking.tables import read_table
from workers.contract import UserError

PAPER = Path(__file__).parents[3] / "data" / "paper"


def frame(text: str) -> pd.DataFrame:
    """Makes a table of `a b 0.5` lines under a header line; numbers become numbers."""
    lines = [line.split() for line in text.strip().splitlines()]
    table = pd.DataFrame(lines[1:], columns=lines[0])
    for column in {"dice", "iou", "repeat"} & set(table.columns):
        table[column] = table[column].astype(float)
    return table


@pytest.mark.parametrize("axis", ["dataset", "model"])
def test_the_published_points(axis):
    table = read_table(PAPER / f"fig2_dice_by_{axis}.csv")
    published = pd.read_csv(PAPER / f"fig2_score_by_{axis}.csv").set_index("loss")["score"]
    ranking = rank(table, ties="order")
    podium = ranking.by_dataset if axis == "dataset" else ranking.by_model
    assert podium is not None
    assert podium.points == published.to_dict()
    assert podium.num_ties == 1


def test_splitting_the_published_tie_changes_who_leads():
    podium = rank(read_table(PAPER / "fig2_dice_by_dataset.csv")).by_dataset
    assert podium is not None
    assert podium.points["BCE"] == 8
    assert podium.points["IoUFocal"] == 7
    assert podium_rows(podium)[0].loss == "BCE"
    assert podium.blocks["ISIC-2017"].ties == (("Dice", "IoU", "IoUFocal"),)
    assert podium.blocks["ISIC-2017"].points["IoU"] == 1


TRIALS = """
dataset model loss repeat dice
wound   unet  iou  0      0.6
wound   unet  iou  1      0.8
wound   fcn   iou  0      0.4
wound   fcn   iou  1      0.4
wound   unet  bce  0      0.7
wound   unet  bce  1      0.7
wound   fcn   bce  0      0.1
wound   fcn   bce  1      0.2
"""


def test_means_over_models_and_repeats_by_hand():
    ranking = rank(frame(TRIALS))
    assert ranking.by_dataset is not None
    assert ranking.by_model is not None
    block = ranking.by_dataset.blocks["wound"]
    assert block.means == pytest.approx({"iou": 0.55, "bce": 0.425})
    assert ranking.by_dataset.points == {"iou": 3, "bce": 2}
    # unet: (0.6 + 0.8) / 2 equals (0.7 + 0.7) / 2, though not in the last bit.
    assert ranking.by_model.blocks["unet"].points == {"bce": 2.5, "iou": 2.5}
    assert ranking.by_model.points == {"iou": 5.5, "bce": 4.5}
    assert ranking.notes == ()
    assert not ranking.by_dataset.provisional


def test_unequal_repeats_weigh_each_model_once_and_it_says_so():
    table = frame("""
        dataset model loss repeat dice
        wound   unet  iou  0      0.9
        wound   unet  iou  1      0.9
        wound   unet  iou  2      0.9
        wound   fcn   iou  0      0.1
    """)
    ranking = rank(table)
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.means["iou"] == pytest.approx(0.5)  # the mean over rows is 0.7
    assert "from 1 to 3 repeats" in ranking.notes[0]
    assert (ranking.by_dataset.coverage.present, ranking.by_dataset.coverage.expected) == (4, 6)
    assert ranking.by_dataset.provisional


def test_a_missing_column_has_no_podium():
    ranking = rank(frame("dataset loss dice\nwound iou 0.5"))
    assert ranking.by_model is None
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.points == {"iou": 3}
    assert ranking.to_json()["by_model"] is None
    assert rank(frame("model loss dice\nunet iou 0.5")).by_dataset is None


def test_a_diverged_trial_counts_as_nothing_won():
    table = frame("dataset loss dice status\nw iou 0.5 completed\nw bce nan diverged")
    ranking = rank(table)
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.blocks["w"].means == {"iou": 0.5, "bce": 0.0}
    assert ranking.notes == ("1 diverged trial counted as 0.",)


def test_another_metric():
    table = frame("dataset loss dice iou\nw a 0.5 0.1\nw b 0.4 0.2")
    ranking = rank(table, metric="iou")
    assert ranking.by_dataset is not None
    assert list(ranking.by_dataset.points) == ["b", "a"]
    with pytest.raises(UserError, match=r"no column 'auc'; found: dataset, loss, dice, iou"):
        rank(table, metric="auc")


def test_coverage_against_a_grid():
    grid = {
        "datasets": ["wound", "isic"],
        "models": [{"name": "unet", "label": "unet"}, {"name": "fcn"}],
        "losses": ["bce", "iou", "dice"],
        "repeats": 2,
    }
    podium = rank(frame(TRIALS), expected=grid).by_dataset
    assert podium is not None
    assert podium.provisional
    assert podium.coverage.to_json() == {"present": 8, "expected": 24}
    assert podium.blocks["isic"].coverage.to_json() == {"present": 0, "expected": 12}
    assert podium.blocks["isic"].points == {}
    assert podium.points == {"iou": 3, "bce": 2, "dice": 0}
    assert podium.means["dice"] is None
    assert podium_rows(podium)[-1].loss == "dice"


def test_coverage_against_a_number_per_cell_and_rows_outside_the_grid():
    by_number = rank(frame(TRIALS), expected=5).by_dataset
    assert by_number is not None
    assert by_number.coverage.expected == 20
    small = Grid(datasets=("wound",), models=("unet",), losses=("iou",), num_repeats=2)
    assert Grid.around(frame(TRIALS), small).num_trials == 8


@pytest.mark.parametrize(
    ("document", "message"),
    [({"repeats": 0}, r"repeats: 0 is not"), ({"datasets": "wound"}, r"datasets: 'wound' is not")],
)
def test_a_wrong_grid_document(document, message):
    with pytest.raises(UserError, match=message):
        Grid.from_document(document)


def test_repeats_may_be_a_list():
    assert Grid.from_document({"repeats": [0, 1, 2]}).num_repeats == 3


def test_joint_places_are_declared():
    table = frame("dataset loss dice\nv a 3\nv b 2\nv c 1\nw b 3\nw a 2\nw c 1")
    podium = rank(table).by_dataset
    assert podium is not None
    rows = podium_rows(podium)
    assert [(row.place, row.joint, row.loss, row.points) for row in rows] == [
        (1, True, "a", 5),
        (1, True, "b", 5),
        (3, False, "c", 2),
    ]
    assert (rows[0].num_first, rows[0].num_second, rows[0].num_third) == (1, 1, 0)


def test_json_is_plain_and_whole_points_are_whole():
    document = rank(frame(TRIALS)).to_json()
    text = json.dumps(document, allow_nan=False)
    assert '"points": {"iou": 3, "bce": 2}' in text
    assert '"ties": {"rule": "split", "num_podium_ties": 0}' in text
    by_model = document["by_model"]
    assert isinstance(by_model, dict)
    assert by_model["coverage"] == {
        "present": 8,
        "expected": 8,
        "blocks": {name: {"present": 4, "expected": 4} for name in ("fcn", "unet")},
    }


LOSSES = ["a", "b", "c", "d", "e"]


@st.composite
def tables(draw, min_losses=3):
    losses = LOSSES[: draw(st.integers(min_losses, 5))]
    cells = [(d, m, loss) for d in "uvw" for m in "xy" for loss in losses]
    values = draw(
        st.lists(st.integers(0, 12), min_size=len(cells), max_size=len(cells))
    )  # few values, so that ties are common
    rows = [(*cell, value / 16) for cell, value in zip(cells, values, strict=True)]
    return pd.DataFrame(rows, columns=["dataset", "model", "loss", "dice"])


@settings(deadline=None, max_examples=30)
@given(tables())
def test_split_points_of_a_block_sum_to_six(table):
    for podium in rank(table).podiums:
        for block in podium.blocks.values():
            assert sum(block.points.values()) == pytest.approx(6)
        assert sum(podium.points.values()) == pytest.approx(6 * len(podium.blocks))


@settings(deadline=None, max_examples=30)
@given(tables(), st.randoms(use_true_random=False), st.sampled_from(["split", "min", "max"]))
def test_the_order_of_rows_changes_nothing(table, random, ties):
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    assert rank(shuffled, ties=ties) == rank(table, ties=ties)


@settings(deadline=None, max_examples=30)
@given(tables())
def test_a_monotone_change_of_dice_leaves_the_points(table):
    single = table[table["model"] == "x"]
    before = rank(single).by_dataset
    after = rank(single.assign(dice=single["dice"] ** 3 + 2 * single["dice"])).by_dataset
    assert before is not None
    assert after is not None
    assert after.points == before.points


@settings(deadline=None, max_examples=30)
@given(tables(), st.permutations(LOSSES))
def test_names_do_not_matter(table, names):
    new = dict(zip(LOSSES, names, strict=True))
    before = rank(table)
    after = rank(table.assign(loss=table["loss"].map(new)))
    for old, renamed in zip(before.podiums, after.podiums, strict=True):
        assert {new[loss]: points for loss, points in old.points.items()} == renamed.points
