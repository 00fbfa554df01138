"""Looks at one file of a table: is every page whole, every row what the file's name says."""

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
]
_STATUSES = {TRIALS.name: tuple(TrialStatus), CANDIDATES.name: (*TrialStatus, "pruned")}
_READ = frozenset(
    {
        *("trial_id", "protocol_id", "spec", "schema_version", "status", "attempt"),
        *("failure_class", "num_epochs", "num_test_images", "best_epoch", "best_val_dice"),
        *("dataset_name", "model_name", "loss_name", "seed", "image_size", "arithmetic"),
        *("deterministic", *LABELS, *ALL_METRICS),
    }
)
"""Columns that are looked at row by row; the range of every other one is checked too."""


@dataclass(frozen=True, kw_only=True)
class FileProblem:
    """One thing that is wrong with a file.

    Attributes:
        path: Relative to the results.
        kind: What sort of thing.
        problem: In words.
        trial_ids: The trials it concerns, as far as they are known.
    """

    path: str
    kind: Kind
    problem: str
    trial_ids: tuple[str, ...] = ()


@dataclass(kw_only=True)
class FileFacts:
    """What a file holds.

    Attributes:
        findings: What is wrong with it.
        is_lost: Nothing in it can be trusted.
        bad_groups: Row groups that are torn, where the others are whole.
        num_rows: Whole rows by trial.
        trials: By trial id, of a file of `trials`.
        newest: The newest schema version of its rows.
        lacking: Columns that it has not; an older version knew none of them.
        labels: Of the rows of each trial, of a file of details; empty where they differ.
        totals: What the rows of each trial add up to, of a file of details.
        mended: By trial id, the right values of columns that its specification contradicts.
    """

    file: FileInfo
    findings: list[FileProblem] = field(default_factory=list)
    is_lost: bool = False
    bad_groups: set[int] = field(default_factory=set)
    num_rows: Counter[str] = field(default_factory=Counter)
    trials: dict[str, TrialFacts] = field(default_factory=dict)
    newest: int = 0
    lacking: tuple[Column, ...] = ()
    labels: dict[str, tuple[object, ...]] = field(default_factory=dict)
    totals: dict[str, Totals] = field(default_factory=dict)
    mended: dict[str, Row] = field(default_factory=dict)

    @property
    def is_compacted(self) -> bool:
        """Whether it is a compacted file, which holds many trials."""
        return self.file.name.startswith(COMPACTED_PREFIX)

    @property
    def owner(self) -> tuple[str, ...]:
        """The trial in the name of a part."""
        return () if self.is_compacted else (trial_id_of(part_key(self.file.name) or ""),)

    def add(self, kind: Kind, problem: str, trial_ids: Iterable[str] = ()) -> None:
        """Notes something that is wrong."""
        ids = tuple(trial_ids) or self.owner
        self.findings.append(
            FileProblem(path=self.file.path, kind=kind, problem=problem, trial_ids=ids)
        )

    def lose(self, kind: Kind, problem: str) -> None:
        """Notes that nothing in it can be trusted."""
        self.is_lost = True
        for known in (self.num_rows, self.trials, self.labels, self.totals, self.mended):
            known.clear()
        self.add(kind, problem)

    def lacks(self, version: int) -> str | None:
        """Says which column of a schema version is absent, or returns None."""
        names = [column.name for column in self.lacking if column.since <= version]
        return f"lacks the column {', '.join(names)}" if names else None

    def note_mended(self) -> None:
        """Notes what disagrees with a specification, if anything does."""
        if self.mended:
            names = dict.fromkeys(name for right in self.mended.values() for name in right)
            problem = f"{', '.join(names)}: not what the specification says"
            self.add("labels", f"{problem} ({len(self.mended)} such trials)", sorted(self.mended))

    def mend(self, trial: str, right: Row) -> None:
        """Notes the right values of a trial's columns."""
        self.mended[trial] = self.mended.get(trial, {}) | right


def examine(table: TableSchema, file: FileInfo, path: Path) -> FileFacts:
    """Reads every page of a file and holds its rows against its name."""
    facts = FileFacts(file=file)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as content:
            wrong = _schema_problem(table, content.schema_arrow, facts)
            if wrong:
                facts.lose("schema", wrong)
            else:
                _examine_groups(table, content, facts)
    except (pa.ArrowException, OSError, ValueError) as error:
        facts.lose("unreadable", _line(error))
    if not facts.is_lost and facts.is_compacted:
        _check_digest(path, facts)
    return facts


def _examine_groups(table: TableSchema, content: parquet.ParquetFile, facts: FileFacts) -> None:
    twice: set[str] = set()
    last: Row | None = None
    for number in range(content.num_row_groups):
        try:
            # Most files are small: threads cost more there than they save.
            rows = content.read_row_group(number, use_threads=facts.is_compacted)
            keys = rows.select(list(table.key))
            if any(column.null_count for column in keys.columns):
                facts.lose("schema", f"a row without {' or '.join(table.key)}")
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
    facts.note_mended()
    if content.num_row_groups and len(facts.bad_groups) == content.num_row_groups:
        facts.is_lost = True
    if twice:
        facts.add("duplicate", f"{len(twice)} trials have a row twice", sorted(twice))
    strangers = set(facts.num_rows) - set(facts.owner)
    if facts.owner and strangers:
        facts.lose("identity", f"holds rows of {min(strangers)}, not of its own trial")
    elif facts.owner and not facts.num_rows and not facts.bad_groups:
        facts.lose("schema", "holds no row")


