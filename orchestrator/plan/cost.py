"""Expected cost of trials: from measured seconds if there are any, otherwise from arithmetic."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.records import CommittedTrial
from workers.catalogue.costs import gpu_step_seconds, measured_steps, model_size, pass_seconds
from workers.catalogue.datasets import DATASETS
from workers.contract import Component, TrialSpec, TrialStatus

ASSUMED_GMACS_PER_CPU_THREAD = 30.0
"""1e9 multiply-adds per second in training. Measured on one 2020s x86 core: 22 for a U-Net of width
8 at 64 pixels, 57 for one of width 32."""

ASSUMED_NUM_IMAGES = 500
"""Number of images of a user's own folder until a trial has counted them."""

BACKWARD_FACTOR = 3
"""A training step costs three forward passes: one forward, two backward."""


class EstimateSource(StrEnum):
    """Where an estimate comes from, best first."""

    MEASURED = "measured"
    SAME_MODEL = "same model, scaled by images"
    CALIBRATED = "multiply-adds, calibrated"
    TABLE = "the shipped table of steps, scaled"
    ASSUMED = "multiply-adds, assumed speed"
    ASSUMED_GPU = "operations, arithmetic and bytes of a step, assumed speed"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Expected seconds of one trial and where they come from."""

    seconds: float
    source: EstimateSource


class CostModel:
    """Estimates the seconds of trials of one protocol on given resources.

    It uses completed trials on the same kind of device (CPU or GPU); CPU seconds are scaled to the
    number of threads.
    """

    def __init__(
        self,
        rows: Iterable[CommittedTrial],
        specs: Iterable[TrialSpec],
        protocol_id: str,
        *,
        cpus_per_trial: float,
        gpus_per_trial: float,
        gpu_shares: Mapping[str, float] | None = None,
        num_images: Mapping[str, int] | None = None,
        device: str = "",
    ) -> None:
        """Summarises the rows.

        Args:
            rows: Committed trials, of any protocol.
            specs: The grid's trials; they define the labels of the rows.
            protocol_id: The grid's protocol.
            cpus_per_trial: Cores of one trial.
            gpus_per_trial: GPUs of one trial; with 0 it runs on the CPU.
            gpu_shares: GPU share by model label, if it differs from `gpus_per_trial`.
            num_images: Number of images by dataset label, if they are counted.
            device: Name of the GPU, if it is known; the shipped table may contain it.
        """
        self._threads = max(1, int(cpus_per_trial))
        self._gpus = gpus_per_trial
        self._shares = gpu_shares or {}
        self._device = device
        models = {spec.model.label: spec.model for spec in specs}
        self._gmacs = {label: gmacs_224(model) for label, model in models.items()}
        self._pass_seconds = {
            label: pass_seconds(model.name, model.parameters, threads=self._threads)
            for label, model in models.items()
        }
        self._seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._epochs: dict[str, list[float]] = defaultdict(list)
        self._images: dict[str, tuple[int, int]] = {}
        self._counted = num_images or {}
        self._model_work: dict[str, tuple[float, float]] = {}
        self._all_work = (0.0, 0.0)
        for row in rows:
            if self._usable(row):
                self._add(row, own=row.protocol_id == protocol_id)

    def estimate(self, spec: TrialSpec) -> Estimate:
        """Returns the expected seconds of a trial."""
        measured = self._seconds.get((spec.dataset.label, spec.model.label))
        if measured:
            return Estimate(seconds=_mean(measured), source=EstimateSource.MEASURED)
        pixels = self._pixels(spec)
        if spec.model.label in self._model_work:
            work, seconds = self._model_work[spec.model.label]
            return Estimate(seconds=pixels * seconds / work, source=EstimateSource.SAME_MODEL)
        gmacs = pixels * self._gmacs[spec.model.label]
        work, seconds = self._all_work
        if work > 0:
            return Estimate(seconds=gmacs * seconds / work, source=EstimateSource.CALIBRATED)
        table = self._pass_seconds.get(spec.model.label)
        if self._gpus > 0:
            return self._on_gpu(spec)
        if table is not None:
            return Estimate(seconds=pixels * table / BACKWARD_FACTOR, source=EstimateSource.TABLE)
        speed = self._threads * ASSUMED_GMACS_PER_CPU_THREAD
        return Estimate(seconds=gmacs / speed, source=EstimateSource.ASSUMED)

    def _on_gpu(self, spec: TrialSpec) -> Estimate:
        """Returns the seconds of all batches; a small batch costs the host as much as a large."""
        train, val = self._num_images(spec)
        batch = spec.training.batch_size
        seconds = gpu_step_seconds(
            spec.model.name,
            spec.model.parameters,
            image_size=spec.data.image_size,
            batch_size=batch,
            share=min(1.0, self._shares.get(spec.model.label, self._gpus)),
            device=self._device,
        )
        epoch = math.ceil(train / batch) * seconds.step + math.ceil(val / batch) * seconds.forward
        source = EstimateSource.TABLE if spec.model.name in measured_steps(self._device) else None
        return Estimate(
            seconds=self._num_epochs(spec) * epoch, source=source or EstimateSource.ASSUMED_GPU
        )

    def _usable(self, row: CommittedTrial) -> bool:
        on_gpu = not row.device.lower().startswith("cpu")
        timed = math.isfinite(row.train_seconds) and row.train_seconds > 0
        done = row.status == TrialStatus.COMPLETED and row.num_epochs > 0
        return timed and done and on_gpu == (self._gpus > 0)

    def _add(self, row: CommittedTrial, *, own: bool) -> None:
        threads = 1.0 if self._gpus > 0 else max(1, row.num_threads) / self._threads
        seconds = row.train_seconds * threads
        if own:
            self._seconds[row.dataset, row.model].append(seconds)
            self._epochs[row.model].append(row.num_epochs)
            self._images[row.dataset] = (row.num_train_images, row.num_val_images)
        passes = row.num_epochs * _passes(row.num_train_images, row.num_val_images)
        pixels = passes * (row.image_size / 224) ** 2
        work, spent = self._model_work.get(row.model, (0.0, 0.0))
        self._model_work[row.model] = (work + pixels, spent + seconds)
        if row.model in self._gmacs:
            work, spent = self._all_work
            self._all_work = (work + pixels * self._gmacs[row.model], spent + seconds)

    def _pixels(self, spec: TrialSpec) -> float:
        """Returns how many forward passes of a 224x224 image cost as much as the trial."""
        train, val = self._num_images(spec)
        return self._num_epochs(spec) * _passes(train, val) * (spec.data.image_size / 224) ** 2

    def _num_images(self, spec: TrialSpec) -> tuple[float, float]:
        """Returns training and validation images."""
        label = spec.dataset.label
        return self._images.get(label) or _expected_images(spec, self._counted.get(label))

    def _num_epochs(self, spec: TrialSpec) -> float:
        """Returns the mean over finished trials, of the same model if there are any."""
        epochs = self._epochs.get(spec.model.label) or [
            number for numbers in self._epochs.values() for number in numbers
        ]
        return _mean(epochs) if epochs else spec.training.max_epochs


def gmacs_224(model: Component) -> float:
    """Returns 1e9 multiply-adds of one forward pass at 224x224, from the catalogue."""
    return model_size(model.name, model.parameters).gmacs_224


def makespan_seconds(seconds: Sequence[float], num_slots: int) -> float:
    """Returns the wall time of trials that start in this order, each in the first free slot.

    Raises:
        ValueError: There is no slot.
    """
    if num_slots < 1:
        msg = f"{num_slots} slots"
        raise ValueError(msg)
    slots = [0.0] * min(num_slots, max(1, len(seconds)))
    for duration in seconds:
        heapq.heapreplace(slots, slots[0] + duration)
    return max(slots)


def num_slots(*, cpus: int, gpus: int, cpus_per_trial: float, gpus_per_trial: float) -> int:
    """Returns how many trials run at the same time; 0 if none fits.

    A GPU share lies on one GPU: two GPUs hold two trials of 0.6, not three.
    """
    by_cpu = math.floor(cpus / cpus_per_trial + 1e-9)
    if gpus_per_trial <= 0:
        return by_cpu
    if gpus_per_trial <= 1:
        return min(by_cpu, gpus * math.floor(1 / gpus_per_trial + 1e-9))
    return min(by_cpu, math.floor(gpus / gpus_per_trial))


def _passes(num_train: float, num_val: float) -> float:
    """Returns the forward passes that one epoch costs."""
    return BACKWARD_FACTOR * num_train + num_val


def _expected_images(spec: TrialSpec, number: int | None) -> tuple[float, float]:
    """Returns training and validation images, from the catalogue if they are not counted."""
    if number is None:
        entry = DATASETS.get(spec.dataset.name)
        generated = spec.dataset.parameters.get("num_images")
        number = generated if isinstance(generated, int) else entry.num_images if entry else None
    number = ASSUMED_NUM_IMAGES if number is None else number
    return number * spec.data.split[0], number * spec.data.split[1]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
