"""The lesion of one sample: the union of all pages of all of its masks, at its image's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.contract import UserError
from workers.datasets import kinds
from workers.datasets.files import pictures
from workers.datasets.files.rasters import RasterSize
from workers.datasets.files.resized import ResizedPictures
from workers.datasets.findings import Finding, finding
from workers.datasets.masks.decision import Decision, num_lesion
from workers.datasets.masks.facts import MaskFacts
from workers.datasets.masks.rule import MaskRule

MAX_ASPECT_DIFFERENCE = 0.02
"""Largest relative difference of aspect ratios at which a mask is scaled to its image."""

MIN_SUM = 0.99
"""Masks that together cover less of an image cannot be lesion everywhere; scaling can add a few
pixels."""

Named = Callable[[Path], str]


def united(
    image: Path,
    masks: Sequence[Path],
    rule: MaskRule,
    decision: Decision,
    named: Named,
    *,
    side: int | None = None,
    resized: ResizedPictures | None = None,
) -> NDArray[np.bool_]:
    """Returns the union (H, W) of a sample's masks at the image's full size.

    A mask of another size but the same shape is scaled to the image (nearest).

    Args:
        image: The image file.
        masks: The mask files.
        rule: Which pixels are lesion.
        decision: Sizes and turns of the files.
        named: Gives a file's name in the decision.
        side: If given, the nearest pixels (side, side) of the same.
        resized: Masks that the inspection kept at the network's size.

    Raises:
        UnreadableImageError: A file cannot be decoded.
        UserError: A mask's shape does not fit its image.
    """
    size = decision.sizes[named(image)]
    if decision.turns.get(named(image), 1) >= 5:
        size = RasterSize(size.height, size.width)
    width, height = (size.width, size.height) if side is None else (side, side)
    union = np.zeros((height, width), dtype=np.bool_)
    for path in masks:
        turn = decision.turns.get(named(path), 1)
        small = None if resized is None else resized.take_mask(path, side, size)
        if small is not None and turn == 1:
            union |= rule.foreground(small)
            continue
        for raster in pictures.read_rasters(path):
            upright = raster if turn == 1 else raster.turned(turn)
            fitted = _fitted(upright, size, path, image)
            # Selecting pixels first and then applying the rule gives the same result and is fast.
            union |= rule.foreground(fitted.nearest(width, height) if side else fitted)
    return union


def judge_unions(
    samples: Mapping[str, tuple[Path, Sequence[Path]]],
    masks: Mapping[str, MaskFacts],
    decision: Decision,
    named: Named,
    *,
    stated: bool,
) -> tuple[Finding, ...]:
    """Returns the samples whose masks are lesion everywhere only when they are united.

    Only samples whose masks have enough lesion for this are decoded.

    Args:
        samples: Image and masks of each sample by its name.
        masks: Facts on each mask file.
        decision: How the files are read.
        named: Gives a file's name in `masks` and in the decision.
        stated: Whether the option `mask` says which pixels are lesion.
    """
    if decision.rule is None or decision.refusals:
        return ()
    full: dict[str, str] = {}
    for name, (image, paths) in samples.items():
        facts = [masks[named(path)] for path in paths]
        num = sum(one.header.num_pages for one in facts if one.header)
        if num < 2 or _covered(facts, decision.rule) < MIN_SUM:
            continue
        with suppress(UserError):  # masks of another shape; `inspect_files` names them
            if united(image, paths, decision.rule, decision, named).all():
                full[name] = f"{num} masks or pages"
    is_most = 2 * len(full) > len(samples) and (not stated or len(full) == len(samples))
    return finding(kinds.UNIONS_FULL if is_most else kinds.UNION_FULL, full)


def _covered(facts: Sequence[MaskFacts], rule: MaskRule) -> float:
    """Returns an upper bound of the fraction of an image that masks cover; it can exceed 1."""
    covered = 0.0
    for one in facts:
        sums = num_lesion(one, rule)
        if one.header is not None:  # unknown sums count as everything
            covered += one.header.num_pages * (1 if sums is None else sums[0] / sums[1])
    return covered


def shapes_fit(mask: RasterSize, image: RasterSize) -> bool:
    """Returns whether a mask can be scaled to its image."""
    ratio = mask.width * image.height / (mask.height * image.width)
    return abs(ratio - 1) <= MAX_ASPECT_DIFFERENCE


def _fitted(
    raster: pictures.Raster, size: RasterSize, mask_path: Path, image_path: Path
) -> pictures.Raster:
    height, width = raster.pixels.shape[:2]
    if (width, height) == (size.width, size.height):
        return raster
    if not shapes_fit(RasterSize(width, height), size):
        msg = (
            f"{mask_path}: the mask is {width}x{height} pixels but its image {image_path} is "
            f"{size.width}x{size.height}: the shapes do not fit; was one of them turned "
            "(EXIF orientation) or cropped? Store both in the same raster, or remove the pair; "
            "`podium data verify ROOT` lists all such pairs"
        )
        raise UserError(msg)
    return raster.nearest(size.width, size.height)
