"""`podium tune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared import (
    ConfigArgument,
    JsonOption,
    ProgressOption,
    SetOption,
    local_path,
    print_json,
    print_line,
    print_notes,
    print_table,
    shown_inspection,
)
from orchestrator.cli.sweep import EXIT_DONE, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED
from orchestrator.engine.signals import raise_on_signals
from orchestrator.progress import make_progress
from orchestrator.wording import decimal_text, parameter_text

if TYPE_CHECKING:
    from orchestrator.tune.results import SearchResult


def tune(
    config: ConfigArgument,
    overrides: SetOption = None,
    progress: ProgressOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Folder of the report; by default RESULTS/tuned."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search each loss's parameters on validation images; run it again to continue.

    Exit code 0: every search has its candidates. 1: some failed. 2: you must fix something first.
    130: stopped by Ctrl-C.
    """
    from orchestrator.report.writing import report_search
    from orchestrator.tune.results import overlap_note, spread
    from orchestrator.tune.search import open_search, run_search

    search = open_search(config, overrides or ())
    folder = out or search.folder()
    display = make_progress(progress, sys.stderr if as_json else sys.stdout)
    raise_on_signals()
    try:
        with shown_inspection():
            report = run_search(search, progress=display, on_notes=print_notes)
    except KeyboardInterrupt:
        display.close()
        _say_how_to_resume()
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if report is not None and report.interrupted:
        _say_how_to_resume()
        raise typer.Exit(EXIT_INTERRUPTED)
    results = search.results()
    notes = [*spread(results), *filter(None, [overlap_note(search.config)])]
    files = report_search(search, folder)
    if as_json:
        places = {"page": str(files.page), "fragments": [str(file) for file in files.fragments]}
        document = {"name": search.config.name, "searches": list(map(_to_json, results))}
        print_json(document | {"notes": notes} | places)
    else:
        _print(search.config.name, results)
        for note in notes:
            print_line(f"note: {note}")
        print_line(f"Report: {files.page}")
        for file in files.fragments:
            line = f"To compare them in a grid: losses: [..., {{from: {file}}}]"
            print_line(line)
    found_all = all(one.complete and one.best for one in results)
    raise typer.Exit(EXIT_DONE if found_all else EXIT_FAILED_TRIALS)


def _say_how_to_resume() -> None:
    sys.stderr.write(
        "Stopped. Finished candidates are kept; run the same command again to continue.\n"
    )


def _to_json(result: SearchResult) -> dict[str, Any]:
    from orchestrator.tune.results import tuned_label

    study, best = result.study, result.best
    return {
        "search_id": study.search_id,
        "loss": study.loss.label,
        "group": list(study.group),
        "number": study.number,
        "tuned_label": tuned_label(study),
        "num_candidates": result.num_ended,
        "num_pruned": result.num_pruned,
        "num_diverged": result.num_diverged,
        "budget": study.options.trials,
        "default_val_dice": result.default,
        "best_val_dice": None if best is None else best[1],
        "best_number": None if best is None else best[0].number,
        "best_values": None if best is None else dict(best[0].values),
        "parameters": None if best is None else dict(study.component(best[0].values).parameters),
        "notes": list(result.notes),
    }


def _print(name: str, results: Sequence[SearchResult]) -> None:
    rows = []
    for result in results:
        best = result.best
        values = (
            ", ".join(f"{key} {parameter_text(value)}" for key, value in best[0].values.items())
            if best
            else None
        )
        rows.append(
            [
                result.study.label,
                f"{result.num_ended}/{result.study.options.trials}",
                result.num_pruned,
                decimal_text(result.default),
                decimal_text(best[1] if best else None),
                values,
            ]
        )
    columns = ["search", "candidates", "stopped", "default", "best", "values of the best"]
    print_table(
        columns,
        rows,
        title=f"{name}: validation Dice, mean of all trainings of a candidate",
        numeric=frozenset(columns[1:5]),
    )
    for result in results:
        for note in result.notes:
            line = f"note: {result.study.label}: {note}"
            print_line(line)
