"""ColonSegNet against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.nn import functional

from tests.unit.workers.models.demands import without_memory
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

REFERENCE = reference_shapes("colonsegnet")
IMAGE = 1.5 * noise((2, 3, 32, 64), stream=999)


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("colonsegnet"), gain=2.2)


def expected_logits(state, image):
    """The network as MODELS.md, section 3.5, puts it; tensors under the authors' names."""

    def encode(name, x):
        s = block(state, name)
        fine = residual(block(s, "residual_block1"), x)
        strided = block(s, "strided_conv")
        coarse = conv_norm(strided, "conv", "bn", fine, stride=2, padding=1).relu()
        return fine, residual(block(s, "residual_block2"), coarse)

    def enlarge(name, x, stride):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv_transpose2d(
            x, weight, bias, stride=stride, padding=0 if stride == 4 else 1
        )

    def mix(name, *maps):
        return residual(block(state, name), torch.cat(maps, 1))

    a1, b1 = encode("e1", image)
    a2, b2 = encode("e2", functional.max_pool2d(b1, 2))
    r1 = mix("r1", enlarge("t1", b2, 4), b1)
    r2 = mix("r2", r1, enlarge("t2", a2, 2))
    r3 = mix("r3", enlarge("t3", r2, 2), a1)
    r4 = mix("r4", r3, enlarge("t4", b1, 2))
    return functional.conv2d(r4, state["output.weight"], state["output.bias"])


def test_the_state_dict_has_the_authors_order():
    state = without_memory("colonsegnet").state_dict()
    assert [tuple(t.shape) for t in state.values()] == [shape for _, shape in REFERENCE]


def test_parameters_of_every_block():
    model = without_memory("colonsegnet")
    counts: Counter[str] = Counter()
    for (name, _), tensor in zip(REFERENCE, model.state_dict(keep_vars=True).values(), strict=True):
        counts[name.split(".")[0]] += tensor.numel() * tensor.requires_grad
    assert counts == {
        "e1": 155_840, "e2": 2_610_432, "t1": 524_416, "r1": 396_416, "t2": 524_416, "r2": 478_336,
        "t3": 131_136, "r3": 119_872, "t4": 32_800, "r4": 40_352, "output": 33,
    }  # fmt: skip


def test_logits_are_those_of_the_second_statement(filled):
    state = by_reference_name(filled, [name for name, _ in REFERENCE])
    with torch.no_grad():
        result = filled(IMAGE)
        assert result.auxiliary == ()
        assert relative_error(result.logits_BCHW, expected_logits(state, IMAGE)) < 1e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From model.py of DebeshJha/ColonSegNet at d8f782f, run with this filling and this image.
    with torch.no_grad():
        logits = filled(IMAGE).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [0.621218, 0.351832, -0.160824, -0.405693]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=2e-5)
