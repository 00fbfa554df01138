"""Checks one file of a table: every page, and every row against the name of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import CHECKED
from orchestrator.store.files import COMPACTED_PREFIX, is_as_named, part_key, trial_id_of
from orchestrator.store.rows import Row, spec_values
from orchestrator.store.schema import (
    CANDIDATES,
    DETAIL_TABLES,
    FAILURES,
    SCHEMA_VERSION,
    TRIALS,
    Column,
    TableSchema,
)
from orchestrator.store.storage import FileInfo
from orchestrator.store.verify_values import (
    ALL_METRICS,
    LABELS,
    Totals,
    TrialFacts,
    join,
    totals,
    wrong_values,
)
from orchestrator.untrusted import MAX_COLUMN_BYTES, parse_json
from orchestrator.wording import count_text
from workers.contract import FailureClass, TrialSpec, TrialStatus
from workers.identity import trial_id

Kind = Literal[
    "foreign",
    "special",
    "unreadable",
    "schema",
    "identity",
    "labels",
    "values",
    "duplicate",
    "orphan",
    "incomplete",
    "grid",
    "weights",
]
_STATUSES = {TRIALS.name: tuple(TrialStatus), CANDIDATES.name: (*TrialStatus, "pruned")}
_READ = frozenset(
    {
        "weights_sha256",
        *("trial_id", "protocol_id", "spec", "schema_version", "status", "attempt"),
        *("failure_class", "num_epochs", "num_test_images", "best_epoch", "best_val_dice"),
        *("dataset_name", "model_name", "loss_name", "seed", "image_size", "arithmetic"),
        *("deterministic", *LABELS, *ALL_METRICS),
    }
)
"""Columns that are checked row by row; of the others, only the range of values is checked."""


@dataclass(frozen=True, kw_only=True)
class FileProblem:
    """One problem of a file.

    Attributes:
        path: Path of the file, relative to the results.
        kind: Kind of the problem.
        problem: Description for the user.
        trial_ids: The trials concerned, as far as they are known.
    """

    path: str
    kind: Kind
    problem: str
    trial_ids: tuple[str, ...] = ()


@dataclass(kw_only=True)
class FileFacts:
    """Content and problems of one file.

    Attributes:
        file: The file.
        problems: Problems of the file.
        is_lost: Whether no row of the file can be used.
        bad_groups: Numbers of the torn row groups.
        num_rows: Number of intact rows by trial.
        trials: Facts by trial id, for a file of `trials`.
        newest: Newest schema version of the rows.
        missing_columns: Declared columns that the file does not have.
        labels: Labels of each trial, for a file of details; empty if its rows differ.
        totals: Sums and limits over the rows of each trial, for a file of details.
        corrections: By trial id, the right values of columns that contradict its specification.
    """

    file: FileInfo
    problems: list[FileProblem] = field(default_factory=list)
    is_lost: bool = False
    bad_groups: set[int] = field(default_factory=set)
    num_rows: Counter[str] = field(default_factory=Counter)
    trials: dict[str, TrialFacts] = field(default_factory=dict)
    newest: int = 0
    missing_columns: tuple[Column, ...] = ()
    labels: dict[str, tuple[object, ...]] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    corrections: dict[str, Row] = field(default_factory=dict)

    @property
    def is_compacted(self) -> bool:
        """Whether this is a compacted file, which holds many trials."""
        return self.file.name.startswith(COMPACTED_PREFIX)

    @property
    def owner(self) -> tuple[str, ...]:
        """The trial in the name of a part."""
        return () if self.is_compacted else (trial_id_of(part_key(self.file.name) or ""),)

    def add(self, kind: Kind, problem: str, trial_ids: Iterable[str] = ()) -> None:
        """Adds a problem."""
        ids = tuple(trial_ids) or self.owner
        self.problems.append(
            FileProblem(path=self.file.path, kind=kind, problem=problem, trial_ids=ids)
        )

    def discard(self, kind: Kind, problem: str) -> None:
        """Adds a problem after which no row of the file can be used."""
        self.is_lost = True
        for known in (self.num_rows, self.trials, self.labels, self.totals, self.corrections):
            known.clear()
        self.add(kind, problem)

    def lacks(self, version: int) -> str | None:
        """Returns a text with the missing columns of a schema version, or None."""
        names = [column.name for column in self.missing_columns if column.since <= version]
        return f"lacks the column {', '.join(names)}" if names else None

    def note_corrections(self) -> None:
        """Adds a problem if labels contradict their specifications."""
        if self.corrections:
            rows = self.corrections.values()
            names = dict.fromkeys(name for right in rows for name in right)
            problem = f"{', '.join(names)}: not as in the specification"
            self.add(
                "labels",
                f"{problem} ({count_text(len(self.corrections), 'trial')})",
                sorted(self.corrections),
            )

    def correct(self, trial: str, right: Row) -> None:
        """Notes the right values of columns of a trial."""
        self.corrections[trial] = self.corrections.get(trial, {}) | right


def check_file(table: TableSchema, file: FileInfo, path: Path) -> FileFacts:
    """Reads every page of a file and checks its rows against its name."""
    facts = FileFacts(file=file)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as content:
            wrong = _schema_problem(table, content.schema_arrow, facts)
            if wrong:
                facts.discard("schema", wrong)
            else:
                _check_groups(table, content, facts)
    except (pa.ArrowException, OSError, ValueError) as error:
        facts.discard("unreadable", _line(error))
    if not facts.is_lost and facts.is_compacted:
        _check_digest(path, facts)
    return facts


def _check_groups(table: TableSchema, content: parquet.ParquetFile, facts: FileFacts) -> None:
    twice: set[str] = set()
    last: Row | None = None
    for number in range(content.num_row_groups):
        try:
            # Most files are small: threads cost more there than they save.
            rows = content.read_row_group(number, use_threads=facts.is_compacted)
            keys = rows.select(list(table.key))
            if any(column.null_count for column in keys.columns):
                facts.discard("schema", f"a row without {' or '.join(table.key)}")
                return
            twice |= _repeated(keys, last)
            last = keys.slice(keys.num_rows - 1).to_pylist()[0] if keys.num_rows else last
            facts.num_rows.update(_counts(keys))
        except (pa.ArrowException, OSError, ValueError) as error:
            facts.bad_groups.add(number)
            ids = sorted(_ids_of(content, number))
            facts.add("unreadable", f"row group {number + 1}: {_line(error)}", ids)
            continue
        wrong = wrong_values(table, rows)
        if wrong:
            facts.add("values", _example(wrong), sorted(wrong))
        if table in DETAIL_TABLES:
            _add_up(table, rows, facts, wrong)
        else:
            _check_rows(table, rows, facts, wrong)
        if facts.is_lost:
            return
    facts.note_corrections()
    if content.num_row_groups and len(facts.bad_groups) == content.num_row_groups:
        facts.is_lost = True
    if twice:
        facts.add("duplicate", f"{len(twice)} trials have a row twice", sorted(twice))
    others = set(facts.num_rows) - set(facts.owner)
    if facts.owner and others:
        facts.discard("identity", f"holds rows of {min(others)}, not only of the trial in its name")
    elif facts.owner and not facts.num_rows and not facts.bad_groups:
        facts.discard("schema", "holds no row")


def _repeated(keys: pa.Table, last: Row | None) -> set[str]:
    """Returns trials with a key twice, in a row group or across the border to the one before.

    Files are sorted, so equal keys in two groups are next to the border.
    """
    found: set[str] = set()
    if keys.num_rows > 1:
        counted = keys.group_by(keys.column_names, use_threads=False).aggregate([([], "count_all")])
        several = counted.filter(pc.greater(counted["count_all"], 1))
        found.update(several["trial_id"].to_pylist())
    if last is not None and keys.slice(0, 1).to_pylist() == [last]:
        found.add(last["trial_id"])
    return found


def _add_up(table: TableSchema, rows: pa.Table, facts: FileFacts, wrong: Collection[str]) -> None:
    """Keeps labels and totals of the details of each trial without a wrong value."""
    if wrong:
        out = pa.array(sorted(wrong), pa.string())
        rows = rows.filter(pc.invert(pc.is_in(rows["trial_id"], value_set=out)))
    for trial, labels, found in totals(table, rows):
        same = facts.labels.setdefault(trial, labels) == labels
        facts.labels[trial] = labels if same else ()
        earlier = facts.totals.get(trial)
        facts.totals[trial] = found if earlier is None else join(table, earlier, found)


def _check_rows(
    table: TableSchema, rows: pa.Table, facts: FileFacts, known: Collection[str]
) -> None:
    """Checks rows against their specification; `known` are trials with a wrong value."""
    wrong: dict[Kind, dict[str, str]] = {"identity": {}, "values": {}}
    names = [name for name in rows.column_names if name in _READ]
    for row in rows.select(names).to_pylist():
        trial = row["trial_id"]
        lacks = facts.lacks(row.get("schema_version", 1))
        if lacks:
            facts.discard("schema", lacks)
            return
        problem = _row_problem(table, row, facts)
        if problem:
            wrong["identity"][trial] = problem
        elif table is TRIALS and trial not in known:
            facts.newest = max(facts.newest, row["schema_version"])
            found = _trial_facts(row | facts.corrections.get(trial, {}))
            problem = found.problem()
            if problem:
                wrong["values"][trial] = problem
            else:
                facts.trials[trial] = found
    for kind, problems in wrong.items():
        if problems:
            facts.add(kind, _example(problems), sorted(problems))


def _example(wrong: Mapping[str, str]) -> str:
    return f"{next(iter(wrong.values()))} ({count_text(len(wrong), 'trial')})"


def _trial_facts(row: Row) -> TrialFacts:
    return TrialFacts(
        is_completed=row["status"] == TrialStatus.COMPLETED,
        version=row["schema_version"],
        labels=tuple(row[name] for name in LABELS),
        num_epochs=row["num_epochs"],
        num_test_images=row["num_test_images"],
        best=(row["best_epoch"], row["best_val_dice"]),
        metrics=tuple(row[name] for name in ALL_METRICS),
        weights_sha256=row.get("weights_sha256"),
    )


def _row_problem(table: TableSchema, row: Row, facts: FileFacts) -> str | None:
    """Returns why a row contradicts its specification, or None; notes labels to correct."""
    try:
        spec = TrialSpec.from_json(parse_json(row["spec"], MAX_COLUMN_BYTES))
        # The id of a candidate also depends on its search and number.
        if spec.data.measured_on != "val" and trial_id(spec) != row["trial_id"]:
            return "the specification of a row has another identity than the row"
        right = {name: value for name, value in spec_values(spec).items() if name in row}
        if any(type(value) is not type(row[name]) for name, value in right.items()):
            return "the specification of a row has values of another type"
        wrong = {name: value for name, value in right.items() if value != row[name]}
        if wrong:
            facts.correct(row["trial_id"], wrong)
        if table is FAILURES:
            FailureClass(row["failure_class"])
        elif row["status"] not in _STATUSES[table.name]:
            return f"a row has the status {row['status']!r}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"a row cannot be understood: {_line(error)}"
    key = part_key(facts.file.name)
    if table is FAILURES and key and key != f"{row['trial_id']}-{row['attempt']}":
        return f"holds attempt {row['attempt']} of {row['trial_id']}, which is not in its name"
    return None


def _schema_problem(table: TableSchema, found: pa.Schema, facts: FileFacts) -> str | None:
    """Returns why a file does not fit the table, or None; newer versions may add columns."""
    facts.missing_columns = tuple(
        column for column in table.columns if column.name not in found.names
    )
    if facts.is_compacted:
        written = (found.metadata or {}).get(b"podium.schema_version", b"")
        lacks = facts.lacks(int(written) if written.isdigit() else SCHEMA_VERSION)
        if lacks:
            return lacks
    for column in table.columns:
        if column in facts.missing_columns:
            if not column.nullable:
                return f"lacks the column {column.name}"
            continue
        declared = table.arrow_schema.field(column.name).type
        actual = found.field(column.name).type
        if actual != declared and not (
            pa.types.is_timestamp(actual) and pa.types.is_timestamp(declared)
        ):
            return f"the column {column.name} is {actual}, not {declared}"
    return None


def _check_digest(path: Path, facts: FileFacts) -> None:
    """Checks the content of a compacted file against the digest in its name."""
    if is_as_named(path, facts.file.name):
        return
    if CHECKED.items() <= (_metadata(path) or {}).items():
        if not facts.bad_groups:
            facts.add(
                "unreadable", "was altered after it was written, although every page is intact"
            )
        return
    facts.discard(
        "unreadable",
        "was altered after it was written: its content does not match the digest in its name",
    )


def _metadata(path: Path) -> Mapping[bytes, bytes] | None:
    found: Mapping[bytes, bytes] | None = parquet.read_schema(path).metadata
    return found


def _counts(rows: pa.Table) -> dict[str, int]:
    counted = pc.value_counts(rows["trial_id"].combine_chunks())
    ids, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return dict(zip(ids, counts, strict=True))


def _ids_of(content: parquet.ParquetFile, number: int) -> set[str]:
    """Returns the trials of a torn row group, if its column `trial_id` is intact."""
    try:
        return set(content.read_row_group(number, columns=["trial_id"])["trial_id"].to_pylist())
    except (pa.ArrowException, OSError, ValueError):
        return set()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
