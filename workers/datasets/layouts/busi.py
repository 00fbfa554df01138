"""BUSI: breast ultrasound; its benign and malignant classes are two datasets of the study.

Source: https://scholar.cu.edu.eg/?q=afahmy/pages/dataset, archive Dataset_BUSI.zip.
Citation: Al-Dhabyani et al., Data in Brief 28:104863 (2020), doi 10.1016/j.dib.2019.104863.
Licence: CC0 or CC-BY, by mirror. Counts: 437 benign, 210 malignant, 133 normal (not used).

Rules:
- `benign (1).png` has the masks `benign (1)_mask.png`, `benign (1)_mask_1.png`, ...: their union
  is taken. Names are matched whole, so `benign (1)` never takes a mask of `benign (10)`.
- Masks are of mode 1, two are RGBA with full alpha: alpha is ignored.
- Images of identical pixels within a class share a group (`split_unit: group`). Not handled:
  about 36 pairs of near duplicates stay in separate groups, and `benign (433)` and
  `malignant (145)`, the same picture, are in two datasets, which are never trained together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from workers.datasets.layouts.layout import (
    Contents,
    Layout,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    locate_named,
    numbered,
    pair,
)

OFFICIAL = "Dataset_BUSI_with_GT"
_SERIES = re.compile(r"_(?P<word>mask)(?:_(?P<number>\d+))?$", re.IGNORECASE)


def _locate(kind: str, root: Path, strict: bool, _: Mapping[str, object]) -> Path | None:
    def holds(folder: Path) -> bool:
        return child(folder, kind) is not None

    upper = locate_named(root, strict, OFFICIAL, holds)
    if upper is not None:
        return child(upper, kind)
    here, above = root.resolve().name, root.resolve().parent.name
    is_class = here.casefold() == kind and above.casefold() == OFFICIAL.casefold()
    return root if is_class else None


def _index(kind: str, folder: Path) -> Contents:
    pattern = re.compile(rf"{kind} \((\d+)\)(_mask(?:_\d+)?)?\.png", re.IGNORECASE)

    def key(path: Path, *, is_mask: bool) -> str | None:
        match = pattern.fullmatch(path.name)
        return str(int(match[1])) if match and (match[2] is not None) == is_mask else None

    files = list_files(folder)
    pairing = pair(
        keyed_images(files, partial(key, is_mask=False)),
        keyed_masks(files, partial(key, is_mask=True)),
        lambda number, _: f"{kind} ({number})",
        united=partial(numbered, ending=_SERIES),
    )
    return Contents.of(folder, pairing, looked_in=[folder])


def _layout(kind: str) -> Layout:
    return Layout(
        rules=f"busi-{kind}/1",
        expected=(f"{OFFICIAL}/{kind}",),
        locate=partial(_locate, kind),
        index=partial(_index, kind),
        reads=f"{kind} (N).png with {kind} (N)_mask.png, {kind} (N)_mask_1.png, ...",
    )


BENIGN = _layout("benign")
MALIGNANT = _layout("malignant")
