"""Pixel counts against hand-made masks and a plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.metrics.counts import count_pixels


def test_counts_of_a_2x3_image_by_hand():
    # predicted  1 1 0    truth  1 0 0    so tp at (0,0), (1,2); fp at (0,1); fn at (1,0)
    #            0 0 1           1 0 1
    logits_BCHW = torch.tensor([[[[2.0, 0.1, -1.0], [-3.0, -0.5, 4.0]]]])
    target_BHW = torch.tensor([[[1, 0, 0], [1, 0, 1]]])
    counts_B4 = count_pixels(logits_BCHW, target_BHW)
    assert counts_B4.tolist() == [[2, 1, 1, 2]]
    assert counts_B4.dtype == torch.int64


def test_a_tie_and_a_nan_are_background():
    logits_BCHW = torch.tensor([0.0, -0.0, torch.nan, 1e-38]).view(1, 1, 2, 2)
    assert count_pixels(logits_BCHW, torch.ones(1, 2, 2)).tolist() == [[1, 0, 3, 0]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_type_and_channel_of_the_target_do_not_matter(dtype):
    target_BHW = torch.tensor([[[1, 0], [0, 1]]]).to(dtype)
    logits_BCHW = torch.tensor([[[[1.0, 1.0], [-1.0, 1.0]]]], dtype=torch.bfloat16)
    assert count_pixels(logits_BCHW, target_BHW).tolist() == [[2, 1, 0, 1]]
    assert count_pixels(logits_BCHW, target_BHW[:, None]).tolist() == [[2, 1, 0, 1]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_equals_a_plain_loop(seed, num_images, height, width):
    generator = torch.Generator().manual_seed(seed)
    logits_BCHW = torch.randn(num_images, 1, height, width, generator=generator).round()
    target_BHW = torch.rand(num_images, height, width, generator=generator) > 0.5
    expected = []
    for image, truth in zip(logits_BCHW[:, 0].tolist(), target_BHW.tolist(), strict=True):
        found = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for row, true_row in zip(image, truth, strict=True):
            for logit, lesion in zip(row, true_row, strict=True):
                found[logit > 0, lesion] += 1
        expected.append(list(found.values()))
    assert count_pixels(logits_BCHW, target_BHW).tolist() == expected


@pytest.mark.parametrize(
    ("logits", "target"), [((1, 2, 4, 4), (1, 4, 4)), ((1, 1, 4, 4), (1, 4, 5)), ((4, 4), (4, 4))]
)
def test_wrong_shapes_are_named(logits, target):
    with pytest.raises(ValueError, match="logits have shape") as caught:
        count_pixels(torch.zeros(logits), torch.zeros(target))
    assert str(target) in str(caught.value)
