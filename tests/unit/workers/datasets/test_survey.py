from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.unit.workers.datasets.conftest import Write
from workers.contract import Component
from workers.datasets import DatasetNotFoundError
from workers.datasets.files.storage import watched_inspection
from workers.datasets.survey import Survey, survey_dataset, survey_root

MINE = Component(name="folder", label="mine")


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def write_picture(write_picture: Write) -> Write:
    """Writes pictures that are large enough to need no note."""
    return functools.partial(write_picture, size=(36, 48))


@pytest.fixture
def write_mask(write_mask: Write) -> Write:
    return functools.partial(write_mask, size=(36, 48))


def found(survey: Survey) -> dict[str, tuple[str, ...]]:
    return {one.kind.name: one.names for one in survey.findings}


def test_a_sound_dataset_has_no_findings(folder_dataset: Path, cache: Path) -> None:
    survey = survey_dataset(MINE, folder_dataset, cache)
    assert (survey.num_images, survey.num_pairs, survey.num_official) == (6, 6, None)
    assert (survey.findings, survey.refusals, survey.notes) == ((), (), ())
    assert survey.is_sound
    assert survey.is_complete
    assert survey.dataset is not None
    assert survey.masks == "lesion = value 255 of {0, 255}"


def test_every_odd_thing_is_a_finding_with_its_names(
    folder_dataset: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    write_mask("masks/0.png", value=0)
    write_mask("masks/1.png", size=(18, 24))
    write_mask("masks/2.png", size=(48, 36))
    write_picture("images/alone.png", 11)
    write_mask("masks/orphan.png")
    (folder_dataset / "images" / "notes.txt").write_text("text")
    (folder_dataset / "masks" / "old").mkdir()
    survey = survey_dataset(MINE, folder_dataset, cache)
    assert found(survey) == {
        "shape-mismatch": ("masks/2.png",),
        "image-without-mask": ("images/alone.png",),
        "mask-without-image": ("masks/orphan.png",),
        "left-alone": ("images/notes.txt", "masks/old"),
        "size-mismatch": ("masks/1.png",),
        "mask-empty": ("masks/0.png",),
    }
    assert (survey.num_images, survey.num_pairs) == (7, 6)
    assert survey.without_lesion == {0}
    (refusal,) = survey.refusals
    assert refusal.startswith("dataset mine: mask of another shape than its image: 1 (masks/2.png ")
    assert "36x48, its image 48x36" in refusal
    assert not survey.is_sound
    document = json.loads(json.dumps(survey.to_json()))
    assert document["images_without_mask"] == ["images/alone.png"]
    assert document["empty_masks"] == ["masks/0.png"]
    assert document["findings"][0]["files"] == [
        {"name": "masks/2.png", "detail": "36x48, its image 48x36"}
    ]


def test_a_sentence_names_five_files_and_all_on_demand(
    folder_dataset: Path, cache: Path, write_picture: Write
) -> None:
    for i in range(10, 17):
        write_picture(f"images/{i}.png", i)
    survey = survey_dataset(MINE, folder_dataset, cache)
    (note,) = survey.notes
    assert note == (
        "dataset mine: image without mask, left out: 7 (images/10.png, images/11.png, "
        "images/12.png, images/13.png, images/14.png, and 2 more)"
    )
    (whole,) = survey.sentences("note", None)
    assert "images/16.png" in whole
    assert "more" not in whole


def test_files_that_cannot_be_read_are_refused_by_name(
    folder_dataset: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    images, masks = folder_dataset / "images", folder_dataset / "masks"
    for name in ("cut_jpg.jpg", "cut_png.png", "bomb_tif.tif", "cut_tif.tif"):
        write_picture(f"images/{name}", 5, size=(64, 64))
        write_mask(f"masks/{name.partition('.')[0]}.png", size=(64, 64))
    for name in ("cut_jpg.jpg", "cut_png.png", "cut_tif.tif"):
        content = (images / name).read_bytes()
        (images / name).write_bytes(content[: len(content) // 2])
    tifffile.imwrite(images / "bomb_tif.tif", np.zeros((20_000, 10_000), dtype=np.bool_))
    (images / "0.png").write_bytes(b"")
    (masks / "1.png").write_text("not a picture")
    survey = survey_dataset(MINE, folder_dataset, cache)
    assert set(found(survey)["unreadable"]) == {
        "images/cut_jpg.jpg", "images/cut_png.png", "images/cut_tif.tif", "images/bomb_tif.tif",
        "images/0.png", "masks/1.png",
    }  # fmt: skip
    reasons = survey.to_json()["unreadable"]
    assert isinstance(reasons, list)
    assert all(isinstance(item, dict) and item["reason"] for item in reasons)


def test_second_survey_reads_no_unchanged_file(
    folder_dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that changed a moment ago is read again: let every file be old.
    monkeypatch.setattr("workers.datasets.files.fingerprint.SETTLED_NS", -(10**12))
    looks: list[tuple[int, int]] = []

    def survey() -> Survey:
        looks.clear()
        with watched_inspection(lambda _, done, total: looks.append((done, total))):
            return survey_dataset(MINE, folder_dataset, cache)

    first = survey()
    assert (6, 6) in looks
    assert survey().to_json() == first.to_json()
    assert looks == []
    (folder_dataset / "images" / "3.png").write_bytes(b"torn")
    assert found(survey()) == {"unreadable": ("images/3.png",)}
    assert set(looks) == {(1, 1)}


@pytest.mark.parametrize("num", range(5))
def test_fewer_than_five_pairs_are_refused(
    tmp_path: Path, cache: Path, write_picture: Write, write_mask: Write, num: int
) -> None:
    for i in range(7):
        write_picture(f"images/{i}.png", i)
    (tmp_path / "masks").mkdir()
    for i in range(num):
        write_mask(f"masks/{i}.png")
    survey = survey_dataset(MINE, tmp_path, cache)
    assert not survey.is_sound
    assert f"{num} image-mask pairs in {tmp_path}, at least 5 are needed" in survey.refusals[0]


def test_dataset_without_pairs_names_the_other_files(
    tmp_path: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    for i in range(9):
        write_picture(f"Kvasir-SEG/images/{i}.png", i)
        write_mask(f"Kvasir-SEG/masks/{i}.png")
    (survey,) = survey_root(tmp_path, cache)
    assert (survey.label, survey.num_pairs, survey.is_sound) == ("kvasir-seg", 0, False)
    assert "9 x .png in images, 9 x .png in masks" in survey.refusals[0]
    assert "this layout reads images/NAME.jpg with masks/NAME.jpg" in survey.refusals[0]


def test_incomplete_official_dataset_gets_a_note(
    tmp_path: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    for i in range(5):
        write_picture(f"ISIC-2017_Training_Data/ISIC_{i:07d}.jpg", i)
        truth = f"ISIC-2017_Training_Part1_GroundTruth/ISIC_{i:07d}_segmentation.png"
        write_mask(truth, where=slice(4, 7 + i))
    (survey,) = survey_root(tmp_path, cache)
    assert survey.is_sound
    assert not survey.is_complete
    assert survey.notes == (
        "dataset isic-2017: 5 of 2,750 official pairs are here, without Validation and Test_v2",
    )


def test_several_datasets_under_a_root(
    folder_dataset: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    for i in range(5):
        write_picture(f"Dataset_BUSI_with_GT/benign/benign ({i}).png", 77 + i)
        write_mask(f"Dataset_BUSI_with_GT/benign/benign ({i})_mask.png")
    write_mask("Dataset_BUSI_with_GT/benign/benign (3)_mask_1.png", where=slice(9, 11))
    surveys = {survey.label: survey for survey in survey_root(folder_dataset, cache)}
    assert list(surveys) == ["breast-benign", "folder"]
    assert found(surveys["breast-benign"])["several-masks"] == ("benign (3)",)


def test_official_folder_as_root_is_surveyed_once(
    tmp_path: Path, cache: Path, write_picture: Write, write_mask: Write
) -> None:
    write_picture("Kvasir-SEG/images/a.jpg", 1)
    write_mask("Kvasir-SEG/masks/a.jpg")
    assert [s.label for s in survey_root(tmp_path / "Kvasir-SEG", cache)] == ["kvasir-seg"]


def test_a_root_with_nothing_names_what_was_expected(tmp_path: Path, cache: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DatasetNotFoundError, match="Expected one of") as caught:
            survey_root(root, cache)
        for folder in ("CVC-ClinicDB", "Kvasir-SEG", "Dataset_BUSI_with_GT", "images/ and masks/"):
            assert folder in str(caught.value)
        assert str(root) in str(caught.value)


def test_generated_data_is_sound(cache: Path) -> None:
    component = Component(name="synthetic-skin", parameters={"num_images": 7}, label="drawn")
    survey = survey_dataset(component, None, cache)
    assert (survey.num_pairs, survey.findings, survey.folder) == (7, (), None)
