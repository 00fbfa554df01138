"""Kvasir-SEG: endoscopic images of polyps.

Source: https://datasets.simula.no/kvasir-seg/, archive kvasir-seg.zip.
Citation: Jha et al., MMM 2020, arXiv:1911.07069. Licence: research free, commercial use by
permission. Counts: 1000 pairs in 333 different sizes.

Rules:
- images/NAME.jpg pairs with masks/NAME.jpg; kavsir_bboxes.json (its own spelling) is not read.
- Masks are JPEG: values lie in 0..10 and 245..255, none is binary; foreground is above 127.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workers.datasets.files.pictures import is_jpeg
from workers.datasets.layouts.layout import (
    Contents,
    Layout,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    locate_named,
    pair,
)
from workers.datasets.layouts.naming import same_name

OFFICIAL = "Kvasir-SEG"


def _locate(root: Path, strict: bool, _: Mapping[str, object]) -> Path | None:
    def holds(folder: Path) -> bool:
        return child(folder, "images") is not None and child(folder, "masks") is not None

    return locate_named(root, strict, OFFICIAL, holds)


def _key(path: Path) -> str | None:
    return same_name(path.stem) if is_jpeg(path) else None


def _index(folder: Path) -> Contents:
    images, masks = child(folder, "images"), child(folder, "masks")
    pairing = pair(
        keyed_images(list_files(images), _key),
        keyed_masks(list_files(masks), _key),
        lambda _, image: image.stem,
    )
    return Contents.of(folder, pairing, looked_in=(images, masks))


LAYOUT = Layout(
    rules="kvasir-seg/1",
    expected=(f"{OFFICIAL}/images", f"{OFFICIAL}/masks"),
    locate=_locate,
    index=_index,
    reads="images/NAME.jpg with masks/NAME.jpg",
)
