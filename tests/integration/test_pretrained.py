"""Sweeps that start from given weights, and checks of models before a sweep starts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from segmentation_models_pytorch.encoders import get_encoder

from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid, grid_from_document
from orchestrator.store import Store
from orchestrator.sweep import check_sweep, open_sweep
from tests.integration.sweeps import run, tables, write_config
from tests.integration.test_cli import podium
from workers.contract import FailureClass, UserError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of ResNet-18, as from a training outside Podium."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(get_encoder("resnet18", weights=None).state_dict(), path)
    return path


def config_with(folder: Path, pretrained: object, **changes: object) -> Path:
    parameters = {"encoder": "resnet18", "pretrained": pretrained}
    model = {"name": "unet", "alias": "r18", "parameters": parameters}
    training = {"max_epochs": 1, "patience": 1, "batch_size": 4}
    base = {"models": [model], "losses": ["bce"], "repeats": 1, "training": training}
    return write_config(folder, **base | changes)


def ids(config: Path) -> tuple[str, ...]:
    return build_grid(load_config(config)).trial_ids


def test_weights_content_is_identity_and_the_path_is_not(tmp_path, file):
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "renamed.bin"
    shutil.copy(file, copy)
    given = ids(config_with(tmp_path, str(file)))
    assert ids(config_with(tmp_path, "elsewhere/renamed.bin")) == given
    other = [ids(config_with(tmp_path, value)) for value in (True, False)]
    with copy.open("ab") as stream:
        stream.write(b" ")
    other.append(ids(config_with(tmp_path, str(copy))))
    assert len({given, *other}) == 4
    training = {"max_epochs": 1, "patience": 1, "batch_size": 4}
    model = {"name": "unet", "alias": "r18", "parameters": {"encoder": "resnet18"}}
    plain = write_config(tmp_path, losses=["bce"], repeats=1, training=training, models=[model])
    assert ids(plain) == other[1]


def test_sweep_from_a_weights_file_records_the_file(tmp_path, file):
    config = config_with(tmp_path, str(file))
    _, after = run(config)
    assert not after.pending
    (row,) = Store(str(tmp_path / "results")).read("trials").to_dict("records")
    parameters = json.loads(row["spec"])["model"]["parameters"]
    assert parameters["pretrained"].startswith("sha256:")
    source = json.loads(row["versions"])["weights resnet18.imagenet"]
    assert parameters["pretrained"].removeprefix("sha256:").startswith(source)
    assert str(file) not in row["spec"]
    # 15 images: 9 for training, in batches of 4.
    assert row["message"].startswith("the last batch of each epoch (1 of 9 training images,")
    document = Store(str(tmp_path / "results")).grids()[-1]
    assert grid_from_document(document).weights == {"r18": str(file)}
    random = config_with(tmp_path, False, results=str(tmp_path / "random"))
    run(random)
    numbers = [tables(tmp_path / name)["epochs"]["train_loss"][0] for name in ("results", "random")]
    assert numbers[0] != numbers[1]


def test_missing_or_changed_weights_are_refused_at_start(tmp_path, file):
    copy = tmp_path / "w.pth"
    shutil.copy(file, copy)
    config = config_with(tmp_path, "w.pth")
    sweep = open_sweep(config)
    copy.write_bytes(b"something else")
    with pytest.raises(UserError, match="is not the file the trial was planned with"):
        check_sweep(sweep, fetch=True).refuse()
    copy.unlink()
    with pytest.raises(UserError, match="no such file or folder on this machine"):
        check_sweep(sweep, fetch=True).refuse()
    with pytest.raises(UserError, match=r"sweep.yaml:\d+: models.0.parameters.pretrained: 'w.pth'"):
        load_config(config)
    assert not (tmp_path / "results").exists()


def test_weights_missing_on_a_node_are_named_in_the_failure(tmp_path, file):
    copy = tmp_path / "w.pth"
    shutil.copy(file, copy)
    sweep = open_sweep(config_with(tmp_path, "w.pth"))

    from orchestrator.engine.base import execute
    from orchestrator.run import _job
    from workers.run import run_trial

    assert sweep.config is not None
    job = _job(sweep.config, sweep.plan.pending[0], {})
    copy.unlink()
    outcome = execute(job, sweep.store, run_trial, lambda _: None)
    assert outcome.failure_class is FailureClass.INFRASTRUCTURE  # retried by the next run
    assert "model 'r18'" in outcome.message
    assert "no such file or folder on this machine" in outcome.message
    job = replace(job, runtime=replace(job.runtime, weights=str(file)))
    assert execute(job, sweep.store, run_trial, lambda _: None).status == "completed"


def test_offline_run_is_refused_with_exit_code_2(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    models = [{"name": name, "parameters": {"pretrained": True}} for name in ("fat-net", "esfpnet")]
    config = write_config(tmp_path, models=models)
    done = podium("run", config, "--engine", "inline")
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    for name in ("resnet34.tv_in1k", "deit_tiny_distilled_patch16_224.fb_in1k", "mit_b4.imagenet"):
        assert f"{name}.safetensors" in done.stderr
    assert f"looked in {tmp_path / 'cache' / 'weights'}" in done.stderr
    assert "{pretrained: PATH}" in done.stderr
    assert not (tmp_path / "results").exists()
    plan = json.loads(podium("plan", config, "--json").stdout)
    assert any(
        "non-commercial" in note and "input scaling: imagenet" in note for note in plan["notes"]
    )


def test_frozen_encoder_with_random_weights_is_noted(tmp_path, file):
    note = "frozen-vit: its frozen encoder has random weights; set `pretrained`"
    for pretrained in (False, str(file)):
        parameters = {"encoder": "tu-vit_tiny_patch16_224", "pretrained": pretrained}
        config = write_config(
            tmp_path, models=[{"name": "frozen-vit", "parameters": parameters}, "unet"]
        )
        assert (note in check_sweep(open_sweep(config), fetch=False).notes) == (not pretrained)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": ["colonformer"], "training": {"batch_size": 1}},
            "model 'colonformer' needs at least 2 images in a training step; dataset "
            "'synthetic-skin' with training.batch_size 1 gives 1",
        ),
        (
            {"models": ["unet", "unetpp"], "training": {"auxiliary_weight": [1, 0.5]}},
            "training.auxiliary_weight has 2 weights, and model 'unetpp' trains 3 outputs",
        ),
        (
            {"models": [{"name": "smp", "parameters": {"architecture": "PAN"}}]},
            "model 'smp' takes images of at least 128 pixels; raise data.image_size from 32",
        ),
        (
            {"models": ["nnunet"]},
            "model 'nnunet' takes images of at least 64 pixels; raise data.image_size from 32",
        ),
    ],
)
def test_requirements_of_a_model_are_checked_before_the_sweep(tmp_path, changes, message):
    config = write_config(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        run(config)
    assert not (tmp_path / "results").exists()
    plan = podium("plan", config)
    assert plan.returncode == 2
    assert "podium run would refuse this sweep:\n" + message[:40] in plan.stderr


def test_plan_notes_a_last_batch_that_is_not_trained_on(tmp_path):
    config = write_config(tmp_path, models=["colonformer"])
    notes = json.loads(podium("plan", config, "--json").stdout)["notes"]
    assert notes == [
        "synthetic-skin · colonformer: the last batch of each epoch (1 of 9 training images, "
        "different ones in each epoch) is not trained on: the model needs 2 images in a step"
    ]


def test_diverged_trial_reports_divergence_and_last_batch(tmp_path, file):
    config = config_with(tmp_path, str(file))
    run(config, "training.learning_rate=1e30", "training.max_epochs=3", "training.patience=3")
    trials = pd.read_parquet(tmp_path / "results" / "trials")
    (message,) = trials["message"]
    assert "the training loss became" in message
    assert "; the last batch of each epoch" in message
