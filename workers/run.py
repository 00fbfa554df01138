"""Runs one trial: a specification in, epoch records on the way, one result out."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from workers.catalogue.losses import needed_maps
from workers.catalogue.models import input_normalisation, min_train_batch
from workers.catalogue.weights import Weights
from workers.checkpoint import TrainingState
from workers.contract import (
    Checkpoints,
    Component,
    ImageCounts,
    OnEpoch,
    Prediction,
    Runtime,
    SiblingKind,
    SpecificationError,
    TrialResult,
    TrialSpec,
    TrialStatus,
    UserError,
)
from workers.datasets import open_dataset
from workers.datasets.cache import DatasetArrays, MaskMap, load_arrays
from workers.datasets.split import split_indices
from workers.environment import (
    code_version,
    device_name,
    package_versions,
    peak_memory_bytes,
    prepare_process,
    reserved_memory_bytes,
)
from workers.evaluation import (
    NonFiniteOutputError,
    choose_examples,
    count_images,
    predict_examples,
    sigmoid_note,
)
from workers.identity import trial_id
from workers.losses import build_loss
from workers.losses.maps import map_of_mask
from workers.metrics.scores import score_images
from workers.models import build_model
from workers.outside import add_files, outside_versions
from workers.prediction import pack_weights
from workers.requirements import (
    BLIND_VALIDATION,
    batch_problem,
    left_out_note,
    size_problem,
    supervision_problem,
)
from workers.seeding import derive_seed
from workers.task import Task, prepare_task
from workers.training import DivergedError, train
from workers.weights import file_sha256, weight_files


def run_trial(
    spec: TrialSpec, runtime: Runtime, checkpoints: Checkpoints, on_epoch: OnEpoch
) -> TrialResult:
    """Trains one trial and, if it is measured on test images, scores it on them.

    Args:
        spec: What to train.
        runtime: Where and with what the trial runs.
        checkpoints: Where the state of an unfinished trial is saved.
        on_epoch: Called once per epoch, also for the epochs that a checkpoint already has.

    Returns:
        The result; its status is `diverged` if the loss, or the output on a validation or test
        image, became NaN or infinite.

    Raises:
        UserError: The data is missing, unreadable or too small for the split.
        SpecificationError: The network cannot be built, a training step has too few images, the
            number of auxiliary weights does not fit, or network or loss return something that is
            not allowed.
    """
    add_files(runtime.code)  # before the process is prepared: a file may change what that sets
    device = prepare_process(spec.training, runtime)
    task, arrays = _load_task(spec, runtime, device)
    fingerprint = arrays.fingerprint
    _refuse_misfit(spec, len(task.split.train))
    files = weight_files(spec.model, runtime.weights, Path(runtime.cache_dir))
    model = initial_model(spec.model, files, seed=spec.seed, repeat=spec.repeat).to(device)
    if spec.training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    sources = {f"weights {item.name}": file_sha256(file)[:12] for item, file in files}
    loss = build_loss(spec.loss.name, **spec.loss.parameters)
    torch.manual_seed(derive_seed(spec.seed, "training", spec.repeat))
    try:
        state = train(
            model,
            loss,
            task,
            checkpoints,
            on_epoch,
            learning_rate=spec.learning_rate,
            checkpoint_key=f"{trial_id(spec)} {fingerprint}",
            checkpoint_interval_seconds=runtime.checkpoint_interval_seconds,
            min_train_batch=min_train_batch(
                spec.model.name, spec.model.parameters, spec.data.image_size
            ),
        )
        return _result(spec, runtime, task, arrays, state, model, sources)
    except DivergedError as error:
        state, message = error.state, str(error)
    except NonFiniteOutputError as error:
        message = f"test with the weights of epoch {state.best_epoch}: {error}"
    except RuntimeError as error:
        _explain_nondeterminism(spec, error)
        raise
    return _result(spec, runtime, task, arrays, state, None, sources, message=message)


def _explain_nondeterminism(spec: TrialSpec, error: RuntimeError) -> None:
    """Raises SpecificationError if the network has an operation that torch refuses.

    On CUDA torch refuses an operation without a deterministic form. The networks of the catalogue
    have no such operation (`workers.models.resampling`); a network from another package can.
    """
    operation, found, _ = str(error).partition(" does not have a deterministic implementation")
    if found:
        msg = (
            f"model {spec.model.label!r} or loss {spec.loss.label!r}: {operation} has no "
            "deterministic implementation on this device; set training.deterministic to false, "
            "which is part of the trial's identity, or use another operation"
        )
        raise SpecificationError(msg) from error


def _load_task(
    spec: TrialSpec, runtime: Runtime, device: torch.device
) -> tuple[Task, DatasetArrays]:
    root = Path(runtime.data_root) if runtime.data_root else None
    dataset = open_dataset(spec.dataset, root)
    arrays = load_arrays(
        dataset,
        spec.data.image_size,
        Path(runtime.cache_dir),
        spec.data.mask_resize,
        {} if spec.training.augmentation else _maps(spec),
    )
    _refuse_changed(spec.dataset, runtime, arrays.fingerprint)
    split = split_indices(
        arrays.relations.groups(spec.data),
        spec.data.split,
        unit=spec.data.split_unit,
        seed=spec.seed,
        repeat=spec.repeat,
        fixed_test=spec.data.fixed_test,
    )
    if spec.data.measured_on == "val":
        # From here on nothing in the trial knows the test images.
        split = replace(split, test=np.zeros(0, dtype=np.int64))
    task = prepare_task(
        arrays,
        split,
        spec.training,
        device,
        # Pretrained weights bring their own input scaling.
        normalisation=input_normalisation(spec.model.name, spec.model.parameters)
        or spec.data.normalisation,
        seed=spec.seed,
        repeat=spec.repeat,
    )
    return task, arrays


def _packages(spec: TrialSpec) -> list[str]:
    """Returns the packages that make a trial's augmented images or the maps of its masks."""
    used = {"kornia": spec.training.augmentation, "scipy": needed_maps(spec.loss.name)}
    return [package for package, use in used.items() if use]


