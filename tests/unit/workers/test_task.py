"""A trial reads the node's cache in place: all trials of a node share one copy of the images."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from workers.contract import Component, DataProtocol, TrainingProtocol
from workers.datasets import open_dataset
from workers.datasets.cache import load_arrays
from workers.datasets.split import split_indices
from workers.task import prepare_task

SMAPS = Path("/proc/self/smaps")


def mapped_kib(file, key):
    """Returns a figure of all maps of a file in this process, KiB."""
    blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", SMAPS.read_text(encoding="ascii"))
    mine = [block for block in blocks if str(file) in block.partition("\n")[0]]
    return sum(int(kib) for block in mine for kib in re.findall(rf"(?m)^{key}: +(\d+)", block))


@pytest.mark.skipif(not SMAPS.exists(), reason="no /proc/self/smaps to look into")
def test_a_trial_on_the_cpu_copies_no_image(tmp_path):
    component = Component(name="synthetic-skin", parameters={"num_images": 20})
    arrays = load_arrays(open_dataset(component, None), 64, tmp_path)
    data = DataProtocol(image_size=64)
    split = split_indices(arrays.groups, data.split, unit="image", seed=0, repeat=0)
    task = prepare_task(
        arrays, split, TrainingProtocol(batch_size=8), torch.device("cpu"),
        normalisation="imagenet", seed=0, repeat=0,
    )  # fmt: skip
    for part in (task.epoch_order(1), task.indices(split.val), task.indices(split.test)):
        for batch in part.split(8):
            images_BCHW, masks_BHW = task.batch(batch)
            images_BCHW.zero_()
            masks_BHW.zero_()
    for name, whole in (("images.npy", arrays.images), ("masks.npy", arrays.masks)):
        (file,) = tmp_path.glob(f"arrays/*/{name}")
        assert mapped_kib(file, "Rss") * 1024 >= whole.nbytes
        assert mapped_kib(file, "Anonymous") == 0
        assert (
            np.count_nonzero(np.load(file)) > 0
        )  # what the trial did with its batches stays its own
