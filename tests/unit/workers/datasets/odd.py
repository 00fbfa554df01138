"""Odd images and masks as tiny real files, and what Podium decides of them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from workers.contract import Component
from workers.datasets import open_dataset
from workers.datasets.masks.decision import Decision

NUM = 6
SIDE = 48

Masks = NDArray[np.bool_]
Write = Callable[[Path, int, Masks], object]


@dataclass(frozen=True)
class Odd:
    """One kind of odd dataset.

    Attributes:
        what: The input, for the table.
        mask: (path without ending, number, lesion) writes a mask; None for a plain one.
        image: The same for an image.
        option: The dataset's option `mask`.
        image_size: The network's size, where that matters.
    """

    what: str
    mask: Write | None = None
    image: Write | None = None
    option: dict[str, Any] | None = None
    image_size: int | None = None


def lesion(number: int, side: int = SIDE) -> Masks:
    """Returns a disc, another one for each number."""
    y, x = np.mgrid[:side, :side]
    distance = np.hypot(y - side / 2 - number, x - side / 2 + number)
    return np.asarray(distance < side / 6 + number)


def picture(number: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Returns noise with the disc brighter, (side, side, 3)."""
    noise = np.random.default_rng(number).integers(0, 100, (side, side, 3))
    return (noise + 120 * lesion(number, side)[..., None]).astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    """Writes an array with Pillow."""
    Image.fromarray(pixels).save(path, **options)


def levels(background: int, foreground: int, dtype: Any = np.uint8) -> Write:
    """Writes grey masks of two values."""
    return lambda path, _, mask: save(
        path.with_suffix(".png"), np.where(mask, foreground, background).astype(dtype)
    )


def colours(background: tuple[int, ...], foreground: tuple[int, ...]) -> Write:
    """Writes colour masks, with alpha where four levels are given."""
    return lambda path, _, mask: save(
        path.with_suffix(".png"),
        np.where(mask[..., None], foreground, background).astype(np.uint8),
    )


def palette(*entries: int) -> Write:
    """Writes masks of indices 0 and 1 with a palette."""

    def write(path: Path, _: int, mask: Masks) -> None:
        image = Image.fromarray(mask.astype(np.uint8)).convert("P")
        image.putdata(mask.astype(np.uint8).ravel().tolist())
        image.putpalette([*entries, *[0] * (768 - len(entries))])
        image.save(path.with_suffix(".png"))

    return write


def jpeg(write: Callable[[Masks], NDArray[Any]], quality: int = 80) -> Write:
    """Writes JPEG masks."""
    return lambda path, _, mask: save(path.with_suffix(".jpg"), write(mask), quality=quality)


def smooth(path: Path, _: int, mask: Masks) -> None:
    """Writes a mask with antialiased edges."""
    big = Image.fromarray(mask.astype(np.uint8) * 255).resize((4 * SIDE, 4 * SIDE))
    big.resize((SIDE, SIDE), Image.Resampling.BOX).save(path.with_suffix(".png"))


def instances(path: Path, number: int, mask: Masks) -> None:
    """Writes a mask in which lesions are numbered."""
    numbers = mask.astype(np.uint8)
    for other in range(2, number + 4):
        numbers[4 * other - 8 : 4 * other - 5, :3] = other
    save(path.with_suffix(".png"), numbers)


def one_otherwise(usual: Write, other: Write, num_others: int = 1) -> Write:
    """Writes the last masks in another way."""
    return lambda path, i, mask: (other if i >= NUM - num_others else usual)(path, i, mask)


def pages(path: Path, _: int, mask: Masks) -> None:
    """Writes a TIFF with the two halves of a mask as pages."""
    left = mask.copy()
    left[:, SIDE // 2 :] = False
    tifffile.imwrite(
        path.with_suffix(".tif"),
        np.stack([left, mask & ~left]).astype(np.uint8) * 255,
        photometric="minisblack",
    )


def both_pages(path: Path, _: int, mask: Masks) -> None:
    """Writes a TIFF with the lesion and the background as pages."""
    both = np.stack([mask, ~mask]).astype(np.uint8) * 255
    tifffile.imwrite(path.with_suffix(".tif"), both, photometric="minisblack")


def cmyk(path: Path, number: int, mask: Masks) -> None:
    """Writes a mask in inks."""
    Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB").convert("CMYK").save(
        path.with_suffix(".tif")
    )


def noise_in_empty(path: Path, number: int, mask: Masks) -> None:
    """Writes what a JPEG leaves of an empty mask."""
    noise = np.random.default_rng(number).random(mask.shape) < 0.1
    save(path.with_suffix(".png"), noise.astype(np.uint8))


def tiff(make: Callable[[int, Masks], NDArray[Any]], **options: Any) -> Write:
    """Writes a TIFF with tifffile."""
    return lambda path, i, mask: tifffile.imwrite(
        path.with_suffix(".tif"), make(i, mask), **options
    )


def turned(tag: int) -> Write:
    """Writes an image with an EXIF orientation."""

    def write(path: Path, number: int, _: Masks) -> None:
        exif = Image.Exif()
        exif[0x0112] = tag
        save(path.with_suffix(".png"), picture(number), exif=exif)

    return write


