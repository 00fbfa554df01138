"""Paths and names are never data: results read the same in any folder."""

from __future__ import annotations

import dataclasses
import shutil
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.ranking.table import check_trials, read_table
from orchestrator.store import TABLES, Store, StoreError, scan
from orchestrator.store.codec import compacted_file, encode_part
from orchestrator.store.files import compacted_path
from orchestrator.store.schema import TableSchema
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
)
from workers.contract import UserError

LATER = NOW + timedelta(days=36_500)
FOLDERS = [
    "loss=focal/seed=7",
    "trial_id=x/status=diverged/dice=0.5/repeat=first",
    "dataset=__HIVE_DEFAULT_PARTITION__/epoch=9/tp=1",
    "a[b]c/[!x]/*",
    "what?/{a,b}/**",
    "100%/%2F/a#b",
    'it\'s "quoted"/a;b/-- x',
    "ünï/e\u0301/漢字",
    " lead and trail /a b",
    "back\\slash/~/$HOME",
]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with rows in every table, in a folder with a plain name."""
    root = tmp_path_factory.mktemp("plain") / "results"
    store = Store(root)
    for number in range(4):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
    store.record_failure(make_failure(5))
    store.commit_candidate(make_candidate(0, 6))
    return root


def everything(store: Store) -> dict[str, object]:
    """Returns the results of every kind of reader."""
    answers: dict[str, object] = {
        name: store.query(f"SELECT * FROM {name}").table.to_pylist() for name in TABLES
    }
    answers |= {f"frame {name}": repr(store.read(name).to_dict("records")) for name in TABLES}
    answers["committed"] = store.committed()
    answers["failures"] = store.failures()
    saved = store.query("SELECT loss, count(*), avg(dice) FROM trials GROUP BY ALL ORDER BY ALL")
    answers["saved"] = list(saved.rows())
    answers["problems"] = store.verify(LATER).problems
    return answers


@pytest.mark.parametrize("folder", FOLDERS)
def test_results_read_the_same_in_any_folder(plain: Path, tmp_path: Path, folder: str) -> None:
    place = shutil.copytree(plain, tmp_path / folder / "results")
    store = Store(place)
    expected = everything(Store(plain))
    assert everything(store) == expected
    store.compact(NOW)
    assert everything(store) == expected
    rows = pq.ParquetFile(next(place.glob("trials/*.parquet"))).read().to_pylist()
    assert {(row["loss"], row["seed"]) for row in rows} == {("dice", 42), ("iou", 42)}


def test_s3_prefix_and_temporary_folder_named_like_columns(
    plain: Path, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "loss=focal" / "a[b]*"
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(scan, "FILES_AT_ONCE", 2)
    store = Store(f"s3://{s3_bucket}/loss=focal/seed=7/a b")
    for number in range(4):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
    expected = Store(plain).read("trials")
    assert store.read("trials").equals(expected)
    store.compact(NOW)
    assert store.read("trials").equals(expected)


def test_wildcard_with_a_backslash_is_refused(plain: Path, tmp_path: Path) -> None:
    place = shutil.copytree(plain, tmp_path / "a\\b*" / "results")
    with pytest.raises(StoreError, match=r"a\\b\*.*cannot be read; rename the folder"):
        Store(place).committed()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_tables_read_the_same_in_any_folder(tmp_path: Path, folder: str, suffix: str) -> None:
    table = pd.DataFrame({"dataset": ["x", "x"], "loss": ["bce", "dice"], "dice": [0.25, 0.5]})
    path = tmp_path / folder / f"loss=focal.{suffix}"
    path.parent.mkdir(parents=True)
    write: dict[str, Callable[[Path], object]] = {
        "csv": lambda to: table.to_csv(to, index=False),
        "tsv": lambda to: table.to_csv(to, index=False, sep="\t"),
        "parquet": table.to_parquet,
    }
    write[suffix](path)
    found = read_table(path).rows
    assert list(found.columns) == ["dataset", "loss", "dice"]
    assert found["loss"].tolist() == ["bce", "dice"]


DAMAGES: dict[str, dict[str, object]] = {
    "loss": {"loss": "focal"},
    "all labels": {"dataset": "d", "model": "m", "loss": "focal", "repeat": 9},
    "other columns": {"seed": 7, "loss_name": "focal", "image_size": 1, "protocol_id": "x"},
    "normal form": {"dataset": unicodedata.normalize("NFD", "sét")},
}


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("name", DAMAGES)
def test_overwritten_labels_are_found_and_restored(
    plain: Path, tmp_path: Path, name: str, compacted: bool
) -> None:
    """Rows that contradict their `spec`, as the detection of such folders once produced them."""
    place = shutil.copytree(plain, tmp_path / "results")
    store = Store(place)
    if compacted:
        store.compact(NOW)
    whole = {table: store.read(table) for table in TABLES}
    for path in place.glob("*/*.parquet"):
        write_over(TABLES[path.parent.name], path, DAMAGES[name])
    found = store.verify(LATER)
    assert {problem.kind for problem in found.problems} == {"labels"}
    assert found.broken_trials == frozenset()
    assert (len(found.relabelled_trials), found.num_trials) == (4, 0)
    if name == "normal form":
        with pytest.raises(UserError, match="written over; podium verify RESULTS --quarantine"):
            check_trials(store.read("trials"))
    assert store.quarantine(found)
    for table, rows in whole.items():
        assert store.read(table).equals(rows), table
    assert store.verify(LATER).problems == ()
    assert (place / "quarantine" / "trials").is_dir()


def write_over(table: TableSchema, path: Path, values: dict[str, object]) -> None:
    """Puts values into every row of a file, as an earlier compaction did."""
    rows = [
        row | {name: value for name, value in values.items() if name in row}
        for row in pq.ParquetFile(path).read().to_pylist()
    ]
    rows.sort(key=lambda row: [row[name] for name in table.order])
    if path.name.startswith("part-"):
        path.write_bytes(encode_part(table, rows))
        return
    path.unlink()
    found = pa.Table.from_pylist(rows, schema=table.arrow_schema)
    with compacted_file(table, found.to_batches()) as data:
        (path.parents[1] / compacted_path(table, data)).write_bytes(data)


def test_names_in_another_normal_form_are_the_same(plain: Path, tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Gr\xf6\xdfe \xe9") for form in ("NFC", "NFD"))
    assert composed != apart
    place = shutil.copytree(plain, tmp_path / apart / "results")
    found = Store(tmp_path / composed / "results")
    assert found.name == str(place)
    assert len(found.committed()) == 4
    assert Store(tmp_path / composed / "new").name == str(tmp_path / apart / "new")
    spec = make_spec(0)
    labels = {dataclasses.replace(spec.loss, label=name).label for name in (composed, apart)}
    assert labels == {composed}
