"""`podium report` and `podium figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.shared import (
    HigherOption,
    JsonOption,
    LowerOption,
    MetricOption,
    ProtocolOption,
    TableArgument,
    TiesOption,
    local_path,
    lower_is_better,
    print_json,
    print_line,
)
from orchestrator.wording import count_text, signs_text
from workers.contract import UserError


def report(
    target: TableArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder to write; by default RESULTS/report, for a table ./report.",
        ),
    ] = None,
    protocol: ProtocolOption = None,
    metric: MetricOption = "dice",
    lower: LowerOption = False,
    higher: HigherOption = False,
    ties: TiesOption = "split",
    margin: Annotated[
        float, typer.Option(min=0, help="Differences up to this count as equivalent.")
    ] = 0.005,
    draws: Annotated[
        int, typer.Option(help="Drawn new sweeps for the probabilities; 0 draws none.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained HTML page, and its figures as files."""
    from orchestrator.report.writing import report as write

    files = write(
        target,
        out,
        metric=metric,
        lower_is_better=lower_is_better(lower, higher),
        protocol=protocol,
        ties=ties,
        margin=margin,
        num_draws=draws,
        seed=seed,
    )
    if as_json:
        print_json(
            {
                "page": str(files.page),
                "figures": [str(path) for path in files.figures],
                "answer": files.answer,
                "notes": list(files.notes),
            }
        )
        return
    print_line(files.answer)
    for note in files.notes:
        print_line(f"Note: {note}")
    print_line(f"Report: {files.page}")
    if files.figures:
        where = files.figures[0].parent
        print_line(f"Figures: {len(files.figures)} files in {where}")


def figures(
    target: TableArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder to write; by default RESULTS/figures, for a table ./figures.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Some of 1, 2a, 2b, 2c, 3, podium, blob_plot, significance_map, intervals, "
            "stacked_ranks, tau_violins, ranking_heatmap, podium_plot, line_plot, curves.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="KINDS", help="Some of png, svg, pdf.")
    ] = "png,svg,pdf",
    metric: MetricOption = "dice",
    lower: LowerOption = False,
    higher: HigherOption = False,
    ties: TiesOption = "split",
    protocol: ProtocolOption = None,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="Dots per inch of PNG files.")] = 300,
    captions: Annotated[
        bool, typer.Option(help="Write a sentence below each figure that explains it.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Draw the study's figures from these results, each with its data as files."""
    from orchestrator.report.figures.files import FIGURE_NAMES, FORMATS
    from orchestrator.report.writing import figures as draw

    written = draw(
        target,
        out,
        only=_choose("--only", only, FIGURE_NAMES) if only else FIGURE_NAMES,
        formats=_choose("--format", formats, FORMATS),
        metric=metric,
        lower_is_better=lower_is_better(lower, higher),
        ties=ties,
        protocol=protocol,
        dots_per_inch=dpi,
        captions=captions,
    )
    if as_json:
        print_json(
            {
                "folder": str(written.folder),
                "files": [str(written.folder / name) for name in written.names],
                "left_out": dict(written.left_out),
                "notes": list(written.notes),
            }
        )
        return
    for note in written.notes:
        print_line(f"Note: {signs_text(note)}")
    for name, reason in written.left_out.items():
        print_line(f"{name}: left out: {signs_text(reason)}")
    for stem in sorted({Path(name).stem for name in written.names}):
        suffixes = " ".join(Path(name).suffix for name in written.names if Path(name).stem == stem)
        print_line(f"{stem}: {suffixes}")
    print_line(f"Figures: {count_text(len(written.names), 'file')} in {written.folder}")


def _choose(option: str, text: str, known: Sequence[str]) -> list[str]:
    """Returns the known names that a comma-separated text chooses, in the order of `known`.

    `2b` is short for `figure2b`.

    Raises:
        UserError: A name is unknown, or there is none.
    """
    chosen = set()
    for part in text.split(","):
        word = part.strip().lower()
        name = word if word in known else f"figure{word.removeprefix('figure').strip()}"
        if name not in known:
            msg = f"{option} {text}: {part.strip()!r} is not known; choose from {', '.join(known)}"
            raise UserError(msg)
        chosen.add(name)
    return [name for name in known if name in chosen]
