"""A full grid of 3,600 simulated trials with the published tables as margins, and variations.

`published_trials()` has the columns of the store's table `trials`. Its mean Dice by dataset and by
model round to both published tables, and ranking the unrounded means gives both published columns
of points under every tie rule: digits that are not printed separate the two published ties.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.store import Store
from orchestrator.store.codec import encode_rows
from orchestrator.store.files import compacted_path
from orchestrator.store.rows import trial_row
from orchestrator.store.schema import FAILURES, TRIALS
from workers.contract import Component, TrialResult, TrialSpec, TrialStatus

PAPER = Path(__file__).parent / "data" / "paper"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

DATASETS = {
    "Breast-Benign": "breast-benign", "Breast-Malignant": "breast-malignant",
    "CVC-ClinicDB": "cvc-clinicdb", "ISIC-2017": "isic-2017", "Kvasir-SEG": "kvasir-seg",
    "Wound": "wound",
}  # fmt: skip
MODELS = {
    "ColonFormer": "colonformer", "ColonSegNet": "colonsegnet", "DeepLab-V3+": "deeplabv3plus",
    "DuckNet": "duck-net", "EMCADNet": "emcad", "ESFPNet": "esfpnet", "FAT-Net": "fat-net",
    "FCBFormer": "fcbformer", "FCN": "fcn", "U-Net++": "unetpp", "U-Net": "unet",
    "CaraNet": "caranet",
}  # fmt: skip
LOSSES = {
    "IoUFocal": "iou+focal", "DiceBCE": "dice+bce", "IoU": "iou", "IoUBCE": "iou+bce",
    "IoUDice": "iou+dice", "BCE": "bce", "Dice": "dice", "BCEFocal": "bce+focal",
    "DiceFocal": "dice+focal", "Focal": "focal",
}  # fmt: skip
"""Published names, in the order of the published tables, and their names in the catalogue."""

OTHER_MEANS = {
    "iou": (0.7108, 0.7102, 0.7109, 0.7099, 0.7104, 0.7095, 0.7097, 0.7086, 0.7072, 0.6768),
    "precision": (0.8445, 0.8430, 0.8475, 0.8421, 0.8449, 0.8412, 0.8398, 0.8405, 0.8389, 0.8184),
    "recall": (0.8190, 0.8184, 0.8151, 0.8176, 0.8163, 0.8187, 0.8198, 0.8189, 0.8147, 0.8003),
}
"""Overall means in the order of `LOSSES`: the published means, and values that fit between them."""

UNPRINTED = {
    "dataset": {("ISIC-2017", "IoUFocal"): 2e-5, ("ISIC-2017", "Dice"): -2e-5},
    "model": {("U-Net", "IoUFocal"): 2e-5},
}
"""The differences that separate the published ties, below the fourth decimal."""


def margins(axis: str) -> np.ndarray:
    """Returns the published means (blocks, losses) with digits added that the tables round away.

    Each loss then has the same mean over the datasets as over the models.
    """
    blocks = list({"dataset": DATASETS, "model": MODELS}[axis])
    means = {name: _published(name) for name in ("dataset", "model")}
    centre = (means["dataset"].mean(axis=0) + means["model"].mean(axis=0)) / 2
    exact = means[axis].copy()
    for (block, loss), digits in UNPRINTED[axis].items():
        column = list(LOSSES).index(loss)
        exact[blocks.index(block), column] += digits
        others = [row for row in range(len(blocks)) if blocks[row] != block]
        exact[others, column] -= digits / len(others)
    return np.asarray(exact + centre - exact.mean(axis=0))


def published_dice(num_repeats: int = 5, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    """Returns Dice (datasets, models, losses, repeats) with exactly these margins.

    Args:
        num_repeats: Repeats of each combination.
        seed: Seed of all values that the margins do not determine.
        noise: 1 gives a split common to all losses 0.01, each training 0.004 and each
            combination 0.004 of standard deviation; 0 gives none.
    """
    random = np.random.default_rng(seed)
    by_dataset, by_model = margins("dataset"), margins("model")
    mean_L = by_dataset.mean(axis=0)
    shape = (len(DATASETS), len(MODELS), len(LOSSES), num_repeats)
    free = noise * (
        0.010 * random.standard_normal((shape[0], shape[1], 1, shape[3]))
        + 0.004 * random.standard_normal((*shape[:3], 1))
        + 0.004 * random.standard_normal(shape)
    )
    free -= free.mean(axis=(1, 3), keepdims=True)
    free -= free.mean(axis=(0, 3), keepdims=True)
    return np.asarray((by_dataset[:, None] + by_model[None] - mean_L)[..., None] + free)


def published_trials(
    num_repeats: int = 5, seed: int = 0, noise: float = 1.0, *, catalogue_labels: bool = False
) -> pd.DataFrame:
    """Returns the full grid as the store's table `trials`, losses in the published order.

    Args:
        num_repeats: Repeats of each combination.
        seed: See `published_dice`.
        noise: See `published_dice`.
        catalogue_labels: Labels as in configs/paper.yaml (`iou+focal`) instead of published ones.
    """
    dice_DMLR = published_dice(num_repeats, seed, noise)
    means_L = dice_DMLR.mean(axis=(0, 1, 3))
    rows = []
    for index in np.ndindex(dice_DMLR.shape):
        labels = [list(axis)[i] for axis, i in zip((DATASETS, MODELS, LOSSES), index, strict=False)]
        dice = float(dice_DMLR[index])
        metrics = {"dice": dice} | {
            name: 1 - (1 - dice) * (1 - values[index[2]]) / (1 - float(means_L[index[2]]))
            for name, values in OTHER_MEANS.items()
        }
        spec = _spec(labels, index[3], catalogue_labels=catalogue_labels)
        result = _result(spec, metrics | {f"{name}_pooled": v for name, v in metrics.items()})
        rows.append(trial_row(spec, result, attempt=1, committed_at=NOW))
    return pd.DataFrame(rows)[list(TRIALS.column_names)]


def with_winner(trials: pd.DataFrame, loss: str, by: float = 0.02) -> pd.DataFrame:
    """Returns the trials with one loss better in every metric."""
    metrics = [
        name for name in map(str, trials) if name.removesuffix("_pooled") in {*OTHER_MEANS, "dice"}
    ]
    changed = trials.copy()
    rows = changed["loss"] == loss
    changed.loc[rows, metrics] = (changed.loc[rows, metrics] + by).clip(upper=1.0)
    return changed


def with_ties(trials: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Returns the trials in which `second` has the same scores as `first`."""
    keys = ["dataset", "model", "repeat"]
    metrics = [
        name for name in map(str, trials) if name.removesuffix("_pooled") in {*OTHER_MEANS, "dice"}
    ]
    source = trials[trials["loss"] == first].set_index(keys)[metrics]
    changed = trials.copy()
    rows = changed["loss"] == second
    wanted = pd.MultiIndex.from_frame(changed.loc[rows, keys])
    changed.loc[rows, metrics] = source.loc[wanted].to_numpy()
    return changed


