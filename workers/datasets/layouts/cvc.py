"""CVC-ClinicDB: frames of colonoscopy videos with polyps.

Source: https://polyp.grand-challenge.org/CVCClinicDB/, archive CVC-ClinicDB.rar.
Citation: Bernal et al., Comput Med Imaging Graph 43:99-111 (2015),
doi 10.1016/j.compmedimag.2015.02.007. Licence: research and education only.
Counts: 612 frames of 29 sequences, 384x288.

Rules:
- {PNG,TIF}/Original/N.png|tif pairs with {PNG,TIF}/Ground Truth/N.png|tif; the older archive
  without the upper folder (Original/N.tif) is read too.
- `format: auto` takes PNG where it is present, else TIF; both hold the same pixels. The TIF files
  of Original declare three channels to be grey: read with tifffile, never with Pillow.
- 138 masks are not binary: foreground is above 127, never above 0.
- Frames of one sequence are nearly identical: the group is the sequence, by the table in
  README.txt, or by the same table below where there is no README. A frame outside the table is a
  group of its own. Frames are in numeric order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

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

OFFICIAL = "CVC-ClinicDB"
SEQUENCE_ENDS = (
    25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317,
    342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612,
)  # fmt: skip
"""Last frame of sequences 1 to 29."""

_ROW = re.compile(r"(\d+)[ \t]+to[ \t]+(\d+)[ \t]*\|[ \t]*(\d+)")
_SUFFIXES = {"png": (".png",), "tif": (".tif", ".tiff")}

SequenceTable = tuple[tuple[int, int, int], ...]


def builtin_sequences() -> SequenceTable:
    """Returns (first frame, last frame, sequence) of all 29 sequences."""
    starts = (1, *(end + 1 for end in SEQUENCE_ENDS[:-1]))
    return tuple(
        (start, end, i)
        for i, (start, end) in enumerate(zip(starts, SEQUENCE_ENDS, strict=True), start=1)
    )


def parse_sequences(readme: str) -> SequenceTable:
    """Returns the rows `first to last | sequence` of the README; empty if it has no table."""
    return tuple((int(a), int(b), int(n)) for a, b, n in _ROW.findall(readme) if int(a) <= int(b))


def _sequences(folder: Path) -> tuple[SequenceTable, str]:
    readme = child(folder, "README.txt")
    # The README is in Latin-1, which decodes any bytes.
    table = parse_sequences(readme.read_text(encoding="latin-1")) if readme else ()
    if table:
        return table, f"{len(table)} sequences from README.txt"
    return builtin_sequences(), f"{len(SEQUENCE_ENDS)} sequences from the built-in table, no README"


def _images_folder(folder: Path, kind: str) -> Path | None:
    for images in (child(folder, kind.upper(), "Original"), child(folder, "Original")):
        if any(path.suffix.lower() in _SUFFIXES[kind] for path in list_files(images)):
            return images
    return None


def _locate(root: Path, strict: bool, parameters: Mapping[str, object]) -> Path | None:
    wanted = str(parameters.get("format", "auto"))
    kinds = tuple(_SUFFIXES) if wanted == "auto" else (wanted,)

    def holds(folder: Path) -> bool:
        return any(_images_folder(folder, kind) for kind in kinds)

    return locate_named(root, strict, OFFICIAL, holds)


def _index(folder: Path, format: str = "auto") -> Contents:
    kinds = tuple(_SUFFIXES) if format == "auto" else (format,)
    kind = next((kind for kind in kinds if _images_folder(folder, kind)), kinds[0])
    images = _images_folder(folder, kind)
    table, note = _sequences(folder)

    def key(path: Path) -> str | None:
        is_frame = path.suffix.lower() in _SUFFIXES[kind] and re.fullmatch(r"[0-9]+", path.stem)
        return str(int(path.stem)) if is_frame else None

    def sequence(frame: str) -> str | None:
        return next((f"sequence-{n:02d}" for a, b, n in table if a <= int(frame) <= b), None)

    masks = child(images.parent, "Ground Truth") if images else None
    pairing = pair(
        keyed_images(list_files(images), key),
        keyed_masks(list_files(masks), key),
        lambda frame, _: frame,
        sequence,
    )
    notes = (f"read as {kind.upper()}", note)
    return Contents.of(folder, pairing, looked_in=(images, masks), notes=notes)


LAYOUT = Layout(
    rules="cvc-clinicdb/1",
    expected=(f"{OFFICIAL}/{{PNG,TIF}}/Original", f"{OFFICIAL}/{{PNG,TIF}}/Ground Truth"),
    locate=_locate,
    index=_index,
    reads="Original/NUMBER.png with Ground Truth/NUMBER.png, or both as .tif",
)
