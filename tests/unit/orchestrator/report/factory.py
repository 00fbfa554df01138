"""A made-up store of any size: plausible curves, lesions and failures, the same every time."""

from __future__ import annotations

import dataclasses
import io
import json
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.table import check_trials
from orchestrator.report.data import RankedSweep, ReportData, Sampling, arrange
from orchestrator.titles import Titles

DATASETS = {
    "synthetic-skin": "Skin (synthetic)",
    "synthetic-wound": "Wound (synthetic)",
    "synthetic-endoscopy-wide": "Endoscopy, wide (synthetic)",
    "synthetic-endoscopy-close": "Endoscopy, close (synthetic)",
    "synthetic-ultrasound-benign": "Ultrasound, benign (synthetic)",
    "synthetic-ultrasound-malignant": "Ultrasound, malignant (synthetic)",
}
MODELS = {
    "fcn": "FCN", "deeplabv3plus": "DeepLab-V3+", "unet": "U-Net", "unetpp": "U-Net++",
    "colonsegnet": "ColonSegNet", "fatnet": "FAT-Net", "fcbformer": "FCBFormer",
    "colonformer": "ColonFormer", "caranet": "CaraNet", "esfpnet": "ESFPNet",
    "ducknet": "DuckNet", "emcadnet": "EMCADNet",
}  # fmt: skip
LOSSES = {
    "iou": "IoU", "bce": "BCE", "iou+focal": "IoUFocal", "focal": "Focal",
    "dice": "Dice", "iou+dice": "IoUDice", "iou+bce": "IoUBCE", "dice+bce": "DiceBCE",
    "dice+focal": "DiceFocal", "bce+focal": "BCEFocal",
}  # fmt: skip
TITLES = Titles(datasets=DATASETS, models=MODELS, losses=LOSSES)
LEVELS = {"iou+focal": 0.012, "bce": 0.011, "dice+bce": 0.010, "iou": 0.008, "focal": -0.035}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of a store before the check; tests take rows away or change them."""

    trials: pd.DataFrame
    epochs: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    failures: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    siblings: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    grid: Mapping[str, object] | None = None
    titles: Titles | None = None
    metric: str = "dice"
    ties: TieRule = "split"
    protocol: str | None = None
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    missing: tuple[str, ...] = ()

    def checked(self) -> ReportData:
        return ReportData(
            trials=check_trials(self.trials, metric=self.metric, protocol=self.protocol),
            epochs=self.epochs,
            failures=self.failures,
            predictions=self.predictions,
            siblings=self.siblings,
            grid=self.grid,
            titles=self.titles,
            ties=self.ties,
            sampling=self.sampling,
            missing=self.missing,
        )


def arranged(data: Tables) -> RankedSweep:
    return arrange(data.checked())


def seeded(*parts: object) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(parts).encode()))


def make_data(
    num_datasets: int = 6,
    num_models: int = 2,
    num_losses: int = 4,
    num_repeats: int = 2,
    *,
    num_epochs: int = 24,
    image_size: int = 96,
    predictions: bool = True,
    titles: Titles | None = TITLES,
    name: str = "Quickstart",
) -> Tables:
    """Makes a complete store; tests take rows away or change them."""
    datasets = _first(DATASETS, num_datasets, "dataset")
    models, losses = list(MODELS)[-num_models:], list(LOSSES)[:num_losses]
    if num_models <= 4:
        models = ["unet", "fcn", "unetpp", "deeplabv3plus"][:num_models]
    trials, epochs, shown = [], [], []
    for number, dataset in enumerate(datasets):
        for model in models:
            for loss in losses:
                for repeat in range(num_repeats):
                    trial, curve = _trial(number, dataset, model, loss, repeat, num_epochs)
                    trials.append(trial)
                    epochs.extend(curve)
                    if predictions and repeat == 0:
                        shown.extend(_predictions(trial, image_size))
    grid = {
        "name": name,
        "datasets": datasets,
        "models": models,
        "losses": losses,
        "repeats": num_repeats,
        "num_trials": len(trials),
    }
    return Tables(
        trials=pd.DataFrame(trials),
        epochs=pd.DataFrame(epochs),
        predictions=pd.DataFrame(shown),
        grid=grid,
        titles=titles,
    )


def renamed(data: Tables, names: dict[str, dict[str, str]]) -> Tables:
    """Gives labels other names, by axis; the specifications, which have the labels too, go."""
    frames = {
        name: getattr(data, name).replace(names) for name in ("trials", "epochs", "predictions")
    }
    frames["trials"] = frames["trials"].drop(columns="spec")
    return dataclasses.replace(data, **frames, grid=None, titles=None)


def make_failure(data: Tables, position: int, failure_class: str = "bug") -> dict[str, object]:
    """Makes the failure row of one trial."""
    trial = data.trials.iloc[position]
    return {
        **{key: trial[key] for key in ("trial_id", "protocol_id", "dataset", "model", "loss")},
        "repeat": trial["repeat"],
        "attempt": 1,
        "failure_class": failure_class,
        "message": "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x512 and 256x1)",
        "traceback": 'Traceback (most recent call last):\n  File "decoder.py", line 88, in forward'
        "\n    return self.head(features)\nRuntimeError: mat1 and mat2 shapes cannot be multiplied",
        "host": "node-3",
        "spec": trial["spec"],
        "failed_at": trial["committed_at"],
    }


def _first(known: dict[str, str], number: int, word: str) -> list[str]:
    names = list(known)
    return names[:number] + [f"{word}-{index:02d}" for index in range(len(names), number)]


def _trial(
    number: int, dataset: str, model: str, loss: str, repeat: int, num_epochs: int
) -> tuple[dict[str, object], list[dict[str, object]]]:
    rng = seeded(dataset, model, loss, repeat)
    level = 0.88 - 0.045 * (number % 5) + 0.03 * (zlib.crc32(model.encode()) % 7) / 7
    final = level + LEVELS.get(loss, 0.0) + rng.normal(0, 0.012)
    length = int(rng.integers(max(num_epochs * 2 // 3, 1), num_epochs + 1))
    steps = np.arange(1, length + 1)
    pace = num_epochs / (4 + 3 * rng.random())
    dice = final * (1 - np.exp(-steps / pace)) / (1 - np.exp(-length / pace))
    dice = np.clip(dice + rng.normal(0, 0.012, length) * np.exp(-steps / num_epochs), 0.01, 0.99)
    identity = f"{zlib.crc32(repr((dataset, model, loss, repeat)).encode()):08x}"
    key = {"dataset": dataset, "model": model, "loss": loss, "repeat": repeat}
    curve = [
        {
            "trial_id": identity, **key, "epoch": int(epoch),
            "train_loss": float(1 - value), "val_dice": float(value),
            "val_iou": float(value / (2 - value)), "seconds": 1.5,
        }
        for epoch, value in zip(steps, dice, strict=True)
    ]  # fmt: skip
    test = float(np.clip(final - 0.01, 0, 1))
    spec = {
        **{
            axis: {"name": key[axis], "parameters": {}, "label": key[axis]}
            for axis in ("dataset", "model", "loss")
        },
        "repeat": repeat,
        "seed": 42,
        "data": {"image_size": 64, "split": [0.6, 0.2, 0.2], "normalisation": "imagenet"},
        "training": {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 8,
                     "max_epochs": num_epochs, "patience": 8, "precision": "float32"},
    }  # fmt: skip
    trial = {
        "schema_version": 1, "trial_id": identity, "protocol_id": "5f0c6f4d9a31", **key,
        "dataset_name": dataset, "model_name": model, "loss_name": loss, "seed": 42,
        "status": "completed", "dice": test, "iou": test / (2 - test),
        "recall": min(test + 0.02, 1.0), "precision": max(test - 0.02, 0.0),
        "best_epoch": int(dice.argmax()) + 1, "best_val_dice": float(dice.max()),
        "num_epochs": length, "num_train_images": 60, "num_val_images": 20, "num_test_images": 20,
        "train_seconds": 1.5 * length, "peak_memory_bytes": 612 * 2**20, "image_size": 64,
        "arithmetic": "float32", "deterministic": True, "device": "cpu (2 cores)",
        "host": "bench", "gpu_ids": "", "num_threads": 1,
        "dataset_fingerprint": f"{zlib.crc32(dataset.encode()):08x}a91c",
        "code_version": "0.1.0+g3f2c9d1",
        "versions": json.dumps({"python": "3.11.9", "torch": "2.9.1", "numpy": "2.4.6"}),
        "spec": json.dumps(spec), "attempt": 1, "resumed_from_epoch": None, "message": None,
        "committed_at": pd.Timestamp("2026-11-22T09:00:00Z")
        + pd.Timedelta(minutes=int(rng.integers(0, 170))),
    }  # fmt: skip
    return trial, curve


def _predictions(trial: dict[str, object], size: int) -> list[dict[str, object]]:
    keys = ("trial_id", "dataset", "model", "loss", "repeat")
    rows = []
    for image in ("0007.png", "0031.png"):
        picture, distance = _lesion(str(trial["dataset"]), image, size)
        rng = seeded(trial["trial_id"], image)
        wobble = _smooth(rng, size) * (0.9 if trial["loss"] == "focal" else 0.45)
        logits = (distance + 0.5 * wobble + rng.normal(0, 0.05)) * 6
        low, high = float(logits.min()), float(logits.max())
        grey = np.round((logits - low) / (high - low) * 255).astype(np.uint8)
        rows.append(
            {
                **{key: trial[key] for key in keys},
                "image": image,
                "image_jpeg": _bytes(Image.fromarray(picture), "JPEG", quality=88),
                "truth_png": _bytes(Image.fromarray(distance > 0).convert("1"), "PNG"),
                "logits_png": _bytes(Image.fromarray(grey), "PNG"),
                "logit_min": low,
                "logit_max": high,
            }
        )
    return rows


def _lesion(dataset: str, image: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a picture (H, W, 3) and the signed depth inside its lesion (H, W)."""
    rng = seeded(dataset, image)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    angle = rng.random() * np.pi
    centre = rng.uniform(-0.12, 0.12, 2)
    u = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    v = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    radius = np.hypot(u / rng.uniform(0.22, 0.34), v / rng.uniform(0.15, 0.24))
    distance = 1 - radius + 0.25 * _smooth(rng, size)
    skin, lesion = _look(dataset)
    share = 1 / (1 + np.exp(-8 * distance))[..., None]
    picture = skin * (1 - share) + lesion * share
    picture = picture * (1 + 0.10 * _smooth(rng, size)[..., None]) + rng.normal(
        0, 5, (size, size, 1)
    )
    return np.clip(picture, 0, 255).astype(np.uint8), distance


def _look(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    looks: dict[str, Sequence[tuple[int, int, int]]] = {
        "skin": [(226, 186, 160), (112, 70, 56)],
        "wound": [(214, 170, 142), (160, 46, 44)],
        "endoscopy": [(176, 84, 70), (214, 128, 106)],
        "ultrasound": [(110, 110, 110), (38, 38, 40)],
    }
    for word, (around, inside) in looks.items():
        if word in dataset:
            return np.array(around, float), np.array(inside, float)
    return np.array((190.0, 190, 180)), np.array((90.0, 80, 110))


def _smooth(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns a smooth random field (size, size) of about unit spread."""
    coarse = rng.normal(0, 1, (7, 7)).astype(np.float32)
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=float)


def _bytes(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
