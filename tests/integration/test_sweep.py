"""A whole sweep in one process: rows, continuation, failures, divergence."""

import shutil

import numpy as np
import pandas as pd
import pytest

from orchestrator.engine.inline import InlineEngine
from orchestrator.store import Store
from orchestrator.sweep import open_results
from tests.integration.sweeps import (
    assert_same_tables,
    run,
    tables,
    write_config,
    write_pictures,
)
from workers.contract import FailureClass, UserError
from workers.datasets.split import split_indices
from workers.metrics.scores import score_images
from workers.run import run_trial


class CountingTrainer:
    """Trains for real and records the trained trials."""

    def __init__(self, broken_dataset=None):
        self.trained = []
        self.broken_dataset = broken_dataset

    def __call__(self, spec, runtime, checkpoints, on_epoch):
        self.trained.append((spec.dataset.label, spec.model.label, spec.loss.label, spec.repeat))
        if spec.dataset.label == self.broken_dataset:
            message = "this model does not like this dataset"
            raise ZeroDivisionError(message)
        return run_trial(spec, runtime, checkpoints, on_epoch)


def test_scores_of_every_trial_follow_from_its_images(tmp_path):
    config = write_config(tmp_path)
    report, after = run(config)
    found = tables(tmp_path / "results")
    trials, images = found["trials"], found["images"]
    assert len(report.outcomes) == len(trials) == 4
    assert not after.pending
    assert trials["dice"].between(0, 1).all()
    assert set(trials["num_train_images"]) == {9}
    for trial in trials.itertuples():
        counts = images[images["trial_id"] == trial.trial_id]
        assert len(counts) == trial.num_test_images == 3
        assert (counts[["tp", "fp", "fn", "tn"]].sum(axis=1) == 32 * 32).all()
        scores = score_images(counts[["tp", "fp", "fn", "tn"]].to_numpy())
        for name, value in scores.items():
            assert getattr(trial, name) == value
    assert len(found["epochs"]) == 8
    assert set(found["predictions"]["repeat"]) == {0}
    # Every loss has the same example images.
    shown = found["predictions"].groupby("loss")["image"].apply(tuple)
    assert shown["dice"] == shown["bce"]
    assert found["predictions"]["mean_mask_png"].map(len).gt(0).all()


def test_losses_of_a_repeat_share_its_split(tmp_path):
    run(write_config(tmp_path))
    images = tables(tmp_path / "results")["images"]
    split = images.groupby(["repeat", "loss"])["image"].apply(tuple)
    assert split[0, "dice"] == split[0, "bce"]
    assert split[1, "dice"] == split[1, "bce"]
    assert split[0, "dice"] != split[1, "dice"]


def test_the_same_command_again_trains_nothing(tmp_path):
    config = write_config(tmp_path)
    run(config)
    trainer = CountingTrainer()
    run(config, engine=InlineEngine(trainer))
    assert trainer.trained == []


