"""`podium data show`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import console
from workers.catalogue import nearest
from workers.catalogue.datasets import DATASETS, complete_dataset
from workers.contract import DEFAULT_CACHE, Component, UserError

if TYPE_CHECKING:
    from workers.datasets.survey import Survey

CONFIG_SUFFIXES = (".yaml", ".yml")
SHEET_SUFFIXES = (".html", ".htm", ".png")


def show_command(target: str, *, root: Path | None, out: Path, number: int) -> None:
    """Draws a contact sheet of the datasets that the target names, and says where it is.

    Raises:
        UserError: The target names no dataset, or the sheet cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in SHEET_SUFFIXES:
        msg = f"--out {out}: the name must end in .html or .png"
        raise UserError(msg)
    if not out.parent.is_dir():
        msg = f"--out {out}: there is no folder {out.parent}; create it, or choose another file"
        raise UserError(msg)
    surveys = _surveys(target, root)
    from orchestrator.report.page import write_file
    from orchestrator.report.sheet.samples import dataset_sheets

    parts = dataset_sheets(surveys, number)
    if suffix == ".png":
        from orchestrator.report.sheet.png import draw_sheet

        content = draw_sheet(parts)
    else:
        from orchestrator.report.sheet.page import render_sheet

        content = render_sheet(list(parts)).encode()
    try:
        write_file(out, content)
    except OSError as error:
        msg = f"--out {out}: cannot be written: {error.strerror}; choose another file"
        raise UserError(msg) from error
    for survey in surveys.values():
        state = "" if survey.is_sound else ", refused: it cannot be trained on"
        text = f"{survey.label}: {survey.num_pairs:,} pairs{state}"
        console().print(text, soft_wrap=True, markup=False)
    console().print(f"Contact sheet: {out}", soft_wrap=True, markup=False)


def _surveys(target: str, root: Path | None) -> Mapping[str, Survey]:
    """Returns the surveys of a folder, a configuration or a dataset by its name."""
    path, cache = Path(target), Path(DEFAULT_CACHE).expanduser()
    from workers.datasets.survey import survey_dataset, survey_root

    if target in DATASETS and not path.is_dir():
        name, parameters = complete_dataset(target, {})
        component = Component(name=name, parameters=parameters)
        return {target: survey_dataset(component, root or Path.cwd(), cache)}
    if root is not None:
        msg = f"--root {root}: only with the name of a dataset; {target} says where its data is"
        raise UserError(msg)
    if path.suffix.lower() in CONFIG_SUFFIXES and path.is_file():
        from orchestrator.sweep import survey_config

        found = survey_config(path, fetch=True)
        if found.absent:
            raise UserError("\n".join(found.absent))
        return found.surveys
    if not path.exists():
        msg = (
            f"{target}: no folder, no configuration and no dataset of this name; "
            f"{nearest(target, DATASETS)}"
        )
        raise UserError(msg)
    return {survey.label: survey for survey in survey_root(path, cache)}
