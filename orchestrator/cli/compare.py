"""`podium compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.cli.output import console, print_json, print_table
from orchestrator.cli.results import finished_trials, grid_of, is_table, require_results
from orchestrator.ranking.metrics import Metric, is_known, metric_of
from orchestrator.ranking.table import prepare_trials, read_table
from orchestrator.report.compare.comparison import (
    Comparison,
    PodiumPair,
    answer_sentence,
    compare,
    to_json,
)
from orchestrator.report.compare.sides import Side, side
from orchestrator.report.data import ReportData
from orchestrator.store import Store
from orchestrator.wording import (
    MISSING,
    count_of_text,
    count_text,
    decimal_text,
    points_text,
    signed_text,
)
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.ranking.places import TieRule

MAX_CELLS = 12
"""Rows of single combinations that the terminal shows; JSON and the page have all."""


def compare_command(
    places: tuple[str, str],
    *,
    metrics: tuple[str, str],
    lower_is_better: bool | None,
    protocols: tuple[str | None, str | None],
    ties: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compares two sweeps; prints the result, and writes it as a page where asked."""
    # Said once, it holds for the columns whose names do not say it.
    unclear = [metric for metric in metrics if not is_known(metric)]
    told = dict.fromkeys(unclear or metrics, lower_is_better)
    sides = [
        _read(letter, place, metric, told.get(metric), protocol=protocol, ties=ties)
        for letter, place, metric, protocol in zip("AB", places, metrics, protocols, strict=True)
    ]
    found = compare(sides[0], sides[1])
    if out is not None:
        from orchestrator.report.compare.page import write_comparison

        write_comparison(found, out)
    if as_json:
        print_json(to_json(found))
        return
    _print(found)
    if out is not None:
        console().print(f"Page: {out}", soft_wrap=True, markup=False)


def _read(
    letter: str,
    place: str,
    metric: str,
    lower_is_better: bool | None,
    *,
    protocol: str | None,
    ties: str,
) -> Side:
    try:
        measure = metric_of(metric, lower_is_better=lower_is_better)
        return side(letter, place, _data(place, measure=measure, protocol=protocol, ties=ties))
    except UserError as error:
        # The reader of one table speaks of --protocol and --metric; here each side has its own.
        own = {"a": "", "b": "-b"}[letter.lower()]
        text = str(error).replace("--protocol", f"--protocol-{letter.lower()}")
        raise UserError(text.replace("--metric ", f"--metric{own} ")) from error


def _data(place: str, *, measure: Metric, protocol: str | None, ties: str) -> ReportData:
    rule = cast("TieRule", ties)
    if is_table(place):
        if protocol:
            msg = f"--protocol {protocol}: {place} is a table and holds no protocols"
            raise UserError(msg)
        return ReportData(
            trials=read_table(Path(place), metric=measure), grid=None, metric=measure, ties=rule
        )
    store = Store(place)
    require_results(store)
    trials = finished_trials(store)
    chosen = prepare_trials(trials, metric=measure, protocol=protocol, source=store.place)
    return ReportData(
        trials=trials,
        grid=grid_of(store, chosen),
        metric=measure,
        ties=rule,
        protocol=protocol,
        missing=store.missing(set(chosen["trial_id"])),
    )


def _print(found: Comparison) -> None:
    out = console()
    out.print(answer_sentence(found), style="bold", markup=False)
    for one in (found.a, found.b):
        coverage = one.sweep.main_podium.coverage
        out.print(
            f"{one.letter}: {one.name}, {one.place}, by {one.metric_text}, "
            f"{count_of_text(coverage.present, coverage.expected, 'trial')}",
            soft_wrap=True,
            markup=False,
        )
    out.print(
        f"Combinations of dataset, model and loss: {found.num_common_cells:,} in both, "
        f"{found.num_only_a:,} only in A, {found.num_only_b:,} only in B",
        soft_wrap=True,
        markup=False,
    )
    for pair in found.podiums:
        _print_podiums(found, pair)
    _print_differences(found)
    _print_facts(found)
    for note in found.notes:
        out.print(note, soft_wrap=True, markup=False)


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
        "cannot be said: it needs two losses in both, and no podium that is all level"
        if pair.tau is None
        else f"{signed_text(pair.tau, 2)} over {count_text(pair.num_common, 'loss')}"
    )
    console().print(f"Kendall's τ-b of the two orders: {tau}", soft_wrap=True, markup=False)


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
        console().print(
            f"Nothing differs in the {facts.num_compared} settings, versions and devices compared.",
            soft_wrap=True,
            markup=False,
        )
        return
    print_table(
        ["what", "of", "A", "B"],
        [(fact.name, fact.group, fact.a, fact.b) for fact in facts.differing],
        title=f"What differs, {len(facts.differing)} of {facts.num_compared} compared",
    )


def _points(points: float | None) -> str:
    return MISSING if points is None else points_text(points)
