"""Deleted rows of completed trials: every reader reports them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

import podium
from orchestrator.store import Store
from orchestrator.store.files import part_path
from orchestrator.store.schema import TABLES
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.identity import trial_id

IDS = [trial_id(make_spec(number)) for number in range(6)]


@pytest.fixture
def store(tmp_path):
    """Six trials: 3 diverged; 0, 2 and 4 are of repeat 0 and have a prediction."""
    store = Store(tmp_path)
    for number in range(6):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
    return store


def lose(store, table, *numbers):
    """Deletes the rows of trials, as a rule that expires old files does."""
    place = Path(store.name)
    for number in numbers:
        (place / part_path(TABLES[table], IDS[number])).unlink(missing_ok=True)
    for file in (place / table).glob("compact-*.parquet"):
        rows = parquet.read_table(file)
        gone = pc.is_in(rows["trial_id"], value_set=pa.array([IDS[number] for number in numbers]))
        parquet.write_table(rows.filter(pc.invert(gone)), file)


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    ("table", "numbers", "counts"),
    [("epochs", (0, 1), "2 of 5"), ("images", (5,), "1 of 5"), ("predictions", (0, 2), "2 of 3")],
)
def test_trials_with_missing_rows_are_counted(store, compacted, table, numbers, counts):
    if compacted:
        store.compact(NOW)
    assert store.missing_details() == ()
    lose(store, table, *numbers)
    (note,) = store.missing_details()
    assert note.startswith(
        f"{store.name}/{table}: {counts} completed trials lack their rows, such as set-"
    )
    assert "Restore the files from a copy" in note
    assert store.missing_details([IDS[4]]) == ()
    assert len(store.missing_details([IDS[numbers[0]]])) == 1


def test_deleted_folder_is_reported(store):
    shutil.rmtree(Path(store.name) / "epochs")
    (note,) = store.missing_details()
    assert "5 of 5 completed trials" in note  # of a diverged one nobody knows


@pytest.mark.parametrize(("asked", "number"), [(2, 1), (0, 0), (None, 0)])
def test_missing_predictions_follow_the_configured_number(store, asked, number):
    """If all predictions are deleted, only the configuration says that there were some."""
    protocol = next(iter(store.committed().values())).protocol_id
    if asked is not None:
        config = {"runtime": {"example_images": asked}}
        store.save_grid({"grid_id": "g", "protocol_id": protocol, "config": config})
    shutil.rmtree(Path(store.name) / "predictions")
    assert len(store.missing_details()) == number


def test_only_readers_of_missing_rows_report_them(store):
    lose(store, "images", 1)
    assert "images: 1 of 5" in store.query("SELECT count(*) FROM images").notes[0]
    joined = "SELECT count(*) FROM trials JOIN images USING (trial_id)"
    assert len(store.query(joined).notes) == 1
    assert store.query("SELECT count(*) FROM trials").notes == ()
    assert store.query("SELECT count(*) FROM epochs").notes == ()
    with pytest.warns(UserWarning, match="images: 1 of 5"):
        podium.read_images(store.name)
    feed = store.feed()
    feed.refresh()
    assert feed.missing_details() == ()
    lose(store, "epochs", 1)
    assert "epochs: 1 of 5" in feed.missing_details()[0]
