"""Real images through the whole path: the six datasets in their original layouts."""

import numpy as np
import pytest

from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from tests.conftest import ROOT
from tests.integration.sweeps import run
from tests.integration.test_cli import podium
from workers.metrics.scores import score_images

pytestmark = [pytest.mark.sample, pytest.mark.slow]

SAMPLE = ROOT / "configs" / "sample.yaml"


def best_constant_dice(counts):
    """Returns the mean Dice of the better constant mask: all pixels lesion, or no pixel."""
    tp, fp, fn, tn = counts.T
    nothing = np.zeros_like(tp)
    everywhere = np.stack([tp + fn, fp + tn, nothing, nothing], axis=1)
    nowhere = np.stack([nothing, nothing, tp + fn, fp + tn], axis=1)
    return max(score_images(everywhere)["dice"], score_images(nowhere)["dice"])


@pytest.mark.timeout(120)
def test_all_six_datasets_train(tmp_path, sample_data):
    run(
        SAMPLE,
        f"data.root={sample_data}", f"results={tmp_path / 'results'}",
        f"data.cache={tmp_path / 'cache'}", "data.image_size=32", "training.max_epochs=1",
        "models=[{name: unet, alias: unet-4, parameters: {width: 4}}]", "losses=[iou+focal]",
    )  # fmt: skip
    trials = Store(str(tmp_path / "results")).read("trials")
    assert len(trials) == 6
    assert trials["dice"].between(0, 1).all()
    images = trials.set_index("dataset")[
        ["num_train_images", "num_val_images", "num_test_images"]
    ].sum(axis=1)
    assert images.to_dict() == {
        "isic-2017": 16, "wound": 40, "cvc-clinicdb": 60, "kvasir-seg": 60,
        "breast-benign": 32, "breast-malignant": 30,
    }  # fmt: skip
    assert trials["dataset_fingerprint"].nunique() == 6


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_unet_learns_lesions_from_real_images(tmp_path, sample_data):
    """The study's best loss beats the best constant mask by half on three datasets."""
    overrides = [
        f"data.root={sample_data}", f"results={tmp_path / 'results'}",
        "datasets=[cvc-clinicdb, kvasir-seg, breast-benign]", "losses=[iou+focal]",
        "models=[{name: unet, alias: unet-r18, parameters: {encoder: resnet18}}]",
    ]  # fmt: skip
    flags = [part for item in overrides for part in ("--set", item)]
    done = podium("run", SAMPLE, *flags)
    assert done.returncode == 0, done.stderr
    assert not open_sweep(SAMPLE, overrides).plan.pending
    store = Store(str(tmp_path / "results"))
    images = store.read("images")
    for trial in store.read("trials").itertuples():
        counts = images[images["trial_id"] == trial.trial_id][["tp", "fp", "fn", "tn"]].to_numpy()
        assert trial.dice >= 1.5 * best_constant_dice(counts), trial.dataset
