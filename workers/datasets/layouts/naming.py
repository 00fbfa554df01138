"""Names of files: equal names, and the image that a mask seems to belong to."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

MASK_WORDS = frozenset(
    {
        "mask", "masks", "seg", "segm", "segmentation", "segmentations", "gt", "ground", "truth",
        "groundtruth", "label", "labels", "labelstr", "annotation", "annotations", "anno", "manual",
    }
)  # fmt: skip
"""Words that mark a mask, anywhere in its name."""

IMAGE_WORDS = frozenset(
    {"image", "images", "imagestr", "img", "imgs", "photo", "photos", "picture", "pictures",
     "input", "orig", "original", "jpegimages"}
)  # fmt: skip
"""Words that mark an image."""

_SEPARATORS = re.compile(r"[-_ .()]+")


def same_name(text: str) -> str:
    """Returns a key that two names share if they differ only in case or in normal form.

    macOS stores "ö" as two characters (NFD), Linux as one (NFC).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Returns a sort key that puts 2 before 10, without regard to case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name


def has_mask_word(path: Path) -> bool:
    """Returns whether a file's name marks it as a mask: `a_seg.png`, `mask-7.png`."""
    return not MASK_WORDS.isdisjoint(_words(path.stem))


def is_role(name: str, role: frozenset[str]) -> bool:
    """Returns whether a folder's name is only its role: `ground truth`, `Mask`."""
    words = set(_words(name))
    return bool(words & role) and words <= MASK_WORDS | IMAGE_WORDS


def subject(path: Path) -> str:
    """Returns a name without the words for mask and image, and without the number of the mask.

    `img_007.png`, `007_mask_2.png` and `gt-7.png` all have the subject `7`.
    """
    words = _words(path.stem)
    kept = [
        word.lstrip("0") or "0" if word.isdecimal() else word
        for i, word in enumerate(words)
        if word not in MASK_WORDS | IMAGE_WORDS
        # The 2 of 007_mask_2 numbers the masks of one image.
        and not (word.isdecimal() and i > 1 and words[i - 1] in MASK_WORDS)
    ]
    return " ".join(kept)


def key_beside(path: Path) -> tuple[Path, str]:
    """Returns the key that an image shares with a mask in the same folder."""
    return path.parent, subject(path)


def masks_among(images: Iterable[Path]) -> list[Path]:
    """Returns the files that seem to be masks of others: `a_mask.png` next to `a.png`."""
    groups: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in images:
        groups[key_beside(path)].append(path)
    return [
        path
        for paths in groups.values()
        if len(paths) > 1 and not all(map(has_mask_word, paths))
        for path in paths
        if has_mask_word(path)
    ]


def nearly_fitting(images: Iterable[Path], masks: Iterable[Path]) -> dict[Path, Path]:
    """Returns the masks without an image that seem to belong to exactly one image."""
    by_subject: defaultdict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_subject[subject(image)].append(image)
    found: dict[Path, Path] = {}
    for mask in masks:
        candidates = by_subject[subject(mask)] if subject(mask) else []
        if len(candidates) == 1:
            found[mask] = candidates[0]
    return found


def _words(name: str) -> list[str]:
    return [word for word in _SEPARATORS.split(same_name(name)) if word]
