"""`podium data`: the datasets that are known, and those on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.catalogue import list_datasets
from orchestrator.cli.shared import JsonOption, print_json, print_line, shown_inspection
from workers.contract import DEFAULT_CACHE, Component, UserError

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig
    from workers.datasets.survey import Survey


app = typer.Typer(no_args_is_help=True, help="Datasets: those known, and those on disk.")
app.command("list")(list_datasets)


@app.command("verify")
def verify_data(
    target: Annotated[
        Path,
        typer.Argument(
            help="Folder that holds the datasets, or a configuration.", metavar="ROOT|CONFIG"
        ),
    ],
    every_name: Annotated[
        bool, typer.Option("--all", help="Name every file; otherwise five of each kind.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file of the datasets; the findings are those of plan and run.

    Exit code 0: each dataset can be trained on. 1: one cannot. 2: none was found.
    """
    from orchestrator.plan.survey import survey
    from workers.datasets.findings import NUM_NAMES

    with shown_inspection():
        surveys = survey(target)
    if as_json:
        print_json([found.to_json() for found in surveys.values()])
    else:
        for found in surveys.values():
            _print_survey(found, None if every_name else NUM_NAMES)
    raise typer.Exit(int(not all(found.is_sound for found in surveys.values())))


def _print_survey(survey: Survey, num_names: int | None) -> None:
    official = "" if survey.num_official is None else f" of {survey.num_official:,} official"
    state = "every pair can be used" if survey.is_sound else "refused: it cannot be trained on"
    lines = [f"{survey.label}: {survey.num_pairs:,}{official} pairs, {state} ({survey.folder})"]
    lines += [f"  {text}" for text in (survey.masks, *survey.remarks) if text]
    lines += [f"  {one.kind.severity}: {one.sentence(num_names)}" for one in survey.findings]
    print_line("\n".join(lines))


@app.command("show")
def show_data(
    target: Annotated[
        str,
        typer.Argument(
            help="Folder that holds datasets, a configuration, or the name of a dataset.",
            metavar="DATASET|CONFIG",
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option(
            help="With a name: the folder that holds the dataset; by default the current folder."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="File to write; .html or .png selects the format.")
    ] = Path("podium-data.html"),
    number: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="Samples of each dataset at most: 24, or with --augmented 3.",
            show_default=False,
        ),
    ] = None,
    augmented: Annotated[
        bool,
        typer.Option(
            "--augmented", help="With a configuration: eight draws of its augmentation per image."
        ),
    ] = False,
) -> None:
    """Draw a contact sheet: images with the outline of their mask, worst findings first.

    Exit code 2: the dataset does not exist. A dataset that cannot be trained on is also shown.
    """
    from orchestrator.report.sheet.writing import check_sheet, contact_sheet

    check_sheet(out)
    config = _augmenting(target) if augmented else None
    surveys = _named_surveys(target, root)
    contact_sheet(surveys, out, num_samples=number or (3 if augmented else 24), augmented_by=config)
    for found in surveys.values():
        state = "" if found.is_sound else ", refused: it cannot be trained on"
        print_line(f"{found.label}: {found.num_pairs:,} pairs{state}")
    print_line(f"Contact sheet: {out}")


def _augmenting(target: str) -> SweepConfig:
    """Returns the configuration whose augmentation is shown."""
    from orchestrator.config import is_config, load_config

    if not is_config(target):
        msg = f"--augmented: {target} is not a configuration; name the file that sets training"
        raise UserError(msg)
    return load_config(Path(target))


def _named_surveys(target: str, root: Path | None) -> Mapping[str, Survey]:
    """Returns the surveys of a folder, a configuration or a dataset by its name."""
    from orchestrator.plan.survey import survey
    from workers.catalogue import nearest
    from workers.catalogue.datasets import DATASETS, complete_dataset
    from workers.datasets.survey import survey_dataset

    path = Path(target)
    if target in DATASETS and not path.is_dir():
        name, parameters = complete_dataset(target, {})
        component = Component(name=name, parameters=parameters)
        cache = Path(DEFAULT_CACHE).expanduser()
        return {target: survey_dataset(component, root or Path.cwd(), cache)}
    if root is not None:
        msg = f"--root {root}: allowed only with the name of a dataset; leave it out for {target}"
        raise UserError(msg)
    if not path.exists():
        msg = (
            f"{target}: not a folder, a configuration or the name of a dataset; "
            f"{nearest(target, DATASETS)}"
        )
        raise UserError(msg)
    return survey(path)
