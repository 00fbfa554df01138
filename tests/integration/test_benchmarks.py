"""Every benchmark runs in its smallest form, and every command of the documents exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    path.stem: path
    for path in sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
    if path.stem not in ("__init__", "calibration_measures", "gpu_phases", "machine")
}
ON_REAL_IMAGES = ("cold_start", "overfit", "usual_script", "usual_trial")


def arguments(name: str, scratch: Path, data: Path) -> list[str]:
    """Returns the options that a benchmark requires."""
    if name in ("calibration", "race"):
        return ["--keep", str(scratch / "kept.jsonl")]
    if name == "usual_trial":
        return [str(data / "Kvasir-SEG" / part) for part in ("images", "masks")]
    return ["--data", str(data)] if name in ON_REAL_IMAGES else []


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FILES)
def test_benchmark_runs_in_its_smallest_form(name, tmp_path, request):
    data = request.getfixturevalue("sample_data") if name in ON_REAL_IMAGES else tmp_path
    done = subprocess.run(
        [sys.executable, str(FILES[name]), *arguments(name, tmp_path, data), "--smallest"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(mark.isdigit() for mark in done.stdout)


def commands() -> list[tuple[str, str, str]]:
    """Returns document, benchmark and options of every command that a document names."""
    found = []
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for name, options in re.findall(r"(\w+)\.py((?: [\w./=-]+)*)", path.read_text("utf-8")):
            if name in FILES:
                found.append((path.name, name, options))
    return found


def test_documents_name_options_that_exist():
    assert len({name for _, name, _ in commands()}) > 8
    for document, name, options in commands():
        source = FILES[name].read_text("utf-8")
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in source, f"{document}: {name}.py has no {option}"
