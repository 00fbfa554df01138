"""Writes the contact sheet of surveyed datasets, as a page or as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.config import SweepConfig
from orchestrator.report.sheet.augmented import augmented_sheets
from orchestrator.report.sheet.samples import dataset_sheets
from workers.contract import UserError
from workers.datasets.survey import Survey
from workers.durable import replace_file


def contact_sheet(
    surveys: Mapping[str, Survey],
    out: str | Path,
    *,
    num_samples: int = 24,
    augmented_by: SweepConfig | None = None,
) -> None:
    """Writes images of datasets with the outline of their mask, worst findings first.

    Args:
        surveys: By label, as `podium.survey` returns them.
        out: File to write; its ending, `.html` or `.png`, selects the format.
        num_samples: Samples of each dataset at most.
        augmented_by: Shows some images as the augmentation of this configuration changes them.

    Raises:
        UserError: The file has another ending or cannot be written, or the configuration has no
            augmentation.
    """
    out = Path(out)
    check_sheet(out)
    if augmented_by is None:
        parts = dataset_sheets(surveys, num_samples)
    else:
        parts = augmented_sheets(surveys, augmented_by, num_samples)
    if out.suffix.lower() == ".png":
        from orchestrator.report.sheet.png import draw_sheet

        content = draw_sheet(parts)
    else:
        from orchestrator.report.sheet.page import render_sheet

        content = render_sheet(list(parts)).encode()
    try:
        replace_file(out, content)
    except OSError as error:
        msg = f"--out {out}: cannot be written: {error.strerror}; choose another file"
        raise UserError(msg) from error


def check_sheet(out: Path) -> None:
    """Checks the name of a contact sheet, before the datasets are surveyed.

    Raises:
        UserError: The name has another ending than `.html` or `.png`, or its folder is absent.
    """
    if out.suffix.lower() not in (".html", ".htm", ".png"):
        msg = f"--out {out}: the name must end in .html or .png"
        raise UserError(msg)
    if not out.parent.is_dir():
        msg = f"--out {out}: there is no folder {out.parent}; create it, or choose another file"
        raise UserError(msg)
