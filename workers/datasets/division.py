"""Division of a surveyed dataset by a data protocol: the splits of its repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from workers.contract import DataProtocol, UserError
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.split import split_indices
from workers.datasets.survey import Survey
from workers.requirements import BLIND_VALIDATION

NO_SPLIT = FindingKind(name="no-split", severity="refused", text="cannot be divided")
"""Its text is the reason."""

NO_LESION = FindingKind(
    name="blind-validation",
    severity="note",
    text=f"{BLIND_VALIDATION}, in repeats",
    remedy="raise the fraction data.split.val, or use more images with a lesion",
)

LEAK = FindingKind(
    name="sibling-in-training",
    severity="note",
    text="test images with a sibling in training",
    remedy="set data.split_unit: similar to split without them; the report shows the podium "
    "without these images",
)
"""Its text has the numbers."""

SIBLINGS = "an equal picture, a near duplicate, or one of the same group, such as a video"


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the repeats of a sweep divide one dataset.

    Attributes:
        num_train: Numbers of training images; with groups, repeats can differ.
        findings: Findings on the splits.
    """

    num_train: frozenset[int]
    findings: tuple[Finding, ...] = ()


def divide(survey: Survey, data: DataProtocol, seed: int, repeats: Iterable[int]) -> Division:
    """Divides a dataset as the trials of these repeats do.

    Args:
        survey: Survey of the dataset; a refused dataset is not divided.
        data: The data protocol.
        seed: Seed of the sweep.
        repeats: Numbers of the repeats.
    """
    if survey.relations is None or not survey.is_sound:
        return Division(num_train=frozenset())
    groups = survey.relations.groups(data)
    num_train: set[int] = set()
    blind: list[str] = []
    related: list[int] = []
    num_test: list[int] = []
    for repeat in repeats:
        try:
            split = split_indices(
                groups,
                data.split,
                unit=data.split_unit,
                seed=seed,
                repeat=repeat,
                fixed_test=data.fixed_test,
            )
        except UserError as error:
            kind = replace(NO_SPLIT, text=str(error))
            return Division(num_train=frozenset(), findings=(Finding(kind=kind, names=()),))
        num_train.add(len(split.train))
        if survey.without_lesion.issuperset(split.val.tolist()):
            blind.append(str(repeat))
        kinds = survey.relations.in_train(split.train, split.test, data.similar_distance)
        related.append(sum(kind != "none" for kind in kinds))
        num_test.append(len(split.test))
    return Division(
        num_train=frozenset(num_train),
        findings=(*finding(NO_LESION, blind), *_leaks(related, num_test)),
    )


def _leaks(related: Sequence[int], num_test: Sequence[int]) -> tuple[Finding, ...]:
    if not any(related):
        return ()
    text = (
        f"{mean(related):.4g} of {mean(num_test):.4g} test images, on average over the repeats, "
        f"have a sibling in training: {SIBLINGS}"
    )
    return (Finding(kind=replace(LEAK, text=text), names=()),)
