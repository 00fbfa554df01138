"""Layouts of datasets: finding the folder, pairing images with masks, naming samples.

Rules for every layout: names match without regard to case and to Unicode normal form; samples are
in natural order (1, 2, 10). Files whose names begin with a dot are not read; files that match no
stated pattern are not read either, with a note. Ambiguous files are refused: two images of one
name, two masks of one image that the layout does not unite, a mask among the images if it is the
only mask of its image.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.datasets.dataset import Sample
from workers.datasets.files.fingerprint import relative_name, spelt
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.layouts.naming import key_beside, masks_among, natural_key, same_name

TWO_IMAGES = FindingKind(
    name="two-images",
    severity="refused",
    text="images of one name, whose masks cannot be assigned",
    remedy="rename or remove one of each",
)
TWO_MASKS = FindingKind(
    name="two-masks",
    severity="refused",
    text="several masks of one image, which this layout does not unite",
    remedy="remove the outdated masks",
)
MASK_AMONG_IMAGES = FindingKind(
    name="mask-among-images",
    severity="refused",
    text="mask among the images, whose image has none in the folder of masks",
    remedy="move each to the folder of masks",
)
MASK_BESIDE_IMAGE = FindingKind(
    name="mask-beside-image",
    severity="note",
    text="mask among the images, not used, because its image has one in the folder of masks",
)
LEFT_ALONE = FindingKind(
    name="left-alone",
    severity="note",
    text="file of another type or name, or folder, that this layout does not read",
)

IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that Windows creates in folders of pictures."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The content of a dataset's folder.

    Attributes:
        folder: The dataset's own folder; fingerprints and reports name files relative to it.
        samples: The pairs, in natural order.
        images_without_mask: Images that should have a mask but do not.
        masks_without_image: Masks whose image is missing.
        absent: Parts of the official dataset that are missing.
        left_alone: Other files and folders there, which are not read.
        notes: Decisions of the layout by rule, for `podium data verify`.
        findings: Ambiguous files.
    """

    folder: Path
    samples: tuple[Sample, ...]
    images_without_mask: tuple[Path, ...] = ()
    masks_without_image: tuple[Path, ...] = ()
    absent: tuple[str, ...] = ()
    left_alone: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(
        cls,
        folder: Path,
        *pairings: Pairing,
        looked_in: Iterable[Path | None] = (),
        known: re.Pattern[str] | None = None,
        absent: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> Contents:
        """Returns the contents from pairings of images and masks.

        Args:
            folder: The dataset's own folder.
            *pairings: One per part; samples stay in this order.
            looked_in: Folders that were listed; other files in them are not read.
            known: Names of files that are expected there and need no note.
            absent: See the attributes.
            notes: See the attributes.
        """
        used = {path for one in pairings for path in one.files}
        samples = tuple(sample for one in pairings for sample in one.samples)
        have_masks = {key_beside(sample.image) for sample in samples if sample.image}
        among: dict[bool, list[Path]] = {True: [], False: []}
        for path in (path for one in pairings for path in one.masks_among):
            among[key_beside(path) in have_masks].append(path)
        others = [
            path
            for place in looked_in
            for path in list_entries(place)
            if path not in used and not (known and known.search(path.name))
        ]

        def names(paths: Iterable[Path]) -> str:
            return " = ".join(relative_name(folder, path) for path in paths)

        def all_of(kind: FindingKind, groups: Iterable[Iterable[Path]]) -> tuple[Finding, ...]:
            return finding(kind, [names(paths) for paths in groups])

        return cls(
            folder=folder,
            samples=samples,
            images_without_mask=tuple(p for one in pairings for p in one.images_without_mask),
            masks_without_image=tuple(p for one in pairings for p in one.masks_without_image),
            absent=tuple(absent),
            left_alone=tuple(others),
            notes=tuple(notes),
            findings=(
                *all_of(TWO_IMAGES, [g for one in pairings for g in one.equal_images]),
                *all_of(TWO_MASKS, [g for one in pairings for g in one.equal_masks]),
                *all_of(MASK_AMONG_IMAGES, [[path] for path in among[False]]),
                *all_of(MASK_BESIDE_IMAGE, [[path] for path in among[True]]),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One layout of files.

    Attributes:
        rules: Name and version of the adapter's rules; raised when they give other samples.
        expected: Folders that must exist, as shown to users.
        locate: (root, strict, parameters) to the dataset's folder, or None. Strict uses the root
            itself only if it has the official name.
        index: (folder, **parameters) to the contents.
        reads: Which files it pairs, "images/NAME.jpg with masks/NAME.jpg", for messages.
        index_masks: Whether masks can hold class indices 0 and 1.
    """

    rules: str
    expected: tuple[str, ...]
    locate: Callable[[Path, bool, Mapping[str, object]], Path | None]
    index: Callable[..., Contents]
    reads: str = ""
    index_masks: bool = False


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Images with their masks, and the files that are left over.

    Attributes:
        samples: Images with at least one mask.
        images_without_mask: Images that fit no mask.
        masks_without_image: Masks that fit no image.
        equal_images: Groups of images of one name; none of them is in `samples`.
        equal_masks: Groups of masks of one image that the layout does not unite; likewise.
        masks_among: Files among the images that seem to be masks of others.
        files: All images and masks that were considered.
    """

    samples: tuple[Sample, ...]
    images_without_mask: tuple[Path, ...]
    masks_without_image: tuple[Path, ...]
    equal_images: tuple[tuple[Path, ...], ...] = ()
    equal_masks: tuple[tuple[Path, ...], ...] = ()
    masks_among: tuple[Path, ...] = ()
    files: frozenset[Path] = frozenset()


def child(folder: Path, *names: str) -> Path | None:
    """Returns the entry `names[0]/names[1]/...` below a folder.

    The exact name has priority over a name of another case or normal form.
    """
    found: Path | None = folder
    for name in names:
        if found is None or not found.is_dir():
            return None
        exact = found / name
        if not exact.exists():
            same = [p for p in found.iterdir() if same_name(p.name) == same_name(name)]
            found = min(same, default=None)
        else:
            found = exact
    return found


def list_files(folder: Path | None) -> list[Path]:
    """Returns the files directly in a folder, in natural order, without hidden ones."""
    return [path for path in list_entries(folder) if path.is_file()]


def list_entries(folder: Path | None) -> list[Path]:
    """Returns files and folders directly in a folder, in natural order, without hidden ones."""
    if folder is None or not folder.is_dir():
        return []
    paths = [
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.casefold() not in IGNORED_NAMES
    ]
    return sorted(paths, key=lambda path: natural_key(path.name))


def locate_named(
    root: Path, strict: bool, official: str, holds: Callable[[Path], bool], *inside: str
) -> Path | None:
    """Returns the folder `official` under a root, or the root if it is that folder itself.

    Args:
        root: Folder to search.
        strict: Whether the root itself counts only under the official name.
        official: Official name of the folder.
        holds: Returns whether a folder holds the files of the dataset.
        *inside: Further folders in which archives are known to put the official folder.
    """
    for way in ((official,), *((name, official) for name in inside)):
        folder = child(root, *way)
        if folder is not None and holds(folder):
            return folder
    named = root.resolve().name.casefold() == official.casefold()
    return root if (named or not strict) and holds(root) else None


def numbered(paths: Sequence[Path], ending: re.Pattern[str]) -> bool:
    """Returns whether masks of one image differ only in the number after one ending.

    Args:
        paths: `a_mask.png`, `a_mask_1.png`, ...
        ending: Pattern with the groups `word` and `number`.
    """
    found = [ending.search(path.stem) for path in paths]
    words = {match and match["word"].casefold() for match in found}
    numbers = {match["number"] and int(match["number"]) for match in found if match}
    return len(words) == 1 and len(numbers) == len(paths)


def pair(
    images: Mapping[str, Sequence[Path]],
    masks: Mapping[str, Sequence[Path]],
    name: Callable[[str, Path], str],
    group: Callable[[str], str | None] = lambda _: None,
    united: Callable[[Sequence[Path]], bool] = lambda _: False,
    among: Sequence[Path] | None = None,
) -> Pairing:
    """Pairs images and masks that share a key.

    Args:
        images: Key to images; more than one image of a key is refused.
        masks: Key to masks of that image.
        name: (key, image) to the sample's name.
        group: Key to the sample's group; None for a group of its own.
        united: Returns whether several masks of one image belong together; if not, they are
            refused.
        among: Masks among the images, if the adapter has separated them already.
    """
    if among is None:
        among = masks_among(path for paths in images.values() for path in paths)
        apart = set(among)
        images = {key: [p for p in paths if p not in apart] for key, paths in images.items()}
        images = {key: paths for key, paths in images.items() if paths}
    samples: list[Sample] = []
    equal_masks: list[tuple[Path, ...]] = []
    for key, paths in images.items():
        found = masks.get(key, ())
        if len(found) > 1 and not united(found):
            equal_masks.append(tuple(found))
        elif found and len(paths) == 1:
            label = unicodedata.normalize("NFC", spelt(name(key, paths[0])))
            samples.append(
                Sample(name=label, image=paths[0], masks=tuple(found), group=group(key) or label)
            )
    files = [path for keyed in (images, masks) for paths in keyed.values() for path in paths]
    return Pairing(
        samples=tuple(sorted(samples, key=lambda sample: natural_key(sample.name))),
        images_without_mask=_unmatched(images, masks),
        masks_without_image=_unmatched(masks, images),
        equal_images=tuple(tuple(paths) for paths in images.values() if len(paths) > 1),
        equal_masks=tuple(equal_masks),
        masks_among=tuple(among),
        files=frozenset([*files, *among]),
    )


def _unmatched(
    files: Mapping[str, Sequence[Path]], others: Mapping[str, Sequence[Path]]
) -> tuple[Path, ...]:
    return tuple(path for key, paths in files.items() if key not in others for path in paths)


def keyed_masks(paths: Iterable[Path], key: Callable[[Path], str | None]) -> dict[str, list[Path]]:
    """Returns files by the key of their image; without files that have no key."""
    keyed: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        name = key(path)
        if name is not None:
            keyed[name].append(path)
    return dict(keyed)


keyed_images = keyed_masks
"""The same function for images: equal keys are refused when they are paired."""
