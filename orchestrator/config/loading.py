"""Reads a configuration with its overrides and returns a checked, complete sweep."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from orchestrator.config.axes import Axis, include_losses, learning_rate_of, read_axis
from orchestrator.config.document import (
    ConfigSource,
    Document,
    KeyPath,
    RefusedValueError,
    parse_yaml,
    read_document,
)
from orchestrator.config.gpus import AUTO, resident_bytes, shares_for
from orchestrator.config.paths import resolve_data
from orchestrator.config.problems import Problem, refuse, show, translate
from orchestrator.config.schema import (
    ClusterSection,
    DataSection,
    RaceSection,
    ResourcesSection,
    RuntimeSection,
    SweepFile,
    TrainingSection,
    TuneSection,
)
from orchestrator.untrusted import MAX_TRIALS
from workers.catalogue.costs import step_memory_bytes
from workers.catalogue.losses import needed_maps
from workers.contract import CodeFile, Component, JSONValue, UserError

_MAX_DEPTH = 10


def apply_overrides(
    document: Document, overrides: Sequence[str]
) -> tuple[Document, tuple[Problem, ...]]:
    """Returns the document with every `a.b=VALUE` set, and the problems of the others.

    VALUE is YAML: `losses=[iou, dice]`, `losses.0=bce`, `data.root=null`. A section or list is
    replaced as a whole. Later overrides win.
    """
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides or ()):
        msg = f"overrides: {overrides!r}: give a list of texts, such as ['training.max_epochs=2']"
        raise UserError(msg)
    values = copy.deepcopy(document.values)
    lines, origins = dict(document.lines), dict(document.origins)
    problems: list[Problem] = []
    for text in overrides or ():
        try:
            path = _assign(values, *_parse(text))
        except ValueError as error:
            problems.append(Problem(path=(), reason=str(error), origin=text))
            continue
        lines = {key: line for key, line in lines.items() if key[: len(path)] != path}
        origins = {key: text for key, text in origins.items() if key[: len(path)] != path}
        origins[path] = text
    return replace(document, values=values, lines=lines, origins=origins), tuple(problems)


def _parse(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > _MAX_DEPTH:
        msg = "must look like KEY=VALUE, for example training.max_epochs=2"
        raise ValueError(msg)
    try:
        return parts, parse_yaml(value)
    except RefusedValueError as error:
        raise ValueError(error.problem) from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        msg = f"the value is not YAML: {problem}"
        raise ValueError(msg) from None


def _assign(values: dict[str, Any], parts: list[str], value: object) -> KeyPath:
    """Sets a value in place and returns its key path."""
    path: list[str | int] = []
    holder: Any = values
    for position, part in enumerate(parts):
        key = _key(holder, part, path)
        path.append(key)
        if position == len(parts) - 1:
            holder[key] = value
        else:
            if isinstance(holder, dict) and holder.get(key) is None:
                holder[key] = {}
            holder = holder[key]
    return tuple(path)


def _key(holder: object, part: str, path: list[str | int]) -> str | int:
    where = ".".join(map(str, path))
    if isinstance(holder, dict):
        return part
    if not isinstance(holder, list):
        msg = f"{where} is {show(holder)} and has no keys; set {where} as a whole"
        raise ValueError(msg)  # noqa: TRY004 - the user's value, not a type of ours
    if not part.isdecimal() or int(part) >= len(holder):
        known = f"0 to {len(holder) - 1}" if holder else "none: it is empty"
        msg = f"{where} is a list: {part!r} is not one of its positions ({known})"
        raise ValueError(msg)
    return int(part)


MAX_TRIAL_BYTES = 4 << 40
"""A trial that needs more memory is refused: no machine could hold it."""

_SECTIONS = ("data", "training", "resources", "cluster", "runtime")
_ALL_SECTIONS = (*_SECTIONS, "tune", "race")


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A checked sweep: complete parameters, absolute paths.

    Attributes:
        source: The file it came from, or `configuration` for a dict.
        name: Name of the sweep; by default the stem of the file, or `sweep` for a dict.
        roots: Folder of each dataset label; None for generated data.
        weights: Path of given weights by model label.
        code: The user's files that define models or losses, each content once.
        results: Absolute path or URI of the results.
        gpu_shares: GPU share by model label; empty unless `resources.gpus` is `auto`. The largest
            share then becomes `resources.gpus`.
    """

    source: str
    name: str
    datasets: tuple[Component, ...]
    models: tuple[Component, ...]
    losses: tuple[Component, ...]
    roots: Mapping[str, str | None]
    weights: Mapping[str, str]
    code: tuple[CodeFile, ...]
    repeats: int
    seed: int
    data: DataSection
    training: TrainingSection
    resources: ResourcesSection
    cluster: ClusterSection
    runtime: RuntimeSection
    tune: TuneSection
    policy: Literal["full", "race"]
    race: RaceSection
    results: str
    gpu_shares: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns all values except `source` as plain JSON values."""
        document: dict[str, JSONValue] = {"name": self.name}
        for axis in ("datasets", "models", "losses"):
            document[axis] = [
                {"name": c.name, "label": c.label, "parameters": dict(c.parameters)}
                for c in getattr(self, axis)
            ]
        document |= {"roots": dict(self.roots), "weights": dict(self.weights)}
        document |= {"repeats": self.repeats, "seed": self.seed}
        for section in _SECTIONS:
            document[section] = getattr(self, section).model_dump(mode="json")
        if self.code:
            document["code"] = {file.digest: file.path for file in self.code}
        if self.gpu_shares:
            document["gpu_shares"] = dict(self.gpu_shares)
        if self.policy == "race":
            document |= {"policy": self.policy, "race": self.race.model_dump(mode="json")}
        return document | {"results": self.results}


def load_config(source: ConfigSource, overrides: Sequence[str] = ()) -> SweepConfig:
    """Reads, overrides and checks a configuration.

    Args:
        source: A YAML file, or its content as a dict. Paths in it, and in the overrides, are
            relative to the folder of the file, or for a dict to the current folder.
        overrides: `KEY=VALUE` with a dotted key and a YAML value, as given to `--set`.

    Raises:
        UserError: Every problem of the configuration, one line each.
    """
    document, problems = apply_overrides(read_document(source), overrides)
    folder = document.folder
    document = include_losses(document, folder)
    # A section that is missing or empty takes its defaults, which need the folder too.
    filled: dict[str, Any] = {key: {} for key in _ALL_SECTIONS if document.values.get(key) is None}
    values = document.values | filled
    datasets = read_axis("datasets", values.get("datasets"), folder, _data_root(values, folder))
    models = read_axis("models", values.get("models"), folder)
    rate = learning_rate_of(values)
    losses = read_axis("losses", values.get("losses"), folder, learning_rate=rate)
    found = [*problems, *datasets.problems, *models.problems, *losses.problems]
    checked = _check(values, folder, document, found)
    _refuse_race(document, checked, len(losses.components))
    _refuse_huge(document, len(datasets.components) * len(models.components), checked, losses)
    _refuse_memory(document, checked, models.components, datasets.components)
    num_maps = max((len(needed_maps(loss.name)) for loss in losses.components), default=0)
    resources, gpu_shares = _resolve_gpus(
        document, checked, models.components, datasets.components, num_maps
    )
    return SweepConfig(
        source=document.source,
        name=checked.name or document.stem,
        datasets=datasets.components,
        models=models.components,
        losses=losses.components,
        roots=datasets.roots,
        weights=models.weights,
        code=tuple({**models.code, **losses.code}.values()),
        repeats=checked.repeats,
        seed=checked.seed,
        data=checked.data,
        training=checked.training,
        resources=resources,
        gpu_shares=gpu_shares,
        cluster=checked.cluster,
        runtime=checked.runtime,
        tune=checked.tune,
        policy=checked.policy,
        race=checked.race,
        results=checked.results,
    )


def _check(
    values: Mapping[str, Any], folder: Path, document: Document, found: list[Problem]
) -> SweepFile:
    """Checks all keys and raises all problems, including those found before."""
    try:
        checked = SweepFile.model_validate(values, context={"folder": folder})
    except ValidationError as error:
        findings = error.errors(include_url=False)
        refuse(document, [*found, *(translate(finding, SweepFile) for finding in findings)])
        raise  # not reached: there is at least one finding
    refuse(document, found)
    return checked


def _resolve_gpus(
    document: Document,
    checked: SweepFile,
    models: Sequence[Component],
    datasets: Sequence[Component],
    num_maps: int,
) -> tuple[ResourcesSection, dict[str, float]]:
    """Replaces `resources.gpus: auto` by the largest share; also returns each model's share."""
    if checked.resources.gpus != AUTO:
        return checked.resources, {}
    shares = shares_for(
        models,
        datasets,
        image_size=checked.data.image_size,
        batch_size=checked.training.batch_size,
        gpu_memory_gib=checked.cluster.gpu_memory_gib,
        num_maps=num_maps,
    )
    if shares is None:
        reason = (
            "needs the memory of one GPU, and nvidia-smi reports no GPU on this machine; set "
            "cluster.gpu_memory_gib, or set resources.gpus to a number"
        )
        refuse(document, [Problem(path=("resources", "gpus"), value=AUTO, reason=reason)])
    largest = max((shares or {}).values(), default=0.0)
    return checked.resources.model_copy(update={"gpus": largest}), shares or {}


