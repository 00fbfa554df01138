"""Images: no decoder bends what it reads without a word; lesions keep their pixel by area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from tests.unit.workers.datasets import odd, odd_page
from workers.contract import Component
from workers.datasets import open_dataset
from workers.datasets.files.images import ImageFacts, describe_image, judge_images, judge_turns
from workers.datasets.files.pictures import decode, resize_mask, resize_mask_by_area
from workers.datasets.files.rasters import Header, Raster, UnreadableImageError


def test_tables_of_the_page_equal_the_findings():
    page = odd_page.PAGE.read_text(encoding="utf-8")
    assert odd_page.fill(page) == page, "run `python -m tests.unit.workers.datasets.odd_page`"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_as_pillow_does(orientation):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert Raster(pixels).turned(orientation).pixels.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("image", "mask", "expected"),
    [
        ((4, 3, 1), (4, 3, 1), ("", {})),
        ((4, 3, 6), (4, 3, 6), ("orientation-applied", {"i": 6, "m": 6})),
        ((4, 3, 6), (3, 4, 1), ("orientation-applied", {"i": 6})),
        ((4, 3, 6), (4, 3, 1), ("orientation-ignored", {})),
        ((4, 3, 3), (4, 3, 1), ("orientation-doubtful", {})),
        ((4, 4, 6), (4, 4, 1), ("orientation-doubtful", {})),
        ((4, 3, 1), (3, 4, 8), ("orientation-applied", {"m": 8})),
    ],
)
def test_the_size_decides_whether_an_orientation_is_applied(image, mask, expected):
    def header(width: int, height: int, orientation: int) -> Header:
        return Header(
            width=width, height=height, kind="PNG", mode="L", bits=8, orientation=orientation
        )

    turns, findings = judge_turns({"i": (header(*image), {"m": header(*mask)})}, 0.02)
    assert (next((one.kind.name for one in findings), ""), turns) == expected


def test_16_bits_that_few_pixels_use_are_named():
    """One of 1,000 pixels is 0.1 %: 999 are at most 100. Two are more."""
    header = Header(width=40, height=25, kind="PNG", mode="I;16", bits=16)

    def facts(level: int, num_hot: int) -> ImageFacts:
        levels = np.full((25, 40), level, np.uint16)
        levels[0, :num_hot] = 65535
        return describe_image(header, levels)

    assert (facts(100, 1).common, facts(100, 2).common) == (100, 65535)
    dark, fair = facts(8191, 1), facts(8192, 1)  # 65535 / 8 = 8191.9
    for images, named in (
        ({"a": dark, "b": fair}, ("a",)),
        ({"a": dark, "b": fair, "c": fair}, ()),
    ):
        found = [one for one in judge_images(images) if one.kind.name == "image-faint"]
        assert tuple(name for one in found for name in one.names) == named


def test_turned_pairs_are_read_upright(tmp_path):
    item = next(item for item in odd.IMAGES if "orientation 6" in item.what)
    odd.look(item, tmp_path)
    dataset = open_dataset(Component(name="folder"), tmp_path)
    assert np.array_equal(dataset.read_mask(2), np.rot90(odd.lesion(2), -1))
    assert np.array_equal(dataset.read_image(2), np.rot90(odd.picture(2), -1))


def test_cmyk_tiffs_give_pillows_colours(tmp_path):
    image = Image.fromarray(odd.picture(0)).convert("CMYK")
    image.save(tmp_path / "a.tif")
    assert np.array_equal(decode(tmp_path / "a.tif"), np.asarray(image.convert("RGB")))


def test_12_bits_in_16_use_the_whole_range(tmp_path):
    odd.look(next(item for item in odd.IMAGES if "12 bits" in item.what), tmp_path)
    dataset = open_dataset(Component(name="folder"), tmp_path)
    assert np.array_equal(dataset.read_image(1)[..., 0], odd.picture(1)[..., 0])


def test_16_bits_that_are_used_keep_their_upper_8(tmp_path):
    def full(path: Path, number: int, _: odd.Masks) -> None:
        odd.save(path.with_suffix(".png"), odd.picture(number)[..., 0].astype(np.uint16) * 257)

    odd.look(odd.Odd("", image=full), tmp_path)
    dataset = open_dataset(Component(name="folder"), tmp_path)
    assert np.array_equal(dataset.read_image(1)[..., 0], odd.picture(1)[..., 0])


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp", ".gif", ".webp", ".ppm"])
def test_half_a_file_is_refused_in_every_format(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    Image.fromarray(odd.picture(0)).save(path)
    assert decode(path).shape[:2] == (odd.SIDE, odd.SIDE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError):
        decode(path)


@pytest.mark.parametrize(
    "pixels",
    [
        odd.picture(0),
        odd.picture(0)[..., 0],
        np.dstack([odd.picture(0), odd.picture(1)[..., 0]]),
        odd.picture(0)[..., :2],
        odd.lesion(0),
    ],
)
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_quick_decoder_gives_what_pillow_gives(tmp_path, pixels, ending):
    if ending == ".jpg" and (pixels.dtype == bool or pixels.shape[2:] in ((2,), (4,))):
        pixels = odd.picture(3)
    path = tmp_path / f"a{ending}"
    Image.fromarray(pixels).save(path)
    assert np.array_equal(decode(path), np.asarray(Image.open(path)))


def test_16_bit_colour_keeps_all_bits(tmp_path):
    import imagecodecs

    pixels = odd.picture(0).astype(np.uint16) * 3
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    assert np.array_equal(decode(tmp_path / "a.png"), pixels)


def test_tile_larger_than_the_bound_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, odd.picture(0), tile=(16_000, 16_000), compression="zlib")
    with pytest.raises(UnreadableImageError, match="more than 100 million"):
        decode(path)


@pytest.mark.parametrize("photometric", ["cielab", "ycbcr"])
def test_tiff_colours_that_are_not_rgb_are_refused(tmp_path, photometric):
    tifffile.imwrite(tmp_path / "a.tif", odd.picture(0), photometric="rgb")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages.first.tags["PhotometricInterpretation"].overwrite(
            {"cielab": 8, "ycbcr": 6}[photometric]
        )
    with pytest.raises(UnreadableImageError, match=r"CIELAB|chroma"):
        decode(tmp_path / "a.tif")


def test_resize_by_area_keeps_small_lesions():
    mask = np.zeros((8, 8), bool)
    mask[0:2, 0:1] = True  # half of the first pixel of 2x2
    mask[6, 6] = True  # a quarter of the last
    mask[4, 0] = True  # a quarter, next to a half
    mask[2:4, 0] = True
    assert resize_mask_by_area(mask, 4).tolist() == [
        [True, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
        [False, False, False, True],
    ]


@settings(max_examples=60, deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(4, 40), st.integers(4, 40))))
def test_by_area_no_mask_with_lesion_becomes_empty(mask):
    assert resize_mask_by_area(mask, 4).any() == mask.any()
    assert resize_mask_by_area(mask, 4).all() or not mask.all()


@settings(max_examples=60, deadline=None)
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    side=st.sampled_from([1, 7, 32]),
)
def test_nearest_pixels_are_pillows(pixels, side):
    expected = resize_mask(pixels > 100, width=side, height=side + 1)
    assert np.array_equal(Raster(pixels).nearest(side, side + 1).pixels > 100, expected)
