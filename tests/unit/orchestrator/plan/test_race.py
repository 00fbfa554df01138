"""`policy: race` from configuration to podium: plans, rounds, a stop in between, messages."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.config import load_config
from orchestrator.engine.inline import InlineEngine
from orchestrator.progress import JsonProgress
from orchestrator.run import run_sweep
from orchestrator.store import Store
from orchestrator.sweep import open_results, open_sweep
from tests.integration.sweeps import write_config
from tests.unit.orchestrator.store.trials import make_result
from workers.contract import UserError
from workers.datasets import open_dataset
from workers.identity import digest

LOSSES = ["iou", "dice", "bce", "focal", "iou+dice", "dice+bce"]
MODELS = [{"name": "unet", "alias": f"m{n}", "parameters": {"width": n}} for n in (2, 4, 6)]


def config(folder: Path, **changes):
    base = {
        "models": MODELS,
        "losses": LOSSES,
        "repeats": 5,
        "policy": "race",
    }
    return write_config(folder, **(base | changes))


class MadeUp:
    """Scores by loss with a little noise; stops as by Ctrl-C after `stop_after` trials."""

    def __init__(self, noise=0.004, stop_after=None):
        self.noise = noise
        self.left = stop_after
        self.trained: list[tuple[str, str, int]] = []

    def __call__(self, spec, runtime, checkpoints, on_epoch):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        key = (spec.model.label, spec.loss.label, spec.repeat)
        self.trained.append(key)
        random = np.random.default_rng(int(digest({"key": list(key)}, length=8), 16))
        dice = 0.8 - 0.003 * LOSSES.index(spec.loss.label) + self.noise * random.standard_normal()
        dice += 0.02 * spec.repeat
        result = make_result(0)
        metrics = dict.fromkeys(result.metrics, float(dice))
        fingerprint = open_dataset(spec.dataset, None).fingerprint(Path(runtime.cache_dir))
        return dataclasses.replace(
            result, metrics=metrics, predictions=(), dataset_fingerprint=fingerprint
        )


def run(path, trainer, *overrides):
    sweep = open_sweep(path, overrides)
    ended = run_sweep(
        sweep, InlineEngine(trainer), JsonProgress(io.StringIO()), on_notes=lambda _: None
    )
    return ended.report, ended.plan


def test_the_first_plan_has_only_the_first_repeats(tmp_path):
    plan = open_sweep(config(tmp_path)).plan
    assert {trial.spec.repeat for trial in plan.pending} == {0, 1}
    assert len(plan.pending) == 36
    assert not plan.failed
    assert plan.race is not None
    assert plan.race.sentence() == (
        "Race, round 1: 36 of 90 trials are asked for before anything is decided."
    )
    assert {trial.reason for trial in plan.trials if trial.held_back} == {"waits for the race"}


def test_a_single_run_ends_the_race_and_spares_trials(tmp_path):
    trainer = MadeUp()
    report, after = run(config(tmp_path), trainer)
    assert not report.interrupted
    assert after.race is not None
    assert after.race.state == "certain"
    assert set(after.race.podium) == {"iou", "dice", "bce"}
    assert 36 <= len(trainer.trained) < 90
    assert len(trainer.trained) == after.race.num_asked == 90 - after.race.num_held_back
    assert not after.pending
    assert not after.failed
    sentence = after.race.sentence()
    assert sentence.startswith(f"Raced: {after.race.num_held_back} of 90 trials were spared; with ")
    # The same command has no pending trial; a plan from the results alone is the same.
    assert run(config(tmp_path), trainer)[0].outcomes == ()
    assert open_results(str(tmp_path / "results")).plan.race == after.race


@pytest.mark.parametrize("stop_after", [20, 37])
def test_a_stopped_race_decides_the_same(tmp_path, stop_after):
    noisy = 0.012
    whole = MadeUp(noisy)
    _, expected = run(config(tmp_path / "whole"), whole)
    assert len(whole.trained) > 38
    path = config(tmp_path / "parts")
    first, second = MadeUp(noisy, stop_after), MadeUp(noisy)
    assert run(path, first)[0].interrupted
    _, after = run(path, second)
    assert sorted(first.trained + second.trained) == sorted(whole.trained)
    assert not set(first.trained) & set(second.trained)
    assert after.race == expected.race


def test_race_over_a_finished_grid_has_no_pending_trials(tmp_path):
    trainer = MadeUp()
    run(config(tmp_path, policy="full"), trainer)
    assert len(trainer.trained) == 90
    plan = open_sweep(config(tmp_path)).plan
    assert not plan.pending
    assert plan.race is not None
    assert plan.race.num_held_back == 0


def test_a_race_has_the_trial_ids_of_the_full_grid(tmp_path):
    raced, full = open_sweep(config(tmp_path)), open_sweep(config(tmp_path, policy="full"))
    assert raced.grid.trial_ids == full.grid.trial_ids
    assert full.plan.race is None
    assert len(full.plan.pending) == 90


def test_the_budget_ends_the_race_and_is_reported(tmp_path):
    _, after = run(config(tmp_path), MadeUp(0.05), "race.budget=0.5", "race.level=1")
    assert after.race is not None
    assert (after.race.state, after.race.num_asked) == ("spent", 45)
    assert "below the 100 % asked for, when the budget was spent." in after.race.sentence()


def command(*arguments):
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_plan_status_rank_and_report_mention_the_race(tmp_path):
    path = config(tmp_path)
    first = MadeUp(0.012, stop_after=36)
    run(path, first)
    plan = json.loads(command("plan", str(path), "--json"))
    assert plan["race"]["state"] == "running"
    assert plan["race"]["round"] == 2
    assert plan["num_pending"] == -(-18 // 8)
    assert plan["race"]["reaches"]
    shown = command("plan", str(path))
    assert "Race, round 2: 39 of 90 trials are asked for; so far with " in shown
    assert "its mean there decides the podium in" in shown
    results = str(tmp_path / "results")
    ranked = json.loads(command("rank", results, "--json", "--draws", "100"))
    assert ranked["by_dataset"]["provisional"]  # the race is not over
    _, after = run(path, MadeUp(0.012))
    assert after.race is not None
    status = command("status", results)
    assert "spared" in status
    assert "waiting" not in status
    ranked = json.loads(command("rank", results, "--json", "--draws", "100"))
    coverage = ranked["by_dataset"]["coverage"]
    assert not ranked["by_dataset"]["provisional"]
    assert coverage["present"] == coverage["expected"] == after.race.num_asked
    assert ranked["notes"][0] == after.race.sentence()
    assert "Raced: " in command("rank", results, "--draws", "0")
    folder = tmp_path / "report"
    command("report", results, "--out", str(folder))
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "trials were spared; with" in page
    assert "Provisional" not in page
    assert Store(results).committed().keys() == {
        trial.trial_id for trial in after.trials if trial.status is not None
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 2}, r"race\.first_repeats: 2: no trial of 2 repeats can be spared"),
        (
            {"race": {"budget": 0.3}},
            r"race\.budget: 0\.3: the first 2 of 5 repeats alone",
        ),
        ({"losses": ["iou"]}, r"policy: 'race': a race needs two losses"),
        ({"race": {"first_repeats": 1}}, r"race\.first_repeats: 1: must be at least 2"),
        ({"race": {"level": 1.2}}, r"race\.level: 1\.2: must be at most 1"),
        ({"policy": "racing"}, r"policy: 'racing': unknown value; did you mean 'race'"),
    ],
)
def test_a_race_without_a_possible_decision_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        load_config(config(tmp_path, **changes))
