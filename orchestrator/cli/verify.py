"""`podium verify`."""

from __future__ import annotations

from orchestrator.cli.output import console, print_json, print_table
from orchestrator.engine.base import utc_now
from orchestrator.store import REMEDIES, Store, Verification
from workers.contract import UserError


def verify_command(results: str, *, quarantine: bool, as_json: bool) -> int:
    """Checks a store, moves aside what is broken where asked, and returns the exit code.

    Raises:
        UserError: There are no results.
    """
    store = Store(results)
    found = store.verify(utc_now())
    if not found.num_files:
        msg = f"{store.name}: no results here; expected a folder that `podium run` filled"
        raise UserError(msg)
    moved = store.quarantine(found) if quarantine and found.problems else ()
    if as_json:
        print_json(_document(store, found, moved))
    else:
        _print(store, found, moved, quarantine=quarantine)
    return 1 if found.problems else 0


def _document(store: Store, found: Verification, moved: tuple[str, ...]) -> dict[str, object]:
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
        "mended_trial_ids": sorted(found.mended_trials),
        "quarantined": list(moved),
    }


def _print(store: Store, found: Verification, moved: tuple[str, ...], *, quarantine: bool) -> None:
    out = console()

    def say(text: str) -> None:
        out.print(text, soft_wrap=True, markup=False)

    if found.problems:
        for problem in found.problems:
            say(f"{store.name}/{problem.path}: {problem.problem}")
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
        say(f"moved to {store.name}/{path}")
    counts = [f"{found.num_files} files", f"{found.num_trials} trials whole"]
    if found.mended_trials:
        verb = "are now" if quarantine else "are not"
        counts.append(f"labels of {len(found.mended_trials)} {verb} as specified")
    if quarantine or found.broken_trials:
        counts.append(
            f"{len(found.broken_trials)} {'to be run again' if quarantine else 'not whole'}"
        )
    say(", ".join(counts))
