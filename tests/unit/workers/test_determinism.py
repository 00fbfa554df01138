"""An operation without a deterministic form is named, with the key that allows it."""

from __future__ import annotations

import pytest
import torch

from workers import run as running
from workers.contract import (
    Component,
    DataProtocol,
    Runtime,
    SpecificationError,
    TrainingProtocol,
    TrialSpec,
)
from workers.run import run_trial


class NoCheckpoints:
    def load(self):
        return None

    def save(self, state):
        pass


def test_a_refused_operation_names_model_and_remedy(tmp_path, monkeypatch):
    # `put_` is refused on the CPU too.
    def loss(logits_BCHW, target_BHW):
        wrong = torch.zeros(1).put_(torch.zeros(1, dtype=torch.long), torch.ones(1))
        return logits_BCHW.mean() * wrong.sum()

    monkeypatch.setattr(running, "build_loss", lambda *_, **__: loss)
    spec = TrialSpec(
        dataset=Component(
            name="synthetic-skin", parameters={"num_images": 10, "seed": 0, "size": 32}
        ),
        model=Component(name="unet", parameters={"width": 2}, label="mine"),
        loss=Component(name="dice", label="own"),
        repeat=0,
        seed=1,
        data=DataProtocol(image_size=32),
        training=TrainingProtocol(max_epochs=1),
    )
    runtime = Runtime(data_root=None, cache_dir=str(tmp_path))
    with pytest.raises(SpecificationError, match=r"'mine' or loss 'own'.*put_.*deterministic to f"):
        run_trial(spec, runtime, NoCheckpoints(), lambda _: None)
