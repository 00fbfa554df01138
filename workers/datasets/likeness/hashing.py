"""Equal pictures and near duplicates: keys of decoded pixels, and a perceptual hash.

Rules:
- Two pictures are equal if their upright rasters have one size and the same pixels (8 bits, RGB,
  or all 16 bits), even if their files differ in comment, format or metadata.
- Two pictures are near duplicates if their perceptual hashes (`imagehash.phash`, 256 bits)
  differ in at most `similar_distance` bits. The hash sees structure, not colour or overall
  brightness; it does not recognise a picture that was turned, mirrored or cropped by more than
  about one percent.
- The hash is taken from the picture as it is decoded for a side of 256 pixels, so that it does not
  depend on the size that a sweep trains at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from workers.contract import SIMILAR_DISTANCE, SIMILAR_RULE, JSONValue
from workers.datasets.files.fingerprint import remembered
from workers.datasets.files.images import describe_image
from workers.datasets.files.pictures import (
    AnyPicture,
    Raster,
    UnreadableImageError,
    as_rgb,
    decode,
    pixel_key,
    read_header,
)

DECODED_SIDE = 256
"""A JPEG can be decoded reduced for the hash, but not below this side."""

PICTURES, _FULL_PIXELS = f"pictures-{SIMILAR_RULE}-4", "pixels-1"
"""Names of the remembered facts; raised when they change."""

NUM_BITS = 256
_HASH_SIDE = 16
_SIDE = 4 * _HASH_SIDE
"""Side of the picture that `imagehash.phash` transforms."""

_CHUNK = 2_000_000
"""Pairs of pictures that are compared at once."""


@dataclass(frozen=True)
class PictureKey:
    """The key that distinguishes pictures.

    Attributes:
        size: Width and height of the stored raster.
        likeness: The perceptual hash, 64 hexadecimal digits.
        pixels: Key of the full pixels; None if they have not been decoded in full.
    """

    size: tuple[int, int]
    likeness: str
    pixels: str | None


def inspect_picture(
    path: Path, keep: Callable[[Path, AnyPicture], None] | None = None
) -> JSONValue:
    """Returns the facts, hash and key of a picture, or the reason why it cannot be read.

    Args:
        path: The file.
        keep: Gets the picture if it was decoded in full.
    """
    try:
        header = read_header(path)
        picture = decode(path, min_side=DECODED_SIDE)
    except UnreadableImageError as error:
        return {"reason": error.reason}
    is_full = picture.shape[:2] == (header.height, header.width)
    if is_full and keep is not None:
        keep(path, picture)
    return {
        "width": header.width,
        "height": header.height,
        "facts": describe_image(header, picture).to_json(),
        "likeness": _likeness(picture, header.orientation),
        "pixels": _pixels(picture, header.orientation) if is_full else None,
    }


def _likeness(picture: AnyPicture, orientation: int) -> str:
    if picture.dtype == np.uint16:  # the hash heeds no overall brightness; 8 bits must show all
        picture = (picture * (255 / max(1, int(picture.max(initial=0))))).astype(np.uint8)
    upright = Raster(as_rgb(picture)).turned(orientation).pixels
    # imagehash would filter every pixel; blocks are averaged first, which changes 0 to 4 bits.
    grey = Image.fromarray(upright).convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    bits = imagehash.phash(small, hash_size=_HASH_SIDE).hash
    return np.packbits(bits).tobytes().hex()


def _pixels(picture: AnyPicture, orientation: int) -> str:
    """Returns a key of the upright pixels: 8 bits, RGB, or all 16 bits."""
    levels = picture if picture.dtype == np.uint16 else as_rgb(picture)
    return pixel_key(Raster(levels).turned(orientation).pixels)


def hashes_of(keys: Sequence[PictureKey]) -> NDArray[np.uint64]:
    """Returns the perceptual hashes (N, 4)."""
    data = bytes.fromhex("".join(key.likeness for key in keys))
    return np.frombuffer(data, dtype=np.uint64).reshape(-1, NUM_BITS // 64)


def near_pairs(
    hashes: NDArray[np.uint64], distance: int, others: NDArray[np.uint64] | None = None
) -> NDArray[np.int64]:
    """Returns near duplicates (M, 3): two numbers and how many bits differ.

    Args:
        hashes: (N, 4).
        distance: How many bits may differ.
        others: Hashes of the second of each pair; None for `hashes` itself, each pair once.
    """
    second = hashes if others is None else others
    found: list[NDArray[np.int64]] = [np.zeros((0, 3), dtype=np.int64)]
    step = max(1, _CHUNK // max(1, len(second)))
    for start in range(0, len(hashes), step):
        first = start if others is None else 0  # a pair within one set is counted once
        bits = _num_differing(hashes[start : start + step], second[first:])
        a, b = np.nonzero(bits <= distance)
        pairs = np.stack([a + start, b + first, bits[a, b]], axis=1).astype(np.int64)
        found.append(pairs if others is not None else pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def _num_differing(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint16]:
    bits = np.zeros((len(a), len(b)), dtype=np.uint16)
    for word in range(a.shape[1]):
        bits += np.bitwise_count(a[:, None, word] ^ b[None, :, word])
    return bits


def classes(num: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns for each of `num` items the number of the least item that it is joined to.

    Args:
        num: Number of items.
        pairs: (M, 2 or more) items that belong together.
    """
    graph = coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), (num, num))
    _, labels = connected_components(graph, directed=False)
    _, first, where = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[where], dtype=np.int64)


