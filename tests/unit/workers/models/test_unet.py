"""The plain U-Net and U-Net++ have the numbers of the public code they are compared with."""

from __future__ import annotations

import re

import pytest
import torch

from tests.unit.workers.models.demands import without_memory
from tests.unit.workers.models.filling import fill, noise, reference_shapes
from workers.models import build_model

IMAGE = 1.5 * noise((2, 3, 32, 64), stream=999)

# U-Net's names in milesial/Pytorch-UNet and here; what follows a name is the same in both.
NAMES = {r"inc\.double_conv": "stem", r"outc\.conv": "head"} | {
    pattern.format(level): f"{part}.{level - 1}"
    for level in (1, 2, 3, 4)
    for pattern, part in (
        (r"down{}\.maxpool_conv\.1\.double_conv", "down"),
        (r"up{}\.up", "up"),
        (r"up{}\.conv\.double_conv", "merge"),
    )
}


def own_name(name: str) -> str:
    """The model's name of one of U-Net's tensors."""
    (found,) = (
        re.sub(pattern, ours, name) for pattern, ours in NAMES.items() if re.match(pattern, name)
    )
    return found


def figures(logits_BCHW: torch.Tensor) -> list[float]:
    pixels = (logits_BCHW[0, 0, 0, 0], logits_BCHW[1, 0, 16, 20])
    return [number.item() for number in (*torch.std_mean(logits_BCHW), *pixels)]


def test_unets_tensors_map_by_the_table():
    state = without_memory("unet").state_dict()
    mapped = {own_name(name): shape for name, shape in reference_shapes("unet")}
    assert mapped == {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_unet_has_the_numbers_of_the_reference():
    # From milesial/Pytorch-UNet at 21d7850, not bilinear, run with this filling and this image:
    # no bit differed, nor at 224x224, 96x160 and 352x352 with a normal filling.
    model = fill(build_model("unet"), gain=2.2)
    with torch.no_grad():
        output = model(IMAGE)
    assert output.auxiliary == ()
    expected = [0.587104, -0.23019, 0.451488, 1.100556]
    assert figures(output.logits_BCHW) == pytest.approx(expected, abs=2e-5)


def test_unetpp_has_the_order_and_numbers_of_the_reference():
    # From archs.py of 4uiiurz1/pytorch-nested-unet at 557ea02, as above; X(0,4) comes first here.
    model = fill(build_model("unetpp"), gain=2.2)
    shapes = [tuple(tensor.shape) for tensor in model.state_dict().values()]
    assert shapes == [shape for _, shape in reference_shapes("unetpp")]
    with torch.no_grad():
        output = model(IMAGE)
    expected = [
        [0.449778, -0.618309, 0.553157, 0.036847],
        [0.39264, -0.461421, -0.473915, -0.569653],
        [0.533342, -0.843173, 0.563662, -0.443667],
        [0.235933, -0.508415, -0.657902, -0.593722],
    ]
    for logits, numbers in zip((output.logits_BCHW, *output.auxiliary), expected, strict=True):
        assert figures(logits) == pytest.approx(numbers, abs=2e-5)
