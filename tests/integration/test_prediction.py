"""Kept networks: their predictions are those that were counted, and wrong requests are named."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import podium
from orchestrator.cli.app import app
from tests.integration.sweeps import run, write_config
from workers.contract import UserError

SIDE = 64


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A finished sweep over a folder of JPEG files of many sizes, with kept weights."""
    folder = tmp_path_factory.mktemp("kept")
    random = np.random.default_rng(0)
    for number in range(12):
        height, width = random.integers(90, 200, 2)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 4 : height // 2, width // 4 : width // 2] = 255
        image = random.integers(0, 90, (height, width, 3), dtype=np.uint8) + mask[..., None] // 2
        for name, pixels, suffix in (("images", image, "jpg"), ("masks", mask, "png")):
            path = folder / "own" / name / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    config = write_config(
        folder,
        datasets=[{"name": "folder", "alias": "own", "root": str(folder / "own")}],
        data={"image_size": SIDE, "cache": str(folder / "cache")},
        losses=["dice", "bce"],
        repeats=2,
        training={"max_epochs": 2, "patience": 2, "precision": "bfloat16"},
        runtime={"keep_weights": "best", "checkpoint_interval_seconds": 0},
    )
    run(config)
    return folder / "results"


def test_predictions_on_test_images_equal_the_stored_counts(results):
    trials = podium.read_trials(results).set_index("trial_id")
    images = podium.read_images(results)
    for trial_id, counted in images.groupby("trial_id"):
        model = podium.load_model(results, str(trial_id))
        assert model.spec.loss.label == trials.loc[str(trial_id)]["loss"]
        for row in counted.itertuples():
            stem = str(row.image)
            logits = model.logits(results.parent / "own" / "images" / f"{stem}.jpg")
            assert logits.shape == (SIDE, SIDE)
            assert int((logits > 0).sum()) == row.tp + row.fp  # type: ignore[operator]