def with_missing(trials: pd.DataFrame, num_missing: int, seed: int = 0) -> pd.DataFrame:
    """Returns the trials without some, as after an infrastructure failure."""
    gone = np.random.default_rng(seed).choice(len(trials), num_missing, replace=False)
    return trials.drop(index=trials.index[gone]).reset_index(drop=True)


def with_diverged(trials: pd.DataFrame, num_diverged: int, seed: int = 0) -> pd.DataFrame:
    """Returns the trials with some diverged: no metric, and status and message as in the store."""
    rows = trials.index[
        np.random.default_rng(seed).choice(len(trials), num_diverged, replace=False)
    ]
    changed = trials.copy()
    metrics = [
        name for name in map(str, trials) if name.removesuffix("_pooled") in {*OTHER_MEANS, "dice"}
    ]
    changed.loc[rows, [*metrics, "best_epoch", "best_val_dice"]] = np.nan
    changed.loc[rows, "status"] = str(TrialStatus.DIVERGED)
    changed["message"] = changed["message"].astype(object)
    changed.loc[rows, "message"] = "the loss became NaN"
    return changed


def grid_document(trials: pd.DataFrame, num_repeats: int = 5) -> dict[str, Any]:
    """Returns the document of the complete grid to which these trials belong."""
    axes = {axis: list(dict.fromkeys(trials[axis])) for axis in ("dataset", "model", "loss")}
    return {
        "version": 1,
        "grid_id": "published",
        "protocol_id": str(trials["protocol_id"].iloc[0]),
        "name": "published",
        "saved_at": NOW.isoformat(),
        "datasets": [{"label": label, "title": label} for label in axes["dataset"]],
        "models": [{"label": label, "title": label} for label in axes["model"]],
        "losses": [{"label": label, "title": label} for label in axes["loss"]],
        "repeats": num_repeats,
        "num_trials": len(axes["dataset"]) * len(axes["model"]) * len(axes["loss"]) * num_repeats,
        "trial_ids": [],
        "config": {},
    }