def label_pairs(labels: Sequence[object]) -> NDArray[np.int64]:
    """Returns the pairs (M, 2) that join each item to the first one with an equal label."""
    first: dict[object, int] = {}
    pairs = [(first.setdefault(label, i), i) for i, label in enumerate(labels)]
    return np.asarray([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)


def picture_keys(folder: Path, paths: Sequence[Path], cache_dir: Path) -> tuple[PictureKey, ...]:
    """Returns the key of each picture; facts on a file are remembered in `cache_dir`.

    Raises:
        UnreadableImageError: A picture cannot be decoded.
        UserError: The cache folder cannot be written.
    """
    seen = remembered(folder, paths, cache_dir, PICTURES, inspect_picture)
    keys = []
    for path in paths:
        facts: Any = seen[path]
        if "reason" in facts:
            raise UnreadableImageError(path, facts["reason"])
        size = (facts["width"], facts["height"])
        keys.append(PictureKey(size, facts["likeness"], facts["pixels"]))
    return tuple(keys)


def equal_pictures(
    folder: Path, paths: Sequence[Path], keys: Sequence[PictureKey], cache_dir: Path
) -> NDArray[np.int64]:
    """Returns for each picture the number of the first picture that is equal to it.

    A picture that was decoded reduced is decoded in full only if another one of its size is nearly
    equal to it: equal pictures always are.

    Raises:
        UserError: The cache folder cannot be written.
    """
    pixels = {i: key.pixels for i, key in enumerate(keys) if key.pixels is not None}
    sizes = np.array([key.size for key in keys]).reshape(-1, 2)
    pairs = near_pairs(hashes_of(keys), SIMILAR_DISTANCE)[:, :2]
    candidates = pairs[(sizes[pairs[:, 0]] == sizes[pairs[:, 1]]).all(axis=1)]
    unknown = set(np.unique(candidates).tolist()) - set(pixels)
    wanted = [paths[i] for i in sorted(unknown)]
    full = remembered(folder, wanted, cache_dir, _FULL_PIXELS, _full_key)
    pixels |= {i: str(full[paths[i]]) for i in unknown}
    # A key holds the size too, so that pictures of two sizes are never equal.
    return classes(len(keys), label_pairs([pixels.get(i, i) for i in range(len(keys))]))


def _full_key(path: Path) -> str:
    return _pixels(decode(path), read_header(path).orientation)
