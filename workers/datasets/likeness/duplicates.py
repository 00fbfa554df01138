"""Duplicates as findings: equal pictures and near duplicates, within and across datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workers.contract import SIMILAR_DISTANCE
from workers.datasets.dataset import FileDataset
from workers.datasets.files.fingerprint import relative_name
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.likeness.hashing import NUM_BITS, classes, near_pairs
from workers.datasets.likeness.relations import ImageRelations

EQUAL_PICTURES = FindingKind(
    name="equal-pictures",
    severity="note",
    text="pictures with the same pixels",
    remedy="data.split_unit: group keeps them in one subset",
)
NEAR_DUPLICATES = FindingKind(
    name="near-duplicates",
    severity="note",
    text="near duplicates",
    remedy="data.split_unit: similar keeps each group in one subset",
)
SHARED_PICTURES = FindingKind(
    name="shared-pictures",
    severity="note",
    text="image that is also in another dataset, equal or nearly so; results of the two datasets "
    "are not independent",
)

_MAX_MEMBERS = 4


def duplicate_findings(dataset: FileDataset, relations: ImageRelations) -> list[Finding]:
    """Returns the equal pictures and the groups of near duplicates of one dataset."""
    names = _names(dataset)
    near = relations.near(SIMILAR_DISTANCE)
    new = near[relations.equal[near[:, 0]] != relations.equal[near[:, 1]]]
    pairs = "1 pair" if len(new) == 1 else f"{len(new):,} pairs"
    text = (
        f"groups of near duplicates ({pairs} with hashes that differ in at most {SIMILAR_DISTANCE} "
        f"of {NUM_BITS} bits)"
    )
    return [
        *finding(EQUAL_PICTURES, _listed(relations.equal, names, " = ")),
        *finding(
            replace(NEAR_DUPLICATES, text=text), _listed(classes(len(names), new), names, " ~ ")
        ),
    ]


def shared_findings(
    datasets: Mapping[str, tuple[FileDataset, ImageRelations]],
) -> dict[str, list[Finding]]:
    """Returns for each dataset a finding on its images that are also in another dataset.

    Args:
        datasets: By label.
    """
    shared: dict[str, dict[str, str]] = {label: {} for label in datasets}
    for label, (dataset, relations) in datasets.items():
        names = _names(dataset)
        for other, (other_dataset, other_relations) in datasets.items():
            if other == label or relations.hashes is None or other_relations.hashes is None:
                continue
            near = near_pairs(relations.hashes, SIMILAR_DISTANCE, other_relations.hashes)
            other_names = _names(other_dataset)
            _, first = np.unique(near[:, 0], return_index=True)
            for a, b, _ in near[first].tolist():
                shared[label].setdefault(names[a], f"{other}: {other_names[b]}")
    return {label: list(finding(SHARED_PICTURES, found)) for label, found in shared.items()}


def _names(dataset: FileDataset) -> list[str]:
    return [relative_name(dataset.folder, dataset.image_path(sample)) for sample in dataset.samples]


def _listed(labels: NDArray[np.int64], names: Sequence[str], sign: str) -> list[str]:
    """Returns each class of more than one member as a text."""
    members: dict[int, list[str]] = {}
    for label, name in zip(labels.tolist(), names, strict=True):
        members.setdefault(label, []).append(name)
    return [_joined(found, sign) for found in members.values() if len(found) > 1]


def _joined(names: Sequence[str], sign: str) -> str:
    more = len(names) - _MAX_MEMBERS
    shown = [*names[:_MAX_MEMBERS], *([f"{more} more"] if more > 0 else [])]
    return sign.join(shown)
