"""Decoded and resized images of one dataset, built once per node and mapped into memory by all.

A cache entry is a folder `arrays/<fingerprint>-<side>-v<version>` with images.npy, masks.npy and
index.json. A map of the masks, such as distances, is a file beside it, which is built when a loss
needs it. What is visible is complete (`workers.durable.build_once`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.contract import DataProtocol, MaskResize
from workers.datasets.dataset import Dataset
from workers.datasets.files.pictures import reduce_image, resize_image, resize_mask_by_area
from workers.datasets.files.storage import cache_writes, num_build_threads
from workers.datasets.likeness.relations import ImageRelations
from workers.durable import build_once

Found = TypeVar("Found")

CACHE_VERSION = 2
"""Raised when the same arrays have another form. If the same files give other arrays,
`dataset.PREPARATION` is raised."""

MAPS_VERSION = 1
"""Raised when a map of the masks (`workers.losses.maps`) has other numbers."""

MIN_REDUCTION = 3
MIN_DECODED_SIDE = 448
"""A JPEG is decoded no smaller than this side, or three times the wanted one, and not averaged by
blocks after that: the result is then within 0.3 grey levels on average of one from the full
decoding, at every size from 32 to 512 (`tests/benchmarks/cold_start.py`)."""


@dataclass(frozen=True, kw_only=True)
class DatasetArrays:
    """A whole dataset at one size.

    Attributes:
        images: (N, S, S, 3) levels in 0..255, read-only memory map.
        masks: (N, S, S), 0 or 1, read-only memory map.
        names: Sample names, in the order of the arrays.
        relations: Which of them are related, and how.
        fingerprint: Fingerprint of the dataset.
        maps: Maps of the masks by name, (N, S, S), read-only memory maps.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    names: tuple[str, ...]
    relations: ImageRelations
    fingerprint: str
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str, ...]:
        """Group of each sample by layout and equal pictures, as with `split_unit: group`."""
        return self.relations.groups(DataProtocol(split_unit="group"))


MaskMap = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def load_arrays(
    dataset: Dataset,
    image_size: int,
    cache_dir: Path,
    mask_resize: MaskResize = "nearest",
    maps: Mapping[str, MaskMap] | None = None,
) -> DatasetArrays:
    """Returns all images and masks at one size; builds them if this node does not have them.

    Several processes can call it at once: one builds, the others wait and share the result.

    Args:
        dataset: The dataset to load.
        image_size: Side of the square arrays, pixels.
        cache_dir: Cache folder of this node (`data.cache`).
        mask_resize: How masks are resized.
        maps: Functions from a mask (S, S) to a map of it, by name.

    Raises:
        UnreadableImageError: A file cannot be decoded; it is named.
        UserError: A mask does not fit its image, the meaning of the masks is not known, or the
            cache folder is full or not writable.
    """
    fingerprint = dataset.fingerprint(cache_dir, image_size)
    by = "" if mask_resize == "nearest" else f"-{mask_resize}"
    entry = cache_dir / "arrays" / f"{fingerprint}-{image_size}{by}-v{CACHE_VERSION}"
    arrays = _open(entry, fingerprint)
    if arrays is None:
        num_bytes = len(dataset.samples) * image_size**2 * 4
        relations = dataset.relations(cache_dir)
        with cache_writes(cache_dir, num_bytes):
            build_once(
                entry,
                lambda scratch: _build(dataset, _Form(image_size, mask_resize), scratch, relations),
                is_built=lambda path: _open(path, fingerprint) is not None,
            )
        arrays = _present(_open(entry, fingerprint), entry)
    found = {
        name: _load_map(entry, name, arrays.masks, compute, cache_dir)
        for name, compute in (maps or {}).items()
    }
    return replace(arrays, maps=found)


def _present(found: Found | None, path: Path) -> Found:
    if found is None:
        msg = f"{path} vanished while it was read; does something clean the cache folder?"
        raise FileNotFoundError(msg)
    return found


def _load_map(
    entry: Path, name: str, masks: NDArray[np.uint8], compute: MaskMap, cache_dir: Path
) -> NDArray[np.float32]:
    """Returns a map of all masks of an entry; builds it if this node does not have it."""
    path = entry.with_name(f"{entry.name}-{name}-{MAPS_VERSION}.npy")
    found = _open_map(path, masks)
    if found is not None:
        return found
    with cache_writes(cache_dir, masks.size * 4):
        build_once(
            path,
            lambda scratch: _write_map(masks, compute, scratch / "map.npy"),
            is_built=lambda path: _open_map(path, masks) is not None,
        )
    return _present(_open_map(path, masks), path)


