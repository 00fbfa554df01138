"""What the study asks of a network on images of any size, layout and type."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.unit.workers.models.filling import noise, relative_error
from workers.catalogue.losses import STUDY_LOSSES
from workers.losses import build_loss
from workers.models import build_model


@functools.cache
def without_memory(name: str, **parameters: Any) -> Any:
    """Returns a network on torch's meta device: shapes without memory.

    It is built once for all tests; each test sets the mode, train or eval.
    """
    with torch.device("meta"):
        return build_model(name, **parameters)


def count(*modules: nn.Module) -> int:
    """Returns the trainable parameters."""
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)


def gmacs_224(model: nn.Module) -> float:
    """Returns the multiply-adds of one image of 224x224 pixels, in 1e9."""
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        model.eval()(torch.zeros(1, 3, 224, 224))
    return float(flops.get_total_flops()) / 2e9


def check_sizes_and_layouts(model: nn.Module, *sizes: tuple[int, int]) -> None:
    """Outputs have the image's size, and channels_last gives the numbers of contiguous."""
    images = [noise((1, 3, *size), stream=7) for size in sizes]
    outputs: list[list[Tensor]] = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model.eval().to(memory_format=layout)
        with torch.no_grad():
            results = [model(image.to(memory_format=layout)) for image in images]
        outputs.append([m for result in results for m in (result.logits_BCHW, *result.auxiliary)])
    model.to(memory_format=torch.contiguous_format)
    num_maps = len(outputs[0]) // len(sizes)
    assert [m.shape for m in outputs[0]] == [
        (1, 1, *size) for size in sizes for _ in range(num_maps)
    ]
    for contiguous, channels_last in zip(*outputs, strict=True):
        assert relative_error(channels_last, contiguous) < 1e-4


def check_ten_losses(model: nn.Module, image: Tensor, *, autocast: bool) -> None:
    """Every loss and gradient is finite; the parameters that are not frozen get a gradient."""
    model.train().zero_grad()
    truth = noise((len(image), *image.shape[2:]), stream=8) > 0
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = model(image)
        values = [
            sum(build_loss(name)(m, truth) for m in (output.logits_BCHW, *output.supervised()))
            for name in STUDY_LOSSES
        ]
    assert output.logits_BCHW.dtype == (torch.bfloat16 if autocast else torch.float32)
    for value in values:
        assert value.isfinite()
        (gradient,) = torch.autograd.grad(value, output.logits_BCHW, retain_graph=True)
        assert gradient.isfinite().all()
    # What is not finite for one loss is not finite in the sum.
    sum(values).backward()
    model.eval()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