def _repeated(keys: pa.Table, last: Row | None) -> set[str]:
    """Returns trials with a key twice, in a row group or across the border before it.

    Files are sorted, so equal keys of two groups meet at the border.
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
    """Keeps labels and totals of the details of each trial, unless a value of it is wrong."""
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
    """Holds rows with a specification against it; `known` are trials with a wrong value."""
    wrong: dict[Kind, dict[str, str]] = {"identity": {}, "values": {}}
    names = [name for name in rows.column_names if name in _READ]
    for row in rows.select(names).to_pylist():
        trial = row["trial_id"]
        lacks = facts.lacks(row.get("schema_version", 1))
        if lacks:
            facts.lose("schema", lacks)
            return
        problem = _row_problem(table, row, facts)
        if problem:
            wrong["identity"][trial] = problem
        elif table is TRIALS and trial not in known:
            facts.newest = max(facts.newest, row["schema_version"])
            found = _trial_facts(row | facts.mended.get(trial, {}))
            problem = found.problem()
            if problem:
                wrong["values"][trial] = problem
            else:
                facts.trials[trial] = found
    for kind, problems in wrong.items():
        if problems:
            facts.add(kind, _example(problems), sorted(problems))


def _example(wrong: Mapping[str, str]) -> str:
    return f"{next(iter(wrong.values()))} ({len(wrong)} such trials)"


def _trial_facts(row: Row) -> TrialFacts:
    return TrialFacts(
        is_completed=row["status"] == TrialStatus.COMPLETED,
        version=row["schema_version"],
        labels=tuple(row[name] for name in LABELS),
        num_epochs=row["num_epochs"],
        num_test_images=row["num_test_images"],
        best=(row["best_epoch"], row["best_val_dice"]),
        metrics=tuple(row[name] for name in ALL_METRICS),
    )


def _row_problem(table: TableSchema, row: Row, facts: FileFacts) -> str | None:
    """Says why a row cannot be what its specification asks for, and notes what can be mended."""
    try:
        spec = TrialSpec.from_json(parse_json(row["spec"], MAX_COLUMN_BYTES))
        # A candidate of a search has an id of its own, in which search and number are too.
        if spec.data.measured_on != "val" and trial_id(spec) != row["trial_id"]:
            return "the specification of a row has another identity than the row"
        right = {name: value for name, value in spec_values(spec).items() if name in row}
        if any(type(value) is not type(row[name]) for name, value in right.items()):
            return "the specification of a row has values of another type"
        wrong = {name: value for name, value in right.items() if value != row[name]}
        if wrong:
            facts.mend(row["trial_id"], wrong)
        if table is FAILURES:
            FailureClass(row["failure_class"])
        elif row["status"] not in _STATUSES[table.name]:
            return f"a row has the status {row['status']!r}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"a row cannot be understood: {_line(error)}"
    key = part_key(facts.file.name)
    if table is FAILURES and key and key != f"{row['trial_id']}-{row['attempt']}":
        return f"holds attempt {row['attempt']} of {row['trial_id']}, which is not its own"
    return None


def _schema_problem(table: TableSchema, found: pa.Schema, facts: FileFacts) -> str | None:
    """Says what keeps a file from being of this table; unknown columns are a newer version's."""
    facts.lacking = tuple(column for column in table.columns if column.name not in found.names)
    if facts.is_compacted:
        written = (found.metadata or {}).get(b"podium.schema_version", b"")
        lacks = facts.lacks(int(written) if written.isdigit() else SCHEMA_VERSION)
        if lacks:
            return lacks
    for column in table.columns:
        if column in facts.lacking:
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
    """Holds a compacted file against its name, which is the digest of what was written."""
    if is_as_named(path, facts.file.name):
        return
    if CHECKED.items() <= (_metadata(path) or {}).items():
        if not facts.bad_groups:
            facts.add("unreadable", "is not what was written, though every page of it is whole")
        return
    facts.lose("unreadable", "is not what was written: its digest is not that in its name")


def _metadata(path: Path) -> Mapping[bytes, bytes] | None:
    found: Mapping[bytes, bytes] | None = parquet.read_schema(path).metadata
    return found


def _counts(rows: pa.Table) -> dict[str, int]:
    counted = pc.value_counts(rows["trial_id"].combine_chunks())
    ids, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return dict(zip(ids, counts, strict=True))


def _ids_of(content: parquet.ParquetFile, number: int) -> set[str]:
    """Returns the trials of a torn row group, where at least that column of it is whole."""
    try:
        return set(content.read_row_group(number, columns=["trial_id"])["trial_id"].to_pylist())
    except (pa.ArrowException, OSError, ValueError):
        return set()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
