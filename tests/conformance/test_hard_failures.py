"""Real signals, full disks and read-only file systems, in separate processes."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec, plain_counts

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "tests.conformance.sweep_script")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run_sweep(location: Path, count: int, *wrapper: str, **options) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*wrapper, *COMMAND, str(location), str(count)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    return done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sweep_completes_after_repeated_kills(tmp_path):
    count, generator = 24, random.Random(42)
    committed: set[str] = set()
    for _ in range(8):
        process = subprocess.Popen(
            [*COMMAND, str(tmp_path), str(count)],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(0.0, 0.5))
        process.kill()
        output = process.communicate()[0].splitlines()
        again = {line for line in output if line.startswith("committed")}
        assert not again & committed, "a committed trial ran again"
        committed |= again
        assert len(Store(tmp_path).committed()) >= len(committed)
    assert len(committed) > 0
    code, output = run_sweep(tmp_path, count)
    assert (code, output[-1]) == (0, "done")
    store = Store(tmp_path)
    for table, num_rows in (("trials", count), ("epochs", 2 * count), ("images", 2 * count)):
        assert len(store.read(table)) == num_rows
        assert plain_counts(tmp_path, table) == (num_rows, num_rows, count)
    whole = Store(tmp_path / "whole")
    for number in range(count):
        whole.commit(make_spec(number), make_result(number), committed_at=NOW)
    for table in ("trials", "epochs", "images", "predictions"):
        assert store.read(table).equals(whole.read(table))
    assert not list((tmp_path / "_checkpoints").glob("*.pt"))


def test_file_size_limit_is_reported_with_the_file(tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    code, output = run_sweep(tmp_path, 4, preexec_fn=limit)
    assert code == 2
    assert output[-1].startswith(f"refused {tmp_path}/")
    assert "File too large; free some space" in output[-1]
    assert not list(tmp_path.rglob("*.tmp"))
    code, output = run_sweep(tmp_path, 4)
    assert (code, output[-1]) == (0, "done")
    assert plain_counts(tmp_path) == (4, 4, 4)


def test_full_disk_keeps_committed_trials(tmp_path, mount):
    small = tmp_path / "small"
    script = (
        f"mount -t tmpfs -o size=300k tmpfs {small}\n"
        f"head -c 200000 /dev/zero > {small}/filler\n"
        f"{' '.join(COMMAND)} {small}/results 40 || echo code $?\n"
        f"find {small}/results -name '*.tmp'\n"
        f"rm {small}/filler\n"
        f"{' '.join(COMMAND)} {small}/results 4\n"
        f"cp -r {small}/results {tmp_path}/copy\n"
    )
    done = subprocess.run(
        [*mount, script], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    refused = next(line for line in done.stdout.splitlines() if line.startswith("refused"))
    assert refused.startswith(f"refused {small}/results/")
    assert "No space left on device; free some space" in refused
    assert "code 2" in done.stdout
    assert ".tmp" not in done.stdout
    assert done.stdout.endswith("done\n")
    before = done.stdout.partition("refused")[0].count("committed")
    assert before > 0
    num_trials = max(before, 4)
    assert plain_counts(tmp_path / "copy") == (num_trials, num_trials, num_trials)


def test_read_only_results_can_be_read_but_not_written(tmp_path, mount):
    small = tmp_path / "small"
    script = (
        f"mount -t tmpfs tmpfs {small}\n"
        f"{' '.join(COMMAND)} {small} 2\n"
        f"mount -o remount,ro {small}\n"
        f"{' '.join(COMMAND)} {small} 3 || echo code $?\n"
    )
    done = subprocess.run(
        [*mount, script], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "code 2"
    assert lines[-2].startswith(f"refused {small}/_checkpoints/")
    assert "Read-only file system; give this user write access" in lines[-2]
    assert lines[-3] == "ready"
