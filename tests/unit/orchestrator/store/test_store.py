import dataclasses

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.store import TABLES, Store, StoreError
from orchestrator.store.codec import encode_part
from orchestrator.store.rows import failure_row
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
    plain_counts,
)
from workers.contract import FailureClass, TrialStatus
from workers.identity import trial_id


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def test_an_empty_store_has_every_table_with_its_types(store, tmp_path):
    assert store.committed() == {}
    assert store.failures() == ()
    assert store.damaged() == []
    assert store.grids() == []
    assert list(tmp_path.iterdir()) == []
    Store(tmp_path / "full").commit(make_spec(0), make_result(0, diverged=True), committed_at=NOW)
    Store(tmp_path / "full").commit_candidate(make_candidate(0))
    for table in TABLES:
        empty, full = store.read(table), Store(tmp_path / "full").read(table)
        assert len(empty) == 0 < len(full)
        pd.testing.assert_series_equal(empty.dtypes, full.dtypes)


def test_commit_is_visible_in_every_view(store, tmp_path):
    store.commit(make_spec(2), make_result(2), committed_at=NOW, attempt=3)
    (identity,) = store.committed()
    found = store.committed()[identity]
    assert identity == trial_id(make_spec(2)) == found.trial_id
    assert (found.dataset, found.loss_name, found.dice, found.attempt) == ("set-0", "iou", 0.02, 3)
    assert found.status is TrialStatus.COMPLETED
    assert found.committed_at == NOW
    assert store.find_committed(identity) == found
    assert store.find_committed("0" * 20) is None
    assert store.read("epochs", ["epoch", "seconds"]).values.tolist() == [[1, 1.5], [2, 1.5]]
    assert store.read("images")["tp"].tolist() == [2, 2]
    assert store.read("predictions")["logits_png"].tolist() == [b"logits"]
    assert plain_counts(tmp_path) == (1, 1, 1)


def test_details_are_durable_before_the_trial_is_visible(store, tmp_path):
    store.commit(make_spec(0), make_result(0, diverged=True), committed_at=NOW)
    files = [next((tmp_path / table).iterdir()) for table in TABLES if table != "candidates"]
    times = {file.parent.name: file.stat().st_mtime_ns for file in files}
    assert max(times, key=times.__getitem__) == "trials"


@pytest.mark.parametrize("compacted", [False, True])
def test_the_first_commit_wins(store, tmp_path, compacted):
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    if compacted:
        store.compact(NOW)
    other = dataclasses.replace(make_result(50), epochs=make_result(0).epochs[:1])
    Store(tmp_path).commit(make_spec(0), other, committed_at=NOW)
    assert store.read("trials")["dice"].tolist() == [0.0]
    assert len(store.read("epochs")) == 2
    assert plain_counts(tmp_path) == (1, 1, 1)


def test_a_diverged_trial_has_a_row_in_both_tables(store):
    store.commit(make_spec(1), make_result(1, diverged=True), committed_at=NOW)
    trials = store.read("trials", ["status", "dice", "best_epoch"])
    assert trials["status"].tolist() == ["diverged"]
    assert trials["dice"].isna().all()
    assert trials["best_epoch"].isna().all()
    (failure,) = store.failures()
    assert (failure.failure_class, failure.message) == (FailureClass.DIVERGED, "loss is NaN")
    assert store.num_failures(failure.trial_id) == 0


def test_divergence_without_commit_does_not_count(store):
    diverged = dataclasses.replace(make_failure(1), failure_class=FailureClass.DIVERGED)
    store.record_failure(diverged)
    store.record_failure(make_failure(2))
    assert [row.failure_class for row in store.failures()] == [FailureClass.BUG]
    assert store.num_failures(trial_id(make_spec(1))) == 0
    store.commit(make_spec(1), make_result(1, diverged=True), committed_at=NOW)
    assert len(store.failures()) == 2


def test_failed_attempts_count_before_and_after_compaction(store):
    identity = trial_id(make_spec(1))
    assert store.num_failures(identity) == 0
    store.record_failure(make_failure(1, 1))
    store.record_failure(make_failure(1, 2))
    store.record_failure(make_failure(2, 1))
    assert store.num_failures(identity) == 2
    store.compact(NOW)
    assert store.num_failures(identity) == 2
    store.record_failure(make_failure(1, 3))
    assert store.num_failures(identity) == 3
    store.commit(make_spec(1), make_result(1), committed_at=NOW)
    assert store.committed()[identity].attempt == 4


def test_reading_selects_trials_and_columns(store):
    for number in range(3):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
        store.record_failure(make_failure(number))
    ids = [trial_id(make_spec(1))]
    for table in ("trials", "epochs", "images", "failures"):
        rows = store.read(table, ["repeat", "trial_id"], trial_ids=ids)
        assert list(rows.columns) == ["repeat", "trial_id"]
        assert set(rows["trial_id"]) == set(ids)
    assert store.read("trials")["repeat"].tolist() == [0, 1, 0]
    with pytest.raises(StoreError, match="'trial': unknown table; known: trials, epochs"):
        store.read("trial")
    with pytest.raises(StoreError, match=r"'dise': unknown column of trials; did you mean 'dice'"):
        store.read("trials", ["dise"])