def test_command_writes_three_pictures_of_the_image_s_own_size(results, tmp_path):
    files = sorted((results.parent / "own" / "images").glob("*.jpg"))[:2]
    best = podium.best_trial(results)
    out = tmp_path / "new" / "masks"
    done = CliRunner().invoke(
        app, ["predict", str(results), *map(str, files), "--best", "--ensemble", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    members = podium.load_ensemble(results, best).members
    assert [member.spec.repeat for member in members] == [0, 1]
    assert "repeat 1" in done.output
    for file in files:
        kinds = {
            kind: np.asarray(Image.open(out / f"{file.stem}_{kind}.png"))
            for kind in ("mask", "probability", "overlay")
        }
        size = np.asarray(Image.open(file)).shape
        assert [picture.shape for picture in kinds.values()] == [size[:2], size[:2], size]
        mean = np.mean([member.probability(file) for member in members], axis=0)
        assert np.array_equal(kinds["mask"] > 0, mean > 0.5)
        assert np.abs(kinds["probability"] / 255 - mean).max() <= 0.5 / 255 + 1e-6
        assert f"{file.stem}_mask.png: {int((mean > 0.5).sum()):,} lesion pixels" in done.output


def test_best_trial_is_of_the_leading_loss_by_validation_dice(results):
    trials = podium.read_trials(results)
    ranking = podium.rank(trials)
    assert ranking.by_model
    points = ranking.by_model.points
    leaders = [loss for loss, value in points.items() if value == max(points.values())]
    chosen = trials.set_index("trial_id").loc[podium.best_trial(results, dataset="own")]
    assert chosen["loss"] in leaders
    same = trials[trials["loss"] == chosen["loss"]]
    assert chosen["best_val_dice"] == same["best_val_dice"].max()


def test_wrong_requests_name_the_remedy(results, tmp_path):
    image = next((results.parent / "own" / "images").glob("*.jpg"))
    with pytest.raises(UserError, match="no finished trial begins so; podium query"):
        podium.load_model(results, "zzz")
    with pytest.raises(UserError, match="no finished trial begins so"):
        podium.load_model(results, "")
    with pytest.raises(UserError, match="--dataset skin: no such dataset; known: own"):
        podium.best_trial(results, dataset="skin")
    model = podium.load_model(results, podium.best_trial(results))
    with pytest.raises(UserError, match="names several of them; rename one"):
        list(podium.predict(model, [image, tmp_path / image.name], tmp_path / "out"))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken.jpg: cannot be read"):
        list(podium.predict(model, [broken], tmp_path / "out"))
    with pytest.raises(UserError, match="a file of yours could be replaced"):
        list(podium.predict(model, [image], image.parent))
    with pytest.raises(UserError, match=r"--device gpu: this machine has no such device.*cpu"):
        podium.load_model(results, podium.best_trial(results), device="gpu")
    table = tmp_path / "t.csv"
    table.write_text("dataset,model,loss,dice\na,m,x,0.5\n")
    with pytest.raises(UserError, match="a results location is a folder"):
        podium.best_trial(table)
    for options in ((), ("--best", "--trial", "a")):
        done = CliRunner().invoke(
            app, ["predict", str(results), str(image), "--out", str(tmp_path), *options]
        )
        assert "give --trial ID, or --best" in str(done.exception)


def test_plan_says_the_room_and_a_sweep_without_the_key_keeps_nothing(tmp_path):
    config = write_config(tmp_path, losses=["dice"], repeats=1)
    run(config)
    assert not (tmp_path / "results" / "weights").exists()
    trial_id = podium.read_trials(tmp_path / "results")["trial_id"][0]
    with pytest.raises(UserError, match="its weights were not kept"):
        podium.load_model(tmp_path / "results", trial_id)
    notes = podium.plan(config, ["runtime.keep_weights=best", "results=elsewhere"]).summary["notes"]
    assert any("runtime.keep_weights: the weights take about" in note for note in notes)


def test_trials_of_two_protocols_are_not_mixed(tmp_path):
    kept: dict[str, object] = {"losses": ["dice"], "runtime": {"keep_weights": "best"}}
    run(write_config(tmp_path, **kept))
    training = {"max_epochs": 1, "patience": 1, "batch_size": 4}
    run(write_config(tmp_path, **kept, training=training))
    results = tmp_path / "results"
    with pytest.raises(UserError, match="choose one with --protocol ID"):
        podium.best_trial(results)
    for protocol, rows in podium.read_trials(results).groupby("protocol_id"):
        best = podium.best_trial(results, protocol=str(protocol))
        assert best in set(rows["trial_id"])
        members = podium.load_ensemble(results, best).members
        assert [member.spec.repeat for member in members] == [0, 1]
        assert len({member.spec.training for member in members}) == 1


def test_levels_of_16_bits_are_read_as_told_and_otherwise_refused(results, tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (80, 70), dtype=np.uint8)
    deep, plain = tmp_path / "deep.png", tmp_path / "plain.png"
    Image.fromarray(grey.astype(np.uint16) * 16).save(deep)  # 12 of 16 bits
    Image.fromarray(grey).save(plain)
    best = podium.best_trial(results)
    refusing = podium.load_model(results, best)
    with pytest.raises(UserError, match=r"deep.png: has 16 bits, .*; give --bits N \(8 to 16\)"):
        refusing.mask(deep)
    told = podium.load_model(results, best, bits=12)
    assert np.array_equal(told.probability(deep), refusing.probability(plain))
    with pytest.raises(UserError, match="--bits 4: give 8 to 16"):
        podium.load_model(results, best, bits=4)


def test_turned_photo_is_predicted_as_stored_with_a_note(results, tmp_path):
    plain, turned = tmp_path / "plain.png", tmp_path / "turned.png"
    photo = Image.new("RGB", (70, 50), (90, 40, 20))
    photo.paste((200, 150, 90), (5, 5, 30, 20))
    photo.save(plain)
    tags = photo.getexif()
    tags[0x0112] = 6
    photo.save(turned, exif=tags)
    done = CliRunner().invoke(
        app, ["predict", str(results), str(turned), "--best", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "turned.png: its EXIF orientation 6 is not applied" in done.output
    model = podium.load_model(results, podium.best_trial(results))
    assert np.array_equal(model.probability(turned), model.probability(plain))
