"""Results of older versions are read, compacted and extended; those of a newer one are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.store import SCHEMA_VERSION, TABLES, Store, StoreError
from tests.conftest import ROOT
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec, plain_counts
from workers.contract import UserError
from workers.identity import trial_id

OLDER = range(1, SCHEMA_VERSION)
VERSION_6 = {"trials": {"weights_sha256"}}
VERSION_5 = {
    "images": {"train_sibling"},
    "trials": {"reserved_memory_bytes"} | VERSION_6["trials"],
}
ADDED: dict[int, dict[str, set[str]]] = {
    1: {
        "predictions": {"logit_mean", "mask_png", "mean_mask_png"},
        "failures": {"gpus"},
        **VERSION_5,
    },
    2: {"failures": {"gpus"}, **VERSION_5},
    3: VERSION_5,
    4: VERSION_5,
    5: VERSION_6,
}
"""Columns that each version lacks."""
OLD_TABLES = ["trials", "epochs", "images", "predictions", "failures"]
"""Tables of all versions; version 4 added `candidates`."""
LATER = NOW + timedelta(days=36_500)


@pytest.fixture(params=OLDER)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def old(tmp_path: Path, version: int) -> Path:
    """A copy of real files of an older version."""
    made = ROOT / "tests" / "data" / f"store_v{version}" / "results"
    return Path(shutil.copytree(made, tmp_path / "results"))


def test_the_files_are_of_an_older_version(old: Path, version: int) -> None:
    assert set(parquet.read_table(old / "trials")["schema_version"].to_pylist()) == {version}
    assert not (old / "candidates").exists()
    for table in OLD_TABLES:
        declared = TABLES[table]
        names = parquet.read_schema(next((old / table).glob("*.parquet"))).names
        assert set(declared.column_names) - set(names) == ADDED[version].get(table, set())
    assert [len(list((old / table).glob("compact-*"))) for table in OLD_TABLES] == [1, 1, 1, 1, 0]
    assert [len(list((old / table).glob("part-*"))) for table in OLD_TABLES] == [2, 2, 2, 1, 2]


def test_older_results_can_be_read_extended_and_compacted(old: Path, version: int) -> None:
    store = Store(old)
    rows = {table: store.read(table) for table in TABLES}
    assert [len(found) for found in rows.values()] == [5, 10, 10, 3, 2, 0]
    for table, found in rows.items():
        assert tuple(found.columns) == TABLES[table].column_names
    for table, columns in ADDED[version].items():
        assert rows[table][sorted(columns)].isna().all().all()
    assert rows["predictions"]["logits_png"].tolist() == [b"logits"] * 3
    assert len(store.committed()) == 5
    assert len(store.failures()) == 2
    assert store.find_committed(trial_id(make_spec(0))) is not None
    assert store.num_failures(trial_id(make_spec(5))) == 1
    assert store.query("SELECT count(*) AS n, count(mask_png) AS m FROM predictions").to_pandas()[
        ["n", "m"]
    ].to_numpy().tolist() == [[3, 0 if version == 1 else 3]]
    feed = store.feed()
    assert feed.refresh()
    assert len(feed.committed()) == 5
    assert [p.problem for p in store.verify(LATER).problems] == []
    for number in (4, 5, 6):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    assert store.read("trials")["schema_version"].tolist().count(SCHEMA_VERSION) == 2
    store.compact(NOW)
    assert plain_counts(old) == (7, 7, 7)
    pictures = store.read("predictions")
    assert pictures["mask_png"].notna().tolist().count(True) == (1 if version == 1 else 4)
    for table in ("trials", "epochs", "images"):
        merged = store.read(table)
        known = merged[merged["trial_id"].isin(rows[table]["trial_id"])]
        assert known.reset_index(drop=True).equals(rows[table])
    assert store.verify(LATER).problems == ()


@pytest.fixture(params=["part", "compact"])
def newer(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Results to which a newer version has added a trial and a column."""
    store = Store(tmp_path)
    for number in range(2):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    if request.param == "compact":
        store.compact(NOW)
    path = min((tmp_path / "trials").glob("*.parquet"))
    rows = parquet.read_table(path)
    index = rows.schema.get_field_index("schema_version")
    versions = pa.array([SCHEMA_VERSION + 1] * len(rows))
    changed = rows.set_column(index, rows.schema.field(index), versions)
    parquet.write_table(changed.append_column("news", pa.array(["x"] * len(rows))), path)
    return tmp_path


def _readers(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "committed", store.committed
    yield "read", lambda: store.read("images")
    yield "query", lambda: store.query("SELECT loss FROM epochs")
    yield "feed", lambda: store.feed().refresh()
    yield "compact", lambda: store.compact(NOW)
    yield "heal", lambda: store.clean_up(NOW)
    yield "verify", lambda: store.verify(NOW)
    yield "view", lambda: store.view("failures")


def test_every_reader_refuses_a_newer_version(newer: Path) -> None:
    before = sorted(newer.rglob("*.parquet"))
    for name, use in _readers(Store(newer)):
        with pytest.raises(StoreError, match=r"newer Podium \(schema version .*; upgrade podium"):
            pytest.fail(f"{name}: {use()}")
    assert sorted(newer.rglob("*.parquet")) == before


@pytest.mark.parametrize(
    "command",
    ["rank", "report", "figures", "compact", "verify", "query FROM_trials", "compare"],
)
def test_every_command_refuses_a_newer_version(newer: Path, command: str) -> None:
    name, *rest = command.split()
    arguments = [word.replace("_", " ") for word in rest]
    other = [str(newer)] if name == "compare" else []
    done = CliRunner().invoke(app, [name, str(newer), *other, *arguments])
    assert isinstance(done.exception, UserError), done.output
    assert "upgrade podium-sweep" in str(done.exception)
