"""Networks with frozen parameters: what is trained, and that a stopped training continues."""

from __future__ import annotations

from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch

from tests.unit.workers.models.filling import noise
from workers.checkpoint import TrainingState, pack, unpack
from workers.contract import EpochRecord, UserError
from workers.models import build_model

TINY = {"encoder": "tu-vit_tiny_patch16_224"}
IMAGE = noise((2, 3, 32, 32), stream=3)
FROZEN: list[tuple[str, dict[str, Any]]] = [("frozen-vit", TINY), ("fanet", {"iterations": 2})]


def start(name, parameters, seed=0):
    torch.manual_seed(seed)
    model = build_model(name, **parameters)
    return model, torch.optim.Adam(model.parameters(), lr=1e-2)


def train(model, optimizer, steps):
    model.train()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        (model(IMAGE).logits_BCHW - IMAGE[:, :1]).square().mean().backward()
        optimizer.step()


def test_output_equals_smps_dpt_of_the_same_weights():
    model, _ = start("frozen-vit", TINY)
    dpt = smp.DPT(
        "tu-vit_tiny_patch16_224", encoder_weights=None, decoder_readout="ignore",
        decoder_intermediate_channels=(48, 96, 192, 384), decoder_fusion_channels=64,
        dynamic_img_size=True,
    )  # fmt: skip
    dpt.load_state_dict({k.removeprefix("network."): v for k, v in model.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(model.eval()(IMAGE).logits_BCHW, dpt.eval()(IMAGE))


def test_encoder_stays_in_evaluation_mode():
    model, _ = start("frozen-vit", TINY)
    model.train()
    assert not any(module.training for module in model.network.encoder.modules())
    assert all(module.training for module in model.network.decoder.modules())


@pytest.mark.parametrize(("name", "parameters"), FROZEN)
def test_training_changes_only_parameters_that_are_not_frozen(name, parameters):
    model, optimizer = start(name, parameters)
    before = {key: value.clone() for key, value in model.named_parameters()}
    train(model, optimizer, 1)
    for key, value in model.named_parameters():
        assert torch.equal(value, before[key]) != value.requires_grad, key


@pytest.mark.parametrize(("name", "parameters"), FROZEN)
def test_resumed_training_has_the_bits_of_an_unstopped_one(name, parameters):
    model, optimizer = start(name, parameters)
    train(model, optimizer, 1)
    state = TrainingState()
    state.update(EpochRecord(epoch=1, train_loss=0, val_dice=0, val_iou=0, seconds=0), model)
    content = pack("key", state, model, optimizer)
    train(model, optimizer, 1)
    other, other_optimizer = start(name, parameters, seed=1)
    assert unpack(content, "key", other, other_optimizer, torch.device("cpu")) is not None
    train(other, other_optimizer, 1)
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_patches_that_do_not_divide_32_pixels_are_refused():
    message = r"'tu-vit_small_patch14_dinov2' does not fit DPT: its patches of 14x14 pixels"
    with pytest.raises(UserError, match=message):
        build_model("frozen-vit", encoder="tu-vit_small_patch14_dinov2")
