from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.store import Store, StoreError
from orchestrator.store.local import LocalStorage
from orchestrator.store.scan import scan
from orchestrator.store.schema import EPOCHS, FAILURES, TRIALS
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    for number in range(4):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    return tmp_path


def test_torn_parts_are_found_among_intact_ones(root):
    parts = sorted((root / "trials").iterdir())
    parts[1].write_bytes(parts[1].read_bytes()[:-1])
    parts[2].write_bytes(b"")
    found = scan(LocalStorage(root), TRIALS)
    assert found.rows.num_rows == 2
    assert [item.file.name for item in found.unreadable] == [parts[1].name, parts[2].name]
    assert "magic bytes" in found.unreadable[0].reason
    assert found.lost() == found.unreadable


def test_part_with_other_columns_counts_as_torn(root):
    part = min((root / "trials").iterdir())
    pq.write_table(pq.read_table(part).drop_columns(["spec"]), part)
    assert [item.file.name for item in scan(LocalStorage(root), TRIALS).lost()] == [part.name]


def test_missing_nullable_column_of_an_older_file_is_null(root):
    for part in sorted((root / "trials").iterdir())[:2]:
        pq.write_table(pq.read_table(part).drop_columns(["message", "best_epoch"]), part)
    epochs = scan(LocalStorage(root), TRIALS).rows.column("best_epoch").to_pylist()
    assert sorted(epochs, key=str) == [1, 1, None, None]


def test_only_the_first_file_of_a_trial_counts(root):
    """A second training with more epochs must not be mixed with the first one."""
    part = min((root / "epochs").iterdir())
    rows = pq.read_table(part)
    pq.write_table(rows.slice(0, 1), root / "epochs" / "compact-0123456789abcdef.parquet")
    assert scan(LocalStorage(root), EPOCHS).rows.num_rows == 1 + 3 * 2


def test_every_attempt_has_a_row(root):
    store = Store(root)
    store.record_failure(make_failure(9, 1))
    store.record_failure(make_failure(9, 2))
    store.compact(NOW)
    store.record_failure(make_failure(9, 3))
    assert scan(LocalStorage(root), FAILURES).rows.column("attempt").to_pylist() == [1, 2, 3]


def test_wildcards_in_a_path_are_literal(tmp_path):
    for name in ("a?b's [1]*", "axb's 1"):
        Store(tmp_path / name).commit(make_spec(1), make_result(1), committed_at=NOW)
    assert len(Store(tmp_path / "a?b's [1]*").committed()) == 1


def test_read_during_a_compaction_starts_again(root):
    calls = []

    class Hasty(LocalStorage):
        def local_copies(self, paths):
            calls.append(len(paths))
            if len(calls) == 1:
                Store(root).compact(NOW)
            return super().local_copies(paths)

    assert scan(Hasty(root), TRIALS).rows.num_rows == 4
    assert calls == [4, 1]


def test_read_of_an_always_changing_table_is_an_error(root):
    class Restless(LocalStorage):
        def local_copies(self, paths):
            return super().local_copies(paths[1:])

    with pytest.raises(StoreError, match="keep changing; run the same command again"):
        scan(Restless(root), TRIALS)


def test_a_torn_compacted_file_is_named_with_its_remedy(root):
    Store(root).compact(NOW)
    (compact,) = (root / "trials").iterdir()
    compact.write_bytes(compact.read_bytes()[:-9])
    with pytest.raises(StoreError, match=f"{compact}: cannot be read .* restore it from a copy"):
        Store(root).committed()
    with pytest.raises(StoreError, match="restore it from a copy"):
        Store(root).find_committed("0" * 20)


def test_file_with_a_temporary_read_error_is_read_again(root, tmp_path_factory):
    """After a temporary error of a file server, the file is intact and its trial counts."""
    torn = tmp_path_factory.mktemp("torn") / "file.parquet"
    torn.write_bytes(b"")
    looks = []

    class Stumbling(LocalStorage):
        @contextmanager
        def local_copies(self, paths):
            looks.append(len(paths))
            with super().local_copies(paths) as copies:
                yield {**copies, paths[0]: torn} if len(looks) == 1 else copies

    found = scan(Stumbling(root), TRIALS)
    assert (found.rows.num_rows, found.unreadable, looks) == (4, (), [4, 4])
