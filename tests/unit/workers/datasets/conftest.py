"""Tiny fake layouts, made in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture
def write_picture(tmp_path: Path) -> Write:
    """Writes a picture below tmp_path: noise from a seed, or a given array."""

    def write(name: str, pixels: np.ndarray | int = 0, *, size: tuple[int, int] = (12, 16)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(pixels, int):
            rng = np.random.default_rng(pixels)
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        if path.suffix.lower() in {".tif", ".tiff"}:
            # Like CVC-ClinicDB: three channels that declare themselves grey.
            tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
        else:
            Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_mask(write_picture: Write) -> Write:
    """Writes a grey mask: `value` in a rectangle, 0 elsewhere."""

    def write(
        name: str, *, value: int = 255, size: tuple[int, int] = (12, 16), where: slice = slice(4, 8)
    ) -> Path:
        mask = np.zeros(size, dtype=np.uint8)
        mask[where, 4:8] = value
        return write_picture(name, mask)

    return write


@pytest.fixture
def folder_dataset(tmp_path: Path, write_picture: Write, write_mask: Write) -> Path:
    """Six pairs in images/ and masks/."""
    for i in range(6):
        write_picture(f"images/{i}.png", i)
        write_mask(f"masks/{i}.png", where=slice(4, 7 + i % 3))
    return tmp_path