def test_torn_part_of_trials_is_replaced_by_the_next_training(store, tmp_path):
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    identity = trial_id(make_spec(0))
    part = tmp_path / "trials" / f"part-{identity}.parquet"
    part.write_bytes(part.read_bytes()[:100])
    assert list(store.committed()) == [trial_id(make_spec(1))]
    assert store.find_committed(identity) is None
    assert set(store.read("epochs")["trial_id"]) == {trial_id(make_spec(1))}
    (damage,) = store.damaged()
    assert (damage.path, damage.trial_id) == (str(part), identity)
    store.compact(NOW)
    assert part.exists()
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    assert store.damaged() == []
    store.compact(NOW)
    assert len(store.committed()) == 2
    assert len(store.read("epochs")) == 4


def test_torn_failure_is_reported_and_counts_as_an_attempt(store, tmp_path):
    store.record_failure(make_failure(1, 2))
    (part,) = (tmp_path / "failures").iterdir()
    part.write_bytes(b"PAR1")
    assert store.failures() == ()
    assert [damage.trial_id for damage in store.damaged()] == [trial_id(make_spec(1))]
    assert store.num_failures(trial_id(make_spec(1))) == 2


def test_torn_details_of_a_finished_trial_have_a_remedy(store, tmp_path):
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    part = tmp_path / "images" / f"part-{trial_id(make_spec(0))}.parquet"
    part.write_bytes(b"")
    for use in (lambda: store.read("images"), lambda: store.compact(NOW)):
        with pytest.raises(StoreError, match=f"{part}: .* together with trials/{part.name}"):
            use()
    assert len(store.read("images", trial_ids=[trial_id(make_spec(1))])) == 2
    assert len(store.committed()) == 2
    part.unlink()
    assert len(store.read("images")) == 2


def test_details_of_unfinished_trials_are_skipped_even_if_torn(store, tmp_path):
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    (part,) = (tmp_path / "images").iterdir()
    (tmp_path / "images" / f"part-{'0' * 20}.parquet").write_bytes(part.read_bytes())
    (tmp_path / "images" / f"part-{'1' * 20}.parquet").write_bytes(b"torn")
    assert len(store.read("images")) == 2


def test_results_of_a_newer_version_are_refused(store, tmp_path):
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    (part,) = (tmp_path / "trials").iterdir()
    rows = pq.read_table(part)
    index = rows.schema.get_field_index("schema_version")
    newer = rows.set_column(index, rows.schema.field(index), pa.array([99]))
    pq.write_table(newer.append_column("news", pa.array(["x"])), part)
    uses = (
        store.committed,
        lambda: store.read("epochs"),
        lambda: store.compact(NOW),
        lambda: store.clean_up(NOW),
        lambda: store.find_committed(trial_id(make_spec(0))),
    )
    for use in uses:
        with pytest.raises(StoreError, match=r"schema version 99.*upgrade podium-sweep"):
            use()
    assert part.exists()


def test_a_foreign_file_is_named(store, tmp_path):
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    (tmp_path / "trials" / "old.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match=r"trials/old\.parquet: not a file of this store"):
        store.committed()


def test_missing_value_is_refused_before_any_write(store, tmp_path):
    nameless = dataclasses.replace(make_result(0), device=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="non-nullable"):
        store.commit(make_spec(0), nameless, committed_at=NOW)
    assert list(tmp_path.iterdir()) == []


def test_details_of_an_interrupted_attempt_are_removed(store, tmp_path):
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    next((tmp_path / "trials").iterdir()).unlink()
    bare = dataclasses.replace(make_result(0), predictions=())
    store.commit(make_spec(0), bare, committed_at=NOW)
    assert len(store.read("predictions")) == 0


def test_checkpoints_are_kept_until_deleted(store):
    checkpoints = store.checkpoints("abc")
    assert checkpoints.load() is None
    checkpoints.save(b"one")
    checkpoints.save(b"two")
    assert store.checkpoints("abc").load() == b"two"
    store.delete_checkpoint("abc")
    store.delete_checkpoint("abc")
    assert checkpoints.load() is None
    with pytest.raises(ValueError, match="cannot name a file"):
        store.checkpoints("../abc")


def test_grids_are_kept_by_id_and_sorted_by_time(store, tmp_path):
    store.save_grid({"grid_id": "b", "saved_at": "2026-01-02", "name": "late"})
    store.save_grid({"grid_id": "c", "saved_at": "2026-01-01", "name": "early"})
    store.save_grid({"grid_id": "b", "saved_at": "2026-01-03", "name": "later"})
    assert [grid["name"] for grid in store.grids()] == ["early", "later"]
    (tmp_path / "_grids" / "c.json").write_text("{")
    with pytest.raises(StoreError, match=r"_grids/c\.json: .*move it aside"):
        store.grids()


def test_rows_survive_encoding():
    row = failure_row(make_failure(1))
    data = encode_part(TABLES["failures"], [row])
    assert pq.read_table(pa.BufferReader(data)).to_pylist() == [row]
