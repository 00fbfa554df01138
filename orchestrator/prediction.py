"""Trained networks of finished trials, and what they predict for new images."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.ranking.podium import podium_rows
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import scores_of
from orchestrator.store import Store
from orchestrator.target import RANKED_COLUMNS, read_target, require_results
from orchestrator.wording import count_text, list_text
from workers.contract import TrialSpec, TrialStatus, UserError
from workers.datasets.files.pictures import UnreadableImageError, read_header
from workers.durable import replace_file

if TYPE_CHECKING:
    from workers.prediction import Ensemble, TrainedModel

OVERLAY_COLOUR = (255, 159, 28)
OVERLAY_SHARE = 0.45
_COLUMNS = (
    "trial_id",
    "protocol_id",
    "status",
    "dataset",
    "model",
    "loss",
    "repeat",
    "best_val_dice",
    "spec",
)


def load_model(
    results: str | Path, trial_id: str, *, device: str = "cpu", bits: int | None = None
) -> TrainedModel:
    """Returns the trained network of a finished trial with its preparation of images.

    Args:
        results: A results folder or URI.
        trial_id: Id of the trial, or its beginning.
        device: Where to compute, such as `cuda`.
        bits: How many bits the levels of 16-bit images use; None refuses such images.

    Raises:
        UserError: There is no such trial, or its weights were not kept.
    """
    store = Store(results)
    return _load(store, _find(store, _trials(store), trial_id), device, bits)


def load_ensemble(
    results: str | Path, trial_id: str, *, device: str = "cpu", bits: int | None = None
) -> Ensemble:
    """Returns the networks of all repeats of a trial's protocol, dataset, model and loss.

    Arguments and errors as for `load_model`; a repeat without kept weights is an error too.
    """
    from workers.prediction import Ensemble

    store = Store(results)
    trials = _trials(store)
    one = _find(store, trials, trial_id)
    axes = ["protocol_id", "dataset", "model", "loss"]
    same = trials[(trials[axes] == one[axes]).all(axis=1)].sort_values("repeat")
    return Ensemble([_load(store, row, device, bits) for _, row in same.iterrows()])


def best_trial(
    results: str | Path, *, dataset: str | None = None, protocol: str | None = None
) -> str:
    """Returns the id of the best trial of the leading loss, by its validation Dice.

    The leader is that of the podium by dataset, or by model if there is one dataset; of joint
    leaders, the one with the higher mean. The test images do not choose among its trials.

    Args:
        results: A results folder or URI.
        dataset: Label of the dataset; needed if there are several.
        protocol: The protocol_id, or its beginning, if the results have several.

    Raises:
        UserError: No trial is finished, or the dataset is missing or unknown.
    """
    store = Store(results)
    trials = _trials(store)
    target = read_target(results, protocol=protocol, columns=RANKED_COLUMNS)
    labels = sorted(set(target.table.rows["dataset"]))
    if dataset is None and len(labels) > 1:
        msg = f"--best: name one of the datasets with --dataset: {list_text(labels, 20)}"
        raise UserError(msg)
    dataset = dataset or labels[0]
    if dataset not in labels:
        msg = f"--dataset {dataset}: no such dataset; known: {list_text(labels, 20)}"
        raise UserError(msg)
    ranking = rank(scores_of(target.table, target.expected), agreement=False)
    podium = ranking.podium("dataset" if len(labels) > 1 else "model")
    if podium is None:
        msg = f"{target.name}: no podium, so that no loss is the best; name a trial with --trial"
        raise UserError(msg)
    leader = podium_rows(podium, break_ties=True)[0].loss
    trials = trials[trials["protocol_id"].isin(target.table.rows["protocol_id"])]
    chosen = trials[(trials["dataset"] == dataset) & (trials["loss"] == leader)]
    chosen = chosen[chosen["status"] == TrialStatus.COMPLETED]
    if chosen.empty:
        msg = f"{target.name}: {leader} has no completed trial on {dataset}"
        raise UserError(msg)
    return str(chosen.sort_values("best_val_dice")["trial_id"].iloc[-1])


def predict(
    model: TrainedModel | Ensemble, images: Sequence[str | Path], out: str | Path
) -> Iterator[tuple[Path, int]]:
    """Writes NAME_mask.png, NAME_probability.png (0 to 255) and NAME_overlay.png of each image.

    All have the size of the image.

    Args:
        model: A network, or several.
        images: Files; their names without suffix must differ.
        out: The folder; it is created.

    Yields:
        The file of the mask, and the number of its lesion pixels, after each image.

    Raises:
        UserError: Two images have one name, an image is in the folder or cannot be read, or a file
            cannot be written.
    """
    paths = [Path(image) for image in images]
    names = [path.stem for path in paths]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        msg = f"{count_text(len(paths), 'image')}: {double[0]!r} names several of them; rename one"
        raise UserError(msg)
    folder = Path(out)
    beside = next((path for path in paths if path.resolve().parent == folder.resolve()), None)
    if beside is not None:
        msg = (
            f"--out {folder}: has the image {beside.name} itself, and a file of yours "
            "could be replaced; choose another folder"
        )
        raise UserError(msg)
    for path in paths:
        picture, probability = model.picture(path), model.probability(path)
        mask = probability > 0.5
        grey = np.round(probability * 255).astype(np.uint8)
        tinted = picture * (1 - OVERLAY_SHARE) + np.array(OVERLAY_COLOUR) * OVERLAY_SHARE
        overlay = np.where(mask[..., None], tinted.astype(np.uint8), picture)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for kind, pixels in (("probability", grey), ("overlay", overlay), ("mask", mask)):
                replace_file(folder / f"{path.stem}_{kind}.png", _png(pixels))
        except OSError as error:
            msg = f"--out {folder}: cannot be written: {error.strerror}; choose another folder"
            raise UserError(msg) from error
        yield folder / f"{path.stem}_mask.png", int(mask.sum())


def turned_notes(images: Sequence[str | Path]) -> tuple[str, ...]:
    """Returns a note on each image whose file asks viewers to turn it, which a mask does not.

    Raises:
        UserError: An image cannot be read.
    """
    notes = []
    for path in images:
        try:
            header = read_header(Path(path))
        except UnreadableImageError as error:
            msg = f"{path}: cannot be read: {error.reason}"
            raise UserError(msg) from error
        if header.orientation != 1:
            notes.append(
                f"{path}: its EXIF orientation {header.orientation} is not applied: the network "
                "saw it as stored, and the masks are as stored; turn the pixels if it was trained "
                "on upright ones"
            )
    return tuple(notes)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _trials(store: Store) -> pd.DataFrame:
    require_results(store)
    return store.read("trials", _COLUMNS)


def _find(store: Store, trials: pd.DataFrame, trial_id: str) -> pd.Series:
    """Returns the row of the trial whose id begins with the text."""
    found = trials[trials["trial_id"].str.startswith(trial_id)] if trial_id else trials[:0]
    if len(found) == 1:
        return found.iloc[0]
    several = f"{len(found)} trials begin so" if len(found) else "no finished trial begins so"
    query = "SELECT trial_id, dataset, model, loss, repeat FROM trials"
    remedy = f'podium query {shlex.quote(store.name)} "{query}"'
    msg = f"--trial {trial_id}: {several}; {remedy} lists them"
    raise UserError(msg)


def _load(store: Store, row: pd.Series, device: str, bits: int | None) -> TrainedModel:
    from workers.prediction import TrainedModel

    weights = store.weights(row["trial_id"])
    if weights is None:
        what = (
            "it diverged"
            if row["status"] == TrialStatus.DIVERGED
            else "runtime.keep_weights was none when it was trained; to train it again with "
            "keep_weights: best, choose another folder of results"
        )
        msg = f"trial {row['trial_id']}: its weights were not kept: {what}"
        raise UserError(msg)
    spec = TrialSpec.from_json(json.loads(row["spec"]))
    return TrainedModel(spec, weights, device=device, bits=bits)
