"""Malformed documents: refused at once, with a message, within limits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.grid import grid_from_document
from orchestrator.plan.planner import plan
from orchestrator.ranking.protocols import check_definitions, protocol_values
from orchestrator.store import Store, StoreError
from orchestrator.store.drivers import RunRecord, load_run, load_runs, save_run
from orchestrator.store.opening import open_storage
from orchestrator.untrusted import MalformedError, grid_document, mapping_of, parse_json, spec_of
from tests.unit.orchestrator.plan.builders import committed, make_grid, make_specs, row_of
from tests.unit.orchestrator.store.test_views import document
from workers.contract import UserError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = {"name": "x", "datasets": [], "models": [], "losses": [], "repeats": 10**9, "seed": 1}

MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "a list": ("[]", "has another shape"),
    "nothing": ("", "is not JSON"),
    "not UTF-8": (b"\xff\xfe\xfd{", "is not JSON"),
    "brackets": ("[" * 200_000, "is nested too deeply"),
    "braces": ('{"a":' * 200_000, "is nested too deeply"),
    "deep enough": ('{"grid_id": "g", "config": ' + '{"a":' * 50 + "1" + "}" * 51, "too deeply"),
    "no id": ("{}", "grid_id: Field required"),
    "an id that is a path": ('{"grid_id": "../g"}', "grid_id: String should match"),
    "another id": ('{"grid_id": "h"}', "is the document of grid h"),
    "an id that is a number": ('{"grid_id": 5}', "grid_id: "),
    "repeats": (json.dumps(document("g", repeats=10**9)), "repeats: "),
    "a number of repeats": (json.dumps(document("g", repeats="2")), "repeats: "),
    "many repeats": (json.dumps(document("g", repeats=90_000)), "90000 repeats with 12 ids"),
    "a huge number": ('{"grid_id": "g", "repeats": ' + "9" * 5000 + "}", "5000 digits"),
    "no number": ('{"grid_id": "g", "config": {"x": NaN}}', "NaN, which is not a finite"),
    "infinite": ('{"grid_id": "g", "config": {"x": 1e999}}', "1e999, which is not a finite"),
    "labels": (json.dumps(document("g", models=[{"label": 5}])), r"models.0.label: "),
    "no labels": (json.dumps(document("g", models=[{}])), r"models.0.label: Field required"),
    "a name for an axis": (json.dumps(document("g", losses="dice")), "losses: "),
    "ids": (json.dumps(document("g", trial_ids=[None])), r"trial_ids.0: "),
    "a list of settings": (json.dumps(document("g", config=[])), "config: "),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_grid_is_reported_by_every_reader(tmp_path, kind):
    content, reason = MALFORMED[kind]
    (tmp_path / "_grids").mkdir()
    path = tmp_path / "_grids" / "g.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=f"^{path}: .*{reason}.*podium verify --quarantine does"):
        store.grids()
    (finding,) = store.verify(NOW).problems
    assert (finding.path, finding.kind) == ("_grids/g.json", "grid")
    store.save_grid(document("whole"))
    answer = store.query("SELECT count(*) FROM grid")
    assert list(answer.rows()) == [(12,)]
    assert [note for note in answer.notes if note.startswith(f"{path}: ")]


def test_folders_and_other_files_are_no_grids(tmp_path):
    (tmp_path / "_grids" / "x.json").mkdir(parents=True)
    (tmp_path / "_grids" / "notes.txt").write_text("mine")
    assert Store(tmp_path).grids() == []


def test_credentials_in_older_documents_are_not_shown():
    config = {"results": "s3://KEY:hush@bucket/a"}
    found = grid_document(json.dumps({"grid_id": "g", "config": config}).encode(), "g.json")
    assert found["config"]["results"] == "s3://***@bucket/a"


GRID = make_grid(make_specs())


@pytest.mark.parametrize(
    "change",
    [
        {"repeats": 10**9},
        {"repeats": 0},
        {"repeats": 2.5},
        {"datasets": "x"},
        {"models": [{"name": "unet"}]},
        {"losses": [{"name": [], "label": "a", "parameters": {}}]},
        {"roots": []},
        {"resources": {"cpus": 0, "gpus": 0}},
        {"resources": None},
        {"policy": "race", "race": {"level": "high"}},
        {"training": {"patience": 0}},
        {"data": {"image_size": 10**9}},
        {"name": None},
    ],
)
def test_a_grid_whose_configuration_is_malformed_is_refused(change):
    whole = GRID.document(NOW)
    with pytest.raises(UserError, match="name the configuration instead of the results"):
        grid_from_document({**whole, "config": {**whole["config"], **change}})


BASE = RunRecord(
    run_id="r", grid_id="g", host="h", process_id=1, started_at=NOW, heartbeat_at=NOW, num_pending=1
)


@pytest.mark.parametrize(
    "change",
    [
        {"heartbeat_at": "2026-01-01T00:00:00"},
        {"started_at": "yesterday"},
        {"host": None},
        {"process_id": 10**400},
        {"num_pending": -1},
        {"running": [{}]},
        {"running": "none"},
        {"running": [{"trial_id": "t", "label": "l", "since": "2026-01-01", "val_dice": []}]},
        {"run_id": "../r"},
        {"run_id": "s"},
        {"host": "h" * (17 << 20)},
    ],
)
def test_malformed_document_of_a_driver_is_skipped(tmp_path, change):
    storage = open_storage(tmp_path)
    save_run(storage, BASE)
    assert load_runs(storage) == [BASE]
    assert load_run(storage, "r") == BASE
    path = tmp_path / "_runs" / "r.json"
    changed = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(changed))
    assert load_runs(storage) == []
    assert load_run(storage, "r") is None


SPECS = [
    "",
    "[]",
    "5",
    "[" * 10_000,
    '{"dataset": 5}',
    '{"loss": {"name": "x"}}',
    '{"seed": 1e999}',
]


@pytest.mark.parametrize("text", SPECS)
def test_malformed_specification_is_refused_in_rank_and_plan(text):
    assert not set(spec_of(text)) & {"dataset", "model", "loss", "data", "training"}
    assert isinstance(protocol_values(text), dict)
    rows = [row_of(spec) for spec in make_specs()]
    texts = [json.dumps(spec.to_json()) for spec in make_specs()]
    frame = pd.DataFrame({"repeat": range(len(rows)), "spec": texts})
    frame.loc[0, "spec"] = text
    with pytest.raises(UserError, match=r"of 1 trial cannot be read.*podium verify"):
        check_definitions(frame, "table")
    if text:
        damaged = replace(rows[0], spec=text)
        with pytest.raises(UserError, match=r"its specification in the results cannot be read"):
            plan(GRID, committed(damaged, *rows[1:]))


def test_column_with_another_meaning_is_unchanged():
    frame = pd.DataFrame({"loss": ["a", "b"], "spec": ["v1", "v2"]})
    check_definitions(frame, "table")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
keys = st.sampled_from([*document(), "version", "num_trials"])


@settings(deadline=None, max_examples=200)
@given(change=st.dictionaries(keys, values, max_size=3), config=st.dictionaries(keys, values))
def test_any_grid_document_is_read_or_gives_a_user_error(change, config):
    whole = GRID.document(NOW)
    forged = {**whole, "config": {**whole["config"], **config}, **change}
    try:
        found = grid_document(json.dumps(forged).encode(), f"{whole['grid_id']}.json")
        grid_from_document(found)
    except (MalformedError, UserError):
        pass


@settings(deadline=None, max_examples=200)
@given(values)
def test_any_json_is_read_unchanged_or_refused(value):
    text = json.dumps(value)
    try:
        assert parse_json(text) == value
    except MalformedError:
        assert "NaN" in text or "Infinity" in text or len(text) > 40
    assert isinstance(mapping_of(text), dict)
