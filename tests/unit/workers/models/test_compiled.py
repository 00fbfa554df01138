"""`training.compiled`: a network is one graph without a break, and the same function."""

import pytest
import torch

from tests.unit.workers.models.test_conformance import SMALL
from workers.models import build_model


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "parameters"), SMALL)
def test_a_network_is_captured_whole(name, parameters):
    """By the backend that runs the graph as it is: what breaks would break in every backend."""
    torch.compiler.reset()
    torch.manual_seed(0)
    model = build_model(name, **parameters).train()
    image_BCHW = torch.rand(2, 3, 64, 64)
    captured = torch.compile(model, dynamic=False, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.manual_seed(1)
        expected = model(image_BCHW)
        torch.manual_seed(1)
        found = captured(image_BCHW)
    torch.compiler.reset()
    assert torch.equal(found.logits_BCHW, expected.logits_BCHW)
    assert len(found.supervised()) == len(expected.supervised())