def write_store(trials: pd.DataFrame, folder: Path | str, num_repeats: int = 5) -> Store:
    """Writes a compacted store with these trials, their divergences, and the complete grid."""
    ordered = trials.sort_values(list(TRIALS.order), ignore_index=True)
    store = Store(folder)
    _write(folder, TRIALS, ordered)
    diverged = ordered[ordered["status"] == str(TrialStatus.DIVERGED)]
    if len(diverged):
        failures = diverged.assign(
            failure_class="diverged", traceback="", failed_at=NOW, gpus=float("nan")
        )
        _write(folder, FAILURES, failures)
    store.save_grid(grid_document(trials, num_repeats))
    return store


def _write(folder: Path | str, table: Any, frame: pd.DataFrame) -> None:
    columns = list(table.column_names)
    rows = pa.Table.from_pandas(frame[columns], schema=table.arrow_schema, preserve_index=False)
    rows = rows.replace_schema_metadata(table.arrow_schema.metadata)
    data = encode_rows(rows)
    path = Path(folder) / compacted_path(table, data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _published(axis: str) -> np.ndarray:
    table = pd.read_csv(PAPER / f"fig2_dice_by_{axis}.csv")
    wide = table.pivot_table(index=axis, columns="loss", values="dice")
    blocks = {"dataset": DATASETS, "model": MODELS}[axis]
    return wide.loc[list(blocks), list(LOSSES)].to_numpy()


def _spec(labels: Sequence[str], repeat: int, *, catalogue_labels: bool) -> TrialSpec:
    components = [
        Component(name=names[label], label=names[label] if catalogue_labels else label)
        for names, label in zip((DATASETS, MODELS, LOSSES), labels, strict=True)
    ]
    dataset, model, loss = components
    return TrialSpec(dataset=dataset, model=model, loss=loss, repeat=repeat, seed=42)


def _result(spec: TrialSpec, metrics: dict[str, float]) -> TrialResult:
    number = zlib.crc32(f"{spec.dataset.name} {spec.model.name} {spec.repeat}".encode())
    num_epochs = 60 + number % 90
    return TrialResult(
        status=TrialStatus.COMPLETED,
        metrics=metrics,
        num_epochs=num_epochs,
        best_epoch=num_epochs - 40,
        best_val_dice=metrics["dice"] + 0.01,
        epochs=(),
        images=(),
        predictions=(),
        num_train_images=600,
        num_val_images=200,
        num_test_images=200,
        train_seconds=8.0 * num_epochs + len(spec.model.name),
        peak_memory_bytes=(2 + len(spec.model.name) % 5) * 2**30,
        device="NVIDIA GeForce RTX 4090",
        host="node-1",
        gpu_ids=("0",),
        num_threads=4,
        dataset_fingerprint=f"made-up-{spec.dataset.name}",
        code_version="0.1.0",
        versions={"torch": "2.4.1"},
        message=None,
    )
