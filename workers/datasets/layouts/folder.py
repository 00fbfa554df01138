"""Folder: your own images and masks.

Source, citation, licence and counts are yours; only two folders are expected.

Rules:
- ROOT/LABEL/images and ROOT/LABEL/masks, where LABEL is the alias in the configuration, or else
  ROOT/images and ROOT/masks.
- Any of png, jpg, tif, bmp, webp, gif, ppm, pgm; 8 or 16 bits, grey, colour or palette. Other
  files, and folders inside, are not read, with a note. Two images of one stem are refused.
- A mask has its image's stem, alone or with `_mask` or `_segmentation`, each also with a number.
  Masks that differ only in that number (`a_mask.png`, `a_mask_2.png`) are united with a note; any
  other two masks of one image are refused.
- A mask among the images, next to its image (`a.png`, `a_mask.png`), is not an image. If masks has
  a mask for that image, the other one is not read, with a note; otherwise it is refused.
- docs/data.md has these rules as a table, with the messages.
- Which pixels are lesion is decided over all masks (`workers.datasets.masks.decision`). A mask
  whose shape does not fit its image is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from workers.datasets.files.pictures import IMAGE_SUFFIXES
from workers.datasets.layouts.layout import (
    Contents,
    Layout,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    numbered,
    pair,
)
from workers.datasets.layouts.naming import masks_among, same_name

_MASK_ENDING = re.compile(r"_(?P<word>mask|segmentation)(?:_(?P<number>[0-9]+))?$", re.IGNORECASE)


def _locate(root: Path, strict: bool, parameters: Mapping[str, object]) -> Path | None:  # noqa: ARG001
    label = str(parameters.get("label", ""))
    is_name = label not in {"", ".", ".."} and "/" not in label and "\\" not in label
    for folder in (child(root, label) if is_name else None, root):
        if folder is not None and child(folder, "images") and child(folder, "masks"):
            return folder
    return None


def _stem(path: Path) -> str | None:
    return same_name(path.stem) if path.suffix.lower() in IMAGE_SUFFIXES else None


def _index(folder: Path, label: str = "") -> Contents:  # noqa: ARG001 - identity only
    places = child(folder, "images"), child(folder, "masks")
    pictures = [path for path in list_files(places[0]) if _stem(path) is not None]
    among = masks_among(pictures)
    apart = frozenset(among)
    images = keyed_images([path for path in pictures if path not in apart], _stem)

    def image_stem(path: Path) -> str | None:
        stem = _stem(path)
        return stem if stem is None or stem in images else _MASK_ENDING.sub("", stem)

    pairing = pair(
        images,
        keyed_masks(list_files(places[1]), image_stem),
        lambda _, image: image.stem,
        united=lambda paths: numbered(paths, _MASK_ENDING),
        among=among,
    )
    return Contents.of(folder, pairing, looked_in=places)


LAYOUT = Layout(
    rules="folder/1",
    expected=("images", "masks"),
    locate=_locate,
    index=_index,
    reads="images/NAME with masks/NAME, NAME_mask or NAME_segmentation",
    index_masks=True,
)
