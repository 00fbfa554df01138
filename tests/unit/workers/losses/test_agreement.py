"""Values and gradients of public code on two images of 7 x 6 pixels, as that code gave them.

`tests/data/losses.json` has for each reference its source and version, what was called with the
logits x, p = sigmoid(x) and the mask y, and the value and gradient that came out. smp sums over the
batch, MONAI by image; PraNet's call has its `reduce='none'` replaced by `reduction='none'`, and two
lines of mlyg's file have another indentation. No code of these packages is needed to run the test.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from workers.losses import build_loss

DATA = json.loads((Path(__file__).parents[3] / "data" / "losses.json").read_text("utf-8"))
REFERENCES = DATA["references"]


@pytest.mark.parametrize(
    "reference", REFERENCES, ids=lambda one: f"{one['source']}-{one['loss']}-{one['parameters']}"
)
def test_value_and_gradient_equal_those_of_public_code(reference):
    logits = torch.tensor(DATA["logits"], dtype=torch.float64)[:, None].requires_grad_()
    loss = build_loss(reference["loss"], **reference["parameters"])
    value = loss(logits, torch.tensor(DATA["mask"]))
    value.backward()
    assert value.item() == pytest.approx(reference["value"], abs=1e-6)
    expected = torch.tensor(reference["gradient"], dtype=torch.float64)
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.flatten(), expected, rtol=0, atol=1e-6)
