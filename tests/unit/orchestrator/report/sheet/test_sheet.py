"""Contact sheets: which samples come first, and what is drawn of sound and refused datasets."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.report.palette import TRUTH_COLOUR
from orchestrator.report.sheet.page import render_sheet
from orchestrator.report.sheet.png import draw_sheet
from orchestrator.report.sheet.samples import SIDE, DatasetSheet, dataset_sheets
from workers.contract import Component
from workers.datasets.survey import survey_dataset


def noise(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (side, side, 3), dtype=np.uint8)


def square(value: int = 255, side: int = 64) -> np.ndarray:
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = value
    return mask


def save(root: Path, images: list[np.ndarray], masks: list[np.ndarray]) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    return root


def sheet(root: Path, number: int = 24) -> DatasetSheet:
    survey = survey_dataset(Component(name="folder", label="mine"), root, root / "cache")
    (found,) = dataset_sheets({"mine": survey}, number)
    return found


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Twelve pairs: 7 without lesion, 9 saved twice, 3 with a mask of another size."""
    images, masks = [noise(i) for i in range(12)], [square() for _ in range(12)]
    images[10] = images[9]
    masks[7] = square(0)
    masks[3] = square(side=32)
    root = save(tmp_path / "mine", images, masks)
    Image.fromarray(noise(99)).save(root / "images" / "alone.png")
    (root / "images" / "notes.txt").write_text("no picture")
    return root


def captions(found: DatasetSheet) -> list[str]:
    return [tile.pictures[0].caption for tile in found.tiles]


def test_samples_with_a_finding_come_first(odd: Path) -> None:
    found = sheet(odd)
    assert set(captions(found)[:4]) == {"images/alone.png", "3", "7", "9"}
    assert sorted(captions(found)) == sorted([*map(str, range(12)), "images/alone.png"])
    assert (found.num_known, found.num_odd) == (13, 4)
    notes = dict(zip(captions(found), (tile.notes for tile in found.tiles), strict=True))
    assert notes["7"] == ("mask without lesion",)
    assert notes["9"] == ("equal pictures",)
    assert notes["0"] == ()


def test_number_bounds_the_samples_and_spreads_ordinary_ones(odd: Path) -> None:
    assert len(sheet(odd, 2).tiles) == 2
    six = captions(sheet(odd, 6))
    assert six[4:] == ["0", "11"]


def test_duplicates_and_doubtful_masks_are_shown_beside_samples(odd: Path) -> None:
    tiles = dict(zip(captions(found := sheet(odd)), found.tiles, strict=True))
    assert [picture.caption for picture in tiles["9"].pictures] == ["9", "10"]
    assert [picture.caption for picture in tiles["7"].pictures] == ["7", "mask as stored"]
    assert tiles["7"].pictures[0].problem == "no lesion"
    assert len(tiles["0"].pictures) == 1


def test_the_lesion_is_what_training_reads(tmp_path: Path) -> None:
    images, masks = [noise(i) for i in range(6)], [square(1) for _ in range(6)]
    picture = sheet(save(tmp_path / "mine", images, masks)).tiles[0].pictures[0]
    assert picture.lesion is not None
    assert np.array_equal(picture.lesion, square() > 0)


def test_a_small_lesion_stays_visible_on_the_reduced_picture(tmp_path: Path) -> None:
    mask = np.zeros((3 * SIDE, 3 * SIDE), dtype=np.uint8)
    mask[300, 500] = 255
    masks = [mask, *[square(side=3 * SIDE) for _ in range(5)]]
    images = [noise(i, SIDE // 8).repeat(24, axis=0).repeat(24, axis=1) for i in range(6)]
    tiles = sheet(save(tmp_path / "mine", images, masks)).tiles
    lesion = {tile.pictures[0].caption: tile for tile in tiles}["0"].pictures[0].lesion
    assert lesion is not None
    assert lesion.shape == (SIDE, SIDE)
    assert np.argwhere(lesion).tolist() == [[100, 166]]


def test_a_refused_dataset_is_shown_with_its_reason(tmp_path: Path) -> None:
    coloured = np.zeros((64, 64, 3), dtype=np.uint8)
    coloured[:] = (68, 1, 84)
    coloured[10:30, 10:30] = (253, 231, 37)
    images = [noise(i) for i in range(6)]
    root = save(tmp_path / "mine", images, [coloured for _ in range(6)])
    (root / "images" / "2.png").write_bytes(b"nothing")
    found = sheet(root)
    assert len(found.refusals) == 2
    tiles = {tile.pictures[0].caption: tile for tile in found.tiles}
    assert tiles["2"].pictures[0].pixels is None
    assert tiles["2"].pictures[0].problem.startswith("cannot be read: ")
    assert tiles["0"].refused
    first, stored = tiles["0"].pictures
    assert first.lesion is None
    assert stored.pixels is not None
    assert tuple(stored.pixels[20, 20]) == (253, 231, 37)
    page = render_sheet([found])
    assert "Podium refuses to train on it." in page
    assert draw_sheet([found])


def test_the_page_needs_nothing_else_and_escapes_names(odd: Path) -> None:
    (odd / "images" / "0.png").rename(odd / "images" / "<b>&.png")
    (odd / "masks" / "0.png").rename(odd / "masks" / "<b>&.png")
    page = render_sheet([sheet(odd)])
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert not re.search(r"https?://|<script|@import", page)
    assert page.count("data:image/") == sum(len(tile.pictures) for tile in sheet(odd).tiles)
    assert page == render_sheet([sheet(odd)])


def test_the_png_has_the_outline_where_the_lesion_is(tmp_path: Path) -> None:
    images = [np.zeros((64, 64, 3), dtype=np.uint8) + np.uint8(9 * i) for i in range(6)]
    images = [np.where(noise(i) > 100, image, 0) for i, image in enumerate(images)]
    found = sheet(save(tmp_path / "mine", images, [square() for _ in range(6)]))
    picture = np.asarray(Image.open(io.BytesIO(draw_sheet([found]))).convert("RGB"))
    colour = [int(TRUTH_COLOUR[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 30).all(axis=2))
    first = columns < columns.min() + 60  # the outline of the first picture alone
    height = rows[first].max() - rows[first].min()
    width = columns[first].max() - columns[first].min()
    assert height == pytest.approx(186 / 4, abs=4)
    assert width == pytest.approx(186 / 4, abs=4)
