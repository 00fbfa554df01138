"""FCN's fixed up-sampling by hand and against torch's interpolation; the reference's numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv_transpose2d, interpolate

from tests.unit.workers.models.demands import without_memory
from tests.unit.workers.models.filling import fill, noise, reference_shapes
from workers.models.fcn import FCN8s, bilinear_kernel

# The layers' names in wkentaro/pytorch-fcn and here, where they are not counted through.
NAMES = {
    "fc6": "fully_connected.0", "fc7": "fully_connected.3",
    "score_fr": "score_32", "score_pool4": "score_16", "score_pool3": "score_8",
    "upscore2": "up_32_to_16", "upscore_pool4": "up_16_to_8", "upscore8": "up_8_to_1",
}  # fmt: skip


def own_name(name):
    """The model's name of a tensor of the reference."""
    layer, kind = name.split(".")
    if not layer.startswith("conv"):
        return f"{NAMES[layer]}.{kind}"
    stage, number = layer.removeprefix("conv").split("_")
    return f"stages.{int(stage) - 1}.{2 * (int(number) - 1)}.{kind}"


def test_tensors_of_the_reference_map_by_the_table():
    state = without_memory("fcn").state_dict()
    mapped = {own_name(name): shape for name, shape in reference_shapes("fcn")}
    assert mapped == {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_logits_equal_the_reference_with_this_padding():
    # From fcn8s.py of wkentaro/pytorch-fcn at 4b98850 with 64 in place of 4096 channels, run with
    # this filling and this image; its paddings were set to 1 and 3, those of its transposed
    # convolutions to 1, 1 and 4, and its crops taken out. No bit differed, nor with all 4096
    # channels at 224x224, 96x160 and 352x352.
    model = fill(FCN8s(1, fc_width=64), gain=2.4)
    with torch.no_grad():
        logits = model(1.5 * noise((2, 3, 32, 64), stream=999)).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [0.231313, 0.02737, 0.081573, -0.273976]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=2e-5)


def test_the_kernel_of_factor_two_by_hand():
    # One axis: 1/4, 3/4, 3/4, 1/4.
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = bilinear_kernel(2, 4)
    assert torch.equal(kernel[0, 0], torch.outer(row, row))
    assert torch.equal(kernel[1, 1], kernel[0, 0])
    assert not kernel[0, 1].any()
    assert not kernel[1, 0].any()


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_interpolates_bilinearly_inside(factor):
    coarse = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    kernel = bilinear_kernel(3, 2 * factor)
    fine = conv_transpose2d(coarse, kernel, stride=factor, padding=factor // 2)
    expected = interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)
    assert fine.shape == expected.shape
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(fine[inside], expected[inside])
