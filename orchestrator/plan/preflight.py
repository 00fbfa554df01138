"""Checks before a sweep starts: data and weights are present, and each model fits its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.plan.grid import Grid
from orchestrator.plan.survey import DataCheck, Listed, check_data
from orchestrator.records import CommittedTrial
from workers.catalogue.models import MODELS, input_normalisation, weights_of
from workers.contract import Component, TrialSpec, UserError
from workers.requirements import (
    alone_note,
    batch_problem,
    left_out_note,
    size_problem,
    supervision_problem,
)
from workers.weights import require_weights


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Result of the checks before a sweep starts.

    Attributes:
        data: Checks of its datasets.
        refusals: Why the sweep cannot start, each with a remedy.
        absent: What is missing on this machine; a plan for another machine does not need it.
        notes: What the user should know.
    """

    data: DataCheck
    refusals: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    def refuse(self, more: Sequence[str] = ()) -> None:
        """Refuses a sweep that cannot start.

        Args:
            more: Other problems.

        Raises:
            UserError: Every problem, one line each.
        """
        problems = (*self.absent, *more, *self.refusals)
        if problems:
            raise UserError("\n".join(problems))


def preflight(
    grid: Grid,
    trials: Sequence[TrialSpec],
    listed: Mapping[str, Listed],
    committed: Iterable[CommittedTrial],
    cache_dir: Path,
    *,
    location: str,
    fetch: bool,
) -> Preflight:
    """Checks everything that the pending trials of a sweep need.

    Args:
        grid: The sweep.
        trials: The trials to run.
        listed: The files of their datasets.
        committed: Finished trials.
        cache_dir: Cache folder of this machine.
        location: Location of the results.
        fetch: Whether to fetch weights that are not on this machine yet.

    Raises:
        UserError: The cache folder cannot be written.
    """
    datasets = [spec.dataset for spec in trials]
    data = check_data(grid, datasets, listed, committed, cache_dir)
    problems, notes = model_findings(trials, data.num_train)
    refusals = (*_lost_with_job(location), *data.refusals, *problems)
    absent = list(data.absent)
    try:
        may_fetch = fetch and not (refusals or absent)
        require_weights(_models(trials), dict(grid.weights), cache_dir, may_fetch=may_fetch)
    except UserError as error:
        absent.append(str(error))
    return Preflight(
        data=data,
        refusals=refusals,
        absent=tuple(absent),
        notes=(*data.notes, *notes),
    )


def _lost_with_job(location: str) -> list[str]:
    """Refuses results in a folder that Ray removes."""
    parts = Path(location).parts
    if not {"runtime_resources", "working_dir_files"} <= set(parts):
        return []
    return [
        f"results: {location} lies in the working directory of a Ray job; each node has its "
        "own, and Ray removes it; set results to the absolute path of a folder that all nodes "
        "share, or to s3://bucket/prefix (--set results=...)"
    ]


def model_findings(
    trials: Sequence[TrialSpec], num_train: Mapping[str, Iterable[int]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the problems on which trials would fail, and notes.

    Args:
        trials: The trials to run.
        num_train: Numbers of training images by dataset label; without datasets that are not on
            this machine.
    """
    problems: dict[str, None] = {}
    notes = {note: None for model in _models(trials) for note in _weights_note(model)}
    alone = (alone_note(loss) for loss in {one.loss.label: one.loss for one in trials}.values())
    notes |= dict.fromkeys(text for text in alone if text)
    for spec in {(spec.dataset.label, spec.model.label): spec for spec in trials}.values():
        label = spec.dataset.label
        counts = sorted(num_train.get(label, ()))
        found = [size_problem(spec), supervision_problem(spec)]
        found += [batch_problem(spec, number) for number in counts]
        problems |= dict.fromkeys(text for text in found if text)
        left_out = [left_out_note(spec, number) for number in counts]
        notes |= dict.fromkeys(f"{label} · {spec.model.label}: {text}" for text in left_out if text)
    return tuple(problems), tuple(notes)


def _models(trials: Iterable[TrialSpec]) -> list[Component]:
    return list({spec.model.label: spec.model for spec in trials}.values())


def _weights_note(model: Component) -> list[str]:
    pretrained = model.parameters.get("pretrained", False)
    if pretrained is False and MODELS[model.name].frozen_backbone:
        return [f"{model.label}: its frozen encoder has random weights; set `pretrained`"]
    if pretrained is False:
        return []
    weights = weights_of(model.name, model.parameters)
    names = ", ".join(f"{item.name} (licence: {item.licence})" for item in weights)
    scaling = input_normalisation(model.name, model.parameters) or "as data.normalisation says"
    source = "the hub's" if pretrained is True else "given"
    return [f"{model.label}: starts from {source} weights {names}; input scaling: {scaling}"]
