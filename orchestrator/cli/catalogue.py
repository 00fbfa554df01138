"""`podium list` and `podium data`: what a configuration can name, and what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import console, print_json, print_table
from workers.catalogue import Options
from workers.catalogue.datasets import DATASETS, DatasetEntry
from workers.catalogue.losses import LOSSES, STUDY_LOSSES, complete_loss, loss_title
from workers.catalogue.models import MODELS

if TYPE_CHECKING:
    from workers.datasets.verify import VerifyReport


def _defaults(options: type[Options]) -> dict[str, object]:
    return options().model_dump(mode="json")


def _shown(parameters: dict[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in parameters.items())


def list_models_command(as_json: bool) -> None:
    """Prints the table of models."""
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "parameters": entry.parameters,
            "gmacs_224": entry.gmacs_224,
            "citation": entry.citation,
            "options": _defaults(entry.options),
        }
        for entry in MODELS.values()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["name", "parameters", "GMAC at 224", "options", "citation"],
        [
            (r["name"], f"{r['parameters']:,}", r["gmacs_224"], _shown(r["options"]), r["citation"])  # type: ignore[arg-type]
            for r in rows
        ],
        numeric=frozenset({"parameters", "GMAC at 224"}),
    )


def list_losses_command(as_json: bool) -> None:
    """Prints the losses, and the compound ones of the study, with their parameters."""
    rows = [
        {
            "name": name,
            "title": loss_title(name),
            "kind": LOSSES[name].kind if name in LOSSES else "compound",
            "options": complete_loss(name, {})[1],
            "citation": LOSSES[name].citation if name in LOSSES else None,
        }
        for name in dict.fromkeys((*LOSSES, *STUDY_LOSSES))
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["name", "published as", "kind", "options"],
        [(r["name"], r["title"], r["kind"], _shown(r["options"])) for r in rows],  # type: ignore[arg-type]
    )
    console().print("Any other sum is a loss too: x+y, with the option weights.")


def list_datasets_command(as_json: bool) -> None:
    """Prints the table of datasets."""
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "images": entry.num_images,
            "folder": entry.folder,
            "licence": entry.licence,
            "citation": entry.citation,
            "source": entry.source,
            "archives": list(entry.archives),
            "options": _defaults(entry.options),
        }
        for entry in DATASETS.values()
    ]
    if as_json:
        print_json(rows)
        return
    for entry in DATASETS.values():
        _print_dataset(entry)


def _print_dataset(entry: DatasetEntry) -> None:
    facts = {
        "images": None if entry.num_images is None else f"{entry.num_images:,}",
        "folder": entry.folder,
        "source": entry.source,
        "archives": ", ".join(entry.archives),
        "licence": entry.licence,
        "citation": entry.citation,
        "options": _shown(_defaults(entry.options)),
    }
    lines = [f"{entry.name}: {entry.title}"]
    lines += [f"  {key}: {value}" for key, value in facts.items() if value]
    console().print("\n".join(lines), markup=False, soft_wrap=True)


def verify_command(root: Path, as_json: bool) -> int:
    """Checks the datasets under a folder.

    Returns:
        1 where a file cannot be used, else 0.
    """
    from workers.datasets.verify import verify_root

    reports = verify_root(root)
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            _print_verified(report)
    return int(not all(report.is_sound for report in reports))


def _print_verified(report: VerifyReport) -> None:
    official = "" if report.num_official is None else f" of {report.num_official} official"
    state = "every file can be used" if report.is_sound else "some files cannot be used"
    lines = [f"{report.dataset}: {report.num_pairs}{official} pairs, {state} ({report.folder})"]
    findings: dict[str, list[str]] = {
        "unreadable": [f"{item.file} ({item.reason})" for item in report.unreadable],
        "mask of another size": [
            f"{item.mask} {_size(item.mask_size)}, its image {_size(item.image_size)}"
            for item in report.size_mismatches
        ],
        "image without mask": list(report.images_without_mask),
        "mask without image": list(report.masks_without_image),
        "empty mask": list(report.empty_masks),
        "mask not binary, thresholded": [item.file for item in report.non_binary_masks],
        "identical images": [" = ".join(group) for group in report.duplicates],
        "image also elsewhere": [" = ".join(group) for group in report.shared_images],
        "EXIF orientation ignored": list(report.turned_images),
    }
    for finding, names in findings.items():
        if names:
            lines.append(f"  {finding}: {len(names)}")
            lines += [f"    {name}" for name in names]
    lines += [f"  {note}" for note in report.notes]
    console().print("\n".join(lines), markup=False, soft_wrap=True)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
