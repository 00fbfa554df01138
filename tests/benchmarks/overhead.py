"""What Podium adds to Ray Tune: no-op trials through plan, Tune, store and rank, and plain Tune.

    python tests/benchmarks/overhead.py --trials 3600 --json overhead.json

Both run in this process tree, on the same Ray, in turns, with the same Tune settings and reused
actors. Every figure is the median over --rounds. Processor seconds are those of the whole tree,
including Ray's processes; on a busy machine they are more reliable than the wall time. With
--defaults, a few trials also run in Tune with its default settings: new actors, its loggers and its
state on disk.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune

from orchestrator.engine.base import TrialJob, TrialQueue
from orchestrator.engine.heartbeat import Heartbeat
from orchestrator.engine.ray_cluster import ClusterOptions
from orchestrator.engine.ray_tune import RayTuneEngine
from orchestrator.plan.grid import grid_from_specs
from orchestrator.plan.planner import plan
from orchestrator.progress import Event, SweepStarted, TrialFailed, TrialFinished
from orchestrator.ranking.rank import rank as rank_losses
from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.table import check_trials
from orchestrator.store import Store
from tests.benchmarks.machine import parse
from workers.catalogue.datasets import DATASETS, complete_dataset
from workers.catalogue.losses import STUDY_LOSSES, complete_loss
from workers.catalogue.models import MODELS, complete_model
from workers.contract import (
    Checkpoints,
    Component,
    EpochRecord,
    ImageCounts,
    OnEpoch,
    Runtime,
    TrialResult,
    TrialSpec,
    TrialStatus,
)

NUM_DATASETS, NUM_MODELS = 6, 12


@dataclass
class Recorder:
    """A progress display that only records the end of each trial and the driver's memory."""

    ended_at: list[float] = field(default_factory=list)
    peak_rss_bytes: int = 0

    def on(self, event: Event) -> None:
        if isinstance(event, TrialFailed):
            raise RuntimeError(f"{event.trial_id}: {event.failure_class}: {event.message}")
        if isinstance(event, TrialFinished):
            self.note_end()

    def close(self) -> None: ...

    def note_end(self) -> None:
        self.ended_at.append(time.perf_counter())
        self.peak_rss_bytes = max(self.peak_rss_bytes, psutil.Process().memory_info().rss)


class BareWatcher(tune.Callback):
    """Records the same for plain Tune."""

    def __init__(self) -> None:
        self.recorder = Recorder()

    def on_trial_complete(self, *args: object, **kwargs: object) -> None:
        self.recorder.note_end()


def no_op_trainer(
    spec: TrialSpec, runtime: Runtime, checkpoints: Checkpoints, on_epoch: OnEpoch
) -> TrialResult:
    """Returns the rows of a small trial at once."""
    epoch = EpochRecord(epoch=1, train_loss=0.5, val_dice=0.5, val_iou=0.4, seconds=0.0)
    on_epoch(epoch)
    value = 0.5 + 0.01 * len(spec.loss.label) + 0.001 * spec.repeat
    keys = ("dice", "iou", "recall", "precision")
    return TrialResult(
        status=TrialStatus.COMPLETED,
        metrics={key + suffix: value for key in keys for suffix in ("", "_pooled")},
        num_epochs=1,
        best_epoch=1,
        best_val_dice=0.5,
        epochs=(epoch,),
        images=tuple(ImageCounts(image=f"{i}", tp=1, fp=1, fn=1, tn=1) for i in range(20)),
        predictions=(),
        num_train_images=60,
        num_val_images=20,
        num_test_images=20,
        train_seconds=0.0,
        peak_memory_bytes=0,
        device="none",
        host=platform.node(),
        gpu_ids=runtime.gpu_ids,
        num_threads=1,
        dataset_fingerprint="0" * 16,
        code_version="benchmark",
        versions={},
    )


