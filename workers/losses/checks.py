"""Checks that every loss must pass, whoever wrote it: `podium check loss`."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from workers.catalogue import complete_options
from workers.catalogue.losses.entry import CASES, LossEntry
from workers.losses import SegmentationLoss, Term, build_loss, term_of
from workers.losses.maps import map_of_batch

Loss = Callable[[Tensor, Tensor], Tensor]
Outcome = Literal["passed", "failed", "not checked"]

_FUZZED_MASKS = 256
_LEARNED_IOU = 0.7


class _FailedError(Exception):
    """A check found a difference; the message says which."""


class _NotCheckedError(Exception):
    """A check does not concern this loss; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        name: Its name, as in `LossEntry.exempt`.
        promise: What it checks, for people.
        function: Returns what it found; raises if the loss does not pass.
    """

    name: str
    promise: str
    function: Callable[[LossEntry], str]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The outcome of one check, with a detail: what was found, or why it failed."""

    check: Check
    outcome: Outcome
    detail: str


def check_loss(entry: LossEntry) -> list[Found]:
    """Returns the outcome of every check of a loss with its default parameters."""
    return [run_check(check, entry) for check in CHECKS]


def run_check(check: Check, entry: LossEntry) -> Found:
    """Returns the outcome of one check; an error inside the loss is a failure."""
    outcome: Outcome = "passed"
    if check.name in entry.exempt:
        return Found(check=check, outcome="not checked", detail=entry.exempt[check.name])
    try:
        detail = check.function(entry)
    except _NotCheckedError as reason:
        outcome, detail = "not checked", str(reason)
    except _FailedError as reason:
        outcome, detail = "failed", str(reason)
    except Exception as error:  # noqa: BLE001 - the code of a loss may raise anything
        outcome, detail = "failed", f"{type(error).__name__}: {error}"
    return Found(check=check, outcome=outcome, detail=detail)


def loss_of(entry: LossEntry) -> SegmentationLoss:
    """Returns the loss of an entry with its default parameters."""
    return SegmentationLoss([_term(entry)])


def _term(entry: LossEntry) -> Term:
    return term_of(entry, complete_options(entry.options, {}))


