"""`podium failures` in text: whole names, the end of each traceback, the newest first."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.store import Store
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.contract import FailureClass

TRACE = """Traceback (most recent call last):
  File "base.py", line 10, in execute
    result = trainer()
  File "model.py", line 7, in forward
    return 1 / 0
ZeroDivisionError: division by zero
"""


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.save_grid({"grid_id": "g", "saved_at": NOW.isoformat()})
    return store


def shown(store, *options):
    done = CliRunner().invoke(app, ["failures", store.name, *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def failure(number, minutes, **changes):
    return dataclasses.replace(
        make_failure(number), failed_at=NOW + timedelta(minutes=minutes), **changes
    )


def test_failure_is_printed_with_full_names_and_end_of_traceback(store):
    label = "a-name-" + "x" * 57
    spec = make_spec(0)
    spec = dataclasses.replace(spec, model=dataclasses.replace(spec.model, label=label))
    store.record_failure(
        failure(0, 0, spec=spec, failure_class=FailureClass.BUG, message="it broke " * 30,
                traceback=TRACE, gpus=0.25)
    )  # fmt: skip
    text = shown(store)
    assert f"bug: set-0 · {label} · dice · 0\n" in text
    assert ", 0.25 GPU, 2026-11-22 12:00:00 UTC\n" in text
    assert ("it broke " * 30).strip() in text
    assert text.count("    ZeroDivisionError: division by zero\n") == 1
    assert "return 1 / 0" in text
    assert "execute" not in text  # the beginning is for --json
    assert text.endswith(
        f"1 failed attempt in {store.name}\n1 trial failed by bug and will not be run again by "
        "default: fix the cause, then add --retry bug to podium run\n"
    )


def test_failures_are_newest_first_and_filtered_by_class(store):
    store.record_failure(failure(0, 0, failure_class=FailureClass.BUG))
    store.record_failure(failure(1, 2, failure_class=FailureClass.INFRASTRUCTURE))
    store.record_failure(failure(2, 1, failure_class=FailureClass.OUT_OF_MEMORY, gpus=1.0))
    store.commit(make_spec(1), make_result(1), committed_at=NOW)
    heads = [line for line in shown(store).splitlines() if line[:1] not in ("", " ")]
    assert [head.split(":")[0] for head in heads[:3]] == ["infrastructure", "out-of-memory", "bug"]
    assert "now completed" in shown(store, "--last", "1")
    only = shown(store, "--class", "out-of-memory")
    assert "a whole GPU" in only
    assert "bug" not in only
    assert shown(store, "--class", "diverged") == (
        f"0 failed attempts of class diverged in {store.name}\n"
    )


def test_location_without_results_is_refused(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["failures", str(tmp_path / "nothing")])
    assert "no results here" in str(done.exception)