def _data_root(values: Mapping[str, Any], folder: Path) -> str | None:
    """Returns the data root before any check; the schema reports a wrong one."""
    data = values["data"]
    root = data.get("root") if isinstance(data, dict) else None
    try:
        return None if root is None else resolve_data(str(root), folder)
    except ValueError:
        return str(root)


def _refuse_race(document: Document, checked: SweepFile, num_losses: int) -> None:
    """Refuses a race that cannot spare a trial, or that has only one loss."""
    if checked.policy != "race":
        return
    first, repeats = checked.race.first_repeats, checked.repeats
    if first >= repeats:
        reason = f"no trial of {repeats} repeats can be spared; raise repeats, or use policy: full"
        problem = Problem(path=("race", "first_repeats"), value=first, reason=reason)
    elif checked.race.budget < first / repeats:
        reason = (
            f"the first {first} of {repeats} repeats alone take {first / repeats:.3g} of the "
            "trials; raise it"
        )
        problem = Problem(path=("race", "budget"), value=checked.race.budget, reason=reason)
    elif num_losses < 2:
        reason = "a race needs two losses; use policy: full"
        problem = Problem(path=("policy",), value=checked.policy, reason=reason)
    else:
        return
    refuse(document, [problem])


def _refuse_huge(document: Document, blocks: int, checked: SweepFile, losses: Axis) -> None:
    num_trials = blocks * len(losses.components) * checked.repeats
    if num_trials > MAX_TRIALS:
        reason = f"the grid has {num_trials:,} trials; at most {MAX_TRIALS:,} are allowed"
        refuse(document, [Problem(path=("repeats",), value=checked.repeats, reason=reason)])


def _refuse_memory(
    document: Document,
    checked: SweepFile,
    models: Sequence[Component],
    datasets: Sequence[Component],
) -> None:
    """Refuses trials that no machine could hold, such as a width with a digit too many."""
    size, batch = checked.data.image_size, checked.training.batch_size
    needs: dict[KeyPath, float] = {
        ("models", n): step_memory_bytes(m.name, m.parameters, image_size=size, batch_size=batch)
        for n, m in enumerate(models)
    }
    needs |= {("datasets", n): resident_bytes(d, size) for n, d in enumerate(datasets)}
    refuse(
        document,
        [
            Problem(
                path=path,
                reason=f"takes about {number / 2**40:,.1f} TiB of memory at data.image_size "
                f"{size} and training.batch_size {batch}; at most {MAX_TRIAL_BYTES >> 40} TiB are "
                "allowed, so make one of these, or the network, smaller",
            )
            for path, number in needs.items()
            if number > MAX_TRIAL_BYTES
        ],
    )
