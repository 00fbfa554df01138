"""`podium rank`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from orchestrator.cli.rank_text import RankAnswer, print_answer
from orchestrator.cli.shared import (
    HigherOption,
    JsonOption,
    LowerOption,
    MetricOption,
    ProtocolOption,
    TableArgument,
    lower_is_better,
    one_of,
    print_json,
    say,
    say_aside,
)
from orchestrator.ranking.choices import Compare, PodiumAxis, TieName
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.ranking.certainty import Certainty
    from orchestrator.ranking.podium import Podium, Ranking
    from orchestrator.titles import Titles

TableFormat = Literal["table", "markdown", "latex", "csv"]


def rank(
    target: TableArgument,
    ties: Annotated[
        TieName,
        typer.Option(
            help="Points of tied places: shared evenly (split), those of the better place for all "
            "(min, competition), those of the worse place for all (max, modified), or by listed "
            "order (order, first)."
        ),
    ] = "split",
    metric: MetricOption = "dice",
    lower: LowerOption = False,
    higher: HigherOption = False,
    protocol: ProtocolOption = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            parser=one_of(*get_args(PodiumAxis)),
            metavar=f"<{'|'.join(get_args(PodiumAxis))}>",
            help="A podium to print; can be repeated. By default dataset and model.",
        ),
    ] = None,
    break_ties: Annotated[
        bool,
        typer.Option(
            "--break-ties",
            help="Separate joint places by number of 1st places, then by mean rank.",
        ),
    ] = False,
    cells: Annotated[
        Compare,
        typer.Option(
            help="Compare losses on every cell with a trial (available), or only on cells that "
            "all losses have (common)."
        ),
    ] = "available",
    provisional_below: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="A podium with a smaller fraction of its trials is provisional."
        ),
    ] = 1.0,
    samples: Annotated[int, typer.Option(help="Bootstrap samples; 0 draws none.")] = 2000,
    resample: Annotated[
        str, typer.Option(help="The axes that the bootstrap resamples.", metavar="AXES")
    ] = "dataset,model,repeat",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    level: Annotated[float, typer.Option(help="Fraction of samples in an interval.")] = 0.95,
    margin: Annotated[
        float, typer.Option(help="Differences up to this count as equivalent.")
    ] = 0.005,
    pairs: Annotated[bool, typer.Option("--pairs", help="Compare every two losses.")] = False,
    tests: Annotated[
        bool,
        typer.Option("--significance", help="Friedman, critical difference, Wilcoxon with Holm."),
    ] = False,
    power: Annotated[
        bool,
        typer.Option("--power", help="Number of repeats that would separate the first two losses."),
    ] = False,
    table_format: Annotated[
        TableFormat,
        typer.Option("--format", help="The podium, or tables of dataset and model by loss."),
    ] = "table",
    as_json: JsonOption = False,
) -> None:
    """Give 3, 2, 1 points to the best three losses per dataset and per model, with certainty."""
    from orchestrator.ranking.certainty import certainties
    from orchestrator.ranking.places import tie_rule
    from orchestrator.ranking.power import repeats_to_separate
    from orchestrator.ranking.rank import rank as rank_losses
    from orchestrator.ranking.scores import scores_of
    from orchestrator.ranking.significance import significance
    from orchestrator.target import RANKED_COLUMNS, read_target

    read = read_target(
        target,
        metric=metric,
        lower_is_better=lower_is_better(lower, higher),
        protocol=protocol,
        columns=RANKED_COLUMNS,
    )
    scores = scores_of(read.table, read.expected)
    rule = tie_rule(ties)
    ranking = rank_losses(scores, ties=rule, compare=cells, provisional_below=provisional_below)
    axes = tuple(axis or ("dataset", "model"))
    if table_format != "table" and not as_json:
        say(_text_tables(ranking, axes, table_format, read.grid))
        for note in ranking.notes:  # standard output is the table, for a file
            say_aside(f"{note}\n")
        return
    certain: Mapping[PodiumAxis, Certainty] = {}
    if samples:
        certain = certainties(
            scores,
            ties=rule,
            compare=cells,
            resample=tuple(part.strip() for part in resample.split(",") if part.strip()),
            num_samples=samples,
            seed=seed,
            level=level,
            margin=margin,
        )
    powers = {}
    for podium in _podiums(ranking) if power else ():
        found = repeats_to_separate(scores, podium, margin=margin)
        if found is not None:
            powers[podium.axis] = found
    answer = RankAnswer(
        ranking=ranking,
        certainties={str(each): found for each, found in certain.items()},
        significance=significance(scores) if tests else None,
        powers=powers,
    )
    if as_json:
        print_json(_to_json(answer, break_ties=break_ties))
    else:
        print_answer(answer, axes, break_ties=break_ties, pairs=pairs)


def _to_json(answer: RankAnswer, *, break_ties: bool) -> dict[str, Any]:
    """Returns the answer as JSON values; everything about a podium stands under its key."""
    from orchestrator.ranking.podium import podium_rows

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
        rows = podium_rows(podium, break_ties=break_ties)
        document[key] |= {
            "standing": [asdict(row) for row in rows],
            "certainty": certain.to_json() if certain else None,
            "power": power.to_json() if power else None,
        }
    tests = answer.significance
    document["significance"] = tests.to_json() if tests else None
    return document


def _podiums(ranking: Ranking) -> tuple[Podium, ...]:
    return (*ranking.podiums, *((ranking.both,) if ranking.both else ()))


def _text_tables(
    ranking: Ranking,
    axes: tuple[str, ...],
    table_format: str,
    document: Mapping[str, object] | None,
) -> str:
    """Returns the tables of the podiums by dataset and by model, for a paper or a spreadsheet."""
    from orchestrator.ranking.text_tables import block_table, to_csv, to_latex, to_markdown

    chosen = [podium for podium in ranking.podiums if podium.axis in axes]
    if not chosen:
        msg = (
            f"--format {table_format}: choose --axis dataset or --axis model; "
            "there is no table of their sum"
        )
        raise UserError(msg)
    tables = [block_table(podium, ranking.metric) for podium in chosen]
    if table_format == "csv":
        return to_csv(tables)
    write = {"markdown": to_markdown, "latex": to_latex}[table_format]
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
