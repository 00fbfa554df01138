"""An installed package adds a model, a loss and a dataset, a file adds a loss; a sweep runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.integration.sweeps import write_config
from workers.catalogue.code_files import read_code

OWN_FILE = ROOT / "tests" / "data" / "own_file.txt"

POINTS = """\
[podium.models]
blob-net = acme_podium:MODEL
[podium.losses]
squared = acme_podium:LOSS
[podium.datasets]
stripes = acme_podium:DATASET
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The files that an installer would write to site-packages."""
    folder = tmp_path / "site"
    info = folder / "acme_podium-0.3.dist-info"
    info.mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: acme-podium\nVersion: 0.3\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    source = (Path(__file__).parent / "acme_podium.txt").read_text(encoding="utf-8")
    (folder / "acme_podium.py").write_text(source, encoding="utf-8")
    return folder


def podium(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *map(str, arguments)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(site)},
    )  # fmt: skip


def outside_config(folder: Path) -> Path:
    return write_config(
        folder,
        datasets=[{"name": "stripes", "parameters": {"num_images": 15, "size": 32}}],
        models=["blob-net", {"name": "unet", "alias": "unet-4", "parameters": {"width": 4}}],
        losses=["squared", "bce+squared", {"file": str(OWN_FILE), "name": "tilted"}],
        repeats=1,
    )


def check(done: subprocess.CompletedProcess[str], results: Path) -> None:
    assert done.returncode == 0, done.stderr
    trials = pd.read_parquet(results / "trials")
    assert sorted(trials["model"]) == ["blob-net"] * 3 + ["unet-4"] * 3
    assert set(trials["loss"]) == {"squared", "bce+squared", "tilted"}
    assert set(trials["dataset"]) == {"stripes"}
    for versions in trials["versions"]:
        assert json.loads(versions)["acme-podium"].startswith("0.3+")
    code = read_code(OWN_FILE)
    assert f"tilted@{code.digest}" in set(trials["loss_name"])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sweep_runs_with_entries_of_an_installed_package(tmp_path, site):
    config = outside_config(tmp_path)
    check(podium(site, "run", config, "--engine", "inline"), tmp_path / "results")
    rows = json.loads(podium(site, "list", "models", "--json").stdout)
    assert {row["name"]: row["origin"] for row in rows if row["origin"]} == {
        "blob-net": "acme-podium 0.3"
    }
    without = podium(tmp_path, "plan", config)
    assert without.returncode == 2
    assert "'blob-net': unknown model" in without.stderr


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(180)
def test_ray_workers_find_entries_of_a_package_and_a_file(tmp_path, site):
    done = podium(site, "run", outside_config(tmp_path), "--set", "cluster.cpus=1")
    check(done, tmp_path / "results")


def test_a_broken_package_gives_one_line_and_exit_code_2(site):
    (site / "acme_podium.py").write_text("import nowhere_to_be_found", encoding="utf-8")
    done = podium(site, "list", "models")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: entry point 'blob-net' of podium.models in acme-podium")
    assert "nowhere_to_be_found" in done.stderr
    assert "Traceback" not in done.stderr
