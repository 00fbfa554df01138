"""`podium query`: formats, files, examples and refusals, as a user meets them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.cli import app as command_line
from orchestrator.store import SAVED_QUERIES, TABLES, Store
from orchestrator.store.files import part_path
from tests.unit.orchestrator.store.test_views import document, fill
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.identity import trial_id


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("cli") / "results"
    fill(Store(root))
    Store(root).save_grid(document())
    return str(root)


class Podium:
    """Runs the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capture: Any) -> None:
        self.monkeypatch, self.capture = monkeypatch, capture

    def __call__(self, *arguments: str) -> tuple[int, bytes, str]:
        """Returns exit code, standard output and standard error."""
        self.monkeypatch.setattr("sys.argv", ["podium", "query", *arguments])
        # Instead of leaving at once, where DuckDB is loaded.
        self.monkeypatch.setattr("os._exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
        with pytest.raises(SystemExit) as end:
            command_line.main()
        out, err = self.capture.readouterr()
        return int(end.value.code or 0), out, err.decode()


@pytest.fixture
def podium(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Podium:
    return Podium(monkeypatch, capfdbinary)


COUNTS = "SELECT loss, count(*) AS n, max(dice) AS best FROM trials GROUP BY 1 ORDER BY 1"


def test_answer_is_a_table_with_its_number_of_rows(podium, results):
    code, out, err = podium(results, COUNTS)
    assert (code, err) == (0, "")
    assert out.decode().splitlines()[3:] == [
        "│ dice │ 2 │ 0.01 │",
        "│ iou  │ 1 │    - │",
        "└──────┴───┴──────┘",
        "2 rows",
    ]


def test_csv_json_and_parquet_hold_the_same_rows(podium, results, tmp_path):
    expected = [{"loss": "dice", "n": 2, "best": 0.01}, {"loss": "iou", "n": 1, "best": None}]
    assert json.loads(podium(results, COUNTS, "--json")[1]) == expected
    assert json.loads(podium(results, COUNTS, "--format", "json")[1]) == expected
    table = podium(results, COUNTS, "--format", "csv")[1].decode()
    assert table == "loss,n,best\ndice,2,0.01\niou,1,\n"
    frame = pd.read_parquet(io.BytesIO(podium(results, COUNTS, "--format", "parquet")[1]))
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == expected
    for suffix in ("csv", "json", "parquet"):
        file = tmp_path / f"out.{suffix}"
        file.write_text("old")
        assert podium(results, COUNTS, "--out", str(file)) == (0, b"", "")
        assert file.read_bytes() == podium(results, COUNTS, "--format", suffix)[1]
    assert len(list(tmp_path.iterdir())) == 3


def test_every_type_of_value_is_written(podium, results):
    sql = (
        "SELECT truth_png, 1.5 AS a, [1, 2] AS b, {'c': true} AS c, true AS d, 'x,\"y\nz' AS e, "
        "timestamptz '2026-01-02 03:04:05+00' AS f, 'nan'::DOUBLE AS g FROM predictions LIMIT 1"
    )
    (row,) = json.loads(podium(results, sql, "--json")[1])
    assert row == {
        "truth_png": "dHJ1dGg=", "a": 1.5, "b": [1, 2], "c": {"c": True}, "d": True,
        "e": 'x,"y\nz', "f": "2026-01-02T03:04:05+00:00", "g": None,
    }  # fmt: skip
    text = podium(results, sql, "--format", "csv")[1].decode()
    (read,) = csv.DictReader(io.StringIO(text))
    assert [read[name] for name in "bcde"] == ["[1, 2]", '{"c": true}', "true", row["e"]]
    shown = podium(results, sql)[1].decode()
    assert "<5 bytes>" in shown
    assert 'x,"y z' in shown


def test_long_and_wide_table_names_the_columns_left_out(podium, results):
    out = podium(results, "SELECT t.* FROM trials t, range(50)")[1].decode()
    last = out.splitlines()[-1]
    assert re.match(r"150 rows; the first 50 shown; \d of 44 columns shown: not .*, message", last)
    assert out.endswith("; for all rows and columns add --format csv, json or parquet\n")
    assert max(map(len, out.splitlines()[:-1])) <= 100


def test_control_characters_in_a_cell_are_escaped(podium, results):
    out = podium(results, "SELECT chr(27) || ']0;' || chr(10) || 'x' AS a")[1]
    assert b"\x1b" not in out
    assert "│ \\x1b]0; x │" in out.decode()


def test_saved_queries_are_listed_with_question_and_sql(podium):
    code, out, _ = podium("--examples")
    listed = json.loads(podium("--examples", "--json")[1])
    assert code == 0
    assert [item["name"] for item in listed] == list(SAVED_QUERIES)
    for item in listed:
        assert f"{item['name']}: {item['question']}" in out.decode()
        assert item["sql"].splitlines()[-1] in out.decode()


def test_saved_query_runs_with_its_parameter_bound(podium, results):
    key = trial_id(make_spec(1))
    arguments = (results, "--example", "learning-curve", "--json", "--param")
    rows = json.loads(podium(*arguments, f"trial_id={key}")[1])
    assert [(row["trial_id"], row["epoch"]) for row in rows] == [(key, 1), (key, 2)]
    assert json.loads(podium(*arguments, "trial_id=' OR 1=1 --")[1]) == []


def test_torn_files_are_notes_on_standard_error(podium, tmp_path):
    store = Store(tmp_path)
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.record_failure(make_failure(5))
    torn = [
        tmp_path / part_path(TABLES["trials"], trial_id(make_spec(0))),
        tmp_path / part_path(TABLES["failures"], trial_id(make_spec(5)), 1),
    ]
    for file in torn:
        file.write_bytes(b"torn")
    sql = "SELECT count(*) AS n FROM trials, (SELECT count(*) FROM failures)"
    code, out, err = podium(str(tmp_path), sql, "--format", "csv")
    assert (code, out) == (0, b"n\n1\n")
    assert [line.partition(": torn, ")[0] for line in err.splitlines()] == [
        f"note: {file}" for file in torn
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RESULTS"], "give either a statement in quotes"),
        (["RESULTS", "SELECT 1", "--example", "missing"], "give either a statement in quotes"),
        ([], "give the results to query, or --examples"),
        (["RESULTS", "--example", "mising"], "unknown; did you mean 'missing'?"),
        (["RESULTS", "--example", "learning-curve"], "add --param trial_id=VALUE: the trial's id"),
        (["RESULTS", "SELECT 1", "--param", "x"], "--param x: write NAME=VALUE"),
        (["RESULTS", "SELECT 1", "--param", "x=1"], "the statement has no $x; it takes none"),
        (["RESULTS", "SELECT 1", "--json", "--format", "csv"], "--json and --format csv: give one"),
        (["RESULTS", "SELECT 1", "--out", "a.txt"], "give --format csv, json or parquet, or a"),
        (["RESULTS", "SELECT 1", "--out", "nowhere/a.csv"], "cannot be written: No such file"),
        (["RESULTS", "SELECT 1", "--out", "/dev/null", "--format", "csv"], "not a file"),
        (
            ["RESULTS", "SELECT 1", "--out", "RESULTS/trials/a.csv"],
            "trials is reserved for results",
        ),
        (
            ["RESULTS", "SELECT 1", "--out", "RESULTS/_grids/a.json"],
            "_grids is reserved for results",
        ),
        (["RESULTS/typo", "SELECT * FROM trials"], "no results here; expected a folder"),
        (["RESULTS", "SELEC 1"], "LINE 1: SELEC 1\n        ^"),
        (["RESULTS", "COPY trials TO 'x.csv'"], "a query is read-only: write one SELECT"),
    ],
)
def test_refusal_is_one_message_and_exit_code_2(podium, results, arguments, message):
    found = podium(*(text.replace("RESULTS", results) for text in arguments))
    code, out, err = found
    assert (code, out) == (2, b"")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_parquet_on_a_terminal_is_refused(podium, results, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, err = podium(results, "SELECT 1 AS a", "--format", "parquet")
    assert (code, out) == (2, b"")
    assert "--format parquet: not for a terminal; add --out FILE" in err


def test_answer_may_be_written_next_to_the_tables(podium, results):
    assert podium(results, "SELECT 1 AS a", "--out", f"{results}/answer.csv")[0] == 0
    assert Path(results, "answer.csv").read_text() == "a\n1\n"
