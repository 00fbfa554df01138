"""A dataset: ordered pairs of image and mask, with a fingerprint of their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workers.contract import JSONValue, UserError
from workers.datasets.files import pictures
from workers.datasets.files.fingerprint import Read, hash_files, relative_name, remembered
from workers.datasets.files.images import ImageFacts, image_bits, judge_images, judge_turns
from workers.datasets.files.resized import ResizedPictures
from workers.datasets.likeness.hashing import (
    PICTURES,
    classes,
    equal_pictures,
    hashes_of,
    inspect_picture,
    label_pairs,
    picture_keys,
)
from workers.datasets.likeness.relations import ImageRelations
from workers.datasets.masks.decision import Decision, decide, is_small, reads_as_before
from workers.datasets.masks.facts import MaskFacts, inspect_mask
from workers.datasets.masks.rule import MaskRule
from workers.datasets.masks.unions import MAX_ASPECT_DIFFERENCE, judge_unions, united
from workers.identity import digest

PREPARATION = 2
"""Raised when the same files would give other arrays. It is part of the fingerprint, so that
results of two preparations never mix: `podium run` refuses to continue those of another one."""

FACTS = 3
"""Raised when a file would be described by other facts; part of the names of remembered facts."""


class DatasetNotFoundError(UserError):
    """The files of a dataset were not found; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with its mask.

    Attributes:
        name: Unique within the dataset, the same on every machine.
        image: The image file; None if it is generated.
        masks: The mask files, to be united; empty if they are generated.
        group: Group by layout (a video sequence), or the sample's name if there is none. Equal
            pictures are joined later, when they are decoded (`Dataset.relations`).
    """

    name: str
    image: Path | None
    masks: tuple[Path, ...]
    group: str


class Dataset(Protocol):
    """A dataset as the cache and the trials use it, from files or generated."""

    @property
    def name(self) -> str:
        """Name in messages: the user's alias, or the catalogue name if there is no alias."""
        ...

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The usable pairs, in natural order of their names."""
        ...

    def fingerprint(self, cache_dir: Path, image_size: int | None = None) -> str:
        """Returns 32 hexadecimal digits that change with any byte of the content.

        Args:
            cache_dir: Cache folder of this node.
            image_size: Size at which samples are read next; the inspection keeps them at it.
        """
        ...

    def read_image(self, index: int, *, min_side: int | None = None) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3), in full or with both sides at least `min_side`."""
        ...

    def resized_image(self, index: int, side: int) -> NDArray[np.uint8] | None:
        """Returns an image as the cache holds it (side, side, 3), if the inspection kept it."""
        ...

    def read_mask(self, index: int, *, side: int | None = None) -> NDArray[np.bool_]:
        """Returns the mask (H, W) at the image's full size, or the nearest pixels (side, side)."""
        ...

    def relations(self, cache_dir: Path) -> ImageRelations:
        """Returns which samples are related: by layout, equal pictures and near duplicates."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileDataset:
    """A dataset in files.

    Which pixels of the masks are lesion is decided once for the whole dataset
    (`workers.datasets.masks.decision`). An empty mask is valid and is used.

    Attributes:
        folder: The dataset's own folder.
        rules: Adapter and version of its rules; part of the fingerprint.
        index_masks: Whether earlier versions read lossless masks of only 0 and 1 as class indices.
            Fingerprints still depend on it.
        mask: The option `mask`; with None the content of the masks decides.
    """

    name: str
    samples: tuple[Sample, ...]
    folder: Path
    rules: str
    index_masks: bool = False
    mask: Mapping[str, JSONValue] | None = None
    _decisions: dict[int | None, Decision] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    _resized: ResizedPictures = field(
        default_factory=ResizedPictures, init=False, compare=False, repr=False
    )

    def examine(self, cache_dir: Path | None = None, image_size: int | None = None) -> Decision:
        """Returns how the files are read, and findings.

        Facts on each file are remembered in `cache_dir`, so that a second call only checks file
        times. A dataset is examined once: an open dataset does not see later changes.

        Args:
            cache_dir: Cache folder of this node; None remembers nothing.
            image_size: The network's size, to name lesions that vanish there.

        Raises:
            UserError: A file cannot be read, or the cache folder cannot be written.
        """
        if image_size not in self._decisions:
            self._decisions[image_size] = self._decided(cache_dir, image_size)
        return self._decisions[image_size]

    def _decided(self, cache_dir: Path | None, image_size: int | None) -> Decision:
        paths = [path for sample in self.samples for path in sample.masks]
        masks = self._mask_facts(paths, cache_dir)
        decision = decide(masks, self.mask)
        if image_size is not None and decision.rule is not None:
            small = [p for p in paths if is_small(masks[self._named(p)], decision.rule, image_size)]
            masks |= self._mask_facts(small, cache_dir, image_size)
            decision = decide(masks, self.mask, image_size)
        images = self._image_facts(cache_dir)
        pairs = {
            self._named(self.image_path(sample)): (
                image.header,
                {
                    name: header
                    for name in map(self._named, sample.masks)
                    if (header := masks[name].header)
                },
            )
            for sample in self.samples
            if (image := images[self._named(self.image_path(sample))]).header
        }
        turns, turn_findings = judge_turns(pairs, MAX_ASPECT_DIFFERENCE)
        found = (*decision.findings, *judge_images(images), *turn_findings)
        decision = replace(
            decision,
            findings=found,
            sizes={name: facts.header.size for name, facts in images.items() if facts.header},
            turns=turns,
            bits=image_bits(images),
        )
        samples = {one.name: (self.image_path(one), one.masks) for one in self.samples}
        stated = bool(self.mask)
        found = (*found, *judge_unions(samples, masks, decision, self._named, stated=stated))
        ordered = tuple(sorted(found, key=lambda one: one.kind.severity != "refused"))
        decision = replace(decision, findings=ordered)
        return replace(decision, marks=self._marks(decision, images, masks))

    def _named(self, path: Path) -> str:
        return relative_name(self.folder, path)

    def _mask_facts(
        self, paths: list[Path], cache_dir: Path | None, side: int | None = None
    ) -> dict[str, MaskFacts]:
        what = f"masks-{FACTS}" if side is None else f"masks-{FACTS}-{side}"

        def read(path: Path) -> JSONValue:
            return inspect_mask(path, side, self._resized.add_mask).to_json()

        found = self._facts(paths, cache_dir, what, read)
        return {name: MaskFacts.from_json(facts) for name, facts in found.items()}

    def _image_facts(self, cache_dir: Path | None) -> dict[str, ImageFacts]:
        paths = [self.image_path(sample) for sample in self.samples]
        found = self._facts(
            paths, cache_dir, PICTURES, lambda path: inspect_picture(path, self._resized.add_image)
        )
        return {
            name: ImageFacts.from_json(seen["facts"])
            if "facts" in seen
            else ImageFacts(header=None, reason=seen["reason"])
            for name, seen in found.items()
        }

    def _facts(
        self, paths: list[Path], cache_dir: Path | None, what: str, read: Read
    ) -> dict[str, Any]:
        if cache_dir is None:
            return {self._named(path): read(path) for path in paths}
        found = remembered(self.folder, paths, cache_dir, what, read)
        return {self._named(path): found[path] for path in paths}

    def _marks(
        self, decision: Decision, images: Mapping[str, ImageFacts], masks: Mapping[str, MaskFacts]
    ) -> tuple[JSONValue, ...]:
        """Returns a mark for everything that is read otherwise than in preparation 2."""
        rule = decision.rule
        headers = [facts.header for facts in images.values() if facts.header]
        is_jpeg = {name: pictures.is_jpeg(Path(name)) for name in (*images, *masks)}
        as_before = rule is None or all(
            reads_as_before(facts, rule, index_mask=self.index_masks and not is_jpeg[name])
            for name, facts in masks.items()
        )
        marks: list[JSONValue] = [] if rule is None or as_before else [rule.key()]
        if any(header.is_jpeg for header in headers) or any(is_jpeg[name] for name in images):
            marks.append("jpeg/2")
        if decision.bits != 16:
            marks.append(f"bits/{decision.bits}")
        if any(header.mode == "SEPARATED" for header in headers):
            marks.append("inks/1")
        if decision.turns:
            marks.append("orientation/1")
        return tuple(marks)

    def _known(self, cache_dir: Path | None = None) -> tuple[MaskRule, Decision]:
        """Returns the decided rule, with all of the decision.

        Raises:
            UserError: The dataset cannot be used; the message says why.
        """
        decision = next(iter(self._decisions.values()), None) or self.examine(cache_dir)
        if decision.rule is None or decision.refusals:
            sentences = ". ".join(one.sentence() for one in decision.refusals)
            msg = f"dataset {self.name} in {self.folder}: {sentences}"
            raise UserError(msg)
        return decision.rule, decision

    def fingerprint(self, cache_dir: Path, image_size: int | None = None) -> str:
        """Returns 32 hexadecimal digits of preparation, rules, names, groups and file contents.

        Hashes are remembered in `cache_dir`, so that a second call only checks file times.

        Args:
            cache_dir: Cache folder of this node.
            image_size: Size at which samples are read next; the inspection keeps them at it.

        Raises:
            UserError: A file cannot be read, the cache folder cannot be written, or the meaning of
                the masks is not known.
        """
        self._resized.side = image_size
        _, decision = self._known(cache_dir)
        files = [
            path for sample in self.samples for path in (self.image_path(sample), *sample.masks)
        ]
        hashes = hash_files(self.folder, files, cache_dir)

        def content(path: Path) -> list[str]:
            return [relative_name(self.folder, path), hashes[path]]

        rows = [
            [s.name, s.group, content(self.image_path(s)), [content(mask) for mask in s.masks]]
            for s in self.samples
        ]
        joined = self._newly_joined(cache_dir, hashes)
        parts = [f"preparation/{PREPARATION}", self.rules, rows, *decision.marks, *joined]
        return digest(parts, length=32)

    def _newly_joined(self, cache_dir: Path, hashes: Mapping[Path, str]) -> list[str]:
        """Returns a mark if equal pictures are joined that earlier versions did not join.

        Groups change then. In earlier versions JPEG files had to agree in every byte.
        """
        paths = [self.image_path(sample) for sample in self.samples]
        if not any(map(pictures.is_jpeg, paths)):
            return []
        keys = picture_keys(self.folder, paths, cache_dir)
        once = [
            hashes[path] if pictures.is_jpeg(path) else key.pixels
            for path, key in zip(paths, keys, strict=True)
        ]
        equal = equal_pictures(self.folder, paths, keys, cache_dir)
        same = np.array_equal(classes(len(paths), label_pairs(once)), equal)
        return [] if same else ["equal-pictures/2"]

    def read_image(self, index: int, *, min_side: int | None = None) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3); a JPEG can be reduced, with both sides at least `min_side`.

        Raises:
            UnreadableImageError: The file cannot be decoded.
            UserError: The dataset cannot be used; the message says why.
        """
        _, decision = self._known()
        path = self.image_path(self.samples[index])
        rgb = pictures.as_rgb(pictures.decode(path, min_side=min_side), decision.bits)
        turn = decision.turns.get(self._named(path), 1)
        return rgb if turn == 1 else pictures.Raster(rgb).turned(turn).pixels

    def resized_image(self, index: int, side: int) -> NDArray[np.uint8] | None:
        """Returns an image as the cache holds it (side, side, 3), if the inspection kept it."""
        path = self.image_path(self.samples[index])
        found = self._resized.take_image(path, side)
        _, decision = self._known()
        return found if self._named(path) not in decision.turns else None

    def read_mask(self, index: int, *, side: int | None = None) -> NDArray[np.bool_]:
        """Returns the union (H, W) of the sample's masks at the image's full size.

        A mask of another size but the same shape is scaled to the image (nearest).

        Args:
            index: Index of the sample.
            side: If given, the nearest pixels (side, side) of the same.

        Raises:
            UnreadableImageError: A file cannot be decoded.
            UserError: A mask's shape does not fit its image, or the meaning of the masks is not
                known.
        """
        rule, decision = self._known()
        sample = self.samples[index]
        image = self.image_path(sample)
        return united(
            image, sample.masks, rule, decision, self._named, side=side, resized=self._resized
        )

    def relations(self, cache_dir: Path) -> ImageRelations:
        """Returns which samples are related: by layout, equal pictures and near duplicates.

        Facts on each picture are remembered in `cache_dir`.

        Raises:
            UnreadableImageError: An image cannot be decoded; it is named.
            UserError: The cache folder cannot be written.
        """
        paths = [self.image_path(sample) for sample in self.samples]
        keys = picture_keys(self.folder, paths, cache_dir)
        return ImageRelations(
            layout=tuple(sample.group for sample in self.samples),
            equal=equal_pictures(self.folder, paths, keys, cache_dir),
            hashes=hashes_of(keys),
        )

    @staticmethod
    def image_path(sample: Sample) -> Path:
        """Returns the image file of a sample that has one."""
        if sample.image is None:
            msg = f"{sample.name} has no image file"
            raise ValueError(msg)
        return sample.image
