"""The datasets of a sweep: each is listed once and surveyed once per command."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.config import ConfigSource, is_config, load_config
from orchestrator.plan.archives import local_root
from orchestrator.plan.grid import Grid, build_grid
from orchestrator.records import CommittedTrial
from workers.catalogue.datasets import DATASETS
from workers.contract import DEFAULT_CACHE, Component, JSONValue, UserError
from workers.datasets import DatasetNotFoundError, generated_dataset, read_contents
from workers.datasets.division import divide
from workers.datasets.layouts.layout import Contents
from workers.datasets.survey import (
    Survey,
    survey_contents,
    survey_generated,
    survey_root,
    with_shared,
)

Listed = Contents | DatasetNotFoundError | None
"""Contents of a dataset's folder; the reason why it cannot be read; or None for an archive that is
not unpacked on this machine."""


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """Checks of the datasets of a sweep before it starts, by label.

    Attributes:
        surveys: Survey of each dataset on this machine.
        fingerprints: Fingerprint of the content of each dataset that can be used.
        num_train: Numbers of training images over the repeats.
        absent: What is missing on this machine; another machine may have it.
        refusals: Why trials of some datasets cannot be trained on any machine.
        notes: What the user should know.
    """

    surveys: Mapping[str, Survey] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    num_train: Mapping[str, frozenset[int]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, JSONValue]:
        """Returns the part of the surveys that the store keeps for reports."""
        return {
            label: {
                "num_pairs": survey.num_pairs,
                "num_official": survey.num_official,
                "masks": survey.masks,
                "notes": [
                    {"kind": one.kind.name, "sentence": one.sentence()} for one in survey.findings
                ],
            }
            for label, survey in self.surveys.items()
        }


def list_datasets(
    components: Iterable[Component], roots: Mapping[str, str | None], cache: Path, *, fetch: bool
) -> dict[str, Listed]:
    """Lists the folders of datasets in files, by label.

    Args:
        components: The datasets; generated ones are skipped.
        roots: Root of each label.
        cache: Cache folder of this node.
        fetch: Whether to unpack archives that are not unpacked yet.
    """
    listed: dict[str, Listed] = {}
    for component in components:
        label, root = component.label, roots.get(component.label)
        if DATASETS[component.name].kind == "generated" or label in listed:
            continue
        try:
            folder = local_root(root, cache, fetch=fetch) if root else None
        except UserError as error:  # of an archive that is missing or damaged
            listed[label] = DatasetNotFoundError(f"dataset {label}: {error}")
            continue
        try:
            is_here = folder is not None or root is None
            listed[label] = read_contents(component, folder) if is_here else None
        except DatasetNotFoundError as error:
            listed[label] = error
    return listed


def count_images(components: Iterable[Component], listed: Mapping[str, Listed]) -> dict[str, int]:
    """Counts the images of each dataset that is on this machine, for the expected cost."""
    counts = {}
    for component in components:
        found = listed.get(component.label)
        if DATASETS[component.name].kind == "generated":
            counts[component.label] = len(generated_dataset(component).samples)
        elif isinstance(found, Contents):
            counts[component.label] = len(found.samples)
    return counts


def check_data(
    grid: Grid,
    components: Iterable[Component],
    listed: Mapping[str, Listed],
    committed: Iterable[CommittedTrial],
    cache: Path,
) -> DataCheck:
    """Surveys every dataset of the pending trials, before a trial could fail on it.

    Args:
        grid: The sweep.
        components: The datasets of its pending trials.
        listed: From `list_datasets`.
        committed: Finished trials; those of the same protocol must have used the same data.
        cache: Folder in which facts about files are remembered.

    Raises:
        UserError: The cache folder cannot be written.
    """
    known: dict[str, set[str]] = {}
    for row in committed:
        if row.protocol_id == grid.protocol_id:
            known.setdefault(row.dataset, set()).add(row.dataset_fingerprint)
    surveys, absent, notes = _survey(grid, components, listed, cache)
    prints: dict[str, str] = {}
    sizes: dict[str, frozenset[int]] = {}
    refusals: list[str] = []
    first = grid.trials[0]
    for label, one in surveys.items():
        division = divide(one, first.data, first.seed, range(grid.repeats))
        survey = one.with_findings(division.findings)
        surveys[label], sizes[label] = survey, division.num_train
        refusals += survey.refusals
        notes += survey.notes
        if survey.dataset is not None and survey.is_sound:
            prints[label] = survey.dataset.fingerprint(cache)
            refusals += _changed(label, prints[label], known.get(label, ()))
    return DataCheck(
        surveys=surveys,
        fingerprints=prints,
        num_train=sizes,
        absent=tuple(absent),
        refusals=tuple(refusals),
        notes=tuple(notes),
    )


def _survey(
    grid: Grid, components: Iterable[Component], listed: Mapping[str, Listed], cache: Path
) -> tuple[dict[str, Survey], list[str], list[str]]:
    """Returns the surveys by label, the absent datasets, and the packed archives."""
    surveys: dict[str, Survey] = {}
    absent: list[str] = []
    packed: list[str] = []
    for label, component in {item.label: item for item in components}.items():
        found = listed.get(label)
        if DATASETS[component.name].kind == "generated":
            surveys[label] = survey_generated(component)
        elif isinstance(found, Contents):
            data = grid.trials[0].data
            size = data.image_size if data.mask_resize == "nearest" else None
            surveys[label] = survey_contents(component, found, cache, size)
        elif found is not None:
            absent.append(str(found))
        else:
            packed.append(
                f"dataset {label}: its archive is not unpacked on this machine; podium run unpacks "
                "it and surveys it then"
            )
    return with_shared(surveys), absent, packed


def _changed(label: str, fingerprint: str, known: Collection[str]) -> list[str]:
    if not known or fingerprint in known:
        return []
    return [
        f"dataset {label!r}: its content differs from the content that the finished trials were "
        f"trained on (fingerprint now {fingerprint[:12]}, then {min(known)[:12]}); restore the "
        "files and the version of Podium, or set results to another location"
    ]


def survey_config(config: ConfigSource, overrides: Sequence[str] = (), *, fetch: bool) -> DataCheck:
    """Surveys all datasets of a configuration as its trials will read them.

    Args:
        config: The configuration.
        overrides: As for `load_config`.
        fetch: Whether to unpack archives that are not here yet.

    Raises:
        UserError: The configuration is wrong, or the cache folder cannot be written.
    """
    loaded = load_config(config, overrides)
    grid, cache = build_grid(loaded), Path(loaded.data.cache)
    listed = list_datasets(grid.datasets, grid.roots, cache, fetch=fetch)
    return check_data(grid, grid.datasets, listed, (), cache)


def survey(target: ConfigSource) -> Mapping[str, Survey]:
    """Surveys the datasets of a configuration, or all datasets in a folder, by label.

    Raises:
        UserError: The configuration is wrong, a dataset of it is absent, or the folder holds none.
    """
    if isinstance(target, str | Path) and not is_config(target):
        cache = Path(DEFAULT_CACHE).expanduser()
        return {found.label: found for found in survey_root(Path(target), cache)}
    checked = survey_config(target, fetch=True)
    if checked.absent:
        raise UserError("\n".join(checked.absent))
    return checked.surveys
