"""The survey of a dataset: the files in its folder, the meaning of its masks, and findings.

A command makes one survey of each dataset and hands it to everything that needs the dataset, so
that `podium data verify`, `plan`, `run` and `report` use the same words and the same severity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from workers.catalogue import load
from workers.catalogue.datasets import DATASETS
from workers.contract import Component, DataProtocol, JSONValue
from workers.datasets import (
    dataset_of,
    findings_of,
    generated_dataset,
    kinds,
    read_contents,
)
from workers.datasets.dataset import Dataset, DatasetNotFoundError, FileDataset
from workers.datasets.files.fingerprint import relative_name, spelt
from workers.datasets.files.pictures import UnreadableImageError
from workers.datasets.findings import NUM_NAMES, Finding, FindingKind
from workers.datasets.inspection import inspect_files
from workers.datasets.layouts.layout import Contents
from workers.datasets.layouts.not_found import proposal
from workers.datasets.layouts.pairing import IMAGE_WITHOUT_MASK, MASK_WITHOUT_IMAGE
from workers.datasets.likeness.duplicates import duplicate_findings, shared_findings
from workers.datasets.likeness.labels import label_findings
from workers.datasets.likeness.relations import ImageRelations, unrelated

DEFAULT_SIZE = DataProtocol().image_size
"""The network's size if no configuration names one: lesions that vanish there are named."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The content of one dataset.

    Attributes:
        label: The user's alias, or the catalogue name if there is no alias.
        dataset: The dataset that trials read, if nothing is refused; None if there is no pair.
        folder: The dataset's own folder; None for generated data. Findings name files relative
            to it.
        num_images: Images found, with or without a mask.
        num_pairs: Images with at least one mask.
        num_official: Pairs of the complete official dataset; None if it varies.
        masks: The meaning of a mask, in one sentence; empty for generated data.
        remarks: Decisions of the layout by rule, "read as PNG"; shown by `podium data verify`.
        findings: All findings, refusals first.
        without_lesion: Numbers of the samples whose mask is empty.
        relations: Which samples are related, and how; None if an image cannot be read.
    """

    label: str
    dataset: Dataset | None
    folder: Path | None
    num_images: int
    num_pairs: int
    num_official: int | None = None
    masks: str = ""
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    without_lesion: frozenset[int] = frozenset()
    relations: ImageRelations | None = None

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why no trial of the dataset can be trained, each a sentence with the dataset's name."""
        return self.sentences("refused")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user before training, each a sentence with the dataset's name."""
        return self.sentences("note")

    @property
    def is_sound(self) -> bool:
        """Whether trials of the dataset can be trained: nothing is refused."""
        return not any(one.kind.severity == "refused" for one in self.findings)

    @property
    def is_complete(self) -> bool:
        """Whether all official pairs are present; True if their number varies."""
        return self.num_official in (None, self.num_pairs)

    def sentences(self, severity: str, num_names: int | None = NUM_NAMES) -> tuple[str, ...]:
        """Returns the findings of one severity as `dataset LABEL: SENTENCE`.

        Args:
            severity: `refused` or `note`.
            num_names: How many names each sentence lists at most; None for all.
        """
        return tuple(
            f"dataset {self.label}: {one.sentence(num_names)}"
            for one in self.findings
            if one.kind.severity == severity
        )

    def with_findings(self, more: Iterable[Finding]) -> Survey:
        """Returns the survey with further findings, refusals first."""
        return replace(self, findings=_ordered((*self.findings, *more)))

    def names(self, kind: FindingKind) -> tuple[str, ...]:
        """Returns the names that a kind of finding concerns."""
        return tuple(n for one in self.findings if one.kind.name == kind.name for n in one.names)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns counts, the sentence on masks, the remarks and the findings with every name.

        Some findings also have a key of their own, from before there were findings.
        """
        return {
            "dataset": self.label,
            "folder": None if self.folder is None else spelt(str(self.folder)),
            "num_images": self.num_images,
            "num_pairs": self.num_pairs,
            "num_official": self.num_official,
            "masks": self.masks,
            "notes": list(self.remarks),
            "findings": [one.to_json() for one in self.findings],
            "unreadable": [
                {"file": name, "reason": detail}
                for one in self.findings
                if one.kind == kinds.UNREADABLE
                for name, detail in zip(one.names, one.details, strict=True)
            ],
            "empty_masks": list(self.names(kinds.MASK_EMPTY)),
            "images_without_mask": list(self.names(IMAGE_WITHOUT_MASK)),
            "masks_without_image": list(self.names(MASK_WITHOUT_IMAGE)),
            "is_sound": self.is_sound,
            "is_complete": self.is_complete,
        }


def survey_dataset(
    component: Component, root: Path | None, cache_dir: Path, image_size: int | None = None
) -> Survey:
    """Lists the files of a dataset, inspects new files, and returns the findings.

    Facts on each file are remembered in `cache_dir`, so that a second survey only checks file
    times.

    Args:
        component: Name and parameters.
        root: As for `workers.datasets.open_dataset`.
        cache_dir: Cache folder of this node.
        image_size: The network's size, to name lesions that vanish there by nearest pixels.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        CatalogueError: The name or a parameter is unknown.
    """
    if DATASETS[component.name].kind == "generated":
        return survey_generated(component)
    return survey_contents(component, read_contents(component, root), cache_dir, image_size)


def survey_generated(component: Component) -> Survey:
    """Surveys a dataset that is drawn on demand: it has no findings."""
    dataset = generated_dataset(component)
    num = len(dataset.samples)
    return Survey(
        label=component.label,
        dataset=dataset,
        folder=None,
        num_images=num,
        num_pairs=num,
        relations=unrelated(tuple(sample.group for sample in dataset.samples)),
    )


def survey_contents(
    component: Component, contents: Contents, cache_dir: Path, image_size: int | None = None
) -> Survey:
    """Surveys a dataset whose files are listed already; see `survey_dataset`."""
    num = len(contents.samples)
    survey = Survey(
        label=component.label,
        dataset=None,
        folder=contents.folder,
        num_images=num + len(contents.images_without_mask),
        num_pairs=num,
        num_official=DATASETS[component.name].num_images,
        remarks=contents.notes,
    ).with_findings(findings_of(component, contents))
    if not num:
        return survey
    dataset = dataset_of(component, contents)
    decision = dataset.examine(cache_dir, image_size)
    found = [*inspect_files(dataset, cache_dir, decision.turns), *decision.findings]
    relations = None
    with suppress(UnreadableImageError):  # `inspect_files` names it
        relations = dataset.relations(cache_dir)
        found += duplicate_findings(dataset, relations)
        found += label_findings(dataset, relations, cache_dir)
    survey = survey.with_findings(found)
    return replace(
        survey,
        dataset=dataset,
        masks=decision.rule.sentence if decision.rule else "",
        without_lesion=_without_lesion(dataset, found),
        relations=relations,
    )


def with_shared(surveys: Mapping[str, Survey]) -> dict[str, Survey]:
    """Returns the surveys, each with a finding on images that are also in another dataset.

    Args:
        surveys: By label.
    """
    known = {
        label: (survey.dataset, survey.relations)
        for label, survey in surveys.items()
        if isinstance(survey.dataset, FileDataset) and survey.relations is not None
    }
    shared = shared_findings(known)
    return {label: one.with_findings(shared.get(label, ())) for label, one in surveys.items()}


def _without_lesion(dataset: FileDataset, findings: Iterable[Finding]) -> frozenset[int]:
    """Returns the samples whose masks have no lesion at the network's size."""
    empty = {
        name
        for one in findings
        if one.kind.name in (kinds.MASK_EMPTY.name, kinds.MASK_VANISHES.name)
        for name in one.names
    }
    return frozenset(
        i
        for i, sample in enumerate(dataset.samples)
        if empty.issuperset(relative_name(dataset.folder, path) for path in sample.masks)
    )


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns one finding for each kind, refusals first; two checks can find the same files."""
    by_kind: dict[FindingKind, dict[str, str]] = {}
    for one in findings:
        details = one.details or ("",) * len(one.names)
        by_kind.setdefault(one.kind, {}).update(zip(one.names, details, strict=True))
    joined = [
        Finding(
            kind=kind,
            names=tuple(found),
            details=tuple(found.values()) if any(found.values()) else (),
        )
        for kind, found in by_kind.items()
    ]
    return tuple(sorted(joined, key=lambda one: one.kind.severity != "refused"))


def survey_root(root: Path, cache_dir: Path) -> list[Survey]:
    """Surveys every dataset found under a root, including a pair of images/ and masks/.

    Raises:
        DatasetNotFoundError: There is no dataset.
    """
    found: list[Survey] = []
    reasons: list[str] = []
    for name, entry in DATASETS.items():
        if entry.kind == "generated":
            continue
        component = Component(name=name)
        try:
            contents = read_contents(component, root, strict=True)
        except DatasetNotFoundError as error:
            reasons.append(str(error))
            continue
        if not any(one.folder and contents.folder.samefile(one.folder) for one in found):
            found.append(survey_contents(component, contents, cache_dir, DEFAULT_SIZE))
    if not found:
        expected = sorted({e.folder for e in DATASETS.values() if e.folder is not None})
        looked = reasons[0].partition("Looked in: ")[2].partition(". Expected")[0]
        layouts = [load(e.open) for e in DATASETS.values() if e.kind == "files"]
        layouts.sort(key=lambda layout: set(layout.expected) != {"images", "masks"})
        todo = "name that folder instead"
        proposed = next(filter(None, (proposal(root, one, {}, todo=todo) for one in layouts)), "")
        msg = (
            f"no dataset found. Looked in: {looked}. Expected one of: {', '.join(expected)}; "
            f"{proposed and f'{proposed}; or '}`podium data list` says where to get them"
        )
        raise DatasetNotFoundError(msg)
    return list(with_shared({one.label: one for one in found}).values())