def turned_both(path: Path, number: int, mask: Masks) -> None:
    """Writes a mask with the EXIF orientation 6."""
    exif = Image.Exif()
    exif[0x0112] = 6
    save(path.with_suffix(".png"), mask.astype(np.uint8) * 255, exif=exif)


def truncated(path: Path, number: int, _: Masks) -> None:
    """Writes an image whose second half is missing."""
    file = path.with_suffix(".jpg")
    save(file, picture(number))
    if number == 2:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def frames(path: Path, number: int, _: Masks) -> None:
    """Writes an animated image."""
    first, second = (Image.fromarray(picture(n)) for n in (number, number + 1))
    first.save(path.with_suffix(".gif"), save_all=True, append_images=[second])


def tiny_lesion(path: Path, number: int, _: Masks) -> None:
    """Writes a lesion of 3 x 3 pixels in 512."""
    mask = np.zeros((512, 512), np.uint8)
    mask[100:103, 200:203] = 255
    save(path.with_suffix(".png"), mask)


def large(path: Path, number: int, _: Masks) -> None:
    """Writes an image of 512 x 512 pixels."""
    save(path.with_suffix(".png"), picture(number, 512))


def deep(path: Path, number: int, _: Masks) -> None:
    """Writes 12 bits in 16."""
    save(path.with_suffix(".png"), picture(number)[..., 0].astype(np.uint16) * 16)


def hot(path: Path, number: int, mask: Masks) -> None:
    """Writes a grey image of 12 bits in 16; number 2 has one pixel of the highest level."""
    levels = picture(number)[..., 0].astype(np.uint16) * 16
    if number == 2:
        levels[0, 0] = 65535
    save(path.with_suffix(".png"), levels)


def transparent(path: Path, number: int, mask: Masks) -> None:
    """Writes an image that is transparent somewhere."""
    save(path.with_suffix(".png"), np.dstack([picture(number), mask.astype(np.uint8) * 255]))


def alpha_only(path: Path, number: int, _: Masks) -> None:
    """Writes an image whose shape is in alpha."""
    save(
        path.with_suffix(".png"),
        np.dstack([np.zeros_like(picture(number)), picture(number)[..., 0]]),
    )


def bomb(path: Path, number: int, _: Masks) -> None:
    """Writes a small file of 40,000 x 40,000 pixels."""
    if number:
        save(path.with_suffix(".png"), picture(number))
    else:
        data = bytearray(_png())
        data[16:24] = (40_000).to_bytes(4) * 2
        path.with_suffix(".png").write_bytes(_with_crc(data))


def _png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture(0)).save(out, "PNG")
    return out.getvalue()


def _with_crc(data: bytearray) -> bytes:
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def one_pixel(path: Path, number: int, _: Masks) -> None:
    """Writes an image of one pixel."""
    save(path.with_suffix(".png"), picture(number)[:1, :1] if number == 0 else picture(number))


def one_pixel_mask(path: Path, number: int, mask: Masks) -> None:
    """Writes the mask of it."""
    save(path.with_suffix(".png"), (mask[:1, :1] if number == 0 else mask).astype(np.uint8) * 255)


def two_shapes(path: Path, _: int, mask: Masks) -> None:
    """Writes a mask with one shape in its colours and another in alpha."""
    colour, alpha = (shape.astype(np.uint8) * 255 for shape in (mask[::-1], np.rot90(mask)))
    save(path.with_suffix(".png"), np.dstack([colour, colour, colour, alpha]))


def inks(ending: str) -> Write:
    """Writes an image in CMYK."""
    return lambda path, i, _: (
        Image.fromarray(picture(i)).convert("CMYK").save(path.with_suffix(ending))
    )


def blank(path: Path, number: int, _: Masks) -> None:
    """Writes an image of one colour."""
    save(path.with_suffix(".png"), picture(number) if number else np.full_like(picture(0), 90))


def swapped(path: Path, number: int, _: Masks) -> None:
    """Writes a picture where a mask belongs."""
    save(path.with_suffix(".png"), picture(number))


def outlined(path: Path, _: int, mask: Masks) -> None:
    """Writes a mask with a line of 128 around the lesion."""
    line = mask ^ np.roll(mask, 1, 0)
    save(path.with_suffix(".png"), np.where(line, 128, mask * 255).astype(np.uint8))


def two_sizes(path: Path, _: int, mask: Masks) -> None:
    """Writes a TIFF with pages of two sizes."""
    with tifffile.TiffWriter(path.with_suffix(".tif")) as tiff:
        for page in (mask, mask[::2, ::2]):
            tiff.write(page.astype(np.uint8) * 255, photometric="minisblack")


PLAIN = levels(0, 255)
RED, GREEN, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 0), (255, 255, 255)
OPAQUE, CLEAR = (0, 0, 0, 255), (0, 0, 0, 0)
CHANCES = tiff(lambda i, mask: (mask * 0.7 + i / 50).astype(np.float32))

