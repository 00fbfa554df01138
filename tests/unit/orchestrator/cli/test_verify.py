"""`podium verify` as a user sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.store import Store
from orchestrator.store.files import part_path
from orchestrator.store.schema import IMAGES, TRIALS
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.contract import UserError
from workers.identity import trial_id


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for number in range(3):
        Store(tmp_path).commit(make_spec(number), make_result(number), committed_at=NOW)
    return tmp_path


def verify(results: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["verify", str(results), *options], catch_exceptions=False)
    return done.exit_code, done.stdout


def test_complete_results_have_no_problem(results: Path) -> None:
    assert verify(results) == (0, "11 files, 3 trials whole\n")


@pytest.mark.parametrize("name", ["typo", "empty"])
def test_location_without_results_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"{name}: no results here"):
        verify(tmp_path / name)


def test_broken_file_is_named_with_problem_and_remedy(results: Path) -> None:
    torn = part_path(IMAGES, trial_id(make_spec(1)))
    (results / torn).write_bytes(b"x")
    before = sorted(results.rglob("*"))
    code, text = verify(results)
    assert code == 1
    assert f"{results}/{torn}: Parquet file size is 1 bytes" in text
    assert "restore it from a copy" in text
    assert "0 rows in images, but num_test_images is 2 (1 trial)" in text
    assert text.endswith("11 files, 2 trials whole, 1 not whole\n")
    assert sorted(results.rglob("*")) == before, "verify alone changes nothing"


def test_quarantine_names_the_moved_files(results: Path) -> None:
    gone = part_path(IMAGES, trial_id(make_spec(2)))
    (results / gone).unlink()
    code, text = verify(results, "--quarantine")
    assert code == 1
    trial = part_path(TRIALS, trial_id(make_spec(2)))
    assert f"moved to {results}/quarantine/{trial}" in text
    assert text.endswith("10 files, 2 trials whole, 1 to be run again\n")
    assert (results / "quarantine" / trial).exists()
    assert verify(results) == (0, "7 files, 2 trials whole\n")
