"""Keys of a configuration file, each with its default, bounds and role."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, model_validator

from orchestrator.config.values import (
    MAX_COUNT,
    MAX_SECONDS,
    ClusterAddress,
    DataRoot,
    Label,
    LocalPath,
    Location,
    check_augmentation,
    check_betas,
    check_gpus,
    check_weights,
    refuse_value,
)
from workers.contract import (
    DEFAULT_CACHE,
    SIMILAR_DISTANCE,
    SIMILAR_RULE,
    DataProtocol,
    MaskResize,
    Normalisation,
    OptimizerName,
    Precision,
    ScheduleName,
    ScheduleUnit,
    SplitUnit,
    TrainingProtocol,
)


class Role(Enum):
    """Whether a key changes the trials and their ids, or only how they run."""

    IDENTITY = "identity"
    RUNTIME = "runtime"


class Section(BaseModel):
    """A section of the file: frozen, without unknown keys or conversions, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Choice(Section):
    """One entry of an axis: a name, or a name with parameters and an alias."""

    name: Annotated[str, Role.IDENTITY] = Field(min_length=1, examples=["unet"])
    alias: Annotated[Label | None, Role.RUNTIME] = None
    parameters: Annotated[dict[str, Any] | None, Role.IDENTITY] = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: object) -> object:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, Mapping):
            keys = ", ".join(cls.model_fields)
            refuse_value(f"must be a name in quotes, or a mapping with the keys {keys}")
        return value


class CodeChoice(Choice):
    """One entry of `models` or `losses`; with `file`, the name is in that file of Python code."""

    file: Annotated[LocalPath | None, Role.IDENTITY] = None


class DatasetChoice(Choice):
    """One entry of `datasets`; its `root` overrides `data.root`."""

    root: Annotated[DataRoot | None, Role.RUNTIME] = None


class SplitSection(Section):
    """Fractions of the images; they sum to 1."""

    train: Annotated[float, Role.IDENTITY] = Field(default=0.6, gt=0, lt=1)
    val: Annotated[float, Role.IDENTITY] = Field(default=0.2, gt=0, lt=1)
    test: Annotated[float, Role.IDENTITY] = Field(default=0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitSection:
        total = math.fsum((self.train, self.val, self.test))
        if abs(total - 1) > 1e-9:
            given = f"train {self.train:g}, val {self.val:g}, test {self.test:g}"
            refuse_value(f"the fractions must sum to 1; {given} sum to {total:.10g}")
        return self


class DataSection(Section):
    """Where images are and how they are prepared and split.

    Attributes:
        root: Folder that holds the folders of the datasets, or an archive of it; null if all data
            is generated.
        image_size: Side of the square input, pixels.
        split: Fractions of train, val and test.
        split_unit: What a split keeps together: an image; a group of the layout with equal
            pictures; or, with `similar`, such a group with its near duplicates.
        similar_distance: Most bits of 256 in which near duplicates differ, with `similar`.
        normalisation: Input scaling.
        mask_resize: How masks are resized to the network's size: `nearest` pixels, or by `area`.
        fixed_test: Whether all repeats have the same test images.
        cache: Folder of decoded images on each node.
    """

    root: Annotated[DataRoot | None, Role.RUNTIME] = None
    image_size: Annotated[int, Role.IDENTITY] = Field(default=224, gt=0, le=16_384, multiple_of=32)
    split: SplitSection = Field(default_factory=SplitSection)
    split_unit: Annotated[SplitUnit, Role.IDENTITY] = "image"
    similar_distance: Annotated[int, Role.IDENTITY] = Field(default=SIMILAR_DISTANCE, ge=0, le=64)
    normalisation: Annotated[Normalisation, Role.IDENTITY] = "imagenet"
    mask_resize: Annotated[MaskResize, Role.IDENTITY] = "nearest"
    fixed_test: Annotated[bool, Role.IDENTITY] = False
    cache: Annotated[LocalPath, Role.RUNTIME] = Field(default=DEFAULT_CACHE, validate_default=True)

    def protocol(self) -> DataProtocol:
        """Returns the values that results depend on."""
        return DataProtocol(
            image_size=self.image_size,
            split=(self.split.train, self.split.val, self.split.test),
            split_unit=self.split_unit,
            normalisation=self.normalisation,
            similar_distance=self.similar_distance,
            similar_rule=SIMILAR_RULE if self.split_unit == "similar" else 1,
            mask_resize=self.mask_resize,
            fixed_test=self.fixed_test,
        )

    @model_validator(mode="after")
    def _distance_has_an_effect(self) -> DataSection:
        if self.similar_distance != SIMILAR_DISTANCE and self.split_unit != "similar":
            refuse_value(
                f"similar_distance has an effect only with split_unit: similar, and split_unit is "
                f"{self.split_unit}; set it to similar, or remove similar_distance"
            )
        return self


_ONLY_WITH: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "betas": ("optimizer", ("adam", "adamw")),
    "eps": ("optimizer", ("adam", "adamw")),
    "momentum": ("optimizer", ("sgd",)),
    "nesterov": ("optimizer", ("sgd",)),
    "schedule_power": ("schedule", ("poly",)),
    "schedule_interval": ("schedule", ("step",)),
    "schedule_factor": ("schedule", ("step",)),
}
"""Options of the training that need one of some values of another key."""


