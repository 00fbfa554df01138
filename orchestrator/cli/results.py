"""`podium failures`, `compact`, `verify` and `watch`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared import (
    JsonOption,
    ResultsArgument,
    print_json,
    print_line,
    print_table,
    say,
)
from orchestrator.wording import count_text
from workers.contract import FailureClass, UserError

if TYPE_CHECKING:
    from orchestrator.records import FailureRow
    from orchestrator.store import Store, Verification

TRACE_LINES = 4
"""Last lines of a traceback that are shown: where the error happened, and its message."""


def failures(
    results: ResultsArgument,
    failure_class: Annotated[
        FailureClass | None, typer.Option("--class", help="Only failures of this class.")
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="Show only the newest N failures.", metavar="N")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the attempts without a result, the newest first, with the end of each traceback."""
    from orchestrator.store import Store
    from orchestrator.target import require_results

    store = Store(results)
    require_results(store)
    found = choose(store.failures(), failure_class, last)
    now = {key: str(row.status) for key, row in store.committed().items()}
    if as_json:
        print_json([_failure_json(row, now.get(row.trial_id)) for row in found])
        return
    for row in found:
        say("\n".join(_failure_lines(row, now.get(row.trial_id))) + "\n\n")
    which = f" of class {failure_class}" if failure_class else ""
    say(f"{count_text(len(found), 'failed attempt')}{which} in {store.name}\n")
    bugs = {row.trial_id for row in found if row.failure_class == FailureClass.BUG} - set(now)
    if bugs:
        say(f"{retry_hint(len(bugs), 'bug')}\n")


def retry_hint(num_trials: int, failure_class: str) -> str:
    """Returns how to run trials again whose failure is final without --retry."""
    return (
        f"{count_text(num_trials, 'trial')} failed by {failure_class} and will not be run again by "
        f"default: fix the cause, then add --retry {failure_class} to podium run"
    )


def choose(
    rows: Iterable[FailureRow], failure_class: str | None, last: int | None
) -> list[FailureRow]:
    """Returns the failures of a class, or all, the newest first, at most `last` of them."""
    wanted = [row for row in rows if failure_class in (None, str(row.failure_class))]
    wanted.sort(key=lambda row: (row.failed_at, row.trial_id, row.attempt), reverse=True)
    return wanted[:last]


def _failure_lines(row: FailureRow, status: str | None) -> list[str]:
    """Returns a failure as lines; names are never cut, because a cut name cannot be copied."""
    from orchestrator.plan.retries import share_text

    label = f"{row.dataset} · {row.model} · {row.loss} · {row.repeat}"
    facts = [f"attempt {row.attempt}", f"on {row.host}"]
    facts += [share_text(row.gpus)] if row.gpus is not None else []
    facts += [f"{row.failed_at:%Y-%m-%d %H:%M:%S} UTC"]
    facts += [f"now {status}"] if status else []
    lines = [f"{row.failure_class}: {label}", f"  {', '.join(facts)}", f"  trial {row.trial_id}"]
    lines += [f"  {line}" for line in row.message.strip().splitlines()]
    trace = [line for line in row.traceback.strip().splitlines() if line.strip(" ^~")]
    return lines + [f"    {line}" for line in trace[-TRACE_LINES:]]


def _failure_json(row: FailureRow, status: str | None) -> dict[str, Any]:
    return {
        "trial_id": row.trial_id,
        "dataset": row.dataset,
        "model": row.model,
        "loss": row.loss,
        "repeat": row.repeat,
        "attempt": row.attempt,
        "failure_class": str(row.failure_class),
        "message": row.message,
        "traceback": row.traceback,
        "host": row.host,
        "gpus": row.gpus,
        "failed_at": row.failed_at.isoformat(),
        "status": status,
    }


def compact(results: ResultsArgument, as_json: JsonOption = False) -> None:
    """Merge the files of each table into one; safe at any time."""
    from orchestrator.engine.base import utc_now
    from orchestrator.store import Store
    from orchestrator.target import require_results

    store = Store(results)
    require_results(store)
    summary = store.compact(utc_now())
    if as_json:
        print_json({"tables": [asdict(table) for table in summary.tables]})
        return
    print_table(
        ["table", "rows", "files before", "files after", "bytes before", "bytes after"],
        [
            (
                t.table,
                t.num_rows,
                t.num_files_before,
                t.num_files_after,
                t.bytes_before,
                t.bytes_after,
            )
            for t in summary.tables
        ],
        title=store.name,
        numeric=frozenset({"rows", "files before", "files after", "bytes before", "bytes after"}),
    )


def verify(
    results: ResultsArgument,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine",
            help="Move broken files to RESULTS/quarantine; the next run trains their trials again.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every page of every file and list the problems.

    Exit code 0: no problem. 1: problems found, even if --quarantine has just moved the files.
    2: the results cannot be read.
    """
    from orchestrator.engine.base import utc_now
    from orchestrator.store import Store

    store = Store(results)
    found = store.verify(utc_now())
    if not found.num_files:
        msg = f"{store.name}: no results here; expected a folder that `podium run` filled"
        raise UserError(msg)
    moved = store.quarantine(found) if quarantine and found.problems else ()
    if as_json:
        print_json(_verification_json(store, found, moved))
    else:
        _print_verification(store, found, moved, quarantine=quarantine)
    raise typer.Exit(1 if found.problems else 0)


def _verification_json(
    store: Store, found: Verification, moved: tuple[str, ...]
) -> dict[str, object]:
    from orchestrator.store import REMEDIES

    return {
        "results": store.name,
        "num_files": found.num_files,
        "num_trials": found.num_trials,
        "problems": [
            {
                "file": problem.path,
                "kind": problem.kind,
                "problem": problem.problem,
                "remedy": REMEDIES[problem.kind],
                "trial_ids": list(problem.trial_ids),
            }
            for problem in found.problems
        ],
        "broken_trial_ids": sorted(found.broken_trials),
        "mended_trial_ids": sorted(found.relabelled_trials),
        "quarantined": list(moved),
    }


def _print_verification(
    store: Store, found: Verification, moved: tuple[str, ...], *, quarantine: bool
) -> None:
    from orchestrator.store import REMEDIES

    for problem in found.problems:
        print_line(f"{store.name}/{problem.path}: {problem.problem}")
    if found.problems:
        kinds = dict.fromkeys(problem.kind for problem in found.problems)
        print_table(
            ["kind", "files", "what to do"],
            [
                (kind, len({p.path for p in found.problems if p.kind == kind}), REMEDIES[kind])
                for kind in kinds
            ],
            numeric=frozenset({"files"}),
        )
    for path in moved:
        print_line(f"moved to {store.name}/{path}")
    counts = [count_text(found.num_files, "file"), f"{count_text(found.num_trials, 'trial')} whole"]
    if found.relabelled_trials:
        verb = "are now" if quarantine else "are not"
        counts.append(f"labels of {len(found.relabelled_trials)} {verb} as specified")
    if quarantine or found.broken_trials:
        counts.append(
            f"{len(found.broken_trials)} {'to be run again' if quarantine else 'not whole'}"
        )
    print_line(", ".join(counts))


def watch(
    results: ResultsArgument,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; every address except loopback needs a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8787,
) -> None:
    """Serve one page that shows the sweep while it runs; reads the results, writes nothing."""
    from orchestrator.watch.watching import watch as watch_results

    watch_results(results, host, port, on_line=print_line)
