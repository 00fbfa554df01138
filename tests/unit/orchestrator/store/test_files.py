import re
from datetime import UTC, datetime

import pytest

from orchestrator.store import TABLES, Store, StoreError
from orchestrator.store.files import attempt_of, classify, compacted_path, list_table, part_path
from orchestrator.store.local import LocalStorage
from orchestrator.store.storage import FileInfo
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec

TRIALS = TABLES["trials"]
ID = "0123456789abcdef0123"


def entry(name: str, *, is_folder: bool = False) -> FileInfo:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return FileInfo(path=f"trials/{name}", size_bytes=1, modified_at=now, is_folder=is_folder)


def test_file_names_follow_from_the_content():
    assert part_path(TRIALS, ID) == f"trials/part-{ID}.parquet"
    assert part_path(TABLES["failures"], ID, 2) == f"failures/part-{ID}-2.parquet"
    assert compacted_path(TRIALS, b"rows") == compacted_path(TRIALS, b"rows")
    assert compacted_path(TRIALS, b"rows") != compacted_path(TRIALS, b"other rows")
    assert attempt_of(f"part-{ID}-12.parquet") == 12
    assert attempt_of(f"part-{ID}.parquet") is None


def test_hidden_files_are_skipped(tmp_path):
    entries = (
        entry(f".part-{ID}.parquet.0123abcd.tmp"),
        entry("_metadata"),
        entry("compact-0123456789abcdef.parquet"),
        entry(f"part-{ID}.parquet"),
    )
    files = classify(LocalStorage(tmp_path), TRIALS, entries)
    assert [file.name for file in files.all()] == [entry.name for entry in entries[2:]]
    assert list(files.parts) == [ID]


@pytest.mark.parametrize(
    "foreign",
    [
        entry("backup.parquet"),
        entry("notes.txt"),
        entry(f"part-{ID}.parquet.bak"),
        entry("part-xyz.parquet"),
        entry(f"part-{ID}-1.parquet"),
        entry(f"part-{ID} (1).parquet"),
        entry(f"part-{ID}.sync-conflict-20261130-101112-ABCDEFG.parquet"),
        entry(f"PART-{ID.upper()}.PARQUET"),
        entry("compact-0123456789abcdef~.parquet"),
        entry(f"part-{ID}.parquet", is_folder=True),
        entry("old", is_folder=True),
    ],
    ids=lambda info: info.name,
)
def test_foreign_file_is_reported_with_its_remedy(tmp_path, foreign):
    with pytest.raises(
        StoreError, match=re.escape(f"{tmp_path}/{foreign.path}: ") + ".*move it out of trials/"
    ):
        classify(LocalStorage(tmp_path), TRIALS, (foreign,))


COPIES = [
    "{stem} (1).parquet",
    "{stem} (conflicted copy 2026-11-30).parquet",
    "{stem}.sync-conflict-20261130-101112-ABCDEFG.parquet",
    "{stem}-2.parquet",
    "{stem}_copy.parquet",
    "Copy of {stem}.parquet",
    "{stem}.parquet~",
    "{stem}.parquet.1",
]


@pytest.mark.parametrize(
    ("table", "compacted"), [("images", False), ("failures", False), ("trials", True)]
)
def test_copies_of_files_are_foreign_and_moved_by_quarantine(tmp_path, table, compacted):
    store = Store(tmp_path)
    for number in range(3):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.record_failure(make_failure(5))
    if compacted:
        store.compact(NOW)
    rows = len(store.read(table))
    (file, *_) = sorted((tmp_path / table).iterdir())
    for pattern in COPIES:
        copy = file.with_name(pattern.format(stem=file.stem))
        copy.write_bytes(file.read_bytes())
        with pytest.raises(StoreError, match=r"a second copy of .*move it out of"):
            store.read(table)
        found = store.verify(NOW)
        assert [(one.path, one.kind) for one in found.problems] == [
            (f"{table}/{copy.name}", "foreign")
        ]
        assert found.num_trials == 3
        store.quarantine(found)
        assert len(store.read(table)) == rows


def test_only_copy_of_a_file_gets_a_renaming_remedy(tmp_path):
    with pytest.raises(StoreError, match=rf"part-{ID}.parquet, which does not exist: .*give it"):
        classify(LocalStorage(tmp_path), TRIALS, (entry(f"part-{ID} (1).parquet"),))


def test_listing_during_a_compaction_is_repeated():
    """The first listing misses the compacted file and the part deleted after it."""
    part = entry(f"part-{ID}.parquet")
    compact = entry("compact-0123456789abcdef.parquet")
    listings = [(), (compact,), (compact,)]

    class Busy(LocalStorage):
        def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
            return listings.pop(0)

    assert list_table(Busy(root=None), TRIALS).all() == (compact,)  # type: ignore[arg-type]
    assert listings == []
    listings[:] = [(part,), (part,)]
    assert list_table(Busy(root=None), TRIALS).all() == (part,)  # type: ignore[arg-type]