def _open_map(path: Path, masks: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Returns a map of the masks, or None if it is absent or damaged."""
    try:
        found: NDArray[np.float32] = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return found if found.shape == masks.shape and found.dtype == np.float32 else None


def _write_map(masks: NDArray[np.uint8], compute: MaskMap, path: Path) -> Path:
    """Writes a map of each mask, and returns the path."""
    num_threads = num_build_threads()
    with path.open("wb") as file, ThreadPoolExecutor(num_threads) as pool:
        _write_header(file, masks.shape, "<f4")
        for start in range(0, len(masks), 4 * num_threads):
            for found in pool.map(compute, masks[start : start + 4 * num_threads]):
                file.write(np.ascontiguousarray(found, dtype="<f4").data)
    return path


def _open(entry: Path, fingerprint: str) -> DatasetArrays | None:
    """Returns the entry's arrays, or None if it is absent or damaged."""
    try:
        index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
        images = np.load(entry / "images.npy", mmap_mode="r")
        masks = np.load(entry / "masks.npy", mmap_mode="r")
        names, relations = tuple(index["names"]), ImageRelations.from_json(index["siblings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not len(images) == len(masks) == len(names) == len(relations.layout):
        return None
    return DatasetArrays(
        images=images, masks=masks, names=names, relations=relations, fingerprint=fingerprint
    )


def _build(dataset: Dataset, form: _Form, scratch: Path, relations: ImageRelations) -> Path:
    """Builds an entry in an empty folder and returns where it is."""
    entry = scratch / "entry"
    entry.mkdir()
    _write_arrays(dataset, form, entry)
    index = {
        "names": [sample.name for sample in dataset.samples],
        "siblings": relations.to_json(),
    }
    (entry / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return entry


@dataclass(frozen=True)
class _Form:
    side: int
    mask_resize: MaskResize


@dataclass(frozen=True)
class _Prepared:
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def prepare_image(
    dataset: Dataset, index: int, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns an image as the cache holds it, and as it was decoded."""
    decoded = dataset.read_image(index, min_side=max(MIN_REDUCTION * side, MIN_DECODED_SIDE))
    path = dataset.samples[index].image
    return (
        resize_image(decoded, side) if path is None else reduce_image(decoded, path, side)
    ), decoded


def prepare_pair(
    dataset: Dataset, index: int, side: int, mask_resize: MaskResize
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns an image (side, side, 3) and its mask (side, side) as the cache holds them."""
    prepared = _prepare(dataset, index, _Form(side, mask_resize))
    return prepared.image, prepared.mask


def _prepare(dataset: Dataset, index: int, form: _Form) -> _Prepared:
    image = dataset.resized_image(index, form.side)
    if image is None:
        image, _ = prepare_image(dataset, index, form.side)
    if form.mask_resize == "area":
        mask = resize_mask_by_area(dataset.read_mask(index), form.side)
    else:
        mask = dataset.read_mask(index, side=form.side)
    return _Prepared(image, mask.view(np.uint8))


def _write_arrays(dataset: Dataset, form: _Form, folder: Path) -> None:
    """Writes images.npy and masks.npy.

    By ordinary writes, not through a memory map: there a full disk kills the process.
    """
    num, side = len(dataset.samples), form.side
    with ExitStack() as stack:
        images = stack.enter_context((folder / "images.npy").open("wb"))
        masks = stack.enter_context((folder / "masks.npy").open("wb"))
        _write_header(images, (num, side, side, 3))
        _write_header(masks, (num, side, side))
        for prepared in _in_order(dataset, form, range(num)):
            images.write(np.ascontiguousarray(prepared.image).data)
            masks.write(np.ascontiguousarray(prepared.mask).data)


def _in_order(dataset: Dataset, form: _Form, indices: Iterable[int]) -> Iterator[_Prepared]:
    """Prepares images with a few threads, a few images ahead, so that memory stays bounded."""
    num_threads = num_build_threads()
    remaining = iter(indices)
    with ThreadPoolExecutor(num_threads) as pool:
        while batch := list(islice(remaining, 4 * num_threads)):
            yield from pool.map(lambda index: _prepare(dataset, index, form), batch)


def _write_header(file: BinaryIO, shape: tuple[int, ...], kind: str = "|u1") -> None:
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
