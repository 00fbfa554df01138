"""FCN's fixed up-sampling: numbers by hand and against torch's interpolation."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv_transpose2d, interpolate

from workers.models.fcn import bilinear_kernel


def test_the_kernel_of_factor_two_by_hand():
    # One axis: 1/4, 3/4, 3/4, 1/4.
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = bilinear_kernel(2, 4)
    assert torch.equal(kernel[0, 0], torch.outer(row, row))
    assert torch.equal(kernel[1, 1], kernel[0, 0])
    assert not kernel[0, 1].any()
    assert not kernel[1, 0].any()


@pytest.mark.parametrize("factor", [2, 8])
def test_it_interpolates_bilinearly_inside(factor):
    coarse = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    kernel = bilinear_kernel(3, 2 * factor)
    fine = conv_transpose2d(coarse, kernel, stride=factor, padding=factor // 2)
    expected = interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)
    assert fine.shape == expected.shape
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(fine[inside], expected[inside])