class TrainingSection(Section):
    """How a model is trained; see `workers.contract.TrainingProtocol`."""

    optimizer: Annotated[OptimizerName, Role.IDENTITY] = "adam"
    learning_rate: Annotated[float, Role.IDENTITY] = Field(default=0.001, gt=0, le=1e30)
    batch_size: Annotated[int, Role.IDENTITY] = Field(default=8, ge=1, le=65_536)
    max_epochs: Annotated[int, Role.IDENTITY] = Field(default=200, ge=1, le=1_000_000)
    patience: Annotated[int, Role.IDENTITY] = Field(default=40, ge=1, le=10**9)
    precision: Annotated[Precision, Role.IDENTITY] = "float32"
    channels_last: Annotated[bool, Role.IDENTITY] = True
    auxiliary_weight: Annotated[
        float | list[float], PlainValidator(check_weights), Role.IDENTITY
    ] = 1.0
    deterministic: Annotated[bool, Role.IDENTITY] = True
    deep_supervision: Annotated[bool, Role.IDENTITY] = True
    tf32: Annotated[bool, Role.IDENTITY] = False
    fused_optimizer: Annotated[bool, Role.IDENTITY] = False
    compiled: Annotated[bool, Role.IDENTITY] = False
    betas: Annotated[list[float], AfterValidator(check_betas), Role.IDENTITY] = [0.9, 0.999]
    eps: Annotated[float, Role.IDENTITY] = Field(default=1e-8, gt=0, le=1)
    weight_decay: Annotated[float, Role.IDENTITY] = Field(default=0.0, ge=0, le=1e30)
    momentum: Annotated[float, Role.IDENTITY] = Field(default=0.0, ge=0, lt=1)
    nesterov: Annotated[bool, Role.IDENTITY] = False
    schedule: Annotated[ScheduleName, Role.IDENTITY] = "constant"
    schedule_unit: Annotated[ScheduleUnit, Role.IDENTITY] = "epoch"
    schedule_power: Annotated[float, Role.IDENTITY] = Field(default=0.9, gt=0, le=100)
    schedule_interval: Annotated[int, Role.IDENTITY] = Field(default=30, ge=1, le=1_000_000)
    schedule_factor: Annotated[float, Role.IDENTITY] = Field(default=0.1, gt=0, lt=1)
    warmup_epochs: Annotated[int, Role.IDENTITY] = Field(default=0, ge=0, le=1_000_000)
    gradient_clip_norm: Annotated[float | None, Role.IDENTITY] = Field(default=None, gt=0, le=1e30)
    ema: Annotated[float | None, Role.IDENTITY] = Field(default=None, gt=0, lt=1)
    augmentation: Annotated[
        list[dict[str, Any]], PlainValidator(check_augmentation), Role.IDENTITY
    ] = Field(default_factory=list)

    def protocol(self) -> TrainingProtocol:
        """Returns the same as the contract's type."""
        values: dict[str, Any] = self.model_dump()
        values |= {key: tuple(item) for key, item in values.items() if isinstance(item, list)}
        return TrainingProtocol(**values)

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> TrainingSection:
        for key, (other, fitting) in _ONLY_WITH.items():
            found = getattr(self, other)
            if getattr(self, key) != type(self).model_fields[key].default and found not in fitting:
                refuse_value(
                    f"{key} has an effect only with {other}: {' or '.join(fitting)}, and {other} "
                    f"is {found}; change {other}, or remove {key}"
                )
        if self.optimizer == "adamw" and not self.weight_decay:
            refuse_value("without weight_decay adamw is adam; set weight_decay, such as 0.01")
        if self.nesterov and not self.momentum:
            refuse_value("nesterov needs momentum; set momentum, such as 0.9")
        if self.schedule_unit != "epoch" and self.schedule == "constant" and not self.warmup_epochs:
            refuse_value(
                "schedule_unit has an effect only with a schedule or warmup_epochs; set one of "
                "them, or remove schedule_unit"
            )
        if self.warmup_epochs >= self.max_epochs:
            refuse_value(
                f"warmup_epochs {self.warmup_epochs} must be less than max_epochs {self.max_epochs}"
            )
        return self


