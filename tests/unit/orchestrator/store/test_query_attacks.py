"""Hostile queries: what they cannot reach, and limits of memory and time."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.store import Store, StoreError, query, statement
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished trials."""
    root = tmp_path_factory.mktemp("query") / "results"
    for number in range(2):
        Store(root).commit(make_spec(number), make_result(number), committed_at=NOW)
    return root


@pytest.fixture(scope="module")
def store(location: Path) -> Store:
    return Store(location)


def rows(store: Store, sql: str, **parameters: object) -> list[tuple[object, ...]]:
    return list(store.query(sql, parameters).rows())


HOSTILE = """
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/etc/passwd')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_csv_auto('/etc/passwd')
SELECT * FROM read_json('/etc/passwd')
SELECT * FROM read_parquet('x.parquet')
SELECT * FROM parquet_scan('x.parquet')
SELECT * FROM parquet_metadata('x.parquet')
SELECT * FROM sniff_csv('/etc/passwd')
SELECT * FROM glob('/*')
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
FROM 'file.csv'
FROM 's3://bucket/x.parquet'
SELECT * FROM 'https://example.com/x.csv'
DESCRIBE 'file.csv'
SUMMARIZE 'file.csv'
SELECT (SELECT content FROM read_text('/etc/passwd'))
WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x
SELECT dice FROM trials UNION ALL SELECT size FROM read_text('/etc/passwd')
SELECT * FROM trials, LATERAL (SELECT * FROM read_text(spec))
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('trials')
SELECT * FROM json_execute_serialized_sql('{}')
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(1)
SELECT * FROM python_map_function(1)
SELECT * FROM duckdb_secrets()
SELECT * FROM which_secret('a', 's3')
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_settings
SELECT * FROM information_schema.tables
SELECT * FROM memory.main.trials
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pragma_version()
SELECT getenv('HOME')
SELECT current_setting('temp_directory')
SELECT write_log('x')
SELECT nextval('x')
COPY trials TO 'out.csv'
COPY (SELECT 1) TO '/tmp/out.csv'
COPY trials FROM 'in.csv'
EXPORT DATABASE 'folder'
IMPORT DATABASE 'folder'
ATTACH 'other.db'
ATTACH 'other.db' AS other
DETACH memory
USE memory
CREATE TABLE t (a INT)
CREATE TABLE t AS SELECT * FROM trials
CREATE VIEW v AS SELECT 1
CREATE MACRO m() AS 1
CREATE SECRET (TYPE s3)
CREATE TEMP TABLE t AS SELECT 1
INSERT INTO trials SELECT * FROM trials
UPDATE trials SET dice = 1
DELETE FROM trials
DROP VIEW trials
ALTER TABLE trials RENAME TO x
TRUNCATE trials
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs
SET enable_external_access = true
SET lock_configuration = false
SET memory_limit = '100GB'
SET temp_directory = '/tmp'
RESET memory_limit
PRAGMA enable_logging
PRAGMA database_list
PRAGMA threads = 8
CALL pragma_version()
CHECKPOINT
VACUUM
BEGIN
PREPARE p AS SELECT 1
EXECUTE p
EXPLAIN SELECT 1
EXPLAIN ANALYZE SELECT 1
SHOW ALL TABLES
SHOW DATABASES
SELECT 1; SELECT 2
SELECT 1; COPY trials TO 'out.csv'
SELECT 1; SET enable_external_access = true; SELECT 2
/* hidden */ COPY trials TO 'out.csv'
frame
SELECT * FROM frame
SELECT * FROM store
WITH duckdb_settings AS (SELECT * FROM duckdb_settings) SELECT * FROM duckdb_settings
SELECT * FROM (WITH duckdb_secrets AS (SELECT 1) SELECT 1) x, duckdb_secrets
WITH duckdb_logs AS (SELECT 1) SELECT (SELECT count(*) FROM duckdb_logs)
WITH "SQLite_Master" AS (SELECT * FROM sqlite_master) SELECT * FROM sqlite_master
WITH RECURSIVE pragma_database_list AS (SELECT 1) FROM pragma_database_list
WITH pg_settings AS (SELECT 1), x AS (SELECT * FROM pg_settings) SELECT * FROM x
FROM seq_scan('trials')
FROM read_duckdb('other.db')
FROM duckdb_external_file_cache()
FROM enable_logging()
FROM truncate_duckdb_logs()
FROM register_external_resource('x')
FROM parquet_kv_metadata('x.parquet')
FROM summary((FROM trials))
SELECT setval('x', 1)
SELECT current_query()
SELECT inet_server_addr()
SELECT pg_sleep(1000)
COPY (SELECT 1) TO '/dev/stdout'
SELECT 1 INTO OUTFILE 'x'
MERGE INTO trials USING epochs ON true WHEN MATCHED THEN DELETE
COMMENT ON TABLE trials IS 'x'
""".strip().splitlines()
FUNCTIONS_OF_THE_MOMENT = frozenset({
    "current_database", "current_date", "current_schema", "current_schemas", "error",
    "gen_random_uuid", "get_current_time", "get_current_timestamp", "now", "random", "setseed",
    "stats", "today", "transaction_timestamp", "uuid", "uuidv4", "uuidv7", "vector_type",
})  # fmt: skip
"""Functions whose answer changes, and that show nothing beyond the results and the clock."""


