"""`podium rank`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

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
    print_line,
    say,
    say_aside,
)
from orchestrator.ranking.choices import About, Compare, PodiumAxis, TieName
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.ranking.certainty import Certainty
    from orchestrator.ranking.choices import Estimand
    from orchestrator.ranking.components import Power
    from orchestrator.ranking.images import ImageScores
    from orchestrator.ranking.podium import Ranking
    from orchestrator.ranking.scores import Scores
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
    about: Annotated[
        About | None,
        typer.Option(
            help="What the certainty is about: other datasets and networks, or these. By default "
            "the first for which the sweep is large enough."
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(help="Drawn sweeps for the probabilities; 0 draws none.")
    ] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    margin: Annotated[
        float, typer.Option(help="Differences up to this count as equivalent.")
    ] = 0.005,
    pairs: Annotated[bool, typer.Option("--pairs", help="Compare every two losses.")] = False,
    power: Annotated[
        bool,
        typer.Option(
            "--power", help="Half-widths of the intervals, now and with more repeats or blocks."
        ),
    ] = False,
    methods: Annotated[
        bool,
        typer.Option("--methods", help="Only a paragraph on methods and results, for a paper."),
    ] = False,
    table_format: Annotated[
        TableFormat,
        typer.Option("--format", help="The answer, or tables of dataset and model by loss."),
    ] = "table",
    as_json: JsonOption = False,
) -> None:
    """Give 3, 2, 1 points to the best three losses per dataset and per model, with certainty."""
    from orchestrator.ranking.certainty import certainty
    from orchestrator.ranking.leads import leads
    from orchestrator.ranking.places import tie_rule
    from orchestrator.ranking.rank import rank as rank_losses
    from orchestrator.ranking.scores import scores_of
    from orchestrator.ranking.sentences import methods_paragraph
    from orchestrator.target import RANKED_COLUMNS, read_target

    if not as_json:
        _refuse_idle({"--pairs": pairs, "--power": power, "--methods": methods}, table_format)
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
    axes = cast("tuple[PodiumAxis, ...]", tuple(axis or ("dataset", "model")))

    def certain_of(images: ImageScores | None) -> Certainty:
        return certainty(
            scores,
            about=cast("Estimand", about.replace("-", "_")) if about else None,
            ties=rule,
            compare=cells,
            num_draws=draws,
            seed=seed,
            level=level,
            margin=margin,
            images=images,
        )

    certain = certain_of(read.image_scores() if about == "images" else None)
    if certain.refusal and about is None and scores.finished_DMLR.any() and len(scores.losses) > 1:
        # The counts of images are many rows: they are read only if nothing else can be said.
        certain = certain_of(read.image_scores())
    if table_format != "table" and not as_json:
        say(_text_tables(ranking, certain, axes, table_format, read.grid))
        for note in ranking.notes:  # standard output is the table, for a file
            say_aside(f"{note}\n")
        return
    answer = RankAnswer(
        ranking=ranking,
        certainty=certain,
        leads=leads(scores, ties=rule, compare=cells),
        power=_power(scores, level) if power else None,
    )
    if as_json:
        print_json(_to_json(answer, break_ties=break_ties))
    elif methods:
        print_line(methods_paragraph(ranking, answer.certainty))
    else:
        print_answer(answer, axes, break_ties=break_ties, pairs=pairs)


def _power(scores: Scores, level: float) -> Power | None:
    from orchestrator.ranking.components import grid_size, measure, power

    found = measure(scores, "measured in this sweep")
    if found is None:
        say_aside("--power: fewer than two losses have a finished trial\n")
    return power(found, grid_size(scores), level=level) if found else None


def _refuse_idle(extras: Mapping[str, bool], table_format: str) -> None:
    """Refuses options that what is printed has no place for; JSON has a place for all.

    Raises:
        UserError: Such an option is given.
    """
    given = [option for option, is_given in extras.items() if is_given]
    if table_format != "table" and given:
        msg = f"{given[0]}: --format {table_format} prints only tables; leave one of them out"
        raise UserError(msg)
    if "--methods" in given and len(given) > 1:
        msg = f"{given[0]}: --methods prints only a paragraph; leave one of them out"
        raise UserError(msg)


def _to_json(answer: RankAnswer, *, break_ties: bool) -> dict[str, Any]:
    """Returns the answer as JSON values."""
    from orchestrator.ranking.podium import podium_rows
    from orchestrator.ranking.sentences import methods_paragraph

    document: dict[str, Any] = dict(answer.ranking.to_json())
    for key, podium in (
        ("by_dataset", answer.ranking.by_dataset),
        ("by_model", answer.ranking.by_model),
        ("both", answer.ranking.both),
    ):
        if podium is not None:
            rows = podium_rows(podium, break_ties=break_ties)
            document[key] |= {"standing": [asdict(row) for row in rows]}
    return document | {
        "certainty": answer.certainty.to_json(),
        "leads": answer.leads.to_json(),
        "power": answer.power.to_json() if answer.power else None,
        "methods": methods_paragraph(answer.ranking, answer.certainty),
    }


def _text_tables(
    ranking: Ranking,
    certain: Certainty,
    axes: tuple[str, ...],
    table_format: str,
    document: Mapping[str, object] | None,
) -> str:
    """Returns the tables of the podiums by dataset and by model, and that of the losses."""
    from orchestrator.ranking import text_tables

    chosen = [podium for podium in ranking.podiums if podium.axis in axes]
    if not chosen:
        msg = (
            f"--format {table_format}: choose --axis dataset or --axis model; "
            "there is no table of their sum"
        )
        raise UserError(msg)
    tables = [
        text_tables.block_table(podium, ranking.metric, certainty=certain) for podium in chosen
    ]
    if table_format == "csv":
        return text_tables.to_csv(tables)
    latex = table_format == "latex"
    title = _titles(ranking, document).of
    write = text_tables.to_latex if latex else text_tables.to_markdown
    written = [write(table, title=title) for table in tables]
    if not certain.refusal:
        whole = text_tables.losses_to_latex if latex else text_tables.losses_to_markdown
        written.append(whole(certain, chosen[0], title=title))
    return "\n".join(written)


def _titles(ranking: Ranking, document: Mapping[str, object] | None) -> Titles:
    from orchestrator.titles import choose_titles

    blocks = {podium.axis: tuple(podium.blocks) for podium in ranking.podiums}
    return choose_titles(
        datasets=blocks.get("dataset", ()),
        models=blocks.get("model", ()),
        losses=tuple(ranking.podiums[0].points),
        document=document,
    )
