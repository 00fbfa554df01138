"""The shipped configurations load, begin with their question, and have the stated content."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from workers.catalogue.losses import STUDY_LOSSES
from workers.contract import DataProtocol, TrainingProtocol

CONFIGS = Path(__file__).parents[4] / "configs"
ALL = sorted(CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_configuration_loads_and_begins_with_a_question(path):
    config = load_config(path)
    assert config.name == path.stem
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert "?" in first


def test_paper_is_exactly_the_published_protocol():
    config = load_config(CONFIGS / "paper.yaml")
    grid = build_grid(config)
    assert len(grid.trials) == 6 * 12 * 10 * 5 == 3600
    assert [c.label for c in config.datasets] == [
        "isic-2017", "wound", "cvc-clinicdb", "kvasir-seg", "breast-benign", "breast-malignant",
    ]  # fmt: skip
    assert [c.label for c in config.models] == [
        "fcn", "deeplabv3plus", "unet", "unetpp", "colonsegnet", "fat-net", "fcbformer",
        "colonformer", "caranet", "esfpnet", "duck-net", "emcad",
    ]  # fmt: skip
    assert tuple(c.name for c in config.losses) == STUDY_LOSSES
    spec = grid.trials[-1]
    assert (spec.repeat, spec.seed) == (4, 42)
    assert spec.data == DataProtocol(image_size=224, split=(0.6, 0.2, 0.2))
    assert spec.training == TrainingProtocol(
        optimizer="adam", learning_rate=0.001, batch_size=8, max_epochs=200, patience=40
    )


def test_quickstart_needs_no_data_and_has_every_model():
    config = load_config(CONFIGS / "quickstart.yaml")
    assert set(config.roots.values()) == {None}
    assert len(config.datasets) == 6
    assert len(config.models) >= 2
    assert len(config.losses) >= 4
    assert config.repeats >= 2


@pytest.mark.sample
def test_sample_finds_the_real_sample(sample_data):
    config = load_config(CONFIGS / "sample.yaml", [f"data.root={sample_data}"])
    assert len(config.datasets) == 6
    assert set(config.roots.values()) == {str(sample_data.resolve())}
