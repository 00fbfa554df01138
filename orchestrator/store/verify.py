"""Checks every file of the results, and that the details of every finished trial are complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator.store.compact import STALE
from orchestrator.store.documents import read_grids
from orchestrator.store.files import GRIDS, TableFiles, foreign_text, own_files
from orchestrator.store.kept_weights import unowned_weights, wrong_weights
from orchestrator.store.schema import (
    CANDIDATES,
    DETAIL_TABLES,
    EPOCHS,
    FAILURES,
    IMAGES,
    TRIALS,
    TableSchema,
)
from orchestrator.store.storage import FileInfo, Storage, StoreError
from orchestrator.store.verify_file import FileFacts, FileProblem, Kind, check_file
from orchestrator.store.verify_values import (
    LABELS,
    Totals,
    TrialFacts,
    wrong_curves,
    wrong_metrics,
)
from orchestrator.store.views import refuse_newer
from orchestrator.wording import count_text

FILES_AT_ONCE = 1_000
"""Files that are copied to this machine at a time."""
MAX_READS = 5

_AGAIN = "podium verify --quarantine moves it aside, and podium run trains the missing trials"
REMEDIES: dict[Kind, str] = {
    "foreign": "move it out, because readers treat it as results; --quarantine does",
    "special": "delete it; it is neither a file nor a folder, and --quarantine leaves it there",
    "unreadable": f"restore it from a copy; otherwise {_AGAIN}",
    "schema": f"restore it from a copy; otherwise {_AGAIN}",
    "identity": _AGAIN,
    "labels": "podium verify --quarantine writes them again as specified; every number is kept",
    "values": f"restore it from a copy; otherwise {_AGAIN}",
    "duplicate": _AGAIN,
    "orphan": "podium compact removes files of killed processes; --quarantine moves them aside",
    "incomplete": f"restore the missing file from a copy; otherwise {_AGAIN}",
    "weights": (
        "restore it from a copy; the numbers of the trial are whole, and only podium predict and "
        "podium.load_model need the file"
    ),
    "grid": "podium run of its configuration writes it again; --quarantine moves it aside",
}


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of checking all files.

    Attributes:
        num_files: Number of checked files.
        num_trials: Number of finished trials without problems.
        problems: All problems, sorted by file.
        facts: Facts of the files of each table, by its name.
    """

    num_files: int
    num_trials: int
    problems: tuple[FileProblem, ...]
    facts: dict[str, list[FileFacts]] = field(repr=False)

    @property
    def broken_trials(self) -> frozenset[str]:
        """Trials that no longer count as finished after the broken files are moved aside."""
        return _trials_of(problem for problem in self.problems if problem.kind != "labels")

    @property
    def relabelled_trials(self) -> frozenset[str]:
        """Trials whose labels are corrected and whose numbers stay."""
        found = (problem for problem in self.problems if problem.kind == "labels")
        return _trials_of(found) - self.broken_trials


def verify(storage: Storage, now: datetime) -> Verification:
    """Reads every page of every file of the results; changes nothing.

    Args:
        storage: Where the results are.
        now: The current time. Details written within the last hour can belong to a trial that is
            being committed.

    Raises:
        StoreError: The storage cannot be read, or a newer version wrote the results.
    """
    for _ in range(MAX_READS):
        found = _check_all(storage, now)
        if found is not None:
            return found
    msg = f"{storage.name}: compactions replaced files meanwhile; run podium verify again"
    raise StoreError(msg)


