"""Which part of a network feeds which output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workers.models import build_model

IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("column", [1, 2, 3, 4])
def test_unetpp_head_depends_on_the_nodes_of_its_triangle(column):
    torch.manual_seed(0)
    model = build_model("unetpp", width=2)
    output = model(IMAGE)
    (*output.auxiliary, output.logits_BCHW)[column - 1].sum().backward()
    reached = {
        name.split(".")[1]
        for name, parameter in model.named_parameters()
        if name.startswith("nodes.") and parameter.grad is not None
    }
    triangle = range(column + 1)
    assert reached == {f"x{i}_{j}" for i in triangle for j in triangle if i + j <= column}


def test_unetpp_prediction_ignores_deep_supervision():
    torch.manual_seed(0)
    deep = build_model("unetpp", width=2).eval()
    plain = build_model("unetpp", width=2, deep_supervision=False).eval()
    state = {k: v for k, v in deep.state_dict().items() if not k.startswith("heads.")}
    last = {f"heads.0.{key}": deep.state_dict()[f"heads.3.{key}"] for key in ("weight", "bias")}
    plain.load_state_dict(state | last)
    with torch.no_grad():
        assert torch.equal(plain(IMAGE).logits_BCHW, deep(IMAGE).logits_BCHW)


@pytest.mark.parametrize("rates", [(6, 12, 18), (1, 2, 3)])
def test_deeplabv3plus_has_the_dilations_asked_for(rates):
    with torch.device("meta"):
        model = build_model("deeplabv3plus", encoder="resnet18", atrous_rates=rates)
    decoder = [m for name, m in model.named_modules() if "aspp" in name]
    found = {m.dilation for m in decoder if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)}
    # The separable convolution after ASPP is not dilated.
    assert found == {(rate, rate) for rate in (1, *rates)}
