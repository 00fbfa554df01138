from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.unit.workers.datasets.conftest import Write
from workers.contract import Component, UserError
from workers.datasets import DatasetNotFoundError, open_dataset, read_contents

MINE = Component(name="folder", parameters={"label": "mine"}, label="mine")


def test_any_type_pairs_by_stem_and_usual_endings(
    tmp_path: Path, write_picture: Write, write_mask: Write
) -> None:
    for i, (image, masks) in enumerate(
        {
            "a.jpg": ["a.png"],
            "b.tif": ["b_mask.tif"],
            "c.BMP": ["C_segmentation.bmp"],
            "d_mask.webp": ["d_mask.png"],
            "e.png": ["e_mask_1.png", "e_mask_2.png"],
        }.items()
    ):
        write_picture(f"images/{image}", i)
        for j, mask in enumerate(masks):
            write_mask(f"masks/{mask}", where=slice(4 * j, 4 * j + 4))
    write_picture("images/lonely.png", 9)
    write_mask("masks/orphan_mask.png")
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    contents = read_contents(MINE, tmp_path)
    assert [s.name for s in contents.samples] == ["a", "b", "c", "d_mask", "e"]
    assert [p.name for p in contents.images_without_mask] == ["lonely.png"]
    assert [p.name for p in contents.masks_without_image] == ["orphan_mask.png"]
    dataset = open_dataset(MINE, tmp_path)
    for i in range(4):
        assert dataset.read_image(i).shape == (12, 16, 3)
        assert dataset.read_mask(i).sum() == 16
    assert dataset.read_mask(4).sum() == 32


def test_the_alias_folder_comes_before_the_root(folder_dataset: Path, write_picture: Write) -> None:
    assert read_contents(MINE, folder_dataset).folder == folder_dataset
    for what in ("images", "masks"):
        for i in range(5):
            write_picture(f"Mine/{what}/{i}.png", i)
    assert read_contents(MINE, folder_dataset).folder == folder_dataset / "Mine"
    alias = Component(name="folder", label="../mine")
    assert read_contents(alias, folder_dataset).folder == folder_dataset


def test_two_images_of_one_stem_are_refused(folder_dataset: Path, write_picture: Write) -> None:
    write_picture("images/1.jpg", 1)
    with pytest.raises(UserError, match=r"images of one name.*images/1\.jpg = images/1\.png"):
        open_dataset(MINE, folder_dataset)


def test_a_mask_of_another_size_is_scaled_but_not_turned(
    folder_dataset: Path, write_mask: Write
) -> None:
    write_mask("masks/0.png", size=(24, 32))
    write_mask("masks/1.png", size=(16, 12))
    dataset = open_dataset(MINE, folder_dataset)
    assert dataset.read_mask(0).shape == (12, 16)
    with pytest.raises(UserError, match=r"masks/1\.png.*12x16.*16x12.*do not fit"):
        dataset.read_mask(1)


def test_exif_orientation_is_ignored(folder_dataset: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = folder_dataset / "images" / "0.png"
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)
    dataset = open_dataset(MINE, folder_dataset)
    assert dataset.read_image(0).shape == (12, 16, 3)
    assert dataset.read_mask(0).shape == (12, 16)


def test_too_few_pairs(tmp_path: Path, write_picture: Write, write_mask: Write) -> None:
    for i in range(4):
        write_picture(f"images/{i}.png", i)
        write_mask(f"masks/{i}.png")
    with pytest.raises(UserError, match=r"mine: 4 image-mask pairs.*at least 5"):
        open_dataset(MINE, tmp_path)


def test_missing_root_names_the_key() -> None:
    with pytest.raises(DatasetNotFoundError, match=r"data\.root is not set"):
        open_dataset(MINE, None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("isic-2017", "ISIC-2017_Training_Data"),
        ("wound", "wound-segmentation"),
        ("cvc-clinicdb", r"CVC-ClinicDB\.rar"),
        ("kvasir-seg", r"kvasir-seg\.zip"),
        ("breast-benign", r"Dataset_BUSI\.zip"),
        ("breast-malignant", "Dataset_BUSI_with_GT/malignant"),
    ],
)
def test_wrong_root_names_expected_found_and_source(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for root, found in (
        (tmp_path, "which holds holiday/, notes.txt"),
        (tmp_path / "absent", "which does not exist"),
        (tmp_path / "notes.txt", "which is a file"),
    ):
        with pytest.raises(DatasetNotFoundError, match=expected) as caught:
            open_dataset(Component(name=name), root)
        assert found in str(caught.value)
        assert str(root) in str(caught.value)
        assert "https://" in str(caught.value)


def test_half_an_official_folder_lists_its_content(tmp_path: Path) -> None:
    (tmp_path / "Kvasir-SEG" / "images").mkdir(parents=True)
    with pytest.raises(DatasetNotFoundError, match=r"Kvasir-SEG holds images/\. Expected"):
        open_dataset(Component(name="kvasir-seg"), tmp_path)
