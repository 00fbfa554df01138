"""Checks before a sweep starts: data that is missing, changed, unpaired or too small."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import app
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
    """The folder into which Ray unpacks an upload is simulated; test_cluster.py uses a real one."""
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
    with pytest.raises(UserError, match=r"'clinic': its content differs from the content"):
        run(clinic, "losses=[bce, dice]")
    assert len(Store(str(tmp_path / "results")).read("trials")) == 1
    picture.write_bytes(original)
    run(clinic, "losses=[bce, dice]")
    assert len(Store(str(tmp_path / "results")).read("trials")) == 2


def test_an_image_without_mask_is_skipped_with_a_note(tmp_path, clinic):
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
def test_error_common_to_all_trials_is_reported_once_at_start(tmp_path, clinic, override, message):
    with pytest.raises(UserError, match=message):
        run(clinic, override)
    assert not (tmp_path / "results").exists()


def crop(path, left=12):
    with Image.open(path) as image:
        image.crop((left, 0, *image.size)).save(path)


def plan(config, *arguments):
    """Returns exit code, refusals and notes of a plan made in this process."""
    done = CliRunner().invoke(app, ["plan", str(config), "--json", *arguments])
    document = json.loads(done.stdout)
    refused = isinstance(done.exception, UserError)
    assert all(refusal in str(done.exception) for refusal in document["refusals"])
    return 2 if refused else done.exit_code, document["refusals"], document["notes"]


def test_plan_and_verify_report_the_refusals_of_run(tmp_path, clinic):
    masks = tmp_path / "clinic" / "masks"
    assert plan(clinic) == (0, [], [])
    crop(masks / "2.png")
    crop(masks / "3.png")
    (tmp_path / "clinic" / "images" / "5.png").write_bytes(b"torn")
    code, refusals, _ = plan(clinic)
    assert code == 2
    assert len(refusals) == 2
    assert (
        "mask of another shape than its image: 2 (masks/2.png (36x40, its image 48x40), masks/"
        in ("".join(refusals))
    )
    with pytest.raises(UserError) as caught:
        run(clinic)
    assert str(caught.value) == "\n".join(refusals)
    assert not (tmp_path / "results").exists()
    verified = CliRunner().invoke(app, ["data", "verify", str(clinic)])
    assert verified.exit_code == 1
    for refusal in refusals:
        assert refusal.removeprefix("dataset clinic: ") in verified.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_notes_are_the_same_in_plan_run_verify_and_report(tmp_path, clinic):
    (tmp_path / "clinic" / "masks" / "3.png").unlink()
    with Image.open(tmp_path / "clinic" / "masks" / "4.png") as mask:
        mask.resize((96, 80), Image.Resampling.NEAREST).save(mask.filename)
    code, _, notes = plan(clinic)
    assert code == 0
    assert [note.partition(":")[2].partition(":")[0] for note in notes] == [
        " image without mask, left out",
        " mask of another size, scaled to its image",
    ]
    ran = podium("run", clinic, "--engine", "inline")
    assert ran.returncode == 0
    verified = podium("data", "verify", clinic)
    assert verified.returncode == 0
    assert podium("report", tmp_path / "results").returncode == 0
    page = (tmp_path / "results" / "report" / "index.html").read_text(encoding="utf-8")
    for note in notes:
        assert f"note: {note}\n" in ran.stderr
        text = note.removeprefix("dataset clinic: ")
        assert f"  note: {text}\n" in verified.stdout
        assert text[1:] in page
    again = podium("run", clinic, "--engine", "inline")  # no new survey, and the notes are kept
    assert again.returncode == 0
    (document,) = Store(str(tmp_path / "results")).grids()
    assert len(document["data"]["clinic"]["notes"]) == len(notes)


@pytest.mark.parametrize(
    ("override", "refusal"),
    [
        ("datasets=[{name: folder, alias: clinic, root: nowhere}]", "which does not exist"),
        ("resources.gpus=64", "needs 1 CPUs and 64 GPUs"),
        ("resources.cpus=4096", "needs 4096 CPUs"),
    ],
)
def test_missing_resource_is_refused_unless_a_cluster_is_named(clinic, override, refusal):
    code, refusals, _ = plan(clinic, "--set", override)
    assert code == 2
    assert refusal in refusals[0]
    code, refusals, notes = plan(clinic, "--set", override, "--elsewhere")
    assert (code, refusals) == (0, [])
    assert notes[-1].startswith("not on this machine: ")


def test_gpus_of_a_named_cluster_are_not_checked(clinic):
    for more in ("cluster.gpus=1", "cluster.address=127.0.0.1:1"):
        assert plan(clinic, "--set", "resources.gpus=1", "--set", more)[0] == 0


def test_inline_engine_refuses_trials_with_a_gpu_share(tmp_path, clinic):
    done = podium("run", clinic, "--engine", "inline", "--set", "resources.gpus=0.5")
    assert done.returncode == 2
    assert "resources.gpus: 0.5: --engine inline trains on this machine" in done.stderr
    assert not (tmp_path / "results").exists()


def test_repeats_without_a_validation_lesion_are_named(tmp_path, clinic):
    for number in range(7):
        Image.new("L", (48, 40)).save(tmp_path / "clinic" / "masks" / f"{number}.png")
    three = ("--set", "repeats=3", "--set", "data.split={train: 0.5, val: 0.25, test: 0.25}")
    done = podium("run", clinic, "--engine", "inline", *three)
    assert done.returncode == 0, done.stderr
    rows = Store(str(tmp_path / "results")).read("trials")
    blind = rows[rows["message"].notna()]
    assert 0 < len(blind) < 3
    assert blind["message"].str.startswith("no validation image has a lesion").all()
    listed = ", ".join(map(str, sorted(blind["repeat"])))
    assert (
        f"cannot compare epochs, in repeats: {len(blind)} ({listed}); raise the fraction"
        in done.stderr
    )


def test_a_network_that_cannot_be_built_is_not_retried(tmp_path, clinic):
    models = "models=[{name: unet, parameters: {encoder: tu-doesnotexist}}]"
    for _ in range(2):
        _, after = run(clinic, models)
        (failure,) = Store(str(tmp_path / "results")).failures()
        assert failure.failure_class == FailureClass.BUG
        assert "timm has no network of this name" in failure.message
        assert len(after.failed) == 1


def test_a_checkpoint_of_other_data_is_not_continued(tmp_path, clinic):
    picture = tmp_path / "clinic" / "images" / "0.png"
    overrides = ["training.max_epochs=3", "training.patience=3"]
    run(clinic, *overrides, engine=InlineEngine(StoppingTrainer(3)))
    assert list((tmp_path / "results" / "_checkpoints").glob("*.pt"))
    Image.new("RGB", (48, 40), "white").save(picture)
    run(clinic, *overrides)
    run(clinic, *overrides, f"results={tmp_path / 'other'}")
    assert_same_tables(tmp_path / "other", tmp_path / "results")
