"""The commands that answer from finished trials: podium, figures, report, SQL, live page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    AnswerFormat,
    Cells,
    DirectionOption,
    JsonOption,
    PodiumAxis,
    ResultsArgument,
    TableFormat,
    TieRule,
    local_path,
)

app = typer.Typer()


@app.command()
def rank(
    target: Annotated[
        str,
        typer.Argument(
            help="Results, or a CSV or Parquet table with dataset and/or model, loss, dice.",
            metavar="RESULTS",
        ),
    ],
    ties: Annotated[
        TieRule,
        typer.Option(
            help="Tied places: split their points, all get the better (min, competition) or the "
            "worse (max, modified) place's, or the first listed wins (order, first)."
        ),
    ] = TieRule.SPLIT,
    metric: Annotated[str, typer.Option(help="The column to rank by.")] = "dice",
    lower_is_better: DirectionOption = None,
    protocol: Annotated[
        str | None, typer.Option(help="Which protocol, where the results hold several.")
    ] = None,
    axis: Annotated[
        list[PodiumAxis] | None,
        typer.Option(help="Which podium, may be repeated; by dataset and by model unless given."),
    ] = None,
    break_ties: Annotated[
        bool, typer.Option("--break-ties", help="Part joint places by wins, then by mean rank.")
    ] = False,
    cells: Annotated[
        Cells, typer.Option(help="Compare losses on all they have, or on what all have.")
    ] = Cells.AVAILABLE,
    provisional_below: Annotated[
        float, typer.Option(min=0, max=1, help="Share of trials below which it is provisional.")
    ] = 1.0,
    samples: Annotated[int, typer.Option(help="Bootstrap samples; 0 draws none.")] = 2000,
    resample: Annotated[
        str, typer.Option(help="What the bootstrap draws.", metavar="AXES")
    ] = "dataset,model,repeat",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    level: Annotated[float, typer.Option(help="Share of samples in an interval.")] = 0.95,
    margin: Annotated[
        float, typer.Option(help="Differences up to this count as equivalent.")
    ] = 0.005,
    pairs: Annotated[bool, typer.Option("--pairs", help="Compare every two losses.")] = False,
    tests: Annotated[
        bool,
        typer.Option("--significance", help="Friedman, critical difference, Wilcoxon with Holm."),
    ] = False,
    power: Annotated[
        bool, typer.Option("--power", help="How many more repeats part the first two.")
    ] = False,
    table_format: Annotated[
        TableFormat,
        typer.Option("--format", help="The podium, or tables of dataset and model by loss."),
    ] = TableFormat.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Give 3, 2, 1 points to the best three losses per dataset and per model; say how sure."""
    from orchestrator.cli.ranking import RankOptions, rank_command

    rank_command(
        RankOptions(
            target=target,
            ties=ties.value,
            metric=metric,
            lower_is_better=lower_is_better,
            protocol=protocol,
            axes=tuple(item.value for item in axis or (PodiumAxis.DATASET, PodiumAxis.MODEL)),
            break_ties=break_ties,
            cells=cells.value,
            provisional_below=provisional_below,
            num_samples=samples,
            resample=tuple(part.strip() for part in resample.split(",") if part.strip()),
            seed=seed,
            level=level,
            margin=margin,
            pairs=pairs,
            significance=tests,
            power=power,
            table_format=table_format.value,
        ),
        as_json=as_json,
    )


