"""Commands on a file system that becomes full, and again after space is free."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration.sweeps import assert_same_tables, run, write_config
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec, plain_counts
from workers.contract import FailureClass

PODIUM = f"{sys.executable} -m orchestrator"
RUN = f"{PODIUM} run %s --engine inline --progress plain"


def shell(mount: tuple[str, ...], script: str) -> list[str]:
    """Runs a script in a separate namespace; returns the lines of both outputs."""
    done = subprocess.run(
        [*mount, script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_full_disk_at_a_checkpoint_fails_only_that_trial(
    tmp_path: Path, mount: tuple[str, ...]
) -> None:
    """Failures are rows, every trial is started, and with free space the same command completes."""
    small = tmp_path / "small"
    config = write_config(tmp_path, results=str(small / "results"))
    command = RUN % config
    lines = shell(
        mount,
        f"mount -t tmpfs -o size=240k tmpfs {small}\n"
        f"{command} || echo code $?\n"
        f"cp -r {small}/results {tmp_path}/full\n"
        f"mount -o remount,size=20m {small}\n"
        f"{command}\n"
        f"cp -r {small}/results {tmp_path}/whole\n",
    )
    assert "code 1" in lines
    full = Store(tmp_path / "full")
    assert len(full.failures()) == 4
    for failure in full.failures():
        assert failure.failure_class is FailureClass.INFRASTRUCTURE
        assert f"{small}/results/_checkpoints/{failure.trial_id}.pt" in failure.message
        assert "No space left on device; free some space" in failure.message
    run(write_config(tmp_path, results=str(tmp_path / "undisturbed")))
    whole = Store(tmp_path / "whole")
    assert whole.read("trials")["attempt"].tolist() == [2] * 4
    assert len(whole.read("epochs")) == len(Store(tmp_path / "undisturbed").read("epochs"))
    assert whole.read("trials")["dice"].equals(
        Store(tmp_path / "undisturbed").read("trials")["dice"]
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_full_disk_of_the_cache_is_reported_before_training(
    tmp_path: Path, mount: tuple[str, ...]
) -> None:
    small = tmp_path / "small"
    results = tmp_path / "results"
    config = write_config(tmp_path, data={"image_size": 32, "cache": str(small / "cache")})
    lines = shell(
        mount,
        f"mount -t tmpfs -o size=40k tmpfs {small}\n"
        f"{RUN % config} || echo code $?\n"
        f"mount -o remount,size=20m {small}\n"
        f"{RUN % config}\n",
    )
    text = "\n".join(lines)
    assert "code 1" in lines or "code 2" in lines, text
    failures = Store(results).failures()
    told = text + "".join(failure.message for failure in failures)
    assert f"{small}/cache" in told, told
    assert "No space left" in told or "free" in told, told
    assert plain_counts(results) == (4, 4, 4)


def test_full_disk_at_compaction_keeps_every_part(tmp_path: Path, mount: tuple[str, ...]) -> None:
    small, prepared = tmp_path / "small", tmp_path / "prepared"
    for number in range(8):
        Store(prepared).commit(make_spec(number), make_result(number), committed_at=NOW)
    lines = shell(
        mount,
        f"mount -t tmpfs -o size=400k tmpfs {small}\n"
        f"cp -r {prepared} {small}/results\n"
        f"dd if=/dev/zero of={small}/filler bs=4k 2>/dev/null || true\n"
        f"{PODIUM} compact {small}/results || echo code $?\n"
        f"find {small}/results -name '.*.tmp' -o -name 'compact-*'\n"
        f"cp -r {small}/results {tmp_path}/full\n"
        f"rm {small}/filler\n"
        f"{PODIUM} compact {small}/results\n"
        f"cp -r {small}/results {tmp_path}/whole\n",
    )
    refused = next(line for line in lines if line.startswith("error: "))
    assert refused.startswith(f"error: {small}/results/trials/compact-")
    assert "No space left on device; free some space" in refused
    assert lines[lines.index(refused) + 1] == "code 2"
    assert not [line for line in lines if line.startswith(f"{small}/results")][1:]
    assert plain_counts(tmp_path / "full") == (8, 8, 8)
    assert plain_counts(tmp_path / "whole") == (8, 8, 8)
    assert_same_tables(tmp_path / "full", tmp_path / "whole")


def test_full_temporary_folder_is_reported(tmp_path: Path, mount: tuple[str, ...]) -> None:
    store = Store(tmp_path / "results")
    for number in range(40):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    read = (
        "from orchestrator.store import Store, scan, StoreError\n"
        "scan.FILES_AT_ONCE = 30\n"
        "try:\n"
        f"    print(len(Store('{tmp_path}/results').committed()))\n"
        "except StoreError as error:\n"
        "    print('refused:', error)\n"
    )
    (tmp_path / "read.py").write_text(read)
    small = tmp_path / "small"
    lines = shell(
        mount,
        f"mount -t tmpfs -o size=4k tmpfs {small}\n"
        f"TMPDIR={small} {sys.executable} {tmp_path}/read.py\n"
        f"mount -o remount,size=20m {small}\n"
        f"TMPDIR={small} {sys.executable} {tmp_path}/read.py\n",
    )
    assert lines[-1] == "40"
    (refused,) = [line for line in lines if line.startswith("refused: ")]
    assert str(small) in refused
    assert "free some space in the folder for temporary files" in " ".join(lines)
