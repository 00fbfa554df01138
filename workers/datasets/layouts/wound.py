"""Wound: photographs of foot ulcers, from the FUSeg challenge.

Source: https://github.com/uwm-bigdata/wound-segmentation, folder
data/Foot Ulcer Segmentation Challenge. Citation: Wang et al., Sci Rep 10:21897 (2020);
Wang et al., Information 15:140 (2024), doi 10.3390/info15030140. Licence: shared publicly by
its authors. Counts: 810 training and 200 validation pairs, 200 test images without labels; 512x512.

Rules:
- train and validation are pooled: the study draws its own splits. test has no labels: ignored.
- A mask has its image's file name, in labels instead of images. A sample is named train/0121.
- 24 of 1010 masks are empty and are used, because "no wound" is an answer. The metric's rule
  decides the score of such an image.
- Masks are RGB; foreground is above 127, so the 84 pixels of value 32 in validation/0233 are not.
- 29 groups of images are exact duplicates, 7 of them across train and validation with different
  masks: all are used; with `split_unit: group` the images of a group stay in one part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workers.datasets.layouts.layout import (
    Contents,
    Layout,
    Pairing,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    locate_named,
    pair,
)
from workers.datasets.layouts.naming import same_name

PARTS = ("train", "validation")
"""The parts with labels."""

OFFICIAL = "Foot Ulcer Segmentation Challenge"


def _locate(root: Path, strict: bool, _: Mapping[str, object]) -> Path | None:
    def holds(folder: Path) -> bool:
        return any(
            child(folder, part, "images") and child(folder, part, "labels") for part in PARTS
        )

    return locate_named(root, strict, OFFICIAL, holds, "data")


def _png_key(path: Path) -> str | None:
    return same_name(path.stem) if path.suffix.lower() == ".png" else None


def _pair_part(folder: Path, part: str) -> Pairing:
    return pair(
        keyed_images(list_files(child(folder, part, "images")), _png_key),
        keyed_masks(list_files(child(folder, part, "labels")), _png_key),
        lambda _, image: f"{part}/{image.stem}",
    )


def _index(folder: Path) -> Contents:
    pairings = [_pair_part(folder, part) for part in PARTS]
    num_unlabelled = len(list_files(child(folder, "test", "images")))
    return Contents.of(
        folder,
        *pairings,
        looked_in=[child(folder, part, what) for part in PARTS for what in ("images", "labels")],
        absent=[part for part in PARTS if not child(folder, part)],
        notes=[f"test: {num_unlabelled} images without labels, ignored"] if num_unlabelled else [],
    )


LAYOUT = Layout(
    rules="wound/1",
    expected=tuple(f"{OFFICIAL}/{part}/{what}" for part in PARTS for what in ("images", "labels")),
    locate=_locate,
    index=_index,
    reads="PART/images/NAME.png with PART/labels/NAME.png",
)