class ResourcesSection(Section):
    """Resources of one trial: CPU cores, and GPUs or a GPU share.

    With `gpus: auto` each model gets the share that its memory needs (see `gpus.py`).
    """

    cpus: Annotated[float, Role.RUNTIME] = Field(default=1.0, gt=0, le=MAX_COUNT)
    gpus: Annotated[float | Literal["auto"], PlainValidator(check_gpus), Role.RUNTIME] = 0.0


class ClusterSection(Section):
    """Where trials run.

    Attributes:
        address: A running Ray cluster; null starts a local one.
        cpus: Size of the local cluster, or the size that the plan assumes for a running cluster;
            null means all cores of this machine.
        gpus: The same for GPUs.
        gpu_memory_gib: Memory of one GPU, for `resources.gpus: auto`; null uses this machine's.
        max_failures: How often Podium starts a trial again after its process was lost.
    """

    address: Annotated[ClusterAddress | None, Role.RUNTIME] = None
    cpus: Annotated[int | None, Role.RUNTIME] = Field(default=None, ge=1, le=MAX_COUNT)
    gpus: Annotated[int | None, Role.RUNTIME] = Field(default=None, ge=0, le=MAX_COUNT)
    gpu_memory_gib: Annotated[float | None, Role.RUNTIME] = Field(default=None, gt=0, le=MAX_COUNT)
    max_failures: Annotated[int, Role.RUNTIME] = Field(default=3, ge=0, le=MAX_COUNT)


class RuntimeSection(Section):
    """What a trial stores besides its numbers, and how long it can go without progress.

    Attributes:
        checkpoint_interval_seconds: Least time between two checkpoints; 0 means every epoch.
        example_images: Test images whose raw outputs are kept (first repeat only).
        keep_weights: Whether the weights of the best epoch are kept (`podium predict`).
        no_progress_minutes: Podium ends a trial that completes no epoch in this time; null: never.
    """

    checkpoint_interval_seconds: Annotated[float, Role.RUNTIME] = Field(
        default=60.0, ge=0, le=MAX_SECONDS
    )
    example_images: Annotated[int, Role.RUNTIME] = Field(default=2, ge=0, le=MAX_COUNT)
    keep_weights: Annotated[Literal["none", "best"], Role.RUNTIME] = "none"
    no_progress_minutes: Annotated[float | None, Role.RUNTIME] = Field(
        default=240.0, gt=0, le=MAX_SECONDS / 60
    )


