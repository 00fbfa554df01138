"""Operations with deterministic gradients, held against torch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.workers.models.demands import without_memory
from workers.catalogue.losses import LOSSES
from workers.catalogue.models import MODELS
from workers.losses import build_loss
from workers.models import resampling
from workers.models.resampling import (
    average_pool,
    enlarge_bilinear,
    global_maximum,
    replace_layers,
    resize_bilinear,
)

NONDETERMINISTIC = (
    "upsample_bilinear2d_backward",
    "upsample_bicubic2d_backward",
    "_adaptive_avg_pool2d_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "reflection_pad2d_backward",
    "grid_sampler_2d_backward",
    "max_unpool2d",
    "nll_loss2d_forward",
    "histc",
    "put_",
    "scatter_reduce",
)
"""Operations of two dimensions that torch.use_deterministic_algorithms refuses on CUDA."""

DECOMPOSED = {"deeplabv3plus": 4, "frozen-vit": 20}
"""Operations of torch's own decomposition: smp calls F.interpolate in ASPP and in DPT."""


@contextmanager
def deterministic(*, enabled: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(enabled)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.fixture
def replaced(monkeypatch):
    """The replacements run on every device."""
    monkeypatch.setattr(resampling, "REPLACED_ON", frozenset({"cpu", "meta", "cuda"}))
    with deterministic(enabled=True):
        yield


def both(run, other, shape: tuple[int, ...]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Returns value and gradient of two functions at one random input."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = []
    for function in (run, other):
        features = start.clone().requires_grad_()
        value = function(features)
        weights = torch.randn(value.shape, generator=generator.manual_seed(1), dtype=torch.float64)
        (value * weights).sum().backward()
        assert features.grad is not None
        found.append((value.detach(), features.grad))
    return found[0], found[1]


def assert_equal(run, other, shape: tuple[int, ...]) -> None:
    ours, torchs = both(run, other, shape)
    torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)


def test_gradient_of_doubled_pixels_by_hand(replaced):
    # Without aligned corners each of two pixels enters four of four with 1, 3/4, 1/4, 0.
    features = torch.tensor([[[[1.0, 5.0]]]], requires_grad=True)
    enlarged = resize_bilinear(features, (1, 4), align_corners=False)
    assert enlarged.flatten().tolist() == [1, 2, 4, 5]
    enlarged.backward(torch.tensor([[[[1.0, 10.0, 100.0, 1000.0]]]]))
    assert features.grad is not None
    assert features.grad.flatten().tolist() == [1 + 7.5 + 25, 2.5 + 75 + 1000]


def test_bins_of_a_pool_by_hand(replaced):
    # Three pixels in two bins: the middle one is in both.
    features = torch.tensor([[[[1.0, 2.0, 6.0]]]], requires_grad=True)
    pooled = average_pool(features, (1, 2))
    assert pooled.flatten().tolist() == [1.5, 4]
    pooled.sum().backward()
    assert features.grad is not None
    assert features.grad.flatten().tolist() == [0.5, 1, 0.5]


side = st.integers(1, 9)


@given(side, side, st.integers(1, 12), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_resizing_equals_torchs(height, width, tall, wide, align):
    with pytest.MonkeyPatch.context() as patch, deterministic(enabled=True):
        patch.setattr(resampling, "REPLACED_ON", frozenset({"cpu"}))
        assert_equal(
            lambda x: resize_bilinear(x, (tall, wide), align_corners=align),
            lambda x: interpolate(x, (tall, wide), mode="bilinear", align_corners=align),
            (2, 3, height, width),
        )


@pytest.mark.parametrize("align", [False, True])
def test_enlarging_equals_torchs(replaced, align):
    assert_equal(
        lambda x: enlarge_bilinear(x, 4, align_corners=align),
        lambda x: interpolate(x, scale_factor=4, mode="bilinear", align_corners=align),
        (2, 3, 5, 7),
    )


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_pools_equal_torchs(replaced, bins):
    assert_equal(
        lambda x: average_pool(x, (bins, bins)),
        lambda x: adaptive_avg_pool2d(x, bins),
        (2, 3, 7, 5),
    )
    assert_equal(global_maximum, lambda x: adaptive_max_pool2d(x, 1), (2, 3, 7, 5))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_the_gradient_keeps_type_and_precision(replaced, kind):
    features = torch.randn(2, 4, 8, 8, dtype=kind, requires_grad=True)
    resize_bilinear(features, (24, 24), align_corners=False).sum().backward()
    assert features.grad is not None
    assert features.grad.dtype == kind
    # Each pixel's weights sum to 9, less at no border: the sum over the map is that of the output.
    torch.testing.assert_close(
        features.grad.double().sum(), torch.tensor(2.0 * 4 * 24 * 24).double(), rtol=3e-3, atol=0
    )


def test_torchs_own_operations_run_on_the_cpu():
    features = torch.randn(1, 2, 4, 4)
    with Trace() as trace:
        with deterministic(enabled=True):
            resize_bilinear(features, (8, 8), align_corners=True)
            average_pool(features, (2, 2))
        global_maximum(features)
    assert trace.names == ["upsample_bilinear2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"]


def test_layers_of_libraries_are_replaced_in_place():
    inner = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(3))
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1), inner, nn.UpsamplingBilinear2d(scale_factor=4), nn.Upsample(8)
    )
    image = torch.randn(1, 3, 8, 8)
    before, names = network(image), list(network.state_dict())
    replace_layers(network)
    assert [type(layer).__name__ for layer in network.modules()] == [
        "Sequential", "Conv2d", "Sequential", "BilinearUpsample", "AveragePool", "BilinearUpsample",
        "Upsample",
    ]  # fmt: skip
    assert list(network.state_dict()) == names
    assert torch.equal(network(image), before)


class Trace(TorchDispatchMode):
    """Keeps the names of the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "smp"])
def test_networks_call_only_deterministic_operations(name, replaced):
    network = without_memory(name).train()
    image_BCHW = torch.zeros(2, 3, 64, 64, device="meta")
    with Trace() as trace:
        output = network(image_BCHW)
        maps = (output.logits_BCHW, *output.supervised())
        sum((logits_BCHW.square().mean() for logits_BCHW in maps), torch.zeros(())).backward()
    assert "convolution_backward" in trace.names
    assert not set(trace.names) & set(NONDETERMINISTIC)
    assert trace.names.count("_unsafe_index_put") == DECOMPOSED.get(name, 0)


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_call_only_deterministic_operations(name):
    logits_BCHW = torch.randn(2, 1, 8, 8, requires_grad=True)
    target_BHW = torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    with Trace() as trace:
        build_loss(name)(logits_BCHW, target_BHW).backward()
    assert not set(trace.names) & set(NONDETERMINISTIC)
