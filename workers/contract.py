"""Contract of orchestrator and workers: specification, epochs, result; standard library only."""

from __future__ import annotations

import dataclasses
import hashlib
import traceback
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, Protocol

JSONValue = None | bool | int | float | str | list["JSONValue"] | dict[str, "JSONValue"]

Precision = Literal["float32", "bfloat16", "float16"]
OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["constant", "poly", "cosine", "step"]
ScheduleUnit = Literal["epoch", "step"]
SplitUnit = Literal["image", "group", "similar"]
SiblingKind = Literal["none", "group", "similar", "equal"]
Normalisation = Literal["imagenet", "half", "unit"]
MeasuredOn = Literal["test", "val"]
MaskResize = Literal["nearest", "area"]

SIMILAR_RULE = 1
"""Raised when the perceptual hash changes (`workers.datasets.likeness.hashing`): trials with
`split_unit: similar` then get other ids, and results of two rules never mix."""

SIMILAR_DISTANCE = 24
"""Bits of 256 in which the hashes of near duplicates may differ, unless `data.similar_distance`
says otherwise. Never changed: at its default it is not part of ids."""

DEFAULT_CACHE = "~/.cache/podium"
"""Folder of decoded images and fetched weights on each node, unless `data.cache` names another."""


class UserError(Exception):
    """An error that the user can correct; the message names the place and the remedy.

    The command line prints the message without a traceback and exits with code 2.
    """


class SpecificationError(ValueError):
    """A specification that no machine can run; another attempt fails in the same way."""


class FailureClass(StrEnum):
    """Why a trial has no result (or, for DIVERGED, why its result is the worst)."""

    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out-of-memory"
    INFRASTRUCTURE = "infrastructure"
    BUG = "bug"


class TrialStatus(StrEnum):
    """How a finished trial ended; a trial with either status is not run again."""

    COMPLETED = "completed"
    DIVERGED = "diverged"


@dataclass(frozen=True, kw_only=True)
class Component:
    """A dataset, model or loss: a catalogue name with its complete parameters.

    Attributes:
        name: Name in the catalogue, `x@DIGEST` for a name in a user's file, or `x+y` for a
            compound loss.
        parameters: Every parameter with its value, defaults included.
        label: Name in tables: the user's alias, or the name if there is no alias. It is in
            Unicode's form NFC, so that labels that look the same are equal. Not part of the
            identity.
    """

    name: str
    parameters: Mapping[str, JSONValue] = field(default_factory=dict)
    label: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", unicodedata.normalize("NFC", self.label or self.name))


@dataclass(frozen=True, kw_only=True)
class DataProtocol:
    """How images are prepared and split.

    Attributes:
        image_size: Side of the square input, pixels, a multiple of 32.
        split: Fractions of train, validation and test; they sum to 1.
        split_unit: Unit that the split never divides: an image; a group of the layout (video
            sequence) with equal pictures; or this group with near duplicates.
        normalisation: Input scaling: ImageNet mean and standard deviation, 0.5/0.5, or [0, 1].
        measured_on: Images that the result is measured on. With `val`, as in a search for
            parameters, nothing in the trial depends on the test images.
        similar_distance: Bits of 256 in which the hashes of near duplicates may differ.
        similar_rule: Version of the rule that finds near duplicates; differs from 1 only with
            `split_unit: similar`.
        mask_resize: How masks are resized to the network's size: nearest pixel, or by area, which
            keeps every lesion (`workers.datasets.files.pictures.resize_mask_by_area`).
        fixed_test: Whether all repeats have the same test images, drawn from the seed alone.

    A field marked `later` was added after trials had ids: at its default it is not part of the id.
    """

    image_size: int = 224
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)
    split_unit: SplitUnit = "image"
    normalisation: Normalisation = "imagenet"
    measured_on: MeasuredOn = field(default="test", metadata={"later": True})
    similar_distance: int = field(default=SIMILAR_DISTANCE, metadata={"later": True})
    similar_rule: int = field(default=1, metadata={"later": True})
    mask_resize: MaskResize = field(default="nearest", metadata={"later": True})
    fixed_test: bool = field(default=False, metadata={"later": True})


