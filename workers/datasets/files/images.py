"""Facts and findings on image files, and the turning of files with an orientation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.files.pictures import AnyPicture, as_rgb
from workers.datasets.files.rasters import Header
from workers.datasets.findings import Finding, finding

MIN_SIDE = 32
"""Images with a shorter side are named: the network gets mainly interpolated pixels."""

COMMON = 0.999
"""A level that this fraction of an image's pixels does not exceed is common there."""

MIN_RANGE = 0.125
"""An image that uses less of the range loses three of the eight bits that the network gets."""

_INKS = frozenset({"CMYK", "SEPARATED"})


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Facts on one image file.

    Attributes:
        header: Size, format, bits, orientation, pages.
        highest: Largest level of a 16-bit image; None for other images.
        common: Level that nearly all of its colours do not exceed; likewise.
        transparent: Whether alpha varies.
        uniform: Whether all pixels have one colour.
        reason: Why the file cannot be read; None for a readable file.
    """

    header: Header | None
    highest: int | None = None
    common: int | None = None
    transparent: bool = False
    uniform: bool = False
    reason: str | None = None

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the facts as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ImageFacts:
        """Rebuilds the facts from `to_json`."""
        header = document["header"]
        return cls(**{**document, "header": None if header is None else Header(**header)})


def describe_image(header: Header, picture: AnyPicture) -> ImageFacts:
    """Returns the facts on an image file.

    Args:
        header: Header of the file.
        picture: Its first page as decoded; a JPEG can be reduced.
    """
    has_alpha = picture.ndim == 3 and picture.shape[2] in (2, 4)
    rgb = as_rgb(picture)
    is_deep = picture.dtype == np.uint16
    return ImageFacts(
        header=header,
        highest=int(picture.max()) if is_deep else None,
        common=_common(picture[..., :-1] if has_alpha else picture) if is_deep else None,
        transparent=has_alpha and bool((picture[..., -1] != picture[0, 0, -1]).any()),
        uniform=bool((rgb[0] == rgb[0, 0]).all() and (rgb == rgb[0, 0]).all()),
    )


def _common(levels: AnyPicture) -> int:
    sums = np.cumsum(np.bincount(levels.ravel()))
    return int(np.searchsorted(sums, COMMON * levels.size))


def judge_images(images: Mapping[str, ImageFacts]) -> tuple[Finding, ...]:
    """Returns the findings on the images of a dataset, refusals first.

    Args:
        images: Facts on each file, in the order in which findings name them.
    """
    broken = {name: facts.reason for name, facts in images.items() if facts.reason}
    headers = {name: facts.header for name, facts in images.items() if facts.header}
    bits = image_bits(images)
    return (
        *finding(kinds.UNREADABLE, broken),
        *finding(
            kinds.IMAGE_PAGES,
            {name: f"{h.num_pages} pages" for name, h in headers.items() if h.num_pages > 1},
        ),
        *finding(
            kinds.IMAGE_IN_ALPHA, [n for n, f in images.items() if f.transparent and f.uniform]
        ),
        *finding(
            kinds.IMAGE_ALPHA, [n for n, f in images.items() if f.transparent and not f.uniform]
        ),
        *finding(
            kinds.IMAGE_UNIFORM, [n for n, f in images.items() if f.uniform and not f.transparent]
        ),
        *finding(
            kinds.IMAGE_DEPTH,
            {
                name: f"highest level {facts.highest} of 65535"
                for name, facts in images.items()
                if facts.highest is not None and bits < 16
            },
        ),
        *_faint(images, 2**bits - 1),
        *finding(kinds.IMAGE_INKS, [name for name, h in headers.items() if h.mode in _INKS]),
        *finding(
            kinds.IMAGE_PROFILE,
            {
                n: h.profile
                for n, h in headers.items()
                if h.profile and "srgb" not in h.profile.lower()
            },
        ),
        *finding(
            kinds.IMAGE_SMALL,
            {
                name: f"{h.width}x{h.height}"
                for name, h in headers.items()
                if min(h.width, h.height) < MIN_SIDE
            },
        ),
    )


def _faint(images: Mapping[str, ImageFacts], highest: int) -> tuple[Finding, ...]:
    """Names the 16-bit images that become nearly black, if half do: one pixel can cause it."""
    common = {name: f.common for name, f in images.items() if f.common is not None}
    faint = {
        name: f"{COMMON:.1%} of it is at most {level} of {highest}"
        for name, level in common.items()
        if level < MIN_RANGE * highest
    }
    return finding(kinds.IMAGE_FAINT, faint) if 2 * len(faint) >= len(common) else ()


def image_bits(images: Mapping[str, ImageFacts]) -> int:
    """Returns how many bits the 16-bit images of a dataset use, 8 to 16; 16 without any."""
    highest = [facts.highest for facts in images.values() if facts.highest is not None]
    return max(8, max(highest).bit_length()) if highest else 16


def judge_turns(
    pairs: Mapping[str, tuple[Header, Mapping[str, Header]]], tolerance: float
) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """Returns the orientation that is applied to each file, and findings.

    Equal tags of image and mask are applied to both. If the tags differ, the sizes decide: the tags
    are applied if image and mask fit only with them, and ignored if they fit only as stored. If
    they fit both ways, it is not known on which raster the mask was drawn.

    Args:
        pairs: By name of the image: its header, and the headers of its masks by their names.
        tolerance: By how much two aspect ratios may differ.
    """
    turns: dict[str, int] = {}
    ignored: dict[str, str] = {}
    doubtful: dict[str, str] = {}
    for name, (image, masks) in pairs.items():
        tags = {name: image.orientation} | {n: mask.orientation for n, mask in masks.items()}
        turned = {n: str(tag) for n, tag in tags.items() if tag != 1}
        if not turned:
            continue
        ways = [
            apply
            for apply in (True, False)
            if all(_fits(image, mask, tolerance, turned=apply) for mask in masks.values())
        ]
        if len(set(tags.values())) == 1 or ways == [True]:
            turns |= {n: tag for n, tag in tags.items() if tag != 1}
        elif len(ways) == 2:
            doubtful |= turned
        else:
            ignored |= turned
    return turns, (
        *finding(kinds.TURN_DOUBTFUL, doubtful),
        *finding(kinds.TURN_APPLIED, {n: str(tag) for n, tag in turns.items()}),
        *finding(kinds.TURN_IGNORED, ignored),
    )


def _fits(image: Header, mask: Header, tolerance: float, *, turned: bool) -> bool:
    (width, height), (mask_width, mask_height) = (
        (one.height, one.width) if turned and one.orientation >= 5 else (one.width, one.height)
        for one in (image, mask)
    )
    return abs(mask_width * height / (mask_height * width) - 1) <= tolerance
