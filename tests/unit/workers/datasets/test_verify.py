from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.workers.datasets.conftest import Write
from workers.contract import Component, UserError
from workers.datasets import DatasetNotFoundError
from workers.datasets.verify import SizeMismatch, verify, verify_root

MINE = Component(name="folder", label="mine")


def test_a_sound_dataset(folder_dataset: Path) -> None:
    report = verify(MINE, folder_dataset)
    assert (report.num_images, report.num_pairs, report.num_official) == (6, 6, None)
    assert report.is_sound
    assert report.is_complete
    assert not report.duplicates
    assert not report.empty_masks
    assert not report.non_binary_masks


def test_everything_odd_is_named(
    folder_dataset: Path, write_picture: Write, write_mask: Write
) -> None:
    write_mask("masks/0.png", value=0)
    write_mask("masks/1.png", value=32)
    write_mask("masks/2.png", size=(6, 8), where=slice(0, 2))
    write_picture("images/3.png", 4)
    write_picture("images/alone.png", 11)
    write_mask("masks/orphan.png")
    report = verify(MINE, folder_dataset)
    assert report.empty_masks == ("masks/0.png", "masks/1.png")
    assert [(m.file, m.num_pixels) for m in report.non_binary_masks] == [("masks/1.png", 16)]
    assert report.size_mismatches == (
        SizeMismatch(
            image="images/2.png", mask="masks/2.png", image_size=(16, 12), mask_size=(8, 6)
        ),
    )
    assert report.duplicates == (("images/3.png", "images/4.png"),)
    assert report.images_without_mask == ("images/alone.png",)
    assert report.masks_without_image == ("masks/orphan.png",)
    assert (report.num_images, report.num_pairs) == (7, 6)
    assert not report.is_sound
    document = json.loads(json.dumps(report.to_json()))
    assert document["size_mismatches"][0]["mask_size"] == [8, 6]
    assert document["is_sound"] is False


def test_broken_files_of_every_kind_are_reported_by_name(
    folder_dataset: Path, write_picture: Write, write_mask: Write
) -> None:
    images, masks = folder_dataset / "images", folder_dataset / "masks"
    for name in ("cut.jpg", "cut.png", "bomb.tif", "cut.tif"):
        write_picture(f"images/{name.replace('.', '_')}.{name[-3:]}", 5, size=(64, 64))
        write_mask(f"masks/{name.replace('.', '_')}.png", size=(64, 64))
    for name in ("cut_jpg.jpg", "cut_png.png", "cut_tif.tif"):
        content = (images / name).read_bytes()
        (images / name).write_bytes(content[: len(content) // 2])
    tifffile.imwrite(images / "bomb_tif.tif", np.zeros((20_000, 10_000), dtype=np.bool_))
    (images / "0.png").write_bytes(b"")
    (masks / "1.png").write_text("not a picture")
    Image.fromarray(np.zeros((20_000, 10_000), dtype=np.bool_)).save(masks / "2.png")
    report = verify(MINE, folder_dataset)
    assert {item.file for item in report.unreadable} == {
        "images/cut_jpg.jpg", "images/cut_png.png", "images/cut_tif.tif", "images/bomb_tif.tif",
        "images/0.png", "masks/1.png", "masks/2.png",
    }  # fmt: skip
    assert all(item.reason for item in report.unreadable)


def test_index_masks_count_as_binary(folder_dataset: Path, write_mask: Write) -> None:
    write_mask("masks/0.png", value=1)
    report = verify(MINE, folder_dataset)
    assert not report.non_binary_masks
    assert not report.empty_masks


def test_turned_images_are_named(folder_dataset: Path, write_picture: Write) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 12)).save(folder_dataset / "images" / "0.png", exif=exif)
    assert verify(MINE, folder_dataset).turned_images == ("images/0.png",)


def test_root_reports_what_it_holds(
    folder_dataset: Path, write_picture: Write, write_mask: Write
) -> None:
    for kind in ("benign", "malignant"):
        write_picture(f"Dataset_BUSI_with_GT/{kind}/{kind} (1).png", 77)
        write_mask(f"Dataset_BUSI_with_GT/{kind}/{kind} (1)_mask.png")
    reports = {report.dataset: report for report in verify_root(folder_dataset)}
    assert list(reports) == ["breast-benign", "breast-malignant", "folder"]
    assert reports["breast-benign"].num_official == 437
    assert not reports["breast-benign"].is_complete
    assert reports["breast-malignant"].shared_images == (
        ("breast-benign:benign (1).png", "breast-malignant:malignant (1).png"),
    )
    assert reports["folder"].shared_images == ()


def test_official_folder_as_root_is_not_also_a_folder(
    tmp_path: Path, write_picture: Write, write_mask: Write
) -> None:
    write_picture("Kvasir-SEG/images/a.jpg", 1)
    write_mask("Kvasir-SEG/masks/a.jpg")
    assert [r.dataset for r in verify_root(tmp_path / "Kvasir-SEG")] == ["kvasir-seg"]


def test_a_root_with_nothing_names_what_was_expected(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DatasetNotFoundError, match="Expected one of") as caught:
            verify_root(root)
        for folder in ("CVC-ClinicDB", "Kvasir-SEG", "Dataset_BUSI_with_GT", "images/ and masks/"):
            assert folder in str(caught.value)
        assert str(root) in str(caught.value)


def test_generated_data_has_no_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="generated"):
        verify(Component(name="synthetic-skin"), tmp_path)
