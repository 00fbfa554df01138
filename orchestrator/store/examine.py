"""Looks at one file of a table: is every page whole, every row what the file's name says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import CHECKED
from orchestrator.store.files import COMPACT, is_as_named, part_key, trial_id_of
from orchestrator.store.rows import Row
from orchestrator.store.schema import FAILURES, TRIALS, Table
from orchestrator.store.storage import FileInfo
from workers.contract import FailureClass, TrialSpec, TrialStatus
from workers.identity import protocol_id, trial_id

Kind = Literal[
    "foreign", "unreadable", "schema", "identity", "duplicate", "orphan", "incomplete", "grid"
]
_SPEC = ("trial_id", "protocol_id", "dataset", "model", "loss", "repeat", "spec")
_OF_TRIALS = (*_SPEC, "schema_version", "status", "num_epochs", "num_test_images")
_OF_FAILURES = (*_SPEC, "attempt", "failure_class")


@dataclass(frozen=True, kw_only=True)
class Finding:
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


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """What a row of `trials` promises of the other tables."""

    is_completed: bool
    num_epochs: int
    num_test_images: int


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
    """

    file: FileInfo
    findings: list[Finding] = field(default_factory=list)
    is_lost: bool = False
    bad_groups: set[int] = field(default_factory=set)
    num_rows: Counter[str] = field(default_factory=Counter)
    trials: dict[str, TrialFacts] = field(default_factory=dict)
    newest: int = 0

    @property
    def is_compact(self) -> bool:
        """Whether it is a compacted file, which holds many trials."""
        return self.file.name.startswith(COMPACT)

    @property
    def owner(self) -> tuple[str, ...]:
        """The trial in the name of a part."""
        return () if self.is_compact else (trial_id_of(part_key(self.file.name) or ""),)

    def add(self, kind: Kind, problem: str, trial_ids: Iterable[str] = ()) -> None:
        """Notes something that is wrong."""
        ids = tuple(trial_ids) or self.owner
        self.findings.append(
            Finding(path=self.file.path, kind=kind, problem=problem, trial_ids=ids)
        )

    def lose(self, kind: Kind, problem: str) -> None:
        """Notes that nothing in it can be trusted."""
        self.is_lost = True
        self.num_rows.clear()
        self.trials.clear()
        self.add(kind, problem)


def examine(table: Table, file: FileInfo, path: Path) -> FileFacts:
    """Reads every page of a file and holds its rows against its name."""
    facts = FileFacts(file=file)
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as content:
            wrong = _schema_problem(table, content.schema_arrow)
            if wrong:
                facts.lose("schema", wrong)
            else:
                _examine_groups(table, content, facts)
    except (pa.ArrowException, OSError, ValueError) as error:
        facts.lose("unreadable", _line(error))
    if not facts.is_lost and facts.is_compact:
        _check_digest(path, facts)
    return facts


def _examine_groups(table: Table, content: parquet.ParquetFile, facts: FileFacts) -> None:
    twice: set[str] = set()
    last: Row | None = None
    wanted = {TRIALS.name: _OF_TRIALS, FAILURES.name: _OF_FAILURES}.get(table.name, table.key)
    for number in range(content.num_row_groups):
        try:
            # Most files are small: threads cost more there than they save.
            rows = content.read_row_group(number, use_threads=facts.is_compact)
            found = rows.select([name for name in wanted if name in rows.column_names])
            keys = found.select(list(table.key))
            twice |= _repeated(keys, last)
            last = keys.slice(keys.num_rows - 1).to_pylist()[0] if keys.num_rows else last
            facts.num_rows.update(_counts(found))
        except (pa.ArrowException, OSError, ValueError) as error:
            facts.bad_groups.add(number)
            ids = sorted(_ids_of(content, number))
            facts.add("unreadable", f"row group {number + 1}: {_line(error)}", ids)
            continue
        if table is TRIALS or table is FAILURES:
            _check_rows(table, found.to_pylist(), facts)
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


def _check_rows(table: Table, rows: Iterable[Row], facts: FileFacts) -> None:
    wrong: dict[str, str] = {}
    for row in rows:
        problem = _row_problem(table, row, facts)
        if problem:
            wrong[row["trial_id"]] = problem
        elif table is TRIALS:
            facts.newest = max(facts.newest, row["schema_version"])
            facts.trials[row["trial_id"]] = TrialFacts(
                is_completed=row["status"] == TrialStatus.COMPLETED,
                num_epochs=row["num_epochs"],
                num_test_images=row["num_test_images"],
            )
    if wrong:
        example = next(iter(wrong.values()))
        facts.add("identity", f"{example} ({len(wrong)} such rows)", sorted(wrong))


def _row_problem(table: Table, row: Row, facts: FileFacts) -> str | None:
    try:
        spec = TrialSpec.from_json(json.loads(row["spec"]))
        # A candidate of a search has an id of its own, in which search and number are too.
        identity = row["trial_id"] if spec.data.measured_on == "val" else trial_id(spec)
        if (identity, protocol_id(spec)) != (row["trial_id"], row["protocol_id"]):
            return "the specification of a row has another identity than the row"
        labels = (spec.dataset.label, spec.model.label, spec.loss.label, spec.repeat)
        if labels != tuple(row[name] for name in ("dataset", "model", "loss", "repeat")):
            return "the specification of a row has other labels than the row"
        if table is TRIALS:
            TrialStatus(row["status"])
        else:
            FailureClass(row["failure_class"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"a row cannot be understood: {_line(error)}"
    key = part_key(facts.file.name)
    if table is FAILURES and key and key != f"{row['trial_id']}-{row['attempt']}":
        return f"holds attempt {row['attempt']} of {row['trial_id']}, which is not its own"
    return None


def _schema_problem(table: Table, found: pa.Schema) -> str | None:
    """Says what keeps a file from being of this table; unknown columns are a newer version's."""
    for column in table.columns:
        if column.name not in found.names:
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
