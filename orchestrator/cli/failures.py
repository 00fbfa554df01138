"""`podium failures`: every attempt that gave no result, with the end of its traceback."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.cli.output import print_json, say
from orchestrator.cli.results import require_results
from orchestrator.plan.retries import share_text
from orchestrator.records import FailureRow
from orchestrator.store import Store
from orchestrator.wording import count_text
from workers.contract import FailureClass

TRACE_LINES = 4
"""Of a traceback: where it happened, and what."""


def failures_command(
    results: str, failure_class: str | None, last: int | None, as_json: bool
) -> None:
    """Prints the failures of a store, the newest first."""
    store = Store(results)
    require_results(store)
    found = choose(store.failures(), failure_class, last)
    now = {key: str(row.status) for key, row in store.committed().items()}
    if as_json:
        print_json([_to_json(row, now.get(row.trial_id)) for row in found])
        return
    for row in found:
        say("\n".join(describe(row, now.get(row.trial_id))) + "\n\n")
    which = f" of class {failure_class}" if failure_class else ""
    say(f"{count_text(len(found), 'failed attempt')}{which} in {store.name}\n")
    bugs = {row.trial_id for row in found if row.failure_class == FailureClass.BUG} - set(now)
    if bugs:
        say(f"{retry_hint(len(bugs), 'bug')}\n")


def retry_hint(num_trials: int, failure_class: str) -> str:
    """Says how trials are tried again whose failure is final unless the user asks otherwise."""
    return (
        f"{count_text(num_trials, 'trial')} failed by {failure_class} and will not be tried again "
        f"until you ask for it: fix the cause, then add --retry {failure_class} to podium run"
    )


def choose(
    rows: Iterable[FailureRow], failure_class: str | None, last: int | None
) -> list[FailureRow]:
    """Returns the failures of a class, or all, the newest first, at most `last` of them."""
    wanted = [row for row in rows if failure_class in (None, str(row.failure_class))]
    wanted.sort(key=lambda row: (row.failed_at, row.trial_id, row.attempt), reverse=True)
    return wanted[:last]


def describe(row: FailureRow, status: str | None) -> list[str]:
    """Returns a failure as lines; nothing is cut, since a name that is cut cannot be copied."""
    label = f"{row.dataset} · {row.model} · {row.loss} · {row.repeat}"
    facts = [f"attempt {row.attempt}", f"on {row.host}"]
    facts += [share_text(row.gpus)] if row.gpus is not None else []
    facts += [f"{row.failed_at:%Y-%m-%d %H:%M:%S} UTC"]
    facts += [f"now {status}"] if status else []
    lines = [f"{row.failure_class}: {label}", f"  {', '.join(facts)}", f"  trial {row.trial_id}"]
    lines += [f"  {line}" for line in row.message.strip().splitlines()]
    trace = [line for line in row.traceback.strip().splitlines() if line.strip(" ^~")]
    return lines + [f"    {line}" for line in trace[-TRACE_LINES:]]


def _to_json(row: FailureRow, status: str | None) -> dict[str, Any]:
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
