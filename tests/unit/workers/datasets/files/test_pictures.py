from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.workers.datasets.conftest import Write
from workers.datasets.files import pictures
from workers.datasets.files.pictures import UnreadableImageError
from workers.datasets.files.rasters import Raster, RasterSize
from workers.datasets.masks.rule import MaskRule

HALF = MaskRule(sentence="lesion = above half of full scale")


def test_threshold_is_above_127_never_above_0() -> None:
    levels = np.array([[0, 1, 32, 127, 128, 255]], dtype=np.uint8)
    assert HALF.foreground(Raster(levels)).tolist() == [[False] * 4 + [True] * 2]
    deep = levels.astype(np.uint16) * 257
    assert HALF.foreground(Raster(deep)).tolist() == [[False] * 4 + [True] * 2]


def test_alpha_is_no_foreground() -> None:
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    rgba[0, 0, :3] = 255
    assert HALF.foreground(Raster(rgba)).sum() == 1
    assert HALF.foreground(Raster(rgba[..., 2:])).sum() == 1
    assert pictures.as_rgb(rgba).tolist()[0] == [[255] * 3, [0] * 3]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    image = Image.new(mode, (5, 3))
    image.save(path)
    assert pictures.as_rgb(pictures.decode(path)).shape == (3, 5, 3)
    assert pictures.read_header(path).size == RasterSize(5, 3)


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 256, 65535]], dtype=np.uint16))
    assert pictures.as_rgb(pictures.decode(tmp_path / "a.tif"))[0, :, 0].tolist() == [0, 1, 255]


def test_tiff_kinds(tmp_path: Path) -> None:
    grey = np.array([[0, 10, 255]], dtype=np.uint8)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    assert pictures.decode(tmp_path / "white.tif").tolist() == [[255, 245, 0]]
    planes = np.stack([grey, grey // 2, grey // 5])
    tifffile.imwrite(tmp_path / "planar.tif", planes, photometric="rgb", planarconfig="separate")
    assert pictures.decode(tmp_path / "planar.tif").tolist()[0][2] == [255, 127, 51]
    tifffile.imwrite(tmp_path / "lzw.tif", np.stack([grey] * 3, -1), compression="lzw")
    assert pictures.decode(tmp_path / "lzw.tif").shape == (1, 3, 3)
    tifffile.imwrite(tmp_path / "float.tif", grey.astype(np.float32))
    with pytest.raises(UnreadableImageError, match="float32"):
        pictures.decode(tmp_path / "float.tif")


def _broken(tmp_path: Path, kind: str, write_picture: Write) -> Path:
    if kind == "missing.png":
        return tmp_path / kind
    path = write_picture(kind, 1, size=(64, 64))
    content = path.read_bytes()
    if kind.startswith("empty"):
        content = b""
    elif kind.startswith("text"):
        content = b"this is no picture\n"
    else:
        content = content[: len(content) // 2]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "kind",
    ["cut.png", "cut.jpg", "cut.tif", "empty.png", "empty.tif", "text.png", "text.tif",
     "text.jpg", "missing.png"],
)  # fmt: skip
def test_broken_files_name_themselves_and_the_remedy(
    tmp_path: Path, kind: str, write_picture: Write
) -> None:
    path = _broken(tmp_path, kind, write_picture)
    with pytest.raises(UnreadableImageError, match="podium data verify") as caught:
        pictures.decode(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path, mode: str) -> None:
    """The pixels of these files decode well: only the checksum of the chunk tells."""
    path = tmp_path / "a.png"
    Image.new(mode, (8, 8)).save(path)
    assert next(pictures.read_rasters(path)).pixels.shape[:2] == (8, 8)
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT")
    data[start + 4 + int.from_bytes(data[start - 4 : start])] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match="checksum"):
        list(pictures.read_rasters(path))


@pytest.mark.parametrize("name", ["bomb.png", "bomb.tif"])
def test_decompression_bombs_are_refused_by_size(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    wide = np.zeros((20_000, 10_000), dtype=np.bool_)
    if name.endswith("png"):
        Image.fromarray(wide).save(path)
    else:
        tifffile.imwrite(path, wide)
    with pytest.raises(UnreadableImageError, match="pixels"):
        pictures.decode(path)


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UnreadableImageError, match="not an image"):
        pictures.decode(path)


def test_reduced_jpeg_keeps_both_sides_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (1600, 800)).save(path)
    assert pictures.decode(path, min_side=200).shape == (200, 400, 3)
    assert pictures.decode(path, min_side=201).shape == (400, 800, 3)
    assert pictures.decode(path).shape == (800, 1600, 3)


def test_shrinking_averages_and_masks_stay_binary() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = pictures.resize_image(pictures.as_rgb(checks), 8)
    assert small.shape == (8, 8, 3)
    assert np.abs(small.astype(int) - 127).max() <= 2
    mask = pictures.resize_mask(checks > 0, width=9, height=7)
    assert mask.shape == (7, 9)
    assert mask.dtype == np.bool_


def test_nearest_takes_the_pixel_at_the_centre() -> None:
    row = np.array([[0, 1, 0, 0, 1, 0]], dtype=np.bool_)
    assert pictures.resize_mask(row, width=2, height=1).tolist() == [[True, True]]
