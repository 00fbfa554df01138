"""Findings from the names of a dataset's files: pairs that are missing, ambiguous or nearly fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from workers.catalogue.datasets import DatasetEntry
from workers.datasets.files.fingerprint import relative_name, spelt
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.layouts.layout import LEFT_ALONE, Contents, Layout
from workers.datasets.layouts.naming import nearly_fitting

MIN_PAIRS = 5
"""Least number of pairs that can be split into three parts at the usual fractions."""

NOT_UTF8 = FindingKind(
    name="name-not-utf8",
    severity="refused",
    text="name that is not UTF-8 text",
    remedy="rename each, for example with `convmv -t utf8`",
)
TOO_FEW_PAIRS = FindingKind(name="too-few-pairs", severity="refused", text="too few pairs")
"""Its text is written for each dataset, like the text of `INCOMPLETE`."""

INCOMPLETE = FindingKind(name="incomplete", severity="note", text="not all official pairs are here")
IMAGE_WITHOUT_MASK = FindingKind(
    name="image-without-mask", severity="note", text="image without mask, left out"
)
MASK_WITHOUT_IMAGE = FindingKind(
    name="mask-without-image", severity="note", text="mask without image, left out"
)
NEARLY_FITS = FindingKind(
    name="nearly-fits",
    severity="note",
    text="mask whose name nearly fits an image, left out",
    remedy="rename each, or make a folder with links of the right names",
)
SEVERAL_MASKS = FindingKind(
    name="several-masks", severity="note", text="image with several masks, united"
)


def pairing_findings(entry: DatasetEntry, layout: Layout, contents: Contents) -> list[Finding]:
    """Returns the findings from the names of the files alone, refusals and notes."""

    def names(paths: Iterable[Path]) -> list[str]:
        return [relative_name(contents.folder, path) for path in paths]

    without, orphans = contents.images_without_mask, contents.masks_without_image
    fits = nearly_fitting(without, orphans)
    meant = [f"of {spelt(image.name)}?" for image in fits.values()]
    united = {s.name: f"{len(s.masks)} masks" for s in contents.samples if len(s.masks) > 1}
    return [
        *_not_utf8(contents),
        *contents.findings,
        *_too_few(layout, contents, fits),
        *_incomplete(entry, contents),
        *finding(IMAGE_WITHOUT_MASK, names(without)),
        *finding(MASK_WITHOUT_IMAGE, names(orphans)),
        *finding(
            replace(NEARLY_FITS, remedy=f"{NEARLY_FITS.remedy}; this layout reads {layout.reads}"),
            dict(
                zip(
                    names(fits),
                    meant,
                    strict=True,
                )
            ),
        ),
        *finding(LEFT_ALONE, names(contents.left_alone)),
        *finding(SEVERAL_MASKS, united),
    ]


def _not_utf8(contents: Contents) -> tuple[Finding, ...]:
    """Refuses names that neither the results nor a page can hold."""
    folder = contents.folder
    if spelt(str(folder)) != str(folder):
        return finding(NOT_UTF8, [spelt(str(folder))])
    pairs = [p for one in contents.samples for p in (one.image, *one.masks) if p is not None]
    paths = (*pairs, *contents.images_without_mask, *contents.masks_without_image)
    names = {path: str(path.relative_to(folder)) for path in paths}
    return finding(
        NOT_UTF8, [relative_name(folder, path) for path, n in names.items() if spelt(n) != n]
    )


def _too_few(layout: Layout, contents: Contents, fits: Mapping[Path, Path]) -> tuple[Finding, ...]:
    num = len(contents.samples)
    if num >= MIN_PAIRS:
        return ()
    text = f"{num} image-mask pairs in {contents.folder}, at least {MIN_PAIRS} are needed"
    if layout.reads:
        text += f"; this layout reads {layout.reads}"
    others = Counter(
        (path.parent, "folder" if path.is_dir() else path.suffix or "file without ending")
        for path in contents.left_alone
    )
    listed = [
        f"{count:,} x {kind} in {relative_name(contents.folder, folder)}"
        for (folder, kind), count in others.most_common(4)
    ]
    if listed:
        text += f"; other files there: {', '.join(listed)}"
    if fits:
        mask, image = next(iter(fits.items()))
        text += f"; {len(fits):,} masks nearly fit an image, such as {mask.name} and {image.name}"
    return (Finding(kind=replace(TOO_FEW_PAIRS, text=spelt(text)), names=()),)


def _incomplete(entry: DatasetEntry, contents: Contents) -> tuple[Finding, ...]:
    num, official = len(contents.samples), entry.num_images
    if official in (None, num):
        return ()
    text = f"{num:,} of {official:,} official pairs are here"
    if contents.absent:
        text += f", without {' and '.join(contents.absent)}"
    return (Finding(kind=replace(INCOMPLETE, text=text), names=()),)