@dataclass(frozen=True, kw_only=True)
class TrainingProtocol:
    """How a model is trained.

    Attributes:
        optimizer: Adam, as in the study, AdamW or SGD, as torch defines them.
        learning_rate: Step size of the optimizer; a loss can have its own, which replaces it.
        batch_size: Images per step.
        max_epochs: Upper bound on epochs.
        patience: Epochs without a better validation Dice before training stops.
        precision: Arithmetic of the forward pass; bfloat16 and float16 mean autocast, and float16
            also scales the loss, so that small gradients are not lost.
        channels_last: Memory layout of activations; changes bits, not mathematics.
        auxiliary_weight: Factor of the loss of every auxiliary output, or one weight per output in
            the model's order, in place of the authors' weights; an output with weight 0 is not
            trained.
        deterministic: Ask torch for deterministic kernels.
        deep_supervision: Whether auxiliary outputs are trained; if not, only the final output is.
        tf32: Let a GPU multiply float32 with 10 bits of mantissa.
        fused_optimizer: Update all weights in one kernel.
        compiled: Train through torch.compile; validation and test stay eager.
        betas: Adam's and AdamW's decay of the two moments of the gradient; `eps` is added to the
            denominator.
        weight_decay: L2 penalty of Adam and SGD, decoupled decay of AdamW.
        momentum: Of SGD; likewise `nesterov`.
        schedule: How the learning rate falls up to `max_epochs`, in units of `schedule_unit`.
        schedule_power: Exponent of `poly`.
        schedule_interval: Epochs between two reductions by `step`, each by `schedule_factor`.
        warmup_epochs: Epochs in which the rate rises linearly to `learning_rate` first.
        gradient_clip_norm: Largest L2 norm of all gradients together; None does not clip.
        ema: Decay of an exponential moving average of weights and buffers, updated after each
            step, which is validated and tested in place of the weights; None keeps the weights.
        augmentation: Changes of the training images, in this order; each has its name under `name`
            and all its options (`workers.catalogue.augmentations`).

    A field marked `later` was added after trials had ids: at its default it is not part of the id.
    """

    optimizer: OptimizerName = "adam"
    learning_rate: float = 0.001
    batch_size: int = 8
    max_epochs: int = 200
    patience: int = 40
    precision: Precision = "float32"
    channels_last: bool = True
    auxiliary_weight: float | tuple[float, ...] = 1.0
    deterministic: bool = True
    deep_supervision: bool = field(default=True, metadata={"later": True})
    tf32: bool = field(default=False, metadata={"later": True})
    fused_optimizer: bool = field(default=False, metadata={"later": True})
    compiled: bool = field(default=False, metadata={"later": True})
    betas: tuple[float, float] = field(default=(0.9, 0.999), metadata={"later": True})
    eps: float = field(default=1e-8, metadata={"later": True})
    weight_decay: float = field(default=0.0, metadata={"later": True})
    momentum: float = field(default=0.0, metadata={"later": True})
    nesterov: bool = field(default=False, metadata={"later": True})
    schedule: ScheduleName = field(default="constant", metadata={"later": True})
    schedule_unit: ScheduleUnit = field(default="epoch", metadata={"later": True})
    schedule_power: float = field(default=0.9, metadata={"later": True})
    schedule_interval: int = field(default=30, metadata={"later": True})
    schedule_factor: float = field(default=0.1, metadata={"later": True})
    warmup_epochs: int = field(default=0, metadata={"later": True})
    gradient_clip_norm: float | None = field(default=None, metadata={"later": True})
    ema: float | None = field(default=None, metadata={"later": True})
    augmentation: tuple[Mapping[str, JSONValue], ...] = field(
        default=(), hash=False, metadata={"later": True}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """One trial: everything that its numbers depend on, and nothing else."""

    dataset: Component
    model: Component
    loss: Component
    repeat: int
    seed: int
    data: DataProtocol = field(default_factory=DataProtocol)
    training: TrainingProtocol = field(default_factory=TrainingProtocol)

    @property
    def learning_rate(self) -> float:
        """Step size of the optimizer: that of the loss if it has one, otherwise the protocol's."""
        own = self.loss.parameters.get("learning_rate")
        return float(own) if isinstance(own, int | float) else self.training.learning_rate

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the specification as plain JSON values, labels included."""
        document = dataclasses.asdict(self)
        for part in (document["data"], document["training"]):
            part |= {key: list(item) for key, item in part.items() if isinstance(item, tuple)}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> TrialSpec:
        """Rebuilds a specification from `to_json`."""
        values = dict(document)
        components = {key: Component(**values.pop(key)) for key in ("dataset", "model", "loss")}  # type: ignore[arg-type]
        data, training = (dict(values.pop(key)) for key in ("data", "training"))  # type: ignore[call-overload]
        for part in (data, training):
            part |= {key: tuple(item) for key, item in part.items() if isinstance(item, list)}
        protocols = {"data": DataProtocol(**data), "training": TrainingProtocol(**training)}
        return cls(**components, **protocols, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    """A user's file with losses or models; the content travels to the processes of the trials.

    Attributes:
        path: Absolute path on the machine that read it, only for messages.
        source: Its content.
    """

    path: str
    source: str = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the content; part of identities."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:12]

    def line_of(self, error: BaseException) -> int | None:
        """Returns the line of this file from which an error came; None if from elsewhere."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == self.path]
        return lines[-1] if lines else None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and with what a trial runs; nothing here is part of its identity.

    Attributes:
        data_root: Folder that holds the dataset's own folder; None for generated data.
        cache_dir: Folder of decoded images on this node.
        num_threads: CPU threads of the trial.
        gpu_ids: The devices assigned to the trial, as the scheduler names them.
        checkpoint_interval_seconds: Least time between two checkpoints; 0 means every epoch.
        num_examples: Test images whose raw outputs are kept for the report (first repeat only).
        keep_weights: Whether the result has the weights of the best epoch.
        weights: Path of the weights that the user gave; the model's parameters hold their digest.
        gpu_share: Fraction of the memory of its GPU that the trial may take.
        dataset_fingerprint: Fingerprint of the data when the sweep started; None accepts any.
        code: The user's files that define the model or the loss; their digests are in the names.
    """

    data_root: str | None
    cache_dir: str
    num_threads: int = 1
    gpu_ids: tuple[str, ...] = ()
    checkpoint_interval_seconds: float = 60.0
    num_examples: int = 2
    keep_weights: bool = False
    weights: str | None = None
    gpu_share: float = 1.0
    dataset_fingerprint: str | None = None
    code: tuple[CodeFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One row of a learning curve.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean loss per training image.
        val_dice: Mean validation Dice per image.
        val_iou: Mean validation IoU per image.
        seconds: Wall time of the epoch, validation included.
    """

    epoch: int
    train_loss: float
    val_dice: float
    val_iou: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """Pixels of one test image, from which every averaging rule can be recomputed.

    Attributes:
        train_sibling: How the image is related to a training image: `equal` pictures, near
            duplicates (`similar`), one `group` of the layout, or `none`; None if not determined.
    """

    image: str
    tp: int
    fp: int
    fn: int
    tn: int
    train_sibling: SiblingKind | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The output of a trained model for one test image.

    Attributes:
        image: Name of the test image.
        image_jpeg: The input as JPEG bytes.
        truth_png: The true mask as 1-bit PNG bytes.
        logits_png: Raw output as 8-bit grey PNG bytes, linear from logit_min to logit_max.
        logit_min: Raw output of grey level 0.
        logit_max: Raw output of grey level 255.
        logit_mean: Mean raw output over all pixels, before it was made grey.
        mask_png: 1-bit PNG bytes, white where sigmoid(raw output) is over 0.5.
        mean_mask_png: 1-bit PNG bytes, white where the raw output is over its own mean.
    """

    image: str
    image_jpeg: bytes
    truth_png: bytes
    logits_png: bytes
    logit_min: float
    logit_max: float
    logit_mean: float
    mask_png: bytes
    mean_mask_png: bytes


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """Everything that one finished trial returns.

    Attributes:
        metrics: `dice`, `iou`, `recall`, `precision` (mean over test images) and the same with
            the suffix `_pooled` (from summed counts); empty if the trial diverged or is not
            measured on test images.
        best_epoch: Epoch of the best validation Dice, counted from 1; None before the first epoch.
        best_val_dice: The best validation Dice.
        train_seconds: Wall time of all epochs, over all attempts.
        peak_memory_bytes: Device memory on a GPU, resident memory of the process on a CPU.
        versions: Package versions.
        reserved_memory_bytes: Memory that torch reserved on a GPU, unused parts included; None on a
            CPU.
        weights: The weights of the best epoch in the format of safetensors, if they are kept.
    """

    status: TrialStatus
    metrics: Mapping[str, float]
    num_epochs: int
    best_epoch: int | None
    best_val_dice: float | None
    epochs: tuple[EpochRecord, ...]
    images: tuple[ImageCounts, ...]
    predictions: tuple[Prediction, ...]
    num_train_images: int
    num_val_images: int
    num_test_images: int
    train_seconds: float
    peak_memory_bytes: int
    device: str
    host: str
    gpu_ids: tuple[str, ...]
    num_threads: int
    dataset_fingerprint: str
    code_version: str
    versions: Mapping[str, str]
    message: str | None = None
    reserved_memory_bytes: int | None = None
    weights: bytes | None = field(default=None, repr=False)


class Checkpoints(Protocol):
    """Where a trial saves its state; writes are atomic."""

    def load(self) -> bytes | None:
        """Returns the last saved state, or None."""
        ...

    def save(self, state: bytes | memoryview) -> None:
        """Replaces the saved state durably, in one step."""
        ...


OnEpoch = Callable[[EpochRecord], None]
Trainer = Callable[[TrialSpec, Runtime, Checkpoints, OnEpoch], TrialResult]