def _maps(spec: TrialSpec) -> dict[str, MaskMap]:
    """Returns the functions of the maps that the loss needs, by name."""
    return {name: functools.partial(map_of_mask, name) for name in needed_maps(spec.loss.name)}


def _refuse_changed(dataset: Component, runtime: Runtime, fingerprint: str) -> None:
    expected = runtime.dataset_fingerprint
    if expected is not None and fingerprint != expected:
        msg = (
            f"dataset {dataset.label!r}: its content below {runtime.data_root} changed while "
            f"the sweep ran (fingerprint {fingerprint[:12]}, at the start {expected[:12]}); bring "
            "the files back and run again, or set results to another location"
        )
        raise UserError(msg)


def _refuse_misfit(spec: TrialSpec, num_train_images: int) -> None:
    problems = (
        size_problem(spec),
        batch_problem(spec, num_train_images),
        supervision_problem(spec),
    )
    for problem in filter(None, problems):
        raise SpecificationError(problem)


def initial_model(
    model: Component, files: Sequence[tuple[Weights, Path]], *, seed: int, repeat: int
) -> nn.Module:
    """Returns the untrained network of a trial.

    Args:
        model: Name and parameters.
        files: Pretrained weights with their files on this node.
        seed: Seed of the sweep.
        repeat: Number of the repeat; each repeat has other random weights.

    Raises:
        SpecificationError: The network cannot be built, or the files do not fit.
    """
    torch.manual_seed(derive_seed(seed, "weights", repeat))
    try:
        return build_model(model.name, num_classes=1, weight_files=files, **model.parameters)
    except UserError as error:
        message = f"model {model.label!r}: {error}"
        raise SpecificationError(message) from error


def _result(
    spec: TrialSpec,
    runtime: Runtime,
    task: Task,
    arrays: DatasetArrays,
    state: TrainingState,
    model: nn.Module | None,
    sources: Mapping[str, str],
    message: str | None = None,
) -> TrialResult:
    notes = [message, left_out_note(spec, len(task.split.train))]
    if not task.source_masks[task.split.val].any():
        notes.append(BLIND_VALIDATION)
    if runtime.gpu_ids and task.device.type == "cpu":
        notes.append("a GPU was assigned, but torch sees none: trained on the CPU")
    counts = np.zeros((0, 4), dtype=np.int64)
    test = np.sort(task.split.test)
    siblings: tuple[SiblingKind, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    weights = None
    tested = model is not None and spec.data.measured_on == "test"
    if model is not None and tested:
        counts = count_images(model, task, task.indices(test))
        siblings = arrays.relations.in_train(task.split.train, test, spec.data.similar_distance)
        number = runtime.num_examples if spec.repeat == 0 else 0
        predictions = predict_examples(
            model, task, choose_examples(task.source_masks, test, number)
        )
        weights = pack_weights(model) if runtime.keep_weights else None
    if model is not None:
        notes.append(sigmoid_note(model, task, spec.model.label))
    return TrialResult(
        status=TrialStatus.DIVERGED if model is None else TrialStatus.COMPLETED,
        metrics=score_images(counts) if tested else {},
        num_epochs=state.epoch,
        best_epoch=state.best_epoch,
        best_val_dice=state.best_dice,
        epochs=tuple(state.history),
        images=tuple(
            ImageCounts(image=task.names[i], tp=tp, fp=fp, fn=fn, tn=tn, train_sibling=sibling)
            for i, (tp, fp, fn, tn), sibling in zip(
                test.tolist(), counts.tolist(), siblings, strict=False
            )
        ),
        predictions=predictions,
        num_train_images=len(task.split.train),
        num_val_images=len(task.split.val),
        num_test_images=len(task.split.test),
        train_seconds=state.seconds,
        peak_memory_bytes=peak_memory_bytes(task.device),
        reserved_memory_bytes=reserved_memory_bytes(task.device),
        device=device_name(task.device),
        host=platform.node(),
        gpu_ids=runtime.gpu_ids,
        num_threads=runtime.num_threads,
        dataset_fingerprint=arrays.fingerprint,
        code_version=code_version(),
        versions={**package_versions(*_packages(spec)), **outside_versions(spec), **sources},
        message="; ".join(filter(None, notes)) or None,
        weights=weights,
    )