def test_every_impure_function_is_allowed_or_refused():
    """A new version of the database must not bring a function without a decision."""
    sql = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
    found = {name for (name,) in query._sandbox().execute(sql).fetchall()}
    assert found - statement.REFUSED_FUNCTIONS - FUNCTIONS_OF_THE_MOMENT == set()


@pytest.mark.parametrize("sql", [*HOSTILE, "", " ", ";", "-- nothing"])
def test_hostile_statements_are_refused_and_leave_nothing(
    store, location, sql, tmp_path, monkeypatch
):
    frame = store.read("trials")
    assert not frame.empty
    monkeypatch.chdir(tmp_path)
    before = sorted(location.rglob("*"))
    with pytest.raises(StoreError) as refusal:
        store.query(sql)
    assert "root:" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
    assert sorted(location.rglob("*")) == before


SECOND_WALL = """
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_parquet('/etc/passwd')
SELECT * FROM glob('/etc/*')
SELECT * FROM '/etc/passwd'
SELECT * FROM frame
COPY (SELECT 1) TO 'out.csv'
EXPORT DATABASE 'folder'
ATTACH 'other.db'
INSTALL httpfs
LOAD httpfs
SET enable_external_access = true
SET lock_configuration = false
SET temp_directory = '/tmp'
SET memory_limit = '100GB'
SELECT getenv('HOME')
""".strip().splitlines()


@pytest.mark.parametrize("sql", SECOND_WALL)
def test_database_has_no_access_to_files(sql, tmp_path, monkeypatch):
    """A statement that passed the check would still have no access."""
    monkeypatch.chdir(tmp_path)
    frame = Store(tmp_path).read("trials")
    assert frame.empty
    connection = query._sandbox()
    with pytest.raises(duckdb.Error) as refusal:
        connection.execute(sql).fetchall()
    assert "root:" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_too_large_result_is_refused(store, monkeypatch):
    monkeypatch.setattr(query, "MAX_RESULT_BYTES", 1000)
    with pytest.raises(StoreError, match="the result is larger than"):
        store.query("SELECT a.i FROM range(100000) a(i), range(100000) b(i)")


def test_memory_is_bounded(store, monkeypatch):
    monkeypatch.setattr(query, "MEMORY_LIMIT", "50MiB")
    with pytest.raises(StoreError, match="the query needs too much memory"):
        store.query("SELECT list(i || '-') FROM range(100000000) r(i)")


DEEP = {
    "sum": ("+".join(["1"] * 900), 900),
    "brackets": ("(" * 900 + "1" + ")" * 900, 1),
    "negations": ("NOT " * 600 + "true", True),
    "texts": ("||".join(["'a'"] * 700), "a" * 700),
    "cases": ("CASE WHEN true THEN " * 300 + "1" + " END" * 300, 1),
    "queries": ("(SELECT " * 100 + "1" + ")" * 100, 1),
    "choices": (" OR ".join(["dice < 0"] * 2_000) + " FROM trials WHERE dice = 0.01", False),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_statement_runs(store, name):
    sql, value = DEEP[name]
    assert rows(store, f"SELECT {sql}") == [(value,)]


@pytest.mark.parametrize(
    "sql", ["+".join(["1"] * 2_000), "(" * 50_000, "(" * 4_000 + "--" + ")" * 4_000, "[" * 5_000]
)
def test_a_statement_that_is_too_deep_is_refused(store, sql):
    with pytest.raises(StoreError):
        store.query(f"SELECT {sql}")


@settings(max_examples=50, deadline=None)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_parsed_as_by_the_library(document):
    for options in ({"indent": 1}, {"ensure_ascii": False}):
        assert statement._load(json.dumps(document, **options)) == document


@pytest.mark.parametrize(
    "sql",
    ["DATE '99999-01-01'", "'infinity'::TIMESTAMP", "DATE '0044-03-15 (BC)'", "[" * 70 + "]" * 70],
)
def test_value_without_python_type_is_refused(store, sql):
    with pytest.raises(StoreError, match=r"cannot be converted .*CAST it to VARCHAR"):
        rows(store, f"SELECT {sql}")
    assert rows(store, f"SELECT ({sql})::VARCHAR")[0][0] is not None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("sql", ["len(range(4000000000))", "max(length(repeat('x', 4000000000)))"])
def test_one_huge_value_is_refused(store, sql, monkeypatch):
    monkeypatch.setattr(query, "EXTRA_BYTES", 2**30)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(StoreError, match="the query needs too much memory"):
        store.query(f"SELECT {sql} FROM range(3)")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_ctrl_c_abandons_an_uninterruptible_function(store):
    press = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            store.query("SELECT levenshtein(repeat('a', 40000), repeat('b', 40000))")
    finally:
        press.cancel()
    assert time.monotonic() - began < 0.5 + 2


def test_ctrl_c_stops_a_query(store):
    press = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    endless = ", ".join(f"range(1000000) {name}(i)" for name in "abc")
    try:
        with pytest.raises(KeyboardInterrupt):
            store.query(f"SELECT max(a.i * b.i + c.i) FROM {endless}")
    finally:
        press.cancel()
    assert rows(store, "SELECT 1") == [(1,)]