def _check_all(storage: Storage, now: datetime) -> Verification | None:
    """Checks all files; returns None if a compaction deleted files meanwhile."""
    foreign: list[FileProblem] = []
    facts: dict[str, list[FileFacts]] = {}
    # `trials` first: details are written before the row of their trial.
    for table in (TRIALS, *DETAIL_TABLES, FAILURES, CANDIDATES):
        files, foreign_here = _entries(storage, table)
        foreign += foreign_here
        facts[table.name] = list(_check_files(storage, table, files))
    for table in (TRIALS, *DETAIL_TABLES, FAILURES, CANDIDATES):
        there = {file.path for file in _entries(storage, table)[0]}
        if any(one.file.path not in there for one in facts[table.name]):
            return None
    refuse_newer(storage, max((one.newest for one in facts[TRIALS.name]), default=0))
    grids, num_grids = _check_grids(storage)
    trials: dict[str, TrialFacts] = {}
    for one in facts[TRIALS.name]:
        for trial, promised in one.trials.items():
            trials.setdefault(trial, promised)
    _compare_details(trials, facts)
    single = (problem for found in facts.values() for problem in _file_problems(found))
    crossed = (
        *_incomplete(trials, facts),
        *_disagreeing(trials, facts),
        *_orphans(trials, facts, now),
        *_weights(storage, trials, now),
    )
    problems = tuple(sorted((*foreign, *grids, *single, *crossed), key=lambda one: one.path))
    return Verification(
        num_files=sum(map(len, facts.values()))
        + sum(one.weights_sha256 is not None for one in trials.values())
        + num_grids
        + len(foreign),
        num_trials=len(trials.keys() - _trials_of(problems)),
        problems=problems,
        facts=facts,
    )


def _file_problems(files: Sequence[FileFacts]) -> Iterator[FileProblem]:
    """Yields the problems of the single files of a table.

    A broken part whose rows are already compacted concerns no trial. A killed compaction leaves
    such parts.
    """
    compacted = {trial for one in files if one.is_compacted for trial in one.num_rows}
    for one in files:
        superfluous = not one.is_compacted and compacted.issuperset(one.owner)
        for problem in one.problems:
            yield replace(problem, trial_ids=()) if superfluous else problem


def _trials_of(problems: Iterable[FileProblem]) -> frozenset[str]:
    """Returns the trials that problems concern.

    Problems of failed attempts and of candidates do not concern trials.
    """
    return frozenset(
        trial
        for problem in problems
        if not problem.path.startswith((f"{FAILURES.name}/", f"{CANDIDATES.name}/"))
        for trial in problem.trial_ids
    )


def _entries(storage: Storage, table: TableSchema) -> tuple[list[FileInfo], list[FileProblem]]:
    """Returns a table's files, compacted files first, and a problem per foreign entry."""
    files, foreign = own_files(table, storage.list(table.name))
    return list(files.all()), [_foreign(table, entry, files) for entry in foreign]


def _foreign(table: TableSchema, entry: FileInfo, files: TableFiles) -> FileProblem:
    if entry.is_folder:
        return _no_file(entry)
    return FileProblem(path=entry.path, kind="foreign", problem=foreign_text(table, entry, files))


def _no_file(entry: FileInfo) -> FileProblem:
    if entry.is_special:
        problem = "a pipe, a socket or a device, not a file"
        return FileProblem(path=entry.path, kind="special", problem=problem)
    return FileProblem(path=entry.path, kind="foreign", problem="not a folder of this store")


def _check_files(
    storage: Storage, table: TableSchema, files: Sequence[FileInfo]
) -> Iterator[FileFacts]:
    for start in range(0, len(files), FILES_AT_ONCE):
        some = files[start : start + FILES_AT_ONCE]
        with storage.local_copies([file.path for file in some]) as copies:
            for file in some:
                # The rows of a file that a compaction deleted are in its new file.
                if file.path in copies and copies[file.path].exists():
                    yield check_file(table, file, copies[file.path])


def _incomplete(
    trials: dict[str, TrialFacts], facts: dict[str, list[FileFacts]]
) -> Iterator[FileProblem]:
    """Yields completed trials whose number of details differs from the one in their row."""
    for table, what in ((EPOCHS, "num_epochs"), (IMAGES, "num_test_images")):
        found = _first_counts(facts[table.name])
        wrong: dict[str, list[str]] = {}
        example = ""
        for trial, promised in trials.items():
            count = found.get(trial, 0)
            if promised.is_completed and count != getattr(promised, what):
                example = f"{count} rows in {table.name}, but {what} is {getattr(promised, what)}"
                holder = _holder(facts[TRIALS.name], trial)
                wrong.setdefault(holder, []).append(trial)
        for path, ids in wrong.items():
            problem = f"{example} ({count_text(len(ids), 'trial')})"
            yield FileProblem(path=path, kind="incomplete", problem=problem, trial_ids=tuple(ids))


