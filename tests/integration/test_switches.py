"""Speed switches keep resume, the paired design and the next trial of a reused process intact."""

import shutil

import pytest
import torch
from torch import nn

from orchestrator.engine.inline import InlineEngine
from tests.integration.sweeps import assert_same_tables, run, write_config
from tests.integration.test_resume import StoppingTrainer
from workers import run as worker
from workers.models import SegmentationOutput
from workers.models.output import check_image
from workers.optimisation import OPTIMIZERS

TRAINING = {"max_epochs": 3, "patience": 3, "batch_size": 4}
SWITCHES = {
    "bfloat16": {"precision": "bfloat16"},
    "no channels_last": {"channels_last": False},
    "tf32": {"tf32": True},
    "fused_optimizer": {"fused_optimizer": True},
    "not deterministic": {"deterministic": False},
    "compiled": {"compiled": True},
    "float16": {"precision": "float16", "fused_optimizer": True, "gradient_clip_norm": 0.1},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "step",
            "schedule_interval": 1},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01, "betas": [0.8, 0.99],
              "schedule": "poly", "schedule_unit": "step", "warmup_epochs": 1},
    "augmented": {"augmentation": "strong"},
    "averaged": {"ema": 0.9, "gradient_clip_norm": 0.1, "schedule": "cosine", "warmup_epochs": 1},
    "all": {"precision": "bfloat16", "tf32": True, "fused_optimizer": True, "compiled": True,
            "optimizer": "adamw", "weight_decay": 0.01, "ema": 0.9, "gradient_clip_norm": 0.1,
            "schedule": "cosine", "schedule_unit": "step", "warmup_epochs": 1,
            "augmentation": "geometric"},
}  # fmt: skip
each_switch = pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())


class TwoLayers(nn.Module):
    """A network of two convolutions with batch norm, which compiles quickly."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, image_BCHW):
        check_image(image_BCHW)
        return SegmentationOutput(self.head(self.hidden(image_BCHW)))


@pytest.fixture(autouse=True)
def small(monkeypatch, request):
    """Trains two layers in place of a U-Net; skips compiled tests if no compiler is installed."""
    switch = (
        request.node.callspec.params.get("switch", {}) if hasattr(request.node, "callspec") else {}
    )
    if switch.get("compiled") and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler for training.compiled")
    monkeypatch.setattr(worker, "build_model", lambda *_, **__: TwoLayers())
    yield
    torch.set_float32_matmul_precision("highest")


def config(folder, switch, **changes):
    folder.mkdir(exist_ok=True)
    return write_config(folder, training=TRAINING | switch, repeats=1, **changes)


@pytest.mark.slow
@pytest.mark.timeout(120)
@each_switch
def test_a_stopped_trial_continues_bit_for_bit(tmp_path, switch):
    whole, stopped = config(tmp_path / "a", switch), config(tmp_path / "b", switch)
    run(whole)
    report, _ = run(stopped, engine=InlineEngine(StoppingTrainer(2)))
    assert report.interrupted
    assert list((tmp_path / "b" / "results" / "_checkpoints").glob("*.pt"))
    run(stopped)
    assert_same_tables(tmp_path / "a" / "results", tmp_path / "b" / "results")
    kernels = list((tmp_path / "a" / "cache" / "compiled").rglob("*.so"))
    assert bool(kernels) == ("compiled" in switch)


@each_switch
def test_switches_keep_initial_weights_and_images_of_all_losses(tmp_path, monkeypatch, switch):
    starts, batches = [], []

    def note(model, loss, task, *_, **__):
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        images, masks = task.batch(task.epoch_order(1)[:4], task.augmentation(1))
        batches.append(torch.cat([images, masks[:, None]], dim=1))
        starts.append((weights, task.split, task.epoch_order(1), torch.get_rng_state()))
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "train", note)
    for number, changes in enumerate(({}, switch)):
        for loss in ("dice", "bce"):
            run(config(tmp_path / f"{number}{loss}", changes, losses=[loss]))
    weights, split, order, state = starts[0]
    assert len(starts) == 4
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[2], batches[3])
    assert torch.equal(batches[0], batches[2]) != ("augmentation" in switch)
    for other_weights, other_split, other_order, other_state in starts[1:]:
        assert all(torch.equal(weights[key], other_weights[key]) for key in weights)
        assert split.train.tolist() == other_split.train.tolist()
        assert split.test.tolist() == other_split.test.tolist()
        assert torch.equal(order, other_order)
        assert torch.equal(state, other_state)


@pytest.mark.slow
@pytest.mark.timeout(120)
@each_switch
def test_a_switch_does_not_leak_into_the_next_trial(tmp_path, switch):
    run(config(tmp_path / "fresh", {}))
    run(config(tmp_path / "other", switch))
    run(config(tmp_path / "after", {}))
    assert_same_tables(tmp_path / "fresh" / "results", tmp_path / "after" / "results")


@pytest.mark.parametrize("on", [False, True])
def test_switches_without_effect_on_a_cpu_reach_torch(tmp_path, monkeypatch, on):
    fused = []
    adam = torch.optim.Adam

    def noting(*arguments, **options):
        fused.append(options["fused"])
        return adam(*arguments, **options)

    monkeypatch.setitem(OPTIMIZERS, "adam", (noting, OPTIMIZERS["adam"][1]))
    run(config(tmp_path, {"tf32": on, "fused_optimizer": on}, losses=["dice"]))
    assert fused == [True if on else None]
    assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
    assert torch.backends.cudnn.allow_tf32 is on
    assert torch.backends.cuda.matmul.allow_tf32 is on


def test_compiling_without_a_compiler_reports_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    report, _ = run(config(tmp_path, {"compiled": True}))
    assert "no C++ compiler" in report.outcomes[0].message
    assert "set training.compiled to false" in report.outcomes[0].message