def _slope(loss: Loss, logits_BCHW: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns value and gradient."""
    logits_BCHW = logits_BCHW.detach().clone().requires_grad_()
    value = loss(logits_BCHW, target)
    (gradient,) = torch.autograd.grad(value, logits_BCHW)
    return value.detach(), gradient


def _require_finite(loss: Loss, logits_BCHW: Tensor, target: Tensor, where: str) -> None:
    value, gradient = _slope(loss, logits_BCHW, target)
    if not value.isfinite():
        msg = f"the value is {value.item()} {where}"
        raise _FailedError(msg)
    if not gradient.isfinite().all():
        msg = f"the gradient has NaN or infinity {where}"
        raise _FailedError(msg)


def _example(
    num_channels: int = 1, size: tuple[int, int] = (4, 5), dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Returns logits and target of two images that are always the same."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, num_channels, *size, generator=generator, dtype=torch.float64)
    target = torch.randint(max(2, num_channels), (2, *size), generator=generator)
    return logits.to(dtype), target


def _channels(entry: LossEntry) -> tuple[int, ...]:
    return (1,) if entry.one_channel else (1, 3)


def _check_values(entry: LossEntry) -> str:
    if not entry.values:
        msg = "the entry states no `values`"
        raise _NotCheckedError(msg)
    for case, expected in zip(CASES, entry.values, strict=False):
        logits = torch.tensor(case.logits, dtype=torch.float64)[None, None]
        value = loss_of(entry)(logits, torch.tensor(case.mask)[None]).item()
        if not abs(value - expected) <= 1.5e-6:
            msg = f"{value:.6f} for the case {case.name!r}, where the entry states {expected:.6f}"
            raise _FailedError(msg)
    return f"{len(entry.values)} values to six digits"


def _check_precision(entry: LossEntry) -> str:
    worst = 0.0
    for num_channels in _channels(entry):
        logits, target = _example(num_channels, (16, 16))
        value, gradient = _slope(loss_of(entry), logits, target)
        single, slope = _slope(loss_of(entry), logits.float(), target)
        if (value.dtype, single.dtype) != (torch.float64, torch.float32):
            msg = f"{single.dtype} for float32 logits, {value.dtype} for float64 logits"
            raise _FailedError(msg)
        scale = gradient.abs().max().clamp(min=1e-12)
        worst = max(
            worst,
            abs(single.item() - value.item()) / max(1.0, abs(value.item())),
            ((slope - gradient).abs().max() / scale).item(),
        )
    if not worst <= 1e-4:
        msg = f"float32 differs from float64 by {worst:.1e} (at most 1e-4 is allowed)"
        raise _FailedError(msg)
    return f"float32 is within {worst:.0e} of float64"


def _check_gradient(entry: LossEntry) -> str:
    worst, step = 0.0, 1e-6
    for num_channels in _channels(entry):
        logits, target = _example(num_channels)
        loss = loss_of(entry)
        _, gradient = _slope(loss, logits, target)
        for number, slope in enumerate(gradient.flatten().tolist()):
            moved = [logits.clone(), logits.clone()]
            moved[0].view(-1)[number] += step
            moved[1].view(-1)[number] -= step
            above, below = (loss(one, target).item() for one in moved)
            worst = max(worst, abs((above - below) / (2 * step) - slope))
    if not worst <= 1e-6:
        msg = f"differs from finite differences by {worst:.1e} (at most 1e-6 is allowed)"
        raise _FailedError(msg)
    return f"within {worst:.0e} of finite differences"


def _masks() -> Iterator[tuple[str, Tensor]]:
    """Yields the masks at which losses break, (2, 6, 7)."""
    empty = torch.zeros(2, 6, 7, dtype=torch.long)
    one = empty.clone()
    one[:, 2, 3] = 1
    half = empty.clone()
    half[:, :, :3] = 1
    yield "an empty mask", empty
    yield "a full mask", empty + 1
    yield "a mask of one pixel", one
    yield "a mask without one pixel", 1 - one
    yield "one empty and one half mask", torch.stack((empty[0], half[1]))


def _check_extremes(entry: LossEntry) -> str:
    loss, number = loss_of(entry), 0
    for (name, mask), size in itertools.product(_masks(), (0.0, 1.0, 100.0, 1e4)):
        right = (2 * mask[:, None] - 1).float()
        mixed = torch.randn(right.shape, generator=torch.Generator().manual_seed(1)).sign()
        for logits in (size * right, -size * right, size * mixed):
            _require_finite(loss, logits, mask, f"at logits of +-{size:g} and {name}")
            number += 1
    return f"finite in {number} cases up to logits of 1e4"


def _check_half_precision(entry: LossEntry) -> str:
    for dtype in (torch.bfloat16, torch.float16):
        logits, target = _example(size=(16, 16), dtype=dtype)
        expected, _ = _slope(loss_of(entry), logits.float(), target)
        with torch.autocast("cpu", dtype=dtype):
            value, gradient = _slope(loss_of(entry), logits, target)
        if not torch.equal(value, expected):
            msg = (
                f"{value.item()} for {dtype}, but {expected.item()} for the same logits in float32"
            )
            raise _FailedError(msg)
        if not gradient.isfinite().all():
            msg = f"the gradient has NaN or infinity for {dtype}"
            raise _FailedError(msg)
        _require_finite(
            loss_of(entry), 60000 * logits.sign(), target, f"at {dtype} logits of +-60000"
        )
    return "bfloat16 and float16 give the value of float32"


def _check_sizes(entry: LossEntry) -> str:
    for num_images, height, width in ((1, 1, 1), (1, 1, 9), (3, 9, 1), (1, 32, 33)):
        mask = torch.ones(num_images, height, width, dtype=torch.long)
        mask[..., ::2] = 0
        logits = torch.linspace(-3, 3, mask.numel()).view(num_images, 1, height, width)
        where = f"for {num_images} image(s) of {height} x {width} pixels"
        _require_finite(loss_of(entry), logits, mask, where)
    return "one image, one pixel, one row and one column"


def _check_channels(entry: LossEntry) -> str:
    logits, target = _example(3)
    if entry.one_channel:
        try:
            loss_of(entry)(logits, target)
        except ValueError as refusal:
            return f"refused: {refusal}"
        msg = "three channels are not refused, but `one_channel` says so"
        raise _FailedError(msg)
    _require_finite(loss_of(entry), logits, target, "with three classes")
    _require_finite(loss_of(entry), 1e4 * logits, target, "with three classes and logits of 1e4")
    _require_finite(loss_of(entry), logits, 0 * target, "with three classes, two of them absent")
    return "three classes, also absent classes"


def _check_batch(entry: LossEntry) -> str:
    logits, target = _example(size=(8, 8))
    loss = loss_of(entry)
    kept = logits.clone(), target.clone()
    value = loss(logits, target).item()
    if not (torch.equal(logits, kept[0]) and torch.equal(target, kept[1])):
        msg = "it changes its arguments in place"
        raise _FailedError(msg)
    if loss(logits, target).item() != value:
        msg = "two calls with the same arguments give two values"
        raise _FailedError(msg)
    _require_close(
        loss(logits.flip(0), target.flip(0)).item(), value, "another order of the images"
    )
    return "the order of the images does not matter, and nothing is remembered"


def _require_close(value: float, expected: float, where: str) -> None:
    if not abs(value - expected) <= 1e-9 * max(1.0, abs(expected)):
        msg = f"{value:.9g} for {where}, {expected:.9g} before"
        raise _FailedError(msg)


def _check_translation(entry: LossEntry) -> str:
    """Moves lesion and prediction by (3, 4) px in a frame where the background is certain."""
    generator = torch.Generator().manual_seed(2)
    target = torch.zeros(1, 64, 64, dtype=torch.long)
    target[:, 29:35, 28:36] = (torch.rand(6, 8, generator=generator) < 0.7).long()
    logits = torch.full((1, 1, 64, 64), -60.0, dtype=torch.float64)
    logits[..., 26:38, 26:38] = 2 * torch.randn(12, 12, generator=generator, dtype=torch.float64)
    value = loss_of(entry)(logits, target).item()
    moved = loss_of(entry)(logits.roll((3, 4), (-2, -1)), target.roll((3, 4), (-2, -1))).item()
    _require_close(moved, value, "a lesion that moved by (3, 4) px")
    return "the place of the lesion does not matter"


def _check_order(entry: LossEntry) -> str:
    target = torch.zeros(2, 16, 16, dtype=torch.long)
    target[0, 3:9, 4:12] = 1
    target[1, 8:12, 2:6] = 1
    right = (2 * target[:, None] - 1).double()
    wrong, unsure, good = (loss_of(entry)(size * right, target).item() for size in (-4, 0, 4))
    if not good - 1e-9 <= unsure <= wrong + 1e-9 or not good < wrong:
        msg = f"{wrong:.4g} if all pixels are wrong, {unsure:.4g} at p = 0.5, {good:.4g} if right"
        raise _FailedError(msg)
    return f"{wrong:.4g} wrong, {unsure:.4g} at p = 0.5, {good:.4g} right"


def fuzz(entry: LossEntry, num_masks: int, seed: int = 0) -> None:
    """Raises if random masks and logits give NaN or infinity in value or gradient.

    Args:
        entry: The loss.
        num_masks: How many masks at least, in batches of 1 to 11.
        seed: Seed of masks and logits.
    """
    generator = torch.Generator().manual_seed(seed)
    loss, done, number = loss_of(entry), 0, 0
    while done < num_masks:
        num_images, height, width = torch.randint(1, 12, (3,), generator=generator).tolist()
        # Below 0 and above 1: empty and full masks.
        density = torch.rand(num_images, 1, 1, generator=generator) * 1.4 - 0.2
        mask = (torch.rand(num_images, height, width, generator=generator) < density).long()
        size = 10 ** (5 * torch.rand(num_images, 1, 1, 1, generator=generator) - 1)
        logits = size * torch.randn(num_images, 1, height, width, generator=generator)
        _require_finite(loss, logits, mask, f"in the random batch {number} of seed {seed}")
        done, number = done + num_images, number + 1


def _check_random_masks(entry: LossEntry) -> str:
    fuzz(entry, _FUZZED_MASKS)
    return f"{_FUZZED_MASKS} random masks"


def _check_learning(entry: LossEntry) -> str:
    """Trains a tiny network on bright squares in noise."""
    generator = torch.Generator().manual_seed(3)
    target = torch.zeros(8, 16, 16, dtype=torch.long)
    for image, (top, left) in enumerate(torch.randint(1, 9, (8, 2), generator=generator).tolist()):
        target[image, top : top + 6, left : left + 6] = 1
    images = target[:, None] + 0.3 * torch.randn(8, 1, 16, 16, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)
        )
    terms = [_term(entry)]
    if entry.partner:
        terms = [*build_loss(entry.partner).terms, *terms]
    loss = SegmentationLoss(terms)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss(network(images), target).backward()
        optimizer.step()
    predicted = network(images).squeeze(1) > 0
    iou = ((predicted & (target == 1)).sum() / (predicted | (target == 1)).sum()).item()
    name = f"{entry.partner}+{entry.name}" if entry.partner else entry.name
    if not iou >= _LEARNED_IOU:
        msg = (
            f"a tiny network trained with {name} reaches an IoU of {iou:.2f}, below {_LEARNED_IOU}"
        )
        raise _FailedError(msg)
    return f"a tiny network trained with {name} reaches an IoU of {iou:.2f}"


def seconds_per_step(loss: SegmentationLoss, size: tuple[int, int], num_runs: int) -> float:
    """Returns the least time of value and gradient for four images of one channel, seconds.

    Maps of the truth are computed before, as in a trial.
    """
    logits, target = _example(size=size, dtype=torch.float32)
    logits, target = logits.repeat(2, 1, 1, 1), target.repeat(2, 1, 1)
    needs = {need for term in loss.terms for need in term.needs}
    maps = {need: map_of_batch(need, target[:, None].float()) for need in needs}
    with_maps = functools.partial(loss, maps=maps)
    best = math.inf
    for _ in range(num_runs):
        began = time.perf_counter()
        _slope(with_maps, logits, target)
        best = min(best, time.perf_counter() - began)
    return best


def _check_cost(entry: LossEntry) -> str:
    own, bce = (seconds_per_step(one, (128, 128), 3) for one in (loss_of(entry), build_loss("bce")))
    return f"{own / bce:.1f} times the time of bce per step on this CPU, at 4 x 128 x 128 pixels"


CHECKS = (
    Check(name="values", promise="has the values by hand", function=_check_values),
    Check(name="precision", promise="float32 is as float64", function=_check_precision),
    Check(name="gradient", promise="has the gradient of its value", function=_check_gradient),
    Check(name="extremes", promise="is finite at great logits", function=_check_extremes),
    Check(name="half", promise="is exact for 16-bit logits", function=_check_half_precision),
    Check(name="sizes", promise="takes images of any size", function=_check_sizes),
    Check(name="channels", promise="takes or refuses several classes", function=_check_channels),
    Check(name="batch", promise="depends on nothing else", function=_check_batch),
    Check(name="translation", promise="is the same at any place", function=_check_translation),
    Check(name="order", promise="is less for better predictions", function=_check_order),
    Check(name="random", promise="has no NaN for random masks", function=_check_random_masks),
    Check(name="learning", promise="a tiny network learns", function=_check_learning),
    Check(name="cost", promise="time of a step", function=_check_cost),
)
"""The checks in their order; a new check is one line here."""