def _compare_details(
    trials: Mapping[str, TrialFacts], facts: Mapping[str, Sequence[FileFacts]]
) -> None:
    """Notes details with other labels than their trial, and details without a column."""
    for table in DETAIL_TABLES:
        for one in facts[table.name]:
            for trial, labels in one.labels.items():
                if trial in trials and labels != trials[trial].labels:
                    one.correct(trial, dict(zip(LABELS, trials[trial].labels, strict=True)))
            one.note_corrections()
            versions = [trials[trial].version for trial in one.labels if trial in trials]
            lacks = one.lacks(max(versions, default=1))
            if lacks:
                one.discard("schema", lacks)


def _disagreeing(
    trials: Mapping[str, TrialFacts], facts: Mapping[str, Sequence[FileFacts]]
) -> Iterator[FileProblem]:
    """Yields completed trials whose row contradicts their details."""
    counts = _first_counts(facts[IMAGES.name])
    curves = _first_totals(trials, facts[EPOCHS.name])
    images = {
        trial: found
        for trial, found in _first_totals(trials, facts[IMAGES.name]).items()
        if counts.get(trial) == trials[trial].num_test_images
    }
    for wrong in (wrong_curves(trials, curves), wrong_metrics(trials, images, counts)):
        by_file: dict[str, dict[str, str]] = {}
        for trial, problem in wrong:
            by_file.setdefault(_holder(facts[TRIALS.name], trial), {})[trial] = problem
        for path, problems in by_file.items():
            example = f"{next(iter(problems.values()))} ({count_text(len(problems), 'trial')})"
            yield FileProblem(path=path, kind="values", problem=example, trial_ids=tuple(problems))


def _first_totals(
    trials: Mapping[str, TrialFacts], files: Iterable[FileFacts]
) -> dict[str, Totals]:
    """Returns the totals of completed trials; of several files with a trial, the first counts."""
    found: dict[str, Totals] = {}
    for one in files:
        for trial, values in one.totals.items():
            if trial in trials and trials[trial].is_completed:
                found.setdefault(trial, values)
    return found


def _orphans(
    trials: dict[str, TrialFacts], facts: dict[str, list[FileFacts]], now: datetime
) -> Iterator[FileProblem]:
    """Yields old details without a trial; newer ones can belong to a commit in progress."""
    reported = _trials_of(problem for one in facts[TRIALS.name] for problem in one.problems)
    for table in DETAIL_TABLES:
        for found in facts[table.name]:
            ids = sorted(found.num_rows.keys() - trials.keys() - reported)
            written = found.file.modified_at
            if ids and (found.is_compacted or (written is not None and written < now - STALE)):
                problem = f"rows of {len(ids)} trials that have no row in {TRIALS.name}"
                yield FileProblem(
                    path=found.file.path, kind="orphan", problem=problem, trial_ids=tuple(ids)
                )


def _weights(
    storage: Storage, trials: Mapping[str, TrialFacts], now: datetime
) -> Iterator[FileProblem]:
    """Yields wrong files of kept weights; the numbers of their trials stay valid."""
    kept = {trial: one.weights_sha256 for trial, one in trials.items() if one.weights_sha256}
    for path, problem in wrong_weights(storage, kept):
        yield FileProblem(path=path, kind="weights", problem=problem)
    for file in unowned_weights(storage, kept, now - STALE):
        problem = f"weights of a trial that has none in {TRIALS.name}"
        yield FileProblem(path=file.path, kind="orphan", problem=problem)


def _first_counts(files: Iterable[FileFacts]) -> dict[str, int]:
    """Counts rows by trial; of several files with a trial, the first counts."""
    counts: dict[str, int] = {}
    for found in files:
        for trial, count in found.num_rows.items():
            counts.setdefault(trial, count)
    return counts


def _holder(files: Sequence[FileFacts], trial: str) -> str:
    return next(found.file.path for found in files if trial in found.trials)


def _check_grids(storage: Storage) -> tuple[list[FileProblem], int]:
    files, malformed = storage.list(GRIDS), read_grids(storage).malformed
    problems = [FileProblem(path=path, kind="grid", problem=why) for path, why in malformed.items()]
    return [*problems, *(_no_file(file) for file in files if file.is_folder)], len(files)
