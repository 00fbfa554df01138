"""What must hold before a sweep starts: its data and weights are there, and each model fits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.grid import Grid
from orchestrator.store import CommittedTrial
from workers.catalogue.datasets import DATASETS
from workers.catalogue.models import input_normalisation, weights_of
from workers.contract import Component, DataProtocol, TrialSpec, UserError
from workers.datasets import Dataset, open_dataset, read_contents
from workers.datasets.split import split_indices
from workers.requirements import batch_problem, left_out_note, size_problem, supervision_problem
from workers.weights import require_weights


def check_outlives_job(location: str) -> None:
    """Checks that results are not in a folder that Ray removes.

    Raises:
        UserError: They are below the working directory that a job uploaded.
    """
    parts = Path(location).parts
    if "runtime_resources" in parts and "working_dir_files" in parts:
        msg = (
            f"results: {location} lies in the working directory of a Ray job, which each node "
            "has for itself and Ray removes; set results to a folder that all nodes share, by its "
            "absolute path, or to s3://bucket/prefix (--set results=...)"
        )
        raise UserError(msg)


def check_data(
    grid: Grid, needed: Iterable[Component], committed: Iterable[CommittedTrial], cache_dir: Path
) -> tuple[str, ...]:
    """Opens every dataset that is needed, before any trial would fail on it.

    Args:
        grid: The sweep.
        needed: The datasets of its pending trials.
        committed: Finished trials; those of the same protocol must have seen the same data.
        cache_dir: Where hashes of files are remembered.

    Returns:
        Notes for the user: what is left out.

    Raises:
        UserError: A dataset is missing, too small for its split, or its content has changed, or
            the cache folder cannot be written.
    """
    rows = [row for row in committed if row.protocol_id == grid.protocol_id]
    notes: list[str] = []
    for component in {item.label: item for item in needed}.values():
        root = grid.roots.get(component.label)
        folder = Path(root) if root else None
        dataset = open_dataset(component, folder)
        _check_split(component, dataset, grid.trials[0].data, grid.trials[0].seed)
        known = {row.dataset_fingerprint for row in rows if row.dataset == component.label}
        _check_unchanged(component, dataset.fingerprint(cache_dir), known)
        notes += _left_out(component, folder)
    return tuple(notes)


def fingerprints(grid: Grid, needed: Iterable[Component], cache_dir: Path) -> dict[str, str]:
    """Returns the fingerprint of each dataset by label, so that trials can tell a change.

    Raises:
        UserError: A dataset is missing or unreadable.
    """
    found = {}
    for component in {item.label: item for item in needed}.values():
        root = grid.roots.get(component.label)
        dataset = open_dataset(component, Path(root) if root else None)
        found[component.label] = dataset.fingerprint(cache_dir)
    return found


def check_models(grid: Grid, trials: Sequence[TrialSpec], cache_dir: Path) -> tuple[str, ...]:
    """Checks what models ask for: images a step, weights of outputs, files of weights.

    Args:
        grid: The sweep.
        trials: Those to run.
        cache_dir: Where fetched weights are kept.

    Returns:
        Notes for the user: images left out, and what starts from which weights.

    Raises:
        UserError: Everything that every trial of a model would fail on, in one message.
    """
    problems, notes = model_findings(grid, trials)
    if problems:
        raise UserError("\n".join(problems))
    require_weights(_models(trials), dict(grid.weights), cache_dir)
    return notes


def model_findings(
    grid: Grid, trials: Sequence[TrialSpec]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns what trials would fail on, and notes; a dataset that is not here says nothing."""
    problems: dict[str, None] = {}
    notes = {note: None for model in _models(trials) for note in _weights_note(model)}
    pairs = {(spec.dataset.label, spec.model.label): spec for spec in trials}
    counts: dict[str, set[int]] = {}
    for spec in pairs.values():
        label = spec.dataset.label
        if label not in counts:
            counts[label] = _num_train_images(grid, spec)
        found = [size_problem(spec), supervision_problem(spec)]
        found += [batch_problem(spec, number) for number in counts[label]]
        problems |= dict.fromkeys(text for text in found if text)
        left_out = [left_out_note(spec, number) for number in sorted(counts[label])]
        notes |= dict.fromkeys(f"{label} · {spec.model.label}: {text}" for text in left_out if text)
    return tuple(problems), tuple(notes)


def _models(trials: Iterable[TrialSpec]) -> list[Component]:
    return list({spec.model.label: spec.model for spec in trials}.values())


def _num_train_images(grid: Grid, spec: TrialSpec) -> set[int]:
    """Returns the training images of a dataset, of which groups make some more in one repeat."""
    root = grid.roots.get(spec.dataset.label)
    with suppress(UserError):
        dataset = open_dataset(spec.dataset, Path(root) if root else None)
        groups = [sample.group for sample in dataset.samples]
        data, seed = spec.data, spec.seed
        return {
            len(split_indices(groups, data.split, unit=data.split_unit, seed=seed, repeat=r).train)
            for r in range(grid.repeats)
        }
    return set()


def _weights_note(model: Component) -> list[str]:
    pretrained = model.parameters.get("pretrained", False)
    if pretrained is False:
        return []
    weights = weights_of(model.name, model.parameters)
    names = ", ".join(f"{item.name} (licence: {item.licence})" for item in weights)
    scaling = input_normalisation(model.name, model.parameters) or "as data.normalisation says"
    source = "the hub's" if pretrained is True else "given"
    return [f"{model.label}: starts from {source} weights {names}; input scaling: {scaling}"]


def _check_split(component: Component, dataset: Dataset, data: DataProtocol, seed: int) -> None:
    groups = [sample.group for sample in dataset.samples]
    try:
        split_indices(groups, data.split, unit=data.split_unit, seed=seed, repeat=0)
    except UserError as error:
        msg = f"data.split: dataset {component.label!r}: {error}"
        raise UserError(msg) from error


def _check_unchanged(component: Component, fingerprint: str, known: Collection[str]) -> None:
    if known and fingerprint not in known:
        msg = (
            f"dataset {component.label!r}: its content is not what the finished trials were "
            f"trained on (fingerprint {fingerprint[:12]}, theirs {min(known)[:12]}); bring the "
            "files back, and the version of Podium, or set results to another location"
        )
        raise UserError(msg)


def _left_out(component: Component, folder: Path | None) -> list[str]:
    if DATASETS[component.name].kind == "generated":
        return []
    contents = read_contents(component, folder)
    unpaired = {
        "images without mask": contents.images_without_mask,
        "masks without image": contents.masks_without_image,
    }
    counts = [f"{len(files)} {what}" for what, files in unpaired.items() if files]
    if not counts:
        return []
    return [
        f"{component.label}: left out: {', '.join(counts)}; "
        f"podium data verify {contents.folder} names them"
    ]
