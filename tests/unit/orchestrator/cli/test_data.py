"""`podium data show`: what it takes, where it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import app


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def show(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", "show", *arguments])
    return done.exit_code, " ".join(str(done.exception or done.output).split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        image = np.random.default_rng(i).integers(0, 255, (48, 48, 3), dtype=np.uint8)
        mask = np.zeros((48, 48), dtype=np.uint8)
        mask[8:20, 8:20] = 255
        for name, pixels in (("images", image), ("masks", mask)):
            path = tmp_path / "mine" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "mine"


def test_show_of_a_folder_writes_a_page_by_default(folder: Path, tmp_path: Path) -> None:
    code, text = show(str(folder))
    assert (code, text) == (0, "folder: 6 pairs Contact sheet: podium-data.html")
    assert (tmp_path / "podium-data.html").read_text().startswith("<!doctype html>")


def test_show_of_a_generated_dataset_by_name_writes_a_png(tmp_path: Path) -> None:
    code, text = show("synthetic-skin", "--out", "s.png", "--number", "3")
    assert (code, text) == (0, "synthetic-skin: 60 pairs Contact sheet: s.png")
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.format == "PNG"


def test_show_of_a_configuration_draws_each_dataset(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"datasets: [{{name: folder, alias: own, root: {folder}}}, "
        "{name: synthetic-skin, parameters: {num_images: 5}}]\n"
        "models: [unet]\nlosses: [bce]\nresults: r\n"
    )
    code, text = show("c.yaml", "--number", "1")
    assert (code, text.split(" Contact")[0]) == (0, "own: 6 pairs synthetic-skin: 5 pairs")
    page = (tmp_path / "podium-data.html").read_text()
    assert "<h2>own</h2>" in page
    assert "<h2>synthetic-skin</h2>" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "nothing: not a folder, a configuration or the name of a dataset"),
        (("synthetic-skim",), "did you mean 'synthetic-skin'"),
        (("synthetic-skin", "--out", "s.jpg"), "--out s.jpg: the name must end in .html or .png"),
        (
            ("synthetic-skin", "--out", "no/s.png"),
            "--out no/s.png: there is no folder no; create it",
        ),
        (("synthetic-skin", "--number", "0"), ""),
        (("kvasir-seg",), "dataset kvasir-seg: not found"),
        ((".",), "no dataset found"),
        ((".", "--root", "x"), "--root x: allowed only with the name of a dataset"),
    ],
)
def test_show_refusal_names_argument_and_remedy(arguments: tuple[str, ...], message: str) -> None:
    code, text = show(*arguments)
    assert code != 0
    assert message in text


def test_augmented_shows_eight_draws_of_each_image(folder: Path, tmp_path: Path) -> None:
    text = (
        f"datasets: [{{name: folder, alias: own, root: {folder}}}]\nmodels: [unet]\n"
        "losses: [bce]\ndata: {image_size: 64}\nresults: r\n"
    )
    (tmp_path / "c.yaml").write_text(text + "training: {augmentation: geometric}\n")
    code, _ = show("c.yaml", "--augmented", "--number", "2")
    assert code == 0
    page = (tmp_path / "podium-data.html").read_text()
    assert "augmentation: flips, right-angles, affine" in page
    assert page.count("<figure") == 18
    assert page.count("epoch 8<") == 2
    (tmp_path / "plain.yaml").write_text(text)
    for wrong, reason in (
        ("plain.yaml", "plain.yaml: training.augmentation is none"),
        (str(folder), "is not a configuration"),
    ):
        assert reason in show(wrong, "--augmented")[1]
