from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.unit.workers.datasets import odd
from workers.contract import Component
from workers.datasets import open_dataset
from workers.datasets.dataset import FileDataset


def with_background(folder: Path, num: int, *, pages: bool, gap: int = 0) -> FileDataset:
    """Writes six samples; the first `num` have a second mask, which is all but the lesion."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(odd.NUM):
        odd.save(folder / "images" / f"{i}.png", odd.picture(i))
        lesion = odd.lesion(i)
        background = ~lesion
        background[:gap] = False
        drawn = [lesion, background][: 2 if i < num else 1]
        levels = [one.astype(np.uint8) * 255 for one in drawn]
        if pages:
            stack = np.stack(levels)
            tifffile.imwrite(folder / "masks" / f"{i}.tif", stack, photometric="minisblack")
        else:
            for j, one in enumerate(levels):
                Image.fromarray(one).save(folder / "masks" / f"{i}_mask_{j}.png")
    dataset = open_dataset(Component(name="folder"), folder)
    assert isinstance(dataset, FileDataset)
    return dataset


@pytest.mark.parametrize("pages", [False, True])
@pytest.mark.parametrize(("num", "kind"), [(2, "union-full"), (6, "unions-full")])
def test_masks_that_are_full_only_together_are_named(tmp_path, pages, num, kind):
    findings = {
        one.kind.name: one
        for one in with_background(tmp_path, num, pages=pages).examine().findings
        if one.kind.name.endswith("-full")
    }
    assert list(findings) == [kind]
    assert len(findings[kind].names) == num
    assert set(findings[kind].details) == {"2 masks or pages"}


def test_one_row_of_background_is_no_full_union(tmp_path):
    """Row 0 of 48 is background in both: the masks have 47/48 of the pixels together."""
    dataset = with_background(tmp_path, 6, pages=False, gap=1)
    assert not [one for one in dataset.examine().findings if one.kind.name.endswith("-full")]
