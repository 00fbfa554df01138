"""Queries: right numbers, access to results only, and messages for mistakes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.store import TABLES, VIEWS, Store, StoreError, json_value, query, statement
from orchestrator.store.files import part_path
from orchestrator.store.opening import open_storage
from orchestrator.store.query_result import tidy
from orchestrator.store.views import rows_of
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.identity import trial_id


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials 0, 1 and 2 (Dice 0, 0.01, 0.02), 3 diverged, 4 failed twice."""
    root = tmp_path_factory.mktemp("query") / "results"
    store = Store(root)
    for number in range(4):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
    for attempt in (1, 2):
        store.record_failure(make_failure(4, attempt))
    return root


@pytest.fixture(scope="module")
def store(location: Path) -> Store:
    return Store(location)


def rows(store: Store, sql: str, **parameters: object) -> list[tuple[object, ...]]:
    return list(store.query(sql, parameters).rows())


@pytest.mark.parametrize("compacted", [False, True])
def test_numbers_by_hand(tmp_path, compacted):
    store = Store(tmp_path)
    for number in range(4):
        result = make_result(number, diverged=number == 3)
        store.commit(make_spec(number), result, committed_at=NOW)
    if compacted:
        store.compact(NOW)
    best = "SELECT loss, count(*), avg(dice), sum(num_epochs) FROM trials GROUP BY 1 ORDER BY 1"
    assert rows(store, best) == [("dice", 2, 0.005, 4), ("iou", 2, 0.02, 4)]
    joined = "SELECT sum(tp) FROM trials JOIN images USING (trial_id) WHERE status = 'completed'"
    assert rows(store, joined) == [(2 * (0 + 1 + 2),)]
    assert rows(store, "SELECT max(epoch), avg(train_loss) FROM epochs") == [(2, 0.75)]
    assert rows(store, "SELECT failure_class FROM failures") == [("diverged",)]
    assert rows(store, "SELECT octet_length(truth_png) FROM predictions") == [(5,), (5,)]


def test_views_are_the_tables_of_every_reader(store, location):
    for name, table in TABLES.items():
        found = store.query(f"SELECT * FROM {name}")
        assert found.columns == table.column_names
        expected = rows_of(open_storage(location), table, table.column_names)
        assert found.table.cast(expected.schema).equals(expected)


def test_names_are_found_in_any_case_and_shape(store):
    assert rows(store, 'SELECT T."LOSS" FROM Trials AS T WHERE Dice > 0.015') == [("iou",)]
    assert rows(store, "FROM trials SELECT count(*)") == [(4,)]
    assert rows(store, "WITH x AS (SELECT dice FROM trials) SELECT max(dice) FROM x") == [(0.02,)]
    assert rows(store, "SELECT max(b) FROM trials t(a, b)") == [
        (max(trial_id(make_spec(n)) for n in range(4)),)
    ]
    assert rows(store, "SELECT t.t.dice FROM (SELECT t FROM trials t) t ORDER BY 1")[0] == (0.0,)
    assert len(store.query("SELECT * EXCLUDE spec FROM trials").columns) == 43
    assert rows(store, "SELECT count(*) FROM trials NATURAL JOIN epochs") == [(8,)]
    pivot = "PIVOT (SELECT loss, repeat, dice FROM trials) ON loss IN ('dice') USING max(dice)"
    assert rows(store, f"{pivot} ORDER BY repeat") == [(0, 0.0), (1, 0.01)]
    assert rows(store, "SHOW TABLES") == [(name,) for name in sorted(VIEWS)]
    assert rows(store, "DESCRIBE epochs")[0][:2] == ("trial_id", "VARCHAR")
    assert rows(store, "SELECT i FROM range(2) r(i)") == [(0,), (1,)]


@settings(max_examples=8, deadline=None)
@given(
    columns=st.lists(st.sampled_from(VIEWS["trials"].column_names), min_size=1, max_size=4),
    star=st.booleans(),
)
def test_reading_only_named_columns_changes_no_result(location, columns, star):
    sql = f"SELECT {', '.join(columns)}{', *' if star else ''} FROM trials"
    found = Store(location).query(sql).table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statement, "_columns", lambda table, nodes: VIEWS[table].column_names)
        assert Store(location).query(sql).table.equals(found)


def test_only_named_tables_and_columns_are_read(store, monkeypatch):
    asked = {}
    load = query.load
    monkeypatch.setattr(query, "load", lambda s, wanted: asked.update(wanted) or load(s, wanted))
    rows(store, "SELECT count(*), avg(2 * e.val_dice) FROM epochs e WHERE epoch = 1")
    assert asked == {"epochs": ("epoch", "val_dice")}
    rows(store, "SELECT loss, max(dice) FROM trials GROUP BY ALL ORDER BY ALL")
    assert asked["trials"] == ("loss", "dice")
    rows(store, "SELECT fp FROM images ORDER BY COLUMNS('f.*')")
    assert asked["images"] == VIEWS["images"].column_names