class TuneSection(Section):
    """How `podium tune` searches; `podium run` does not use it.

    Attributes:
        trials: Candidates of each search, including the defaults: the same number for every loss.
        separate: Search separately by dataset, by model, or by both. Otherwise one search per loss.
        spaces: Search spaces by label of the loss or `*`, then by parameter: `{low, high, log}`, a
            list of choices, or null for a fixed parameter. Others are as in the catalogue.
        random_trials: Candidates drawn at random before the sampler (TPE) learns from them.
        pruning: What stops poor candidates early: nothing, ASHA, or asynchronous Hyperband.
        grace_epochs: No candidate is stopped before this epoch of its training on the last dataset;
            null: a quarter of `training.max_epochs`.
        searches: How often each search is made, with other random numbers of the sampler.
    """

    trials: Annotated[int, Role.RUNTIME] = Field(default=20, ge=1, le=100_000)
    separate: Annotated[list[Literal["dataset", "model"]], Role.RUNTIME] = Field(
        default_factory=list
    )
    spaces: Annotated[dict[str, dict[str, Any]], Role.RUNTIME] = Field(default_factory=dict)
    random_trials: Annotated[int, Role.RUNTIME] = Field(default=8, ge=1, le=MAX_COUNT)
    pruning: Annotated[Literal["none", "asha", "hyperband"], Role.RUNTIME] = "none"
    grace_epochs: Annotated[int | None, Role.RUNTIME] = Field(default=None, ge=1)
    searches: Annotated[int, Role.RUNTIME] = Field(default=1, ge=1, le=100)


class RaceSection(Section):
    """When a race (`policy: race`) stops; see `orchestrator.ranking.racing`.

    Attributes:
        level: Certainty of the full grid's podium at which the race ends.
        budget: Fraction of the full grid's trials at which the race ends.
        first_repeats: Repeats of every combination before the first decision.
    """

    level: Annotated[float, Role.RUNTIME] = Field(default=0.95, ge=0.5, le=1)
    budget: Annotated[float, Role.RUNTIME] = Field(default=1.0, gt=0, le=1)
    first_repeats: Annotated[int, Role.RUNTIME] = Field(default=2, ge=2)


class LossesFile(Section):
    """The file that `{from: FILE}` in a list of losses names; `podium tune` writes such files."""

    losses: list[Choice] = Field(min_length=1, examples=["[iou, focal]"])


class SweepFile(Section):
    """The whole file. Its defaults are the published protocol."""

    name: Annotated[Label | None, Role.RUNTIME] = None
    datasets: list[DatasetChoice] = Field(min_length=1, examples=["[synthetic-skin]"])
    models: list[CodeChoice] = Field(min_length=1, examples=["[unet]"])
    losses: list[CodeChoice] = Field(min_length=1, examples=["[iou, focal, iou+focal]"])
    repeats: Annotated[int, Role.IDENTITY] = Field(default=5, ge=1)
    seed: Annotated[int, Role.IDENTITY] = Field(default=42, ge=0, lt=2**63)
    data: DataSection = Field(default_factory=DataSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    resources: ResourcesSection = Field(default_factory=ResourcesSection)
    cluster: ClusterSection = Field(default_factory=ClusterSection)
    runtime: RuntimeSection = Field(default_factory=RuntimeSection)
    tune: TuneSection = Field(default_factory=TuneSection)
    policy: Annotated[Literal["full", "race"], Role.RUNTIME] = "full"
    race: RaceSection = Field(default_factory=RaceSection)
    results: Annotated[Location, Role.RUNTIME] = Field(examples=["../results/my-sweep"])
