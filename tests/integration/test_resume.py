"""After a stop or a kill at any time, the same command ends with the same numbers."""

import os
import signal
import subprocess
import sys
import time

import duckdb
import pandas as pd
import pytest

from orchestrator.engine.inline import InlineEngine
from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration.sweeps import assert_same_tables, run, write_config
from workers.run import run_trial
from workers.training import train_epoch

EPOCHS = {"max_epochs": 5, "patience": 2, "batch_size": 4}


class StoppingTrainer:
    """A trainer that is interrupted, as by Ctrl-C, at its first report of a given epoch."""

    def __init__(self, stop_at):
        self.stop_at = stop_at

    def __call__(self, spec, runtime, checkpoints, on_epoch):
        def on_epoch_or_stop(record):
            on_epoch(record)
            if record.epoch == self.stop_at:
                self.stop_at = None
                raise KeyboardInterrupt

        return run_trial(spec, runtime, checkpoints, on_epoch_or_stop)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(write_config(folder, training=EPOCHS))
    return folder / "results"


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_stopped_trial_continues_bit_for_bit(tmp_path, undisturbed, epoch):
    config = write_config(tmp_path, training=EPOCHS)
    report, _ = run(config, engine=InlineEngine(StoppingTrainer(epoch)))
    assert report.interrupted
    saved = list((tmp_path / "results" / "_checkpoints").glob("*.pt"))
    assert len(saved) == (1 if epoch > 1 else 0)  # the stop came before the save of this epoch
    run(config)
    assert_same_tables(undisturbed, tmp_path / "results")
    assert not list((tmp_path / "results" / "_checkpoints").glob("*"))


def test_a_stopped_trial_repeats_only_the_unsaved_epoch(tmp_path, monkeypatch):
    trained = []

    def counting(model, loss, task, optimizer, epoch, min_train_batch):
        trained.append(epoch)
        return train_epoch(model, loss, task, optimizer, epoch, min_train_batch)

    monkeypatch.setattr("workers.training.train_epoch", counting)
    training = EPOCHS | {"patience": 5}
    config = write_config(tmp_path, training=training, losses=["dice"], repeats=1)
    run(config, engine=InlineEngine(StoppingTrainer(4)))
    run(config)
    assert trained == [1, 2, 3, 4, 4, 5]


@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_a_torn_checkpoint_starts_the_trial_again(tmp_path, undisturbed, content):
    config = write_config(tmp_path, training=EPOCHS)
    run(config, engine=InlineEngine(StoppingTrainer(3)))
    (saved,) = (tmp_path / "results" / "_checkpoints").glob("*.pt")
    saved.write_bytes(saved.read_bytes()[:-1000] if content is None else content)
    run(config)
    assert_same_tables(undisturbed, tmp_path / "results")


def command(config, engine):
    return [sys.executable, "-m", "orchestrator", "run", str(config), "--engine", engine]


def start(config, engine):
    return subprocess.Popen(
        command(config, engine), cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def num_parts(results):
    return len(list((results / "trials").glob("*.parquet")))


def wait_for_parts(process, results, number):
    deadline = time.monotonic() + 90
    while num_parts(results) < number and time.monotonic() < deadline:
        assert process.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.02)
    assert num_parts(results) >= number


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("engine", "kill_after"),
    [("inline", [1, 2, 4]), pytest.param("ray", [2], marks=pytest.mark.ray)],
)
def test_sigkill_of_the_process_group_changes_no_number(tmp_path, undisturbed, engine, kill_after):
    config = write_config(tmp_path, training=EPOCHS | {"max_epochs": 40, "patience": 40})
    results = tmp_path / "results"
    committed: dict[str, object] = {}
    for number in kill_after:
        process = start(config, engine)
        wait_for_parts(process, results, number) if number < 4 else time.sleep(4)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        rows = Store(str(results)).committed()
        for key, row in rows.items():  # committed rows do not change
            assert committed.setdefault(key, row.committed_at) == row.committed_at
    time.sleep(3)  # Ray's processes end after their driver
    assert subprocess.run(command(config, engine), cwd=ROOT, check=False).returncode == 0
    after = Store(str(results)).committed()
    assert {key: after[key].committed_at for key in committed} == committed
    other = tmp_path / "other"
    other.mkdir()
    run(write_config(other, training=EPOCHS | {"max_epochs": 40, "patience": 40}))
    assert_same_tables(other / "results", results)
    query = f"select count(*) from read_parquet('{results}/trials/*.parquet')"
    assert duckdb.execute(query).fetchall() == [(4,)]
    assert len(pd.read_parquet(results / "trials")) == 4


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("engine", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_cleanly_and_prints_how_to_resume(tmp_path, engine, number):
    config = write_config(tmp_path, training=EPOCHS | {"max_epochs": 300, "patience": 300})
    process = subprocess.Popen(
        command(config, engine), cwd=ROOT, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    checkpoints = tmp_path / "results" / "_checkpoints"
    deadline = time.monotonic() + 90
    while not list(checkpoints.glob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in message
    assert "Traceback" not in message
    assert list(checkpoints.glob("*.pt"))