def test_a_mistyped_column_or_table_gets_the_nearest(store):
    with pytest.raises(StoreError, match=r"column 'dicee': unknown; did you mean 'dice'") as error:
        store.query("SELECT dicee FROM trials")
    assert "LINE 1: SELECT dicee FROM trials\n               ^^^^^" in str(error.value)
    with pytest.raises(StoreError, match="did you mean 'val_dice'"):
        store.query("SELECT e.valdice FROM trials t JOIN epochs e USING (trial_id)")
    with pytest.raises(StoreError, match="table 'trails': unknown; did you mean 'trials'"):
        store.query("SELECT 1 FROM trails")
    with pytest.raises(StoreError, match="single quotes: 'bce'"):
        store.query('SELECT 1 FROM trials WHERE loss = "bce"')


def test_errors_have_their_position(store):
    with pytest.raises(StoreError, match=r'syntax error at or near "trials"\n\nLINE 1: .*\n +\^'):
        store.query("SELECT dice FORM trials WHERE x")
    with pytest.raises(StoreError, match="must appear in the GROUP BY clause"):
        store.query("SELECT loss, avg(dice) FROM trials")
    with pytest.raises(StoreError, match="Could not convert string 'bce'"):
        store.query("SELECT 'bce'::INT")
    with pytest.raises(StoreError, match="PIVOT needs its values"):
        store.query("PIVOT trials ON loss USING avg(dice)")


def test_parameters_are_bound_and_checked(store):
    sql = "SELECT count(*) FROM trials WHERE loss = $loss"
    assert rows(store, sql, loss="iou") == [(2,)]
    assert rows(store, sql, loss="' OR 1=1 --") == [(0,)]
    with pytest.raises(StoreError, match=r"\$loss: no value; give one with --param loss=VALUE"):
        store.query(sql)
    with pytest.raises(StoreError, match=r"the statement has no \$los; did you mean 'loss'"):
        store.query(sql, {"loss": "iou", "los": "x"})


def test_missing_results_and_empty_query_results(tmp_path, store):
    with pytest.raises(StoreError, match="no results here; expected a folder that `podium run`"):
        Store(tmp_path / "typo").query("SELECT * FROM trials")
    none = store.query("SELECT dice FROM trials WHERE dice > 1")
    assert (none.columns, none.num_rows) == (("dice",), 0)
    assert str(none.to_pandas()["dice"].dtype) == "float64"


def test_torn_files_are_reported_and_skipped(tmp_path):
    store = Store(tmp_path)
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    torn = tmp_path / part_path(TABLES["trials"], trial_id(make_spec(0)))
    torn.write_bytes(torn.read_bytes()[:-5])
    found = store.query("SELECT dice FROM trials")
    assert list(found.rows()) == [(0.01,)]
    assert found.notes[0].startswith(f"{torn}: torn, its rows are left out (")
    assert rows(store, "SELECT count(*) FROM epochs") == [(2,)]
    images = tmp_path / part_path(TABLES["images"], trial_id(make_spec(1)))
    images.write_bytes(b"")
    with pytest.raises(StoreError, match=f"{images}: cannot be read"):
        store.query("SELECT * FROM images")


def test_values_become_plain():
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert json_value(
        {"a": [float("nan"), b"\x00\x01", moment, Decimal(2), Decimal("2.5"), None]}
    ) == {"a": [None, "AAE=", "2026-11-22T12:00:00+00:00", 2, 2.5, None]}


def test_columns_become_plain():
    table = tidy(
        pa.Table.from_arrays(
            [
                pa.array([Decimal(3)]),
                pa.array([Decimal("1.5")]),
                pa.array(["x"]).dictionary_encode(),
            ],
            names=["a", "a", "b"],
        )
    )
    assert table.column_names == ["a", "a_1", "b"]
    assert table.to_pylist() == [{"a": 3, "a_1": 1.5, "b": "x"}]
    huge = tidy(pa.table({"a": pa.array([Decimal(10) ** 30])}))
    assert huge.to_pylist() == [{"a": 1e30}]


def test_integers_with_missing_values_stay_integers(store):
    frame = store.query("SELECT best_epoch, count(*) AS n FROM trials GROUP BY 1").to_pandas()
    assert str(frame["best_epoch"].dtype) == "Int64"
    assert frame["n"].sum() == 4
