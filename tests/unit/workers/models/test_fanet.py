"""FANet against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.unit.workers.models.demands import count, without_memory
from tests.unit.workers.models.filling import (
    block,
    by_reference_name,
    conv_norm,
    fill,
    noise,
    reference_shapes,
    relative_error,
    residual,
)
from workers.models import build_model
from workers.models.fanet import FANet, otsu_mask

REFERENCE = reference_shapes("fanet")
IMAGE = 1.5 * noise((2, 3, 32, 64), stream=999)
MASK = noise((2, 1, 32, 64), stream=998) > 0.3


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("fanet"), gain=2.2)


def mix_pool(state, x, mask):
    own = conv_norm(state, "fmask.0", "fmask.1", x, padding=1).relu()
    own = functional.conv2d(own, state["fmask.3.weight"], state["fmask.3.bias"]).sigmoid() > 0.5
    size = mask.shape[-1] // x.shape[-1]
    given = mask.unfold(2, size, size).unfold(3, size, size).any(-1).any(-1)
    inside = conv_norm(state, "conv1.0", "conv1.1", x * (own | given), padding=1).relu()
    return torch.cat((inside, conv_norm(state, "conv2.0", "conv2.1", x, padding=1).relu()), 1)


def expected_logits(state, image, mask):
    """One pass of the network; tensors under the authors' names."""
    x, skips = image, []
    for name in ("e1", "e2", "e3", "e4"):
        s = block(state, name)
        skips.append(residual(block(s, "r2"), residual(block(s, "r1"), x)))
        x = functional.max_pool2d(mix_pool(block(s, "p1"), skips[-1], mask), 2)
    for name in ("d1", "d2", "d3", "d4"):
        s = block(state, name)
        weight, bias = s["upsample.weight"], s["upsample.bias"]
        x = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1)
        x = residual(block(s, "r1"), torch.cat((x, skips.pop()), 1))
        x = mix_pool(block(s, "p1"), residual(block(s, "r2"), x), mask)
    x = torch.cat((x, mask), 1)
    return functional.conv2d(x, state["output.weight"], state["output.bias"])


def test_state_dict_order_equals_the_reference():
    state = without_memory("fanet").state_dict()
    assert [tuple(t.shape) for t in state.values()] == [shape for _, shape in REFERENCE]


def test_branches_behind_a_threshold_are_the_frozen_parameters():
    model = without_memory("fanet")
    frozen = [p for p in model.parameters() if not p.requires_grad]
    # Of each mixing: 3x3 convolution, batch norm, 1x1 convolution to one channel.
    widths = (32, 64, 128, 256, 128, 64, 32, 16)
    by_hand = sum(9 * c * c + c + 2 * c + c + 1 for c in widths)
    assert sum(p.numel() for p in frozen) == by_hand == 982_088
    assert count(model) + by_hand == 7_720_266  # the authors' 7.72 million


def test_pass_with_a_mask_equals_the_second_statement(filled):
    state = by_reference_name(filled, [name for name, _ in REFERENCE])
    with torch.no_grad():
        result = filled.logits(IMAGE, MASK)
    assert relative_error(result, expected_logits(state, IMAGE, MASK)) < 1e-5


def test_pass_with_a_mask_has_the_numbers_of_the_reference(filled):
    # From model.py of nikhilroxtomar/FANet at 9d2294b, run with this filling, image and mask.
    with torch.no_grad():
        logits = filled.logits(IMAGE, MASK)
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [0.334256, -0.102054, 0.004585, -0.345971]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=2e-5)


def test_evaluation_is_ten_passes_from_otsus_mask(filled):
    with torch.no_grad():
        mask, masks = otsu_mask(IMAGE), []
        for _ in range(9):
            mask = filled.logits(IMAGE, mask) > 0
            masks.append(mask)
        output = filled(IMAGE)
        assert torch.equal(output.logits_BCHW, filled.logits(IMAGE, mask))
    assert output.auxiliary == ()
    assert not torch.equal(masks[0], masks[1])  # the feedback changes the prediction


def test_training_feeds_back_the_current_prediction():
    torch.manual_seed(0)
    model = FANet(10).train()
    with torch.no_grad():
        first = model.logits(IMAGE, otsu_mask(IMAGE))
        expected = model.logits(IMAGE, first > 0)
    seen = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    assert {int(number) for number in seen.values()} == {2}
    assert torch.equal(model(IMAGE).logits_BCHW, expected)
    assert {int(number) for number in seen.values()} == {4}


def test_one_iteration_is_one_pass_in_both_modes():
    torch.manual_seed(0)
    model = FANet(1)
    with torch.no_grad():
        for mode in (True, False):
            model.train(mode)
            expected = model.logits(IMAGE, otsu_mask(IMAGE))
            assert torch.equal(model(IMAGE).logits_BCHW, expected)


def test_more_than_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes is 2; FANet's feedback is one mask"):
        build_model("fanet", 2)


def brute_force(grey):
    """Otsu's mask by trying every level; levels as in `otsu_mask`."""
    levels = np.round((grey - grey.min()) / (grey.max() - grey.min()) * 255).astype(int)

    def variance(level):
        low, high = levels[levels <= level], levels[levels > level]
        if not len(low) or not len(high):
            return 0.0
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    return levels > max(range(256), key=variance)


def test_otsu_separates_two_grey_values_by_hand():
    image = torch.full((2, 3, 32, 32), -1.0)
    image[:, :, 8:24, 8:24] = 2.0
    image[1] = 7.0  # one grey value
    mask = otsu_mask(image)
    square = torch.zeros(32, 32, dtype=torch.bool)
    square[8:24, 8:24] = True
    # The blur leaves 121/256 of the step at a corner of the square, and 80/256 beside an edge.
    assert torch.equal(mask[0, 0], square)
    assert not mask[1].any()


def test_otsu_equals_a_search_over_all_levels():
    grey = noise((2, 1, 32, 64), stream=5).square()
    grey[1] = grey[1] * 40 + 3  # another scale
    image = grey.expand(-1, 3, -1, -1)
    padded = functional.pad(grey, (2, 2, 2, 2), mode="reflect").double().numpy()[:, 0]
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    blurred = sum(
        kernel[i] * kernel[j] * padded[:, i : i + 32, j : j + 64]
        for i in range(5)
        for j in range(5)
    )
    for mask, item in zip(otsu_mask(image)[:, 0].numpy(), blurred, strict=True):
        # A grey value at the edge of a level can round to either side.
        assert (mask != brute_force(item)).mean() < 0.002
        assert 0.05 < mask.mean() < 0.95
