"""Names of the store's files, and complete listings of a table's folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.store.schema import TableSchema
from orchestrator.store.storage import Buffer, FileInfo, Storage, StoreError

CHECKPOINTS = "_checkpoints"
WEIGHTS = "weights"
GRIDS = "_grids"
RUNS = "_runs"
CLAIMS = "_claims"
COMPACTED = "_compacted"
COMPACTED_PREFIX = "compact-"

_PART = re.compile(r"part-([0-9a-f]{20}(?:-[0-9]+)?)\.parquet")
_COMPACT = re.compile(r"compact-[0-9a-f]{16}\.parquet")
# Copies made by file managers and synchronising programs have such a name inside theirs.
_OWN_NAME = re.compile(r"part-[0-9a-f]{20}(?:-[0-9]+)?|compact-[0-9a-f]{16}", re.IGNORECASE)
_ID_LENGTH = 20

_REMEDY = "; move it out of {}/ (podium verify --quarantine does): readers would use it as results"


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """The files of one table at one moment.

    Attributes:
        compacted: Compacted files by name; more than one only during a compaction.
        parts: Part of each trial (or attempt), by `trial_id` or `trial_id-attempt`.
    """

    compacted: tuple[FileInfo, ...]
    parts: Mapping[str, FileInfo]

    def all(self) -> tuple[FileInfo, ...]:
        """All files in the order in which their rows count: compacted files first."""
        return (*self.compacted, *self.parts.values())


def part_path(table: TableSchema, trial_id: str, attempt: int | None = None) -> str:
    """Returns the path of a trial's (or attempt's) part; another training overwrites it."""
    suffix = "" if attempt is None else f"-{attempt}"
    return f"{table.name}/part-{trial_id}{suffix}.parquet"


def compacted_path(table: TableSchema, data: Buffer) -> str:
    """Returns the path of a compacted file with these bytes."""
    return f"{table.name}/compact-{hashlib.sha256(data).hexdigest()[:16]}.parquet"


def is_as_named(path: Path, name: str) -> bool:
    """Says whether the content of a compacted file has the digest in its name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return name == f"{COMPACTED_PREFIX}{digest}.parquet"


def last_compaction_path(table: TableSchema) -> str:
    """Returns the path of a note with the file of the last compaction, written before deletions."""
    return f"{COMPACTED}/{table.name}"


def part_key(name: str) -> str | None:
    """Returns the key of `TableFiles.parts` in a file's name; None for any other name."""
    part = _PART.fullmatch(name)
    return part[1] if part else None


def attempt_of(name: str) -> int | None:
    """Returns the attempt in the name of a part of `failures`; None for any other name."""
    part = _PART.fullmatch(name)
    number = part[1].partition("-")[2] if part else ""
    return int(number) if number else None


def trial_id_of(part_key: str) -> str:
    """Returns the trial id in a key of `TableFiles.parts`."""
    return part_key[:_ID_LENGTH]


def own_files(
    table: TableSchema, entries: Iterable[FileInfo]
) -> tuple[TableFiles, tuple[FileInfo, ...]]:
    """Sorts the entries of a table's folder into its files and foreign entries.

    Hidden entries are skipped, as plain readers do. A second copy of a file is foreign: its rows
    would count twice, or count in place of the rows of the first copy.
    """
    compacted, foreign = [], []
    parts = {}
    for entry in entries:
        key = None if entry.is_folder else part_key(entry.name)
        if key is not None and ("-" in key) == ("attempt" in table.key):
            parts[key] = entry
        elif _COMPACT.fullmatch(entry.name) and not entry.is_folder:
            compacted.append(entry)
        elif not entry.name.startswith((".", "_")):
            foreign.append(entry)
    return TableFiles(compacted=tuple(compacted), parts=parts), tuple(foreign)


def foreign_text(table: TableSchema, entry: FileInfo, files: TableFiles) -> str:
    """Describes a foreign entry, with a remedy if moving it aside is not the best one."""
    found = _OWN_NAME.search(entry.name)
    if entry.is_special:
        return "a pipe, a socket or a device, not a file; delete it yourself"
    if entry.is_folder or found is None:
        return f"not a {'folder' if entry.is_folder else 'file'} of this store"
    stem = found[0].lower()
    if stem.startswith("part-") and "attempt" not in table.key:
        stem = stem[: len("part-") + _ID_LENGTH]  # `part-ID-1` is a copy of `part-ID` here.
    name = f"{stem}.parquet"
    if part_key(name) in files.parts or any(file.name == name for file in files.compacted):
        return f"a second copy of {name}, and not a file of this store"
    return (
        f"not a file of this store, although named like a copy of {name}, which does not exist: if "
        "this is the only copy, give it that name"
    )


def classify(storage: Storage, table: TableSchema, entries: tuple[FileInfo, ...]) -> TableFiles:
    """Returns the files of a table among the entries of its folder; skips hidden entries.

    Raises:
        StoreError: An entry is foreign: a plain reader of Parquet would treat it as results.
    """
    files, foreign = own_files(table, entries)
    for entry in foreign:
        msg = f"{storage.name}/{entry.path}: {foreign_text(table, entry, files)}" + (
            "" if entry.is_special else _REMEDY.format(table.name)
        )
        raise StoreError(msg)
    return files


def compacted_paths(storage: Storage, table: TableSchema) -> tuple[str, ...]:
    """Returns the paths of a table's compacted files."""
    entries = storage.list(table.name, prefix=COMPACTED_PREFIX)
    return tuple(entry.path for entry in entries if _COMPACT.fullmatch(entry.name))


def list_table(storage: Storage, table: TableSchema) -> TableFiles:
    """Returns a table's files, which together hold every committed row.

    A listing made while a compaction deletes parts may show neither a part nor the compacted file
    that replaces it. A compaction deletes parts only after it has written the compacted file. If a
    second listing shows the same compacted files, the first was made before any deletion.

    Raises:
        StoreError: The folder has a foreign file, or it cannot be read.
    """
    files = classify(storage, table, storage.list(table.name))
    while True:
        again = classify(storage, table, storage.list(table.name))
        if [file.path for file in again.compacted] == [file.path for file in files.compacted]:
            return files
        files = again