def make_specs(number: int) -> list[TrialSpec]:
    """Returns the first `number` combinations of a grid shaped like the study's."""
    # Models of the catalogue, because the plan reads their cost.
    axes: list[list[Component]] = [
        [Component(name=n, parameters=p) for n, p in (complete(name, {}) for name in names)]
        for complete, names in (
            (complete_dataset, list(DATASETS)[:NUM_DATASETS]),
            (complete_model, list(MODELS)[:NUM_MODELS]),
            (complete_loss, STUDY_LOSSES),
        )
    ]
    repeats = range(-(-number // math.prod(map(len, axes))))
    specs = [
        TrialSpec(dataset=dataset, model=model, loss=loss, repeat=repeat, seed=42)
        for (dataset, model, loss), repeat in itertools.product(itertools.product(*axes), repeats)
    ]
    return specs[:number]


def run_podium(specs: list[TrialSpec], results: Path) -> dict[str, Any]:
    """Runs plan, engine, store and ranking for the trials; returns the figures."""
    seconds: dict[str, float] = {}
    cpu_before = processor_seconds()
    store, recorder = Store(str(results)), Recorder()
    began = time.perf_counter()
    grid = grid_from_specs("overhead", specs)
    pending = plan(grid, store.committed(), store.failures()).pending
    seconds["plan"] = time.perf_counter() - began
    heartbeat = Heartbeat(recorder, store, grid.grid_id)
    jobs = [
        TrialJob(
            trial_id=trial.trial_id,
            spec=trial.spec,
            runtime=Runtime(data_root=None, cache_dir=str(results)),
            run_id=heartbeat.run_id,
        )
        for trial in pending
    ]
    began = time.perf_counter()
    engine = RayTuneEngine(ClusterOptions(trial_cpus=1), trainer=no_op_trainer)
    heartbeat.on(SweepStarted(len(specs), len(jobs), 0))
    engine.run(TrialQueue(jobs, heartbeat), store)
    heartbeat.close()
    seconds["tune_and_commit"] = time.perf_counter() - began
    num_files_before = sum(1 for path in results.rglob("*") if path.is_file())
    began = time.perf_counter()
    again = plan(grid, store.committed(), store.failures()).pending
    seconds["plan_again_from_parts"] = time.perf_counter() - began
    began = time.perf_counter()
    store.compact(datetime.now(UTC))
    seconds["compact"] = time.perf_counter() - began
    began = time.perf_counter()
    trials = store.read("trials")
    rank_losses(scores_of(check_trials(trials)))
    seconds["rank"] = time.perf_counter() - began
    if len(trials) != len(specs) or again:
        raise RuntimeError(f"{len(trials)} rows and {len(again)} pending of {len(specs)} trials")
    return {
        "seconds": seconds | {"total": sum(seconds.values())},
        "processor_seconds": processor_seconds() - cpu_before,
        "files_before_compaction": num_files_before,
        "files_after_compaction": sum(1 for path in results.rglob("*") if path.is_file()),
        **_trial_figures(recorder),
    }


def run_bare_tune(number: int, scratch: Path) -> dict[str, Any]:
    """Runs `number` trials that do nothing, in plain Ray Tune with the same settings."""
    watcher, cpu_before = BareWatcher(), processor_seconds()
    began = time.perf_counter()

    def trial(config: dict[str, Any]) -> None:
        tune.report({"value": 1.0})

    tune.Tuner(
        tune.with_resources(trial, {"cpu": 1, "gpu": 0}),
        param_space={"trial": tune.grid_search(list(range(number)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="bare", storage_path=str(scratch), verbose=0, callbacks=[watcher]
        ),
    ).fit()
    total = time.perf_counter() - began
    return {
        "seconds": {"total": total},
        "processor_seconds": processor_seconds() - cpu_before,
        "files_before_compaction": sum(1 for path in scratch.rglob("*") if path.is_file()),
        **_trial_figures(watcher.recorder),
    }


def run_default_tune(budget_seconds: float, scratch: Path) -> dict[str, float]:
    """Runs trials that do nothing in Tune with its default settings; counts the ended trials."""
    watcher = BareWatcher()

    def trial(config: dict[str, Any]) -> None:
        tune.report({"value": 1.0})

    with _without_settings():
        began = time.perf_counter()
        tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"trial": tune.grid_search(list(range(3600)))},
            tune_config=tune.TuneConfig(time_budget_s=budget_seconds),
            run_config=tune.RunConfig(
                name="default", storage_path=str(scratch), verbose=0, callbacks=[watcher]
            ),
        ).fit()
    ended = watcher.recorder.ended_at
    return {"trials": len(ended), "seconds_per_trial": (ended[-1] - began) / len(ended)}


@contextmanager
def _without_settings() -> Iterator[None]:
    """Removes the settings that the engine made for Tune."""
    taken = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("TUNE_")}
    try:
        yield
    finally:
        os.environ.update(taken)


def processor_seconds() -> float:
    """Returns the processor seconds of this process and its descendants, also of ended ones."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def median_of(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the median of every number, in nested dicts."""
    return {
        key: median_of([item[key] for item in figures])
        if isinstance(value, dict)
        else statistics.median(item[key] for item in figures)
        for key, value in figures[0].items()
    }


def _trial_figures(recorder: Recorder) -> dict[str, Any]:
    """Seconds per trial in the first and last quarter, after the actors' start, and memory."""
    times, quarter = recorder.ended_at, max(len(recorder.ended_at) // 4, 2)
    first = (times[quarter - 1] - times[0]) / (quarter - 1)
    last = (times[-1] - times[-quarter]) / (quarter - 1)
    return {
        "seconds_per_trial_first_quarter": first,
        "seconds_per_trial_last_quarter": last,
        "last_over_first_quarter": last / first,
        "driver_peak_rss_bytes": recorder.peak_rss_bytes,
    }


def main() -> None:
    """Runs both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3600)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--defaults", type=float, default=0, help="seconds of Tune with its defaults"
    )
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"trials": 12})
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(arguments.cpus + 1)
    ray.init(
        address="local", num_cpus=arguments.cpus, include_dashboard=False,
        logging_level=40, log_to_driver=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rounds = []
        for number in range(arguments.rounds):
            scratch = Path(folder) / str(number)
            podium = run_podium(make_specs(arguments.trials), scratch / "results")
            print(f"podium: {json.dumps(podium)}", flush=True)
            bare = run_bare_tune(arguments.trials, scratch / "bare")
            print(f"plain Tune: {json.dumps(bare)}", flush=True)
            rounds.append((podium, bare))
        podium, bare = (median_of(list(side)) for side in zip(*rounds, strict=True))
        default = None
        if arguments.defaults:
            default = run_default_tune(arguments.defaults, Path(folder) / "default")
    ray.shutdown()
    figures = {
        "trials": arguments.trials,
        "cpus": arguments.cpus,
        "rounds": arguments.rounds,
        "default_tune": default,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, ray {ray.__version__}",
        "podium": podium,
        "bare_tune": bare,
        "podium_over_bare": podium["seconds"]["total"] / bare["seconds"]["total"],
    }
    print_table(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def print_table(figures: dict[str, Any]) -> None:
    """Prints the figures side by side."""
    ours, bare = figures["podium"], figures["bare_tune"]
    print(f"{figures['trials']} no-op trials on {figures['cpus']} CPUs ({figures['machine']})")
    print(f"{'':34}{'podium':>12}{'plain Tune':>12}{'ratio':>8}")
    rows = [("total, s", ours["seconds"]["total"], bare["seconds"]["total"])]
    rows += [
        (f"  {name}, s", value, None) for name, value in ours["seconds"].items() if name != "total"
    ]
    rows.append(("processor, s", ours["processor_seconds"], bare["processor_seconds"]))
    for key, title, scale in (
        ("seconds_per_trial_first_quarter", "trial, first quarter, ms", 1e3),
        ("seconds_per_trial_last_quarter", "trial, last quarter, ms", 1e3),
        ("last_over_first_quarter", "last over first quarter", 1),
        ("driver_peak_rss_bytes", "driver, peak MiB", 1 / 2**20),
        ("files_before_compaction", "files", 1),
    ):
        rows.append((title, ours[key] * scale, bare[key] * scale))
    rows.append(("files after compaction", ours["files_after_compaction"], None))
    for title, mine, other in rows:
        ratio = f"{mine / other:8.2f}" if other else ""
        print(f"{title:34}{mine:12.2f}{'' if other is None else f'{other:12.2f}':>12}{ratio}")
    if figures["default_tune"]:
        default = figures["default_tune"]["seconds_per_trial"] * 1e3
        mine = ours["seconds"]["total"] / figures["trials"] * 1e3
        title = f"per trial, ms; right: Tune's defaults, {figures['default_tune']['trials']} trials"
        print(f"{title:34}{mine:12.2f}{default:12.2f}{mine / default:8.3f}")


if __name__ == "__main__":
    main()