MASKS = (
    Odd("0 and 255", PLAIN),
    Odd("0 and 1", levels(0, 1)),
    Odd("0 and 65535, 16 bits", levels(0, 65535, np.uint16)),
    Odd("0 and 2", levels(0, 2)),
    Odd("1 and 2", levels(1, 2)),
    Odd("254 and 255", levels(254, 255)),
    Odd("0 and 255, smooth edges", smooth),
    Odd("0 and 255 as JPEG", jpeg(lambda mask: mask.astype(np.uint8) * 255)),
    Odd("0 and 1 as JPEG", jpeg(lambda mask: mask.astype(np.uint8), 100)),
    Odd("instances 0 to N", instances),
    Odd("the same, `mask: {threshold: 0}`", instances, option={"threshold": 0}),
    Odd("the same, `mask: {lesion: [1, 2]}`", instances, option={"lesion": [1, 2]}),
    Odd("the same, `mask: {lesion: [77]}`", instances, option={"lesion": [77]}),
    Odd("colour pictures in the place of masks", swapped),
    Odd("palette black and red", palette(*BLACK, *RED)),
    Odd("palette red and green", palette(*RED, *GREEN)),
    Odd("the same, `mask: {lesion: [1]}`", palette(*RED, *GREEN), option={"lesion": [1]}),
    Odd("red on black", colours(BLACK, RED)),
    Odd("red on white", colours(WHITE, RED)),
    Odd(
        'the same, `mask: {lesion: ["#ff0000"]}`',
        colours(WHITE, RED),
        option={"lesion": ["#ff0000"]},
    ),
    Odd("alpha alone", colours(CLEAR, OPAQUE)),
    Odd("alpha and colour, two shapes", two_shapes),
    Odd("the same, `mask: {channel: alpha}`", two_shapes, option={"channel": "alpha"}),
    Odd("one mask of 0 and 1 among 0 and 255", one_otherwise(PLAIN, levels(0, 1))),
    Odd("scattered 1 in an empty mask", one_otherwise(PLAIN, noise_in_empty)),
    Odd("one mask of 0 and 100", one_otherwise(PLAIN, levels(0, 100))),
    Odd("one empty mask", one_otherwise(PLAIN, levels(0, 0))),
    Odd("one full mask", one_otherwise(PLAIN, levels(255, 255))),
    Odd("all masks empty", levels(0, 0)),
    Odd("most masks full", one_otherwise(PLAIN, levels(255, 255), 4)),
    Odd("half of the masks 0 and 1", one_otherwise(PLAIN, levels(0, 1), 3)),
    Odd("a line of 128 between 0 and 255", outlined),
    Odd("lesion 0, background 255", levels(255, 0)),
    Odd("the same in half of the masks", one_otherwise(PLAIN, levels(255, 0), 3)),
    Odd(
        "the same, `mask: {inverted: true}`",
        levels(255, 0),
        option={"inverted": True},
    ),
    Odd("CMYK TIFF", cmyk),
    Odd("several pages", pages),
    Odd("lesion and background as pages", both_pages),
    Odd("pages of two sizes", two_sizes),
    Odd("float with NaN", tiff(lambda _, mask: np.where(mask, 1, np.nan).astype(np.float32))),
    Odd("float 0 and 1", tiff(lambda _, mask: mask.astype(np.float32))),
    Odd("float probabilities", CHANCES),
    Odd("the same, `mask: {threshold: 0.5}`", CHANCES, option={"threshold": 0.5}),
    Odd("lesion of 3x3 in 512x512, network of 64", tiny_lesion, large, image_size=64),
)
IMAGES = (
    Odd("12 bits in 16", image=deep),
    Odd("the same, one pixel of 65535", image=hot),
    Odd("float", image=tiff(lambda i, _: picture(i)[..., 0].astype(np.float32))),
    Odd("CMYK TIFF", image=inks(".tif")),
    Odd("CMYK JPEG", image=inks(".jpg")),
    Odd(
        "five bands",
        image=tiff(
            lambda i, _: np.repeat(picture(i)[..., :1], 5, 2),
            photometric="minisblack",
            planarconfig="contig",
        ),
    ),
    Odd("several frames", image=frames),
    Odd("half of the file", image=truncated),
    Odd("transparent somewhere", image=transparent),
    Odd("shape in alpha alone", image=alpha_only),
    Odd("one colour", image=blank),
    Odd("1x1 pixel", one_pixel_mask, one_pixel),
    Odd("40,000x40,000 pixels", image=bomb),
    Odd("EXIF orientation 6 of image and mask", turned_both, turned(6)),
    Odd("EXIF orientation 3 of the image alone", image=turned(3)),
)


def look(odd: Odd, folder: Path) -> Decision:
    """Writes the dataset and returns what Podium decides."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(NUM):
        mask = lesion(i)
        image = odd.image or (lambda p, n, _: save(p.with_suffix(".png"), picture(n)))
        image(folder / "images" / str(i), i, mask)
        (odd.mask or PLAIN)(folder / "masks" / str(i), i, mask)
    parameters = {"mask": odd.option} if odd.option else {}
    dataset = open_dataset(Component(name="folder", parameters=parameters), folder)
    return dataset.examine(None, odd.image_size)  # type: ignore[attr-defined, no-any-return]
