"""A loss and a model from `podium new`: their tests pass, a sweep trains, results stay readable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.integration.sweeps import run, write_config
from workers.contract import FailureClass, UserError


def command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a new loss and a new model."""
    found: Path = tmp_path_factory.mktemp("own")
    for kind, name in (("loss", "tilted"), ("model", "shallow_net")):
        done = command(found, "-m", "orchestrator", "new", kind, name)
        assert done.returncode == 0, done.stderr
    return found


def own_config(folder: Path) -> Path:
    return write_config(
        folder,
        models=[{"file": "shallow_net.py", "name": "shallow_net"}],
        losses=["bce", {"file": "tilted.py", "name": "tilted"}],
        repeats=1,
        runtime={"keep_weights": "best"},
    )


def test_new_refuses_names_and_never_overwrites(folder):
    before = {path: path.read_bytes() for path in folder.glob("*.py")}
    for kind, name, message in (
        ("loss", "tilted", "tilted.py: exists and is not overwritten"),
        ("model", "tilted", "tilted.py: exists and is not overwritten"),
        ("loss", "dice", "a loss of this name exists (podium list losses)"),
        ("loss", "torch", "a Python module of this name is installed"),
        ("loss", "class", "'class': is a keyword of Python"),
        ("model", "my-net", "the name must be that of a Python module"),
    ):
        done = command(folder, "-m", "orchestrator", "new", kind, name)
        assert done.returncode == 2
        assert message in done.stderr
    assert {path: path.read_bytes() for path in folder.glob("*.py")} == before


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_tests_of_new_files_pass(folder):
    done = command(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


# The last line spares the end of the interpreter: DuckDB's threads beside torch can abort there.
READERS = """
import os, sys
import podium
from datetime import UTC, datetime
podium.rank(podium.read_trials("results"))
podium.status("results")
podium.Store("results").verify(datetime.now(UTC))
podium.query("results", "select loss from trials")
podium.report("results")
assert not [name for name in sys.modules if name.startswith("podium_file_")]
assert "torch" not in sys.modules

trial_id = podium.read_trials("results").trial_id[0]
try:
    podium.load_model("results", trial_id)
except podium.UserError as error:
    assert "give this file as --code FILE" in str(error), error
else:
    raise AssertionError
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_results_are_read_without_running_the_files(folder):
    config = own_config(folder)
    assert [one.status for one in run(config)[0].outcomes] == ["completed", "completed"]
    source = (folder / "tilted.py").read_text(encoding="utf-8")
    try:
        (folder / "tilted.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
        with pytest.raises(UserError, match=r"tilted.py:1: SystemExit: it ran"):
            run(config)
        done = command(folder, "-c", READERS)
        assert done.returncode == 0, done.stderr
        predict = ("-m", "orchestrator", "predict", "results", "--best", "--out", "masks")
        Image.new("RGB", (40, 30)).save(folder / "new.png")
        done = command(folder, *predict, "--code", "shallow_net.py", "new.png")
        assert (folder / "masks" / "new_mask.png").is_file(), done.stderr
    finally:
        (folder / "tilted.py").write_text(source, encoding="utf-8")
    trials = pd.read_parquet(folder / "results" / "trials").set_index("loss")
    assert set(trials.index) == {"bce", "tilted"}
    page = (folder / "results" / "report" / "index.html").read_text(encoding="utf-8")
    assert trials.loc["tilted", "loss_name"] in page


def test_error_in_a_step_becomes_a_failure_with_its_line(folder, tmp_path):
    source = (folder / "tilted.py").read_text(encoding="utf-8")
    wrong = source.replace("logits_BCHW.sigmoid()", "logits_BCHW.sigmod()")
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "sigmod()" in text)
    (tmp_path / "tilted.py").write_text(wrong, encoding="utf-8")
    config = write_config(tmp_path, losses=[{"file": "tilted.py", "name": "tilted"}], repeats=1)
    report, _ = run(config)
    (outcome,) = report.outcomes
    assert outcome.failure_class is FailureClass.BUG
    assert outcome.message.endswith(f"'sigmod' ({tmp_path / 'tilted.py'}:{line})")
    # The corrected file is another loss: it has no failure, and its trial is new.
    (tmp_path / "tilted.py").write_text(source, encoding="utf-8")
    assert [one.status for one in run(config)[0].outcomes] == ["completed"]
    (tmp_path / "tilted.py").unlink()
    with pytest.raises(UserError, match=r"losses.0.file: .*tilted.py: no such file"):
        run(config)