def test_an_extended_grid_trains_only_the_new_trials(tmp_path):
    config = write_config(tmp_path)
    run(config)
    before = tables(tmp_path / "results")["trials"]
    trainer = CountingTrainer()
    engine = InlineEngine(trainer)
    run(config, "losses=[dice, iou+focal, bce]", "repeats=3", engine=engine)
    new = [("iou+focal", 0), ("iou+focal", 1), ("iou+focal", 2), ("dice", 2), ("bce", 2)]
    assert sorted(item[2:] for item in trainer.trained) == sorted(new)
    after = tables(tmp_path / "results")["trials"]
    kept = after[after["trial_id"].isin(before["trial_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)


@pytest.mark.parametrize("folder", ["results/_grids", "results"])
def test_a_deleted_grid_folder_is_written_again(tmp_path, folder):
    class Deleting(CountingTrainer):
        def __call__(self, *arguments):
            if not self.trained:
                shutil.rmtree(tmp_path / folder)
            return super().__call__(*arguments)

    run(write_config(tmp_path), engine=InlineEngine(Deleting()))
    (grid,) = Store(tmp_path / "results").grids()
    assert len(grid["trial_ids"]) == 4
    assert open_results(str(tmp_path / "results")).plan.pending == ()


def test_a_raising_model_leaves_one_failure_row(tmp_path):
    config = write_config(
        tmp_path,
        datasets=[
            {"name": "synthetic-skin", "parameters": {"num_images": 15}},
            {"name": "synthetic-wound", "parameters": {"num_images": 15}},
        ],
        repeats=1,
        losses=["dice"],
    )
    trainer = CountingTrainer(broken_dataset="synthetic-wound")
    report, after = run(config, engine=InlineEngine(trainer))
    store = Store(str(tmp_path / "results"))
    failures = store.read("failures")
    assert [outcome.status for outcome in report.outcomes].count("completed") == 1
    assert len(store.read("trials")) == len(failures) == 1
    row = failures.iloc[0]
    assert (row["dataset"], row["failure_class"]) == ("synthetic-wound", FailureClass.BUG)
    assert "does not like" in row["traceback"]
    assert "test_sweep.py" in row["traceback"]
    assert len(after.failed) == 1

    run(config, engine=InlineEngine(trainer))  # a bug is not retried by default
    assert len(store.failures()) == 1
    _, after = run(config, retry=[FailureClass.BUG])
    assert not after.failed
    assert len(store.read("trials")) == 2
    assert len(store.failures()) == 1


def test_divergence_is_a_result_with_a_failure_row(tmp_path):
    config = write_config(
        tmp_path, training={"max_epochs": 3, "learning_rate": 1e30, "batch_size": 4}, repeats=1
    )
    report, after = run(config)
    store = Store(str(tmp_path / "results"))
    trials, failures = store.read("trials"), store.failures()
    assert {outcome.status for outcome in report.outcomes} == {"diverged"}
    assert set(trials["status"]) == {"diverged"}
    assert trials["dice"].isna().all()
    assert [row.failure_class for row in failures] == [FailureClass.DIVERGED] * 2
    assert not after.pending
    assert not after.failed


def test_training_accepts_auxiliary_outputs_and_a_single_image(tmp_path):
    config = write_config(
        tmp_path,
        datasets=[{"name": "synthetic-skin", "parameters": {"num_images": 15}}],
        models=[
            {"name": "unetpp", "parameters": {"width": 2}},
            {"name": "unet", "alias": "unet-r18", "parameters": {"encoder": "resnet18"}},
        ],
        losses=["iou+focal"],
        repeats=1,
    )
    run(config, "training.batch_size=4")  # nine training images: 4, 4 and 1
    assert set(Store(str(tmp_path / "results")).read("trials")["status"]) == {"completed"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_a_trial_repeats_bit_for_bit(tmp_path, precision, channels_last):
    training = {
        "max_epochs": 2, "batch_size": 4, "precision": precision, "channels_last": channels_last,
    }  # fmt: skip
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(write_config(tmp_path / name, training=training, losses=["iou+focal"], repeats=1))
    assert_same_tables(tmp_path / "one" / "results", tmp_path / "two" / "results")


def test_identity_switches_change_the_numbers(tmp_path):
    dice = {}
    for seed in (1, 2):
        run(write_config(tmp_path, seed=seed, results=str(tmp_path / f"{seed}"), repeats=1))
        dice[seed] = tables(tmp_path / f"{seed}")["trials"]["best_val_dice"].to_numpy()
    assert not np.array_equal(dice[1], dice[2])


def test_a_missing_data_root_is_reported_before_any_trial(tmp_path):
    config = write_config(
        tmp_path, datasets=["kvasir-seg"], data={"root": str(tmp_path), "image_size": 32}
    )
    trainer = CountingTrainer()
    with pytest.raises(UserError, match="Kvasir-SEG"):
        run(config, engine=InlineEngine(trainer))
    assert trainer.trained == []
    assert not (tmp_path / "results").exists()


def test_images_mark_test_images_with_siblings_in_training(tmp_path):
    root = write_pictures(tmp_path / "data", "mine", num=12)
    for part in ("images", "masks"):
        for number in range(8):
            original = root / "mine" / part / f"{number}.png"
            original.with_name(f"{number + 20}.png").write_bytes(original.read_bytes())
    names = [str(number) for number in (*range(12), *range(20, 28))]
    config = write_config(
        tmp_path,
        datasets=[{"name": "folder", "alias": "mine"}],
        data={"image_size": 32, "cache": str(tmp_path / "cache"), "root": str(root)},
        losses=["dice"],
    )
    run(config)
    images = tables(tmp_path / "results")["images"]
    for repeat in (0, 1):
        split = split_indices(names, (0.6, 0.2, 0.2), unit="image", seed=42, repeat=repeat)
        trained = {int(names[index]) % 20 for index in split.train}
        rows = images[images["repeat"] == repeat]
        assert dict(zip(rows["image"], rows["train_sibling"], strict=True)) == {
            names[index]: "equal" if int(names[index]) % 20 in trained else "none"
            for index in split.test
        }
    assert set(images["train_sibling"]) == {"equal", "none"}
    run(config, "data.split_unit=similar", f"results={tmp_path / 'other'}")
    assert set(tables(tmp_path / "other")["images"]["train_sibling"]) == {"none"}
