"""`podium compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared import (
    HigherOption,
    JsonOption,
    LowerOption,
    MetricOption,
    TiesOption,
    console,
    local_path,
    lower_is_better,
    print_json,
    print_line,
    print_table,
)
from orchestrator.wording import (
    MISSING,
    count_of_text,
    count_text,
    decimal_text,
    points_text,
    signed_text,
)

if TYPE_CHECKING:
    from orchestrator.report.compare.comparison import Comparison, PodiumPair

MAX_CELLS = 12
"""Rows of single combinations that the terminal shows; JSON and the page have all."""


def compare(
    a: Annotated[str, typer.Argument(help="Results, or a CSV or Parquet table.", metavar="A")],
    b: Annotated[
        str, typer.Argument(help="Other results or table; the same one is allowed.", metavar="B")
    ],
    metric: MetricOption = "dice",
    metric_b: Annotated[
        str | None, typer.Option(help="The column to rank B by, if it has another name.")
    ] = None,
    lower: LowerOption = False,
    higher: HigherOption = False,
    protocol_a: Annotated[
        str | None, typer.Option(help="The protocol of A, if it holds several.")
    ] = None,
    protocol_b: Annotated[
        str | None, typer.Option(help="The protocol of B, if it holds several.")
    ] = None,
    ties: TiesOption = "split",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, help="Also write one self-contained page here.", metavar="HTML"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show two sweeps side by side: podiums, differences, and unequal settings."""
    from orchestrator.report.compare.comparison import to_json
    from orchestrator.report.writing import compare as compare_sweeps

    found = compare_sweeps(
        a,
        b,
        out,
        metric=metric,
        metric_b=metric_b,
        lower_is_better=lower_is_better(lower, higher),
        protocol_a=protocol_a,
        protocol_b=protocol_b,
        ties=ties,
    )
    if as_json:
        print_json(to_json(found))
        return
    _print(found)
    if out is not None:
        print_line(f"Page: {out}")


def _print(found: Comparison) -> None:
    from orchestrator.report.compare.comparison import answer_sentence

    console().print(answer_sentence(found), style="bold", markup=False)
    for one in (found.a, found.b):
        coverage = one.sweep.main_podium.coverage
        print_line(
            f"{one.letter}: {one.name}, {one.place}, by {one.metric_text}, "
            f"{count_of_text(coverage.present, coverage.expected, 'trial')}"
        )
    print_line(
        f"Combinations of dataset, model and loss: {found.num_common_cells:,} in both, "
        f"{found.num_only_a:,} only in A, {found.num_only_b:,} only in B"
    )
    for pair in found.podiums:
        _print_podiums(found, pair)
    _print_differences(found)
    _print_facts(found)
    for note in found.notes:
        print_line(note)


def _print_podiums(found: Comparison, pair: PodiumPair) -> None:
    print_table(
        ["loss", "place A", "place B", "moved", "points A", "points B", "mean A", "mean B"],
        [
            (
                found.title("loss", row.loss),
                MISSING if row.place_a is None else row.place_a,
                MISSING if row.place_b is None else row.place_b,
                MISSING if row.moved is None else signed_text(row.moved, 0),
                _points(row.points_a),
                _points(row.points_b),
                decimal_text(row.mean_a),
                decimal_text(row.mean_b),
            )
            for row in pair.rows
        ],
        title=f"By {pair.axis}",
        numeric=frozenset(
            {"place A", "place B", "moved", "points A", "points B", "mean A", "mean B"}
        ),
    )
    tau = (
        "undefined: it needs two losses in both, and two losses with unequal points in each"
        if pair.tau is None
        else f"{signed_text(pair.tau, 2)} over {count_text(pair.num_common, 'loss')}"
    )
    print_line(f"Kendall's τ-b of the two orders: {tau}")


def _print_differences(found: Comparison) -> None:
    if not found.losses:
        return
    print_table(
        ["loss", "B − A", "95 % interval", "combinations", "B better", "B worse"],
        [
            (
                found.title("loss", entry.loss),
                signed_text(entry.difference.value),
                entry.difference.interval_text,
                entry.num_cells,
                entry.num_better,
                entry.num_worse,
            )
            for entry in found.losses
        ],
        title="Differences by loss, mean over the combinations that both have",
        numeric=frozenset({"B − A", "95 % interval", "combinations", "B better", "B worse"}),
    )
    largest = sorted(found.cells, key=lambda cell: -abs(cell.difference.value))[:MAX_CELLS]
    print_table(
        ["dataset", "model", "loss", "B − A", "95 % interval"],
        [
            (
                None if cell.dataset is None else found.title("dataset", cell.dataset),
                None if cell.model is None else found.title("model", cell.model),
                found.title("loss", cell.loss),
                signed_text(cell.difference.value),
                cell.difference.interval_text,
            )
            for cell in largest
        ],
        title=f"Largest differences, {len(largest)} of "
        f"{count_text(len(found.cells), 'combination')}",
        numeric=frozenset({"B − A", "95 % interval"}),
    )


def _print_facts(found: Comparison) -> None:
    facts = found.settings
    if not facts.differing:
        print_line(f"The {facts.num_compared} settings, versions and devices compared are equal.")
        return
    print_table(
        ["setting", "group", "A", "B"],
        [(fact.name, fact.group, fact.a, fact.b) for fact in facts.differing],
        title=f"Different settings, {len(facts.differing)} of {facts.num_compared} compared",
    )


def _points(points: float | None) -> str:
    return MISSING if points is None else points_text(points)
