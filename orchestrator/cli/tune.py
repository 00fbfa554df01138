"""`podium tune`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.output import console, print_json, print_notes, print_table, shown_looks
from orchestrator.engine.signals import raise_on_signals
from orchestrator.progress import make_progress
from orchestrator.tune.search import Search, open_search, run_search
from orchestrator.tune.studies import Finding, fragments, tuned_label
from orchestrator.wording import decimal_text, parameter_text
from workers.contract import UserError

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def tune_command(
    path: Path, overrides: Sequence[str], progress: str, out: Path | None, as_json: bool
) -> int:
    """Searches what is missing, writes the report, and says what was found."""
    search = open_search(path, overrides)
    folder = out or _default_folder(search)
    from orchestrator.engine.ray_cluster import ClusterOptions
    from orchestrator.report.search_report import write_search_report
    from orchestrator.tune.ray_search import RaySearch
    from orchestrator.tune.sampler import importances

    config = search.config
    engine = RaySearch(
        ClusterOptions(
            address=config.cluster.address,
            num_cpus=config.cluster.cpus,
            num_gpus=config.cluster.gpus,
            trial_cpus=config.resources.cpus,
            trial_gpus=search.grid.gpus_per_trial,
            max_failures=config.cluster.max_failures,
        )
    )
    display = make_progress(progress, sys.stderr if as_json else sys.stdout)
    raise_on_signals()
    try:
        with shown_looks():
            report = run_search(search, engine, display, on_notes=print_notes)
    except KeyboardInterrupt:
        display.close()
        return _stopped()
    if report is not None and report.interrupted:
        return _stopped()
    findings = search.findings()
    files = write_search_report(
        config.name,
        findings,
        [importances(one.study, one.candidates) for one in findings],
        fragments(findings),
        folder,
    )
    if as_json:
        places = {"page": str(files.page), "fragments": [str(file) for file in files.fragments]}
        print_json({"name": config.name, "searches": list(map(_to_json, findings))} | places)
    else:
        _print(config.name, findings)
        console().print(f"Report: {files.page}", soft_wrap=True, markup=False)
        for file in files.fragments:
            line = f"To compare them in a grid: losses: [..., {{from: {file}}}]"
            console().print(line, soft_wrap=True, markup=False)
    found_all = all(one.complete and one.best for one in findings)
    return EXIT_DONE if found_all else EXIT_FAILED


def _default_folder(search: Search) -> Path:
    if "://" in search.store.place:
        msg = f"{search.store.place}: --out FOLDER: say where to write the report on this machine"
        raise UserError(msg)
    return Path(search.store.place) / "tuned"


def _stopped() -> int:
    sys.stderr.write("Stopped. What was tried is kept; the same command goes on from here.\n")
    return EXIT_INTERRUPTED


def _to_json(finding: Finding) -> dict[str, Any]:
    study, best = finding.study, finding.best
    return {
        "search_id": study.search_id,
        "loss": study.loss.label,
        "group": list(study.group),
        "tuned_label": tuned_label(study),
        "num_candidates": finding.num_ended,
        "num_pruned": finding.num_pruned,
        "num_diverged": finding.num_diverged,
        "budget": study.options.trials,
        "default_val_dice": finding.default,
        "best_val_dice": None if best is None else best[1],
        "best_number": None if best is None else best[0].number,
        "best_values": None if best is None else dict(best[0].values),
        "parameters": None if best is None else dict(study.component(best[0].values).parameters),
        "notes": list(finding.notes),
    }


def _print(name: str, findings: Sequence[Finding]) -> None:
    rows = []
    for finding in findings:
        best = finding.best
        values = (
            ", ".join(f"{key} {parameter_text(value)}" for key, value in best[0].values.items())
            if best
            else None
        )
        rows.append(
            [
                finding.study.label,
                f"{finding.num_ended}/{finding.study.options.trials}",
                finding.num_pruned,
                decimal_text(finding.default),
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
    for finding in findings:
        for note in finding.notes:
            line = f"note: {finding.study.label}: {note}"
            console().print(line, soft_wrap=True, markup=False, highlight=False)
