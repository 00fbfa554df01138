"""`podium rank`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from orchestrator.cli.output import print_json, say, say_aside
from orchestrator.cli.ranking_text import print_answer
from orchestrator.cli.results import grid_of, is_table, require_results
from orchestrator.ranking.certainty import Certainty, PodiumAxis, certainties
from orchestrator.ranking.metrics import ALL_METRICS, metric_of
from orchestrator.ranking.podium import rank
from orchestrator.ranking.power import Power, repeats_to_part
from orchestrator.ranking.racing import with_stand_ins
from orchestrator.ranking.results import Podium, Ranking, podium_rows
from orchestrator.ranking.scores import Compare, Scores, gather
from orchestrator.ranking.significance import Significance, significance
from orchestrator.ranking.table import check_metric, prepare_trials, read_table
from orchestrator.ranking.text_tables import block_table, to_csv, to_latex, to_markdown
from orchestrator.store import TABLES, Store
from workers.contract import UserError

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.ranking.metrics import Metric
    from orchestrator.titles import Titles

COLUMNS = ("protocol_id", "dataset", "model", "loss", "repeat", "status", "dataset_fingerprint")
"""What a ranking reads of the store's trials, besides the metric and the specification."""


@dataclass(frozen=True, kw_only=True)
class RankOptions:
    """What `podium rank` was asked; names as on the command line.

    Attributes:
        target: Results, or a file with a table.
        axes: Which podiums are printed; JSON has all.
        num_samples: Bootstrap samples; 0 for none.
        table_format: `table`, `markdown`, `latex` or `csv`.
    """

    target: str
    ties: str = "split"
    metric: str = "dice"
    lower_is_better: bool | None = None
    protocol: str | None = None
    axes: tuple[str, ...] = ("dataset", "model")
    break_ties: bool = False
    cells: str = "available"
    provisional_below: float = 1.0
    num_samples: int = 2000
    resample: tuple[str, ...] = ("dataset", "model", "repeat")
    seed: int = 0
    level: float = 0.95
    margin: float = 0.005
    pairs: bool = False
    significance: bool = False
    power: bool = False
    table_format: str = "table"


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """Everything `podium rank` found.

    Attributes:
        certainties: By axis; empty where none was asked for.
        significance: None unless asked for.
        powers: By axis; empty unless asked for.
    """

    ranking: Ranking
    certainties: Mapping[str, Certainty]
    significance: Significance | None
    powers: Mapping[str, Power]


def rank_command(options: RankOptions, *, as_json: bool) -> None:
    """Ranks a store or a table."""
    check_metric(options.metric)
    measure = metric_of(options.metric, lower_is_better=options.lower_is_better)
    trials, document = _read(options, measure)
    scores = with_stand_ins(gather(trials, measure), document)
    if options.table_format != "table" and not as_json:
        ranking = _rank(scores, document, options)
        say(_text_tables(ranking, options, document))
        for note in ranking.notes:  # the table is for a file, and these are for whoever makes it
            say_aside(f"{note}\n")
        return
    answer = find_answer(scores, document, options)
    if as_json:
        print_json(answer_json(answer, options))
    else:
        print_answer(answer, options)


def find_answer(
    scores: Scores, document: Mapping[str, object] | None, options: RankOptions
) -> RankAnswer:
    """Ranks, and computes what else the options ask for."""
    ranking = _rank(scores, document, options)
    certain: Mapping[PodiumAxis, Certainty] = {}
    if options.num_samples:
        certain = certainties(
            scores,
            ties=options.ties,
            expected=document,
            compare=cast("Compare", options.cells),
            resample=options.resample,
            num_samples=options.num_samples,
            seed=options.seed,
            level=options.level,
            margin=options.margin,
        )
    powers = {}
    for podium in _podiums(ranking) if options.power else ():
        power = repeats_to_part(scores, podium, margin=options.margin)
        if power is not None:
            powers[podium.axis] = power
    return RankAnswer(
        ranking=ranking,
        certainties={str(axis): found for axis, found in certain.items()},
        significance=significance(scores) if options.significance else None,
        powers=powers,
    )


def answer_json(answer: RankAnswer, options: RankOptions) -> dict[str, Any]:
    """Returns the answer as plain JSON values, everything about a podium in one place."""
    document: dict[str, Any] = dict(answer.ranking.to_json())
    for key, podium in (
        ("by_dataset", answer.ranking.by_dataset),
        ("by_model", answer.ranking.by_model),
        ("both", answer.ranking.both),
    ):
        if podium is None:
            continue
        certain = answer.certainties.get(podium.axis)
        power = answer.powers.get(podium.axis)
        rows = podium_rows(podium, break_ties=options.break_ties)
        document[key] |= {
            "standing": [asdict(row) for row in rows],
            "certainty": certain.to_json() if certain else None,
            "power": power.to_json() if power else None,
        }
    tests = answer.significance
    document["significance"] = tests.to_json() if tests else None
    return document


def _read(
    options: RankOptions, measure: Metric
) -> tuple[pd.DataFrame, Mapping[str, object] | None]:
    if is_table(options.target):
        if options.protocol:
            msg = f"--protocol {options.protocol}: {options.target} is a table without protocols"
            raise UserError(msg)
        return read_table(Path(options.target), metric=measure), None
    store = Store(options.target)
    require_results(store)
    _check_column(options.metric)
    found = store.read("trials", [*COLUMNS, options.metric, "spec"])
    if found.empty:
        msg = f"{store.name}: no trial is finished yet; podium status {store.name} tells more"
        raise UserError(msg)
    trials = prepare_trials(found, metric=measure, protocol=options.protocol, source=store.name)
    return trials, grid_of(store, trials)


def _check_column(metric: str) -> None:
    if metric not in ALL_METRICS:
        known = ", ".join(ALL_METRICS)
        what = "is text" if metric in TABLES["trials"].column_names else "is no column of a store"
        msg = f"--metric {metric}: {what}; known metrics: {known}"
        raise UserError(msg)


def _rank(scores: Scores, document: Mapping[str, object] | None, options: RankOptions) -> Ranking:
    return rank(
        scores,
        ties=options.ties,
        expected=document,
        compare=cast("Compare", options.cells),
        provisional_below=options.provisional_below,
    )


def _podiums(ranking: Ranking) -> tuple[Podium, ...]:
    return (*ranking.podiums, *((ranking.both,) if ranking.both else ()))


def _text_tables(
    ranking: Ranking, options: RankOptions, document: Mapping[str, object] | None
) -> str:
    """Returns the tables of the podiums by dataset and by model, for a paper or a spreadsheet."""
    chosen = [podium for podium in ranking.podiums if podium.axis in options.axes]
    if not chosen:
        msg = (
            f"--format {options.table_format}: choose --axis dataset or --axis model; "
            "their sum has no table of its own"
        )
        raise UserError(msg)
    tables = [block_table(podium, ranking.metric) for podium in chosen]
    if options.table_format == "csv":
        return to_csv(tables)
    write = {"markdown": to_markdown, "latex": to_latex}[options.table_format]
    title = _titles(ranking, document).of
    return "\n".join(write(table, title=title) for table in tables)


def _titles(ranking: Ranking, document: Mapping[str, object] | None) -> Titles:
    from orchestrator.titles import choose_titles

    blocks = {podium.axis: tuple(podium.blocks) for podium in ranking.podiums}
    return choose_titles(
        datasets=blocks.get("dataset", ()),
        models=blocks.get("model", ()),
        losses=tuple(ranking.podiums[0].points),
        document=document,
    )
