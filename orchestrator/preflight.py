"""What must hold before a sweep starts: its data is there, whole, unchanged and large enough."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from orchestrator.grid import Grid
from orchestrator.store import CommittedTrial
from workers.catalogue.datasets import DATASETS
from workers.contract import Component, DataProtocol, UserError
from workers.datasets import Dataset, open_dataset, read_contents
from workers.datasets.split import split_indices


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
            "files back, or set results to another location"
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
