"""configs/atlas.yaml has every loss, each with a search, and its losses train."""

from __future__ import annotations

import pytest

from orchestrator.config import load_config
from orchestrator.store import Store
from orchestrator.tune.spaces import spaces_of
from tests.conftest import ROOT
from tests.integration.sweeps import run
from workers.catalogue.losses import LOSSES

ATLAS = ROOT / "configs" / "atlas.yaml"


def test_atlas_has_every_loss_and_a_search_for_each():
    config = load_config(ATLAS)
    named = [part for loss in config.losses for part in loss.name.split("+")]
    own = [name for name in LOSSES if LOSSES.origin(name) is None]
    assert [name for name in own if name not in named] == []
    partners = {f"{LOSSES[name].partner}+{name}" for name in own if LOSSES[name].partner}
    assert partners <= {loss.name for loss in config.losses}
    spaces = spaces_of(config)
    assert len(spaces) == len(own)
    assert "weights.boundary" not in spaces["dice+boundary"]  # it has a schedule
    assert "weights.cldice" in spaces["dice+cldice"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_losses_of_the_atlas_train_in_their_smallest_form(tmp_path):
    chosen = [
        "mcc", "lovasz-softmax", "top-k-ce", "structure", "distance-ce",
        "{name: dice+boundary, parameters: {weights: [{start: 1, end: 0, epochs: 2}, 0.1]}}",
        "dice+hausdorff-dt", "dice+cldice",
    ]  # fmt: skip
    run(
        ATLAS,
        f"results={tmp_path / 'results'}", f"data.cache={tmp_path / 'cache'}", "repeats=1",
        "data.image_size=32", "training.max_epochs=1", f"losses=[{', '.join(chosen)}]",
        "datasets=[{name: synthetic-skin, parameters: {num_images: 15}}]",
        "models=[{name: unet, alias: unet-4, parameters: {width: 4}}]",
    )  # fmt: skip
    trials = Store(str(tmp_path / "results")).read("trials")
    assert trials["status"].tolist() == ["completed"] * len(chosen)
