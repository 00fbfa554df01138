"""Checks that a loss returns one number that depends on the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from workers.contract import SpecificationError


def one_number(value: object, logits_BCHW: Tensor, name: str) -> Tensor:
    """Returns the value of a loss as a scalar; neither copies nor waits for the device.

    Args:
        value: Return value of the loss.
        logits_BCHW: The logits that the loss got.
        name: The loss, for messages.

    Raises:
        SpecificationError: It is not a tensor, does not have exactly one value, is not of a
            floating type, or does not depend on logits that need a gradient.
    """
    if not isinstance(value, Tensor):
        found, remedy = f"a {type(value).__name__}", "return a tensor with one value"
    elif value.numel() != 1:
        found = f"a tensor of shape {tuple(value.shape)}"
        remedy = "return one value, such as the mean (reduction='mean', or .mean() at the end)"
    elif not value.dtype.is_floating_point:
        found, remedy = f"a tensor of type {value.dtype}", "return a floating type, such as float32"
    elif logits_BCHW.requires_grad and torch.is_grad_enabled() and not _from(value, logits_BCHW):
        found = "a value without a gradient to the logits, from which no network can learn"
        remedy = (
            "compute it from the logits with functions of torch, without detach(), item(), numpy "
            "or torch.tensor(); for a batch in which nothing is to be learned return "
            "0 * logits.sum()"
        )
    else:
        return value.reshape(())
    msg = f"loss {name!r} returned {found}; {remedy}"
    raise SpecificationError(msg)


def _from(value: Tensor, logits_BCHW: Tensor) -> bool:
    """Returns whether the graph of a value leads to the logits; the search stops there."""
    logits = torch.autograd.graph.get_gradient_edge(logits_BCHW).node
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is logits:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return False