@app.command()
def figures(
    target: Annotated[
        str,
        typer.Argument(
            help="Results, or a CSV or Parquet table with dataset and/or model, loss, dice.",
            metavar="RESULTS",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder to write; RESULTS/figures unless given, ./figures of a table.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Some of 1, 2a, 2b, 2c, 3, podium, critical_difference, intervals, curves.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="KINDS", help="Some of png, svg, pdf.")
    ] = "png,svg,pdf",
    metric: Annotated[str, typer.Option(help="The column to rank by.")] = "dice",
    lower_is_better: DirectionOption = None,
    ties: Annotated[TieRule, typer.Option(help="Who gets the points of tied places.")] = (
        TieRule.SPLIT
    ),
    protocol: Annotated[
        str | None, typer.Option(help="Which protocol, where the results hold several.")
    ] = None,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="Dots per inch of PNG files.")] = 300,
    captions: Annotated[
        bool, typer.Option(help="Write what a figure shows below it, or leave that to the text.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Draw the study's figures from these results, each with its data beside it."""
    from orchestrator.cli.figures import figures_command

    figures_command(
        target,
        out,
        only=only,
        formats=formats,
        metric=metric,
        lower_is_better=lower_is_better,
        ties=ties.value,
        protocol=protocol,
        dots_per_inch=dpi,
        captions=captions,
        as_json=as_json,
    )


@app.command()
def report(
    results: ResultsArgument,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Folder to write; RESULTS/report unless given."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Which protocol, where the results hold several.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The column to rank by.")] = "dice",
    ties: Annotated[TieRule, typer.Option(help="Who gets the points of tied places.")] = (
        TieRule.SPLIT
    ),
    margin: Annotated[
        float, typer.Option(min=0, help="Differences up to this count as equivalent.")
    ] = 0.005,
    samples: Annotated[
        int, typer.Option(min=100, max=100_000, help="Bootstrap samples of the certainty.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained HTML page, and its figures as files."""
    from orchestrator.cli.report import report_command
    from orchestrator.report.data import Sampling

    report_command(
        results,
        out,
        protocol=protocol,
        metric=metric,
        ties=ties.value,
        sampling=Sampling(num_samples=samples, seed=seed, margin=margin),
        as_json=as_json,
    )


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Results, or a CSV or Parquet table.", metavar="A")],
    b: Annotated[str, typer.Argument(help="The other; may be the same.", metavar="B")],
    metric: Annotated[str, typer.Option(help="The column to rank by.")] = "dice",
    metric_b: Annotated[
        str | None, typer.Option(help="The column to rank B by, where it is another.")
    ] = None,
    lower_is_better: DirectionOption = None,
    protocol_a: Annotated[
        str | None, typer.Option(help="Which protocol of A, where it holds several.")
    ] = None,
    protocol_b: Annotated[
        str | None, typer.Option(help="Which protocol of B, where it holds several.")
    ] = None,
    ties: Annotated[TieRule, typer.Option(help="Who gets the points of tied places.")] = (
        TieRule.SPLIT
    ),
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, help="Also write one self-contained page here.", metavar="HTML"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show two sweeps beside each other: podiums, differences, and what was not the same."""
    from orchestrator.cli.compare import compare_command

    compare_command(
        (a, b),
        metrics=(metric, metric_b or metric),
        lower_is_better=lower_is_better,
        protocols=(protocol_a, protocol_b),
        ties=ties.value,
        out=out,
        as_json=as_json,
    )


@app.command()
def watch(
    results: ResultsArgument,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8787,
) -> None:
    """Serve one page that shows the sweep while it runs; reads the results, writes nothing."""
    from orchestrator.cli.watch import watch_command

    watch_command(results, host, port)


@app.command()
def query(
    results: Annotated[
        str | None, typer.Argument(help="A results folder or URI.", metavar="RESULTS")
    ] = None,
    sql: Annotated[
        str | None, typer.Argument(help="One SELECT statement, in quotes.", metavar="SQL")
    ] = None,
    example: Annotated[
        str | None, typer.Option(help="Run a saved query instead.", metavar="NAME")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="Value of $NAME in the statement.", metavar="NAME=VALUE"),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="List the saved queries.")] = False,
    answer_format: Annotated[
        AnswerFormat | None, typer.Option("--format", help="table, unless --out names another.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write a file.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the results in SQL: trials, epochs, images, predictions, failures, grid. Reads only."""
    from orchestrator.cli.query import Question, chosen_format, examples_command, query_command
    from workers.contract import UserError

    format_name = chosen_format(answer_format.value if answer_format else None, as_json)
    if examples:
        examples_command(as_json)
        return
    if results is None:
        msg = "give the results to ask, or --examples to list the saved queries"
        raise UserError(msg)
    question = Question(sql=sql, example=example, parameters=tuple(param or ()))
    query_command(results, question, format_name, out)
