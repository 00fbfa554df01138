"""The survey of a dataset: what lies in its folder, what its masks mean, and what is odd there.

A command makes one survey of each dataset and hands it to everything that needs the dataset, so
that `podium data verify`, `plan`, `run` and `report` use the same words and the same severity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from workers.catalogue.datasets import DATASETS, DatasetEntry
from workers.contract import Component, JSONValue
from workers.datasets import MIN_PAIRS, dataset_of, generated_dataset, read_contents
from workers.datasets.dataset import Dataset
from workers.datasets.findings import NUM_NAMES, Finding, FindingKind, finding
from workers.datasets.fingerprint import relative_name
from workers.datasets.layout import Contents

TOO_FEW_PAIRS = FindingKind(
    name="too-few-pairs",
    severity="refused",
    text="too few image-mask pairs",
)
INCOMPLETE = FindingKind(
    name="incomplete",
    severity="note",
    text="the official dataset has another number of pairs",
)
IMAGE_WITHOUT_MASK = FindingKind(
    name="image-without-mask", severity="note", text="image without mask, left out"
)
MASK_WITHOUT_IMAGE = FindingKind(
    name="mask-without-image", severity="note", text="mask without image, left out"
)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What one dataset holds.

    Attributes:
        label: The user's alias, else the catalogue name.
        dataset: What trials would read; None if there are too few pairs.
        folder: The dataset's own folder; None for generated data. Findings name files relative
            to it.
        num_images: Images found, with or without a mask.
        num_pairs: Images with at least one mask.
        num_official: Pairs of the complete official dataset; None where it varies.
        masks: What a mask means, in one sentence; empty for generated data.
        remarks: What the layout decides by rule, "read as PNG"; shown by `podium data verify`.
        findings: Everything odd, refusals first.
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

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why no trial of the dataset can be trained, each a sentence with the dataset's name."""
        return self.sentences("refused")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before training, each a sentence with the dataset's name."""
        return self.sentences("note")

    @property
    def is_sound(self) -> bool:
        """Whether trials of the dataset can be trained: nothing is refused."""
        return not any(one.kind.severity == "refused" for one in self.findings)

    @property
    def is_complete(self) -> bool:
        """Whether all official pairs are there; True where their number varies."""
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

    def to_json(self) -> dict[str, JSONValue]:
        """Returns counts, the sentence on masks, the remarks and the findings with every name."""
        return {
            "dataset": self.label,
            "folder": None if self.folder is None else str(self.folder),
            "num_images": self.num_images,
            "num_pairs": self.num_pairs,
            "num_official": self.num_official,
            "masks": self.masks,
            "notes": list(self.remarks),
            "findings": [one.to_json() for one in self.findings],
            "is_sound": self.is_sound,
            "is_complete": self.is_complete,
        }


def survey_dataset(component: Component, root: Path | None, cache_dir: Path) -> Survey:
    """Lists the files of a dataset, looks at those that are new, and says what is odd.

    What was seen in a file is remembered in `cache_dir`, so that a second survey only looks at
    file times.

    Args:
        component: Name and parameters.
        root: As for `workers.datasets.open_dataset`.
        cache_dir: Cache folder of this node.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        CatalogueError: The name or a parameter is unknown.
    """
    entry = DATASETS[component.name]
    if entry.kind == "generated":
        dataset = generated_dataset(component)
        num = len(dataset.samples)
        return Survey(
            label=component.label, dataset=dataset, folder=None, num_images=num, num_pairs=num
        )
    return survey_contents(component, read_contents(component, root), cache_dir)


def survey_contents(component: Component, contents: Contents, cache_dir: Path) -> Survey:
    """Surveys a dataset whose files are listed already; see `survey_dataset`."""
    entry = DATASETS[component.name]
    num = len(contents.samples)
    dataset = dataset_of(component, contents) if num >= MIN_PAIRS else None
    _ = cache_dir
    return Survey(
        label=component.label,
        dataset=dataset,
        folder=contents.folder,
        num_images=num + len(contents.images_without_mask),
        num_pairs=num,
        num_official=entry.num_images,
        remarks=contents.notes,
    ).with_findings(_pairing(entry, contents))


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: one.kind.severity != "refused"))


def _pairing(entry: DatasetEntry, contents: Contents) -> list[Finding]:
    """Returns what the names of the files alone say."""
    num, official = len(contents.samples), entry.num_images
    found: list[Finding] = []
    if num < MIN_PAIRS:
        text = f"{num} image-mask pairs, at least {MIN_PAIRS} are needed"
        found.append(Finding(kind=replace(TOO_FEW_PAIRS, text=text), names=()))
    if official is not None and num != official:
        text = f"{num:,} of {official:,} official pairs are here"
        found.append(Finding(kind=replace(INCOMPLETE, text=text), names=()))

    def names(paths: Iterable[Path]) -> list[str]:
        return [relative_name(contents.folder, path) for path in paths]

    found += finding(IMAGE_WITHOUT_MASK, names(contents.images_without_mask))
    found += finding(MASK_WITHOUT_IMAGE, names(contents.masks_without_image))
    return found
