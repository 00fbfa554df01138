"""Both podiums: the published numbers, then small tables by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.ranking.metrics import ALL_METRICS
from orchestrator.ranking.podium import podium_rows
from orchestrator.ranking.rank import rank
from orchestrator.ranking.table import NO_METRICS, read_table
from orchestrator.store import TABLES
from tests.unit.orchestrator.ranking.frames import TRIALS, frame, scored
from workers.contract import UserError

PAPER = Path(__file__).parents[3] / "data" / "paper"


@pytest.mark.parametrize("axis", ["dataset", "model"])
def test_the_published_points(axis):
    table = read_table(PAPER / f"fig2_dice_by_{axis}.csv")
    published = pd.read_csv(PAPER / f"fig2_score_by_{axis}.csv").set_index("loss")["score"]
    ranking = rank(scored(table), ties="order")
    podium = ranking.by_dataset if axis == "dataset" else ranking.by_model
    assert podium is not None
    assert podium.points == published.to_dict()
    assert podium.num_ties == 1


def test_splitting_the_published_tie_changes_the_leader():
    podium = rank(scored(read_table(PAPER / "fig2_dice_by_dataset.csv"))).by_dataset
    assert podium is not None
    assert podium.points["BCE"] == 8
    assert podium.points["IoUFocal"] == 7
    assert podium_rows(podium)[0].loss == "BCE"
    assert podium.blocks["ISIC-2017"].ties == (("Dice", "IoU", "IoUFocal"),)
    assert podium.blocks["ISIC-2017"].points["IoU"] == 1


def test_means_over_models_and_repeats_by_hand():
    ranking = rank(scored(frame(TRIALS)))
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


def test_a_missing_column_has_no_podium():
    ranking = rank(scored(frame("dataset loss dice\nwound iou 0.5")))
    assert ranking.by_model is None
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.points == {"iou": 3}
    assert ranking.to_json()["by_model"] is None
    assert rank(scored(frame("model loss dice\nunet iou 0.5"))).by_dataset is None


def test_another_metric():
    table = frame("dataset loss dice iou\nw a 0.5 0.1\nw b 0.4 0.2")
    ranking = rank(scored(table, metric="iou"))
    assert ranking.by_dataset is not None
    assert list(ranking.by_dataset.points) == ["b", "a"]
    with pytest.raises(UserError, match=r"no column 'auc'; found: dataset, loss, dice, iou"):
        rank(scored(table, metric="auc"))


def test_both_sums_points_and_counts_each_trial_once():
    ranking = rank(scored(frame(TRIALS)))
    assert ranking.both is not None
    assert ranking.both.points == {"iou": 3 + 5.5, "bce": 2 + 4.5}
    assert list(ranking.both.blocks) == ["dataset wound", "model fcn", "model unet"]
    assert ranking.both.coverage.to_json() == {"present": 8, "expected": 8}
    assert rank(scored(frame("dataset loss dice\nwound iou 0.5"))).both is None


def test_points_and_leaders_under_every_tie_rule():
    podium = rank(scored(read_table(PAPER / "fig2_dice_by_dataset.csv"))).by_dataset
    assert podium is not None
    assert {rule: points["IoUFocal"] for rule, points in podium.rule_points.items()} == {
        "split": 7, "min": 8, "max": 6, "order": 8,
    }  # fmt: skip
    assert podium.leaders["split"] == podium.leaders["max"] == ("BCE",)
    assert set(podium.leaders["order"]) == {"BCE", "IoUFocal"}
    assert podium.leader_depends_on_ties
    assert podium.podium_depends_on_ties
    untied = rank(scored(frame("dataset loss dice\nv a 0.3\nv b 0.2\nw a 0.2\nw b 0.1"))).by_dataset
    assert untied is not None
    assert not untied.leader_depends_on_ties
    assert not untied.podium_depends_on_ties


def test_rule_order_follows_the_grid():
    table = frame("dataset loss dice\nw a 0.2\nw b 0.2\nw c 0.1")
    ranking = rank(
        scored(table, expected={"losses": ["c", "b", "a"], "datasets": ["w"]}), ties="order"
    )
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.points == {"b": 3, "a": 2, "c": 1}


def test_break_ties_separates_by_wins_then_mean_rank():
    # a: 3 + 0 + 0, b: 1 + 1 + 1; c, d, e share the rest. a has the win.
    table = frame("""
        dataset loss dice
        u a 0.5\nu c 0.4\nu b 0.3\nu d 0.2\nu e 0.1
        v d 0.5\nv e 0.4\nv b 0.3\nv c 0.2\nv a 0.1
        w e 0.5\nw d 0.4\nw b 0.3\nw a 0.2\nw c 0.1
    """)
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    assert podium.points == {"e": 5, "d": 5, "b": 3, "a": 3, "c": 2}
    plain = {row.loss: (row.place, row.joint) for row in podium_rows(podium)}
    assert plain == {
        "d": (1, True),
        "e": (1, True),
        "b": (3, True),
        "a": (3, True),
        "c": (5, False),
    }
    parted = {row.loss: (row.place, row.joint) for row in podium_rows(podium, break_ties=True)}
    # d and e have one win each; their ranks are 4, 1, 2 and 5, 2, 1.
    assert parted == {
        "d": (1, False), "e": (2, False), "a": (3, False), "b": (4, False), "c": (5, False),
    }  # fmt: skip


def test_break_ties_keeps_equal_losses_joint():
    table = frame("dataset loss dice\nv a 0.3\nv b 0.2\nw b 0.3\nw a 0.2")
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    assert [row.joint for row in podium_rows(podium, break_ties=True)] == [True, True]


def test_ranks_first_then_means_by_hand():
    # Means: a 0.6, b 0.5. Ranks: b is better in two units of three.
    table = frame("""
        dataset model loss repeat dice
        w       u     a    0      0.9
        w       u     a    1      0.4
        w       u     a    2      0.5
        w       u     b    0      0.4
        w       u     b    1      0.5
        w       u     b    2      0.6
    """)
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    assert podium.points == {"a": 3, "b": 2}
    agreement = podium.agreement
    assert agreement is not None
    assert agreement.points == {"a": 2, "b": 3}
    assert agreement.mean_ranks == pytest.approx({"a": 5 / 3, "b": 4 / 3})
    assert agreement.block_mean_ranks == {"a": 1, "b": 2}
    assert agreement.kendall_tau == -1
    # Mean ranks 5/3 and 4/3 have variance 1/36; equal orders would give 1/4.
    assert agreement.concordance == pytest.approx(1 / 9)
    assert (agreement.num_units, agreement.num_units_left_out) == (3, 0)
    lacking = rank(scored(table.iloc[1:])).by_dataset
    assert lacking is not None
    assert lacking.agreement is not None
    assert (lacking.agreement.num_units, lacking.agreement.num_units_left_out) == (2, 1)


def test_ranks_first_needs_two_losses_and_a_common_unit():
    alone = rank(scored(frame("dataset loss dice\nw a 0.1"))).by_dataset
    apart = rank(scored(frame("dataset model loss dice\nw x a 0.9\nw y b 0.8"))).by_dataset
    assert alone is not None
    assert apart is not None
    assert alone.agreement is not None
    assert apart.agreement is not None
    assert "only one loss" in str(alone.agreement.refusal)
    assert "has a trial of every loss" in str(apart.agreement.refusal)


def test_store_numbers_that_are_not_metrics_are_refused():
    table = frame("dataset loss dice\nw a 0.5").assign(train_seconds=3.0)
    message = r"train_seconds: this column does not measure how good.*metrics: dice, iou, recall"
    with pytest.raises(UserError, match=message):
        rank(scored(table, metric="train_seconds"))


def test_every_store_number_is_classified():
    numbers = {c.name for c in TABLES["trials"].columns if c.kind in {"integer", "number"}}
    assert numbers == {*ALL_METRICS, *NO_METRICS}


def test_percentage_is_noted():
    notes = rank(scored(frame("dataset loss dice\nw a 50\nw b 70"))).notes
    assert "dice reaches 70, so it is taken for a percentage" in notes[0]
    score = frame("dataset loss score\nw a 0.5\nw b 12").astype({"score": float})
    assert rank(scored(score, metric="score")).notes == (
        "score: higher is better. A lower value is a worse one; the values go from 0.5 to 12. Its "
        "name is not known: add --lower-is-better where lower is better. Differences and a margin "
        "are in its units.",
    )


def test_too_many_combinations_are_refused():
    number = 900
    table = pd.DataFrame(
        {
            "dataset": [f"d{i}" for i in range(number)],
            "model": [f"m{i}" for i in range(number)],
            "loss": [f"l{i}" for i in range(number)],
            "dice": 0.5,
        }
    )
    with pytest.raises(UserError, match=r"900 x 900 x 900 x 1 .* rank a part of the table"):
        rank(scored(table))


def test_joint_places_are_marked():
    table = frame("dataset loss dice\nv a 0.3\nv b 0.2\nv c 0.1\nw b 0.3\nw a 0.2\nw c 0.1")
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    rows = podium_rows(podium)
    assert [(row.place, row.joint, row.loss, row.points) for row in rows] == [
        (1, True, "a", 5),
        (1, True, "b", 5),
        (3, False, "c", 2),
    ]
    assert (rows[0].num_first, rows[0].num_second, rows[0].num_third) == (1, 1, 0)


def test_json_is_plain_and_whole_points_are_whole():
    document = rank(scored(frame(TRIALS))).to_json()
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
