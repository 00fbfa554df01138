"""What is said before a sweep starts: data that is missing, changed, unpaired or too small."""

import numpy as np
import pytest
from PIL import Image

from orchestrator.engine.inline import InlineEngine
from orchestrator.store import Store
from tests.integration.sweeps import assert_same_tables, run, write_config
from tests.integration.test_cli import podium
from tests.integration.test_resume import StoppingTrainer
from workers.contract import FailureClass, UserError


@pytest.fixture
def clinic(tmp_path):
    """Eight images with a bright square each, as a `folder` dataset, and a sweep over them."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "clinic" / part).mkdir(parents=True)
    for number in range(8):
        pixels = rng.integers(0, 99, (40, 48, 3), dtype=np.uint8)
        mask = np.zeros((40, 48), dtype=np.uint8)
        mask[10 : 20 + number, 12:30] = 255
        pixels[mask > 0] += 120
        Image.fromarray(pixels).save(tmp_path / "clinic" / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "clinic" / "masks" / f"{number}.png")
    folder = {"name": "folder", "alias": "clinic", "root": str(tmp_path / "clinic")}
    return write_config(tmp_path, datasets=[folder], losses=["bce"], repeats=1)


def test_results_in_the_working_directory_of_a_job_are_refused(tmp_path):
    """The folder that Ray unpacks an upload into; the real one is met in test_cluster.py."""
    place = tmp_path / "session_1/runtime_resources/working_dir_files/_ray_pkg_1f/results"
    config = write_config(tmp_path, results=str(place))
    with pytest.raises(UserError, match="lies in the working directory of a Ray job"):
        run(config)
    assert not place.exists()


def test_data_that_changed_under_a_sweep_is_refused(tmp_path, clinic):
    run(clinic)
    picture = tmp_path / "clinic" / "images" / "0.png"
    original = picture.read_bytes()
    Image.new("RGB", (48, 40), "white").save(picture)
    with pytest.raises(UserError, match=r"'clinic': its content is not what the finished trials"):
        run(clinic, "losses=[bce, dice]")
    assert len(Store(str(tmp_path / "results")).read("trials")) == 1
    picture.write_bytes(original)
    run(clinic, "losses=[bce, dice]")
    assert len(Store(str(tmp_path / "results")).read("trials")) == 2


def test_an_image_without_mask_is_left_out_with_a_note(tmp_path, clinic):
    (tmp_path / "clinic" / "masks" / "3.png").unlink()
    done = podium("run", clinic, "--engine", "inline")
    assert done.returncode == 0
    assert "note: dataset clinic: image without mask, left out: 1 (images/3.png)" in done.stderr
    assert "leaked" not in done.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.split={train: 0.98, val: 0.01, test: 0.01}",
            "dataset clinic: data.split: validation gets 0.01 of 8 images",
        ),
        ("data.cache=/proc/nowhere", "cache"),
    ],
)
def test_what_every_trial_would_fail_on_is_said_once_and_first(tmp_path, clinic, override, message):
    with pytest.raises(UserError, match=message):
        run(clinic, override)
    assert not (tmp_path / "results").exists()


def test_a_network_that_cannot_be_built_is_a_bug_and_not_tried_again(tmp_path, clinic):
    models = "models=[{name: unet, parameters: {encoder: tu-doesnotexist}}]"
    for _ in range(2):
        _, after = run(clinic, models)
        (failure,) = Store(str(tmp_path / "results")).failures()
        assert failure.failure_class == FailureClass.BUG
        assert "timm has no network of this name" in failure.message
        assert len(after.failed) == 1


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path, clinic):
    picture = tmp_path / "clinic" / "images" / "0.png"
    overrides = ["training.max_epochs=3", "training.patience=3"]
    run(clinic, *overrides, engine=InlineEngine(StoppingTrainer(3)))
    assert list((tmp_path / "results" / "_checkpoints").glob("*.pt"))
    Image.new("RGB", (48, 40), "white").save(picture)
    run(clinic, *overrides)
    run(clinic, *overrides, f"results={tmp_path / 'other'}")
    assert_same_tables(tmp_path / "other", tmp_path / "results")
