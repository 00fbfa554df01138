"""The samples that a contact sheet shows of a dataset, with each picture as Podium reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.contract import SIMILAR_DISTANCE, UserError
from workers.datasets.dataset import Dataset, FileDataset
from workers.datasets.files.fingerprint import relative_name, spelt
from workers.datasets.files.pictures import (
    IMAGE_SUFFIXES,
    UnreadableImageError,
    as_rgb,
    decode,
    read_rasters,
)
from workers.datasets.findings import Finding
from workers.datasets.likeness.duplicates import EQUAL_PICTURES, NEAR_DUPLICATES, SHARED_PICTURES
from workers.datasets.survey import Survey

SIDE = 320
"""Longer side of a picture on the sheet, pixels; a larger one is reduced to it."""

FIRST_OF_EACH = 3
"""Samples of each kind of finding that are shown before further ones of any kind."""

_DECODED_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture.

    Attributes:
        caption: Name of the sample or file, or what is shown of it.
        pixels: (H, W, 3), at most `SIDE` on a side; None where the file cannot be read.
        lesion: (H, W) of the same size, True where Podium reads lesion; None without an outline.
        problem: Why there is no picture or no outline.
    """

    caption: str
    pixels: NDArray[np.uint8] | None
    lesion: NDArray[np.bool_] | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One sample with what was found in it.

    Attributes:
        notes: Findings, each in a few words.
        pictures: The image with its outline, then pictures that help to judge it.
        refused: Whether one of the notes is a refusal.
    """

    notes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    refused: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSheet:
    """What the contact sheet shows of one dataset.

    Attributes:
        title: Its label.
        facts: Number of pairs, folder, meaning of the masks.
        refusals: Findings for which Podium refuses to train on it.
        notes: Other findings.
        tiles: Samples with a refusal first.
        num_known: Number of samples, and of files without a partner that a finding names.
        num_odd: Number of those with a finding.
    """

    title: str
    facts: tuple[str, ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    tiles: tuple[Tile, ...]
    num_known: int
    num_odd: int


@dataclass
class _Odd:
    """Findings of one sample, or of one file without a partner."""

    notes: list[str] = field(default_factory=list)
    refused: bool = False
    partners: list[tuple[str, int]] = field(default_factory=list)
    of_mask: bool = False


def dataset_sheet(label: str, surveys: Mapping[str, Survey], number: int) -> DatasetSheet:
    """Returns the contact sheet of one dataset.

    First up to three samples of each kind of finding, refusals before notes; then further ones,
    and then ordinary samples, evenly spaced.

    Args:
        label: Of the dataset.
        surveys: Of all datasets, by label; an image may be in several datasets.
        number: Largest number of samples.
    """
    survey = surveys[label]
    odd, order = _odd_samples(survey, surveys)
    samples = survey.dataset.samples if survey.dataset else ()
    ordinary = [i for i in range(len(samples)) if i not in odd]
    chosen = order[:number]
    chosen += _spaced(ordinary, number - len(chosen))
    official = "" if survey.num_official is None else f" of {survey.num_official:,} official"
    return DatasetSheet(
        title=label,
        facts=tuple(
            filter(
                None,
                [
                    f"{survey.num_pairs:,}{official} pairs",
                    spelt(str(survey.folder)) if survey.folder else "generated",
                    survey.masks,
                ],
            )
        ),
        refusals=tuple(one.sentence() for one in survey.findings if one.kind.severity == "refused"),
        notes=tuple(one.sentence() for one in survey.findings if one.kind.severity == "note"),
        tiles=tuple(_tile(survey, surveys, key, odd.get(key, _Odd())) for key in chosen),
        num_known=len({*range(len(samples)), *odd}),
        num_odd=len(odd),
    )


def _odd_samples(
    survey: Survey, surveys: Mapping[str, Survey]
) -> tuple[dict[int | str, _Odd], list[int | str]]:
    """Returns what is odd by number of sample, or by name of a loose file; and the order."""
    odd: dict[int | str, _Odd] = {}
    first: list[int | str] = []
    later: list[int | str] = []
    where = _names(survey)
    for one in survey.findings:
        found = _concerned(one, survey, surveys, where)
        for place, (key, note, partner) in enumerate(found):
            entry = odd.setdefault(key, _Odd())
            if note not in entry.notes:
                entry.notes.append(note)
            entry.refused |= one.kind.severity == "refused"
            if partner:
                entry.partners.append(partner)
            else:
                entry.of_mask = True
            (first if place < FIRST_OF_EACH else later).append(key)
    return odd, list(dict.fromkeys((*first, *later)))


def _names(survey: Survey) -> dict[str, int]:
    """Returns the number of the sample by its name and those of its files."""
    dataset = survey.dataset
    where: dict[str, int] = {}
    for i, sample in enumerate(dataset.samples if dataset else ()):
        where.setdefault(sample.name, i)
        if isinstance(dataset, FileDataset):
            for path in (dataset.image_path(sample), *sample.masks):
                where[relative_name(dataset.folder, path)] = i
    return where


def _concerned(
    one: Finding, survey: Survey, surveys: Mapping[str, Survey], where: Mapping[str, int]
) -> Iterator[tuple[int | str, str, tuple[str, int] | None]]:
    """Yields each sample or file that a finding concerns, with a note and a partner."""
    if one.kind.name in (EQUAL_PICTURES.name, NEAR_DUPLICATES.name):
        yield from _alike(survey, equal=one.kind.name == EQUAL_PICTURES.name)
        return
    details = one.details or ("",) * len(one.names)
    others = (
        {label: _names(other) for label, other in surveys.items()}
        if one.kind.name == SHARED_PICTURES.name
        else {}
    )
    for name, detail in zip(one.names, details, strict=True):
        note = f"{one.kind.text} ({detail})" if detail else one.kind.text
        partner = None
        for other, numbers in others.items():
            number = numbers.get(detail.removeprefix(f"{other}: "))
            if detail.startswith(f"{other}: ") and number is not None:
                note, partner = f"also in {other}, equal or nearly so", (other, number)
        key = where.get(name, name)
        if isinstance(key, int) or _is_picture(survey, name):
            yield key, note, partner


def _alike(survey: Survey, *, equal: bool) -> Iterator[tuple[int, str, tuple[str, int]]]:
    siblings = survey.relations
    if siblings is None:
        return
    near = siblings.near(SIMILAR_DISTANCE)
    near = near[(siblings.equal[near[:, 0]] == siblings.equal[near[:, 1]]) == equal]
    near = near[np.argsort(near[:, 2], kind="stable")]
    _, first = np.unique(near[:, 0], return_index=True)
    for a, b, distance in near[np.sort(first)].tolist():  # the nearest partner of each
        note = "equal pictures" if equal else f"near duplicates, {distance} of 256 bits differ"
        yield a, note, (survey.label, b)


def _is_picture(survey: Survey, name: str) -> bool:
    path = (survey.folder or Path()) / name
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _spaced(numbers: Sequence[int], count: int) -> list[int]:
    """Returns up to `count` of the numbers, evenly spaced."""
    if count <= 0 or not numbers:
        return []
    places = np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int)
    return [numbers[place] for place in places.tolist()]


def _tile(survey: Survey, surveys: Mapping[str, Survey], key: int | str, odd: _Odd) -> Tile:
    notes = tuple(odd.notes)
    if isinstance(key, str) or survey.dataset is None:
        folder = survey.folder or Path()
        loose = (_stored(folder / str(key), str(key)),)
        return Tile(notes=notes, pictures=loose, refused=odd.refused)
    dataset = survey.dataset
    name = dataset.samples[key].name
    pictures = [_sample_picture(dataset, key, name)]
    if odd.of_mask or pictures[0].lesion is None:
        masks = dataset.samples[key].masks
        caption = "mask as stored" if len(masks) == 1 else f"first of {len(masks)} masks, as stored"
        pictures += [_stored(path, caption) for path in masks[:1]]
    partners = [p for p in odd.partners if p[0] in surveys][:1]
    for label, number in partners:
        other = surveys[label].dataset
        if other is not None:
            partner = other.samples[number].name
            caption = partner if label == survey.label else f"{label}: {partner}"
            pictures.append(_sample_picture(other, number, caption))
    return Tile(notes=notes, pictures=tuple(pictures), refused=odd.refused)


def _sample_picture(dataset: Dataset, number: int, caption: str) -> Picture:
    try:
        image = _image(dataset, number)
    except UnreadableImageError as error:
        return Picture(caption=caption, pixels=None, problem=f"cannot be read: {error.reason}")
    pixels = _reduced(image)
    try:
        mask = dataset.read_mask(number)
    except UserError:
        return Picture(caption=caption, pixels=pixels, problem="its mask is not read")
    lesion = _reduced_mask(mask, pixels.shape[1], pixels.shape[0])
    return Picture(
        caption=caption,
        pixels=pixels,
        lesion=lesion,
        problem="" if mask.any() else "no lesion",
    )


def _image(dataset: Dataset, number: int) -> NDArray[np.uint8]:
    try:
        return dataset.read_image(number, min_side=_DECODED_SIDE)
    except UserError:  # the dataset is refused; its pictures can be shown all the same
        path = dataset.samples[number].image
        if path is None:
            raise
        return as_rgb(decode(path, min_side=_DECODED_SIDE))


def _stored(path: Path, caption: str) -> Picture:
    """Returns a file as it is stored; faint levels are stretched so that they can be seen."""
    try:
        return Picture(caption=caption, pixels=_visible(path))
    except UnreadableImageError as error:
        return Picture(caption=caption, pixels=None, problem=f"cannot be read: {error.reason}")


def _visible(path: Path) -> NDArray[np.uint8]:
    raster = next(read_rasters(path))
    picture = decode(path)
    if raster.palette is None and raster.has_alpha:
        levels, alpha = raster.pixels[..., 0], raster.pixels[..., -1]
        if int(levels.max()) == int(levels.min()):  # the shape can only be in alpha
            picture = alpha
    if picture.dtype != np.uint8 or int(picture.max(initial=0)) < 128:
        levels = picture.astype(np.float64)
        picture = (255 * levels / max(levels.max(initial=0), 1)).astype(np.uint8)
    return _reduced(as_rgb(picture))


def _reduced(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(rgb)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _reduced_mask(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    """Returns the mask at another size; a lesion of any size stays visible."""
    if mask.shape == (height, width):
        return mask
    share = np.asarray(
        Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    )
    half = share >= 0.5
    return half if half.any() else share > 0


def dataset_sheets(surveys: Mapping[str, Survey], number: int) -> Iterable[DatasetSheet]:
    """Returns the sheet of each dataset, refused datasets first."""
    labels = sorted(surveys, key=lambda label: surveys[label].is_sound)
    return [dataset_sheet(label, surveys, number) for label in labels]
