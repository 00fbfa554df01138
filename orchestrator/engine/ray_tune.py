"""The engine on Ray Tune: one experiment per run, on reused actors.

Tune only schedules. The store holds what is finished, so Tune's own state goes to a temporary
folder that is deleted, and `Tuner.restore` is never used. Every attempt is a trial of Tune. Whether
another attempt follows, and with which share of a GPU, is decided in `orchestrator.plan.retries`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray import cloudpickle, tune

from orchestrator.engine.base import (
    EngineReport,
    TrialJob,
    TrialSource,
    execute,
    misplaced,
)
from orchestrator.engine.ray_cluster import ClusterOptions, connect, quiet_tune, stop_on_signals
from orchestrator.engine.ray_nodes import Admission, admission, check_nodes
from orchestrator.engine.ray_watcher import Attempts, EarlyStops, Watcher, attempt_name
from orchestrator.store import Store
from workers.contract import EpochRecord, Trainer


class RayTuneEngine:
    """Runs trials on a Ray cluster, each pinned to its CPUs and GPUs."""

    def __init__(self, options: ClusterOptions, trainer: Trainer | None = None) -> None:
        """Keeps the options; Ray starts in `run`.

        Args:
            options: The cluster, and what follows the loss of an attempt.
            trainer: Trains a trial; `workers.run.run_trial` if None.
        """
        self._options = options
        self._trainer = trainer

    def run(self, source: TrialSource, store: Store) -> EngineReport:
        """Runs the trials of a source; see `Engine`.

        Raises:
            UserError: The cluster cannot be reached, no node can hold one trial, or a node lacks
                data, weights or results.
        """
        if source.is_finished:
            return EngineReport(outcomes=(), interrupted=False)
        options = self._options
        with (
            connect(options) as slots,
            stop_on_signals() as stopper,
            tempfile.TemporaryDirectory(prefix="podium-tune-") as scratch,
        ):
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)
            admitted = admission(source.jobs, store)
            check_nodes(
                admitted.needs, trial_cpus=options.trial_cpus, trial_gpus=options.trial_gpus
            )
            watcher = Watcher(
                source,
                store,
                slots=slots,
                usual_gpus=options.trial_gpus,
                max_failures=options.max_failures,
                no_progress_seconds=options.no_progress_seconds,
            )
            tuner = tune.Tuner(
                _trainable(source.jobs, store, options, self._trainer, admitted),
                tune_config=tune.TuneConfig(
                    num_samples=-1,
                    search_alg=Attempts(watcher, is_stopped=stopper.stop_all),
                    scheduler=EarlyStops(watcher),
                    reuse_actors=True,
                    trial_name_creator=attempt_name,
                    trial_dirname_creator=attempt_name,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=scratch,
                    verbose=0,
                    stop=stopper,
                    callbacks=[watcher],
                    failure_config=tune.FailureConfig(max_failures=0),
                ),
            )
            with quiet_tune():
                tuner.fit()
        return EngineReport(outcomes=tuple(watcher.outcomes), interrupted=stopper.stopped)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shared:
    """Sent once to every process that runs attempts."""

    jobs: Mapping[str, TrialJob]
    location: str
    trainer: Trainer | None
    admitted: Admission


def _trainable(
    jobs: Sequence[TrialJob],
    store: Store,
    options: ClusterOptions,
    trainer: Trainer | None,
    admitted: Admission,
) -> Callable[..., None]:
    """Makes the function that each attempt runs.

    Every process fetches and unpacks the known trials once, so that the configurations of Tune's
    trials stay small; `tune.with_parameters` would do so for each trial.
    """
    shared = ray.put(
        cloudpickle.dumps(
            _Shared(
                jobs={job.trial_id: job for job in jobs},
                location=store.location,
                trainer=trainer,
                admitted=admitted,
            )
        )
    )

    def run_in_actor(config: dict[str, Any]) -> None:
        _run_in_actor(config, shared)

    def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        bundle = {"CPU": options.trial_cpus, "GPU": config["gpus"]}
        return tune.PlacementGroupFactory([{key: value for key, value in bundle.items() if value}])

    return tune.with_resources(run_in_actor, resources)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _fetch(shared: ray.ObjectRef[bytes]) -> _Shared:
    return cloudpickle.loads(ray.get(shared))  # type: ignore[no-any-return]


class _SpoiledProcessError(RuntimeError):
    """Makes Tune end a process that must not be reused."""


def _run_in_actor(config: Mapping[str, Any], reference: ray.ObjectRef[bytes]) -> None:
    """Runs one attempt in a Tune actor and reports its epochs and its outcome.

    Each report costs Tune a round trip. Epochs that end too soon after the start or the last
    report are therefore left out (`report_interval_seconds`), and the outcome says itself that it
    is the last report.
    """
    shared, gpus = _fetch(reference), config["gpus"]
    gpu_ids = assigned_gpus(gpus, ray.get_gpu_ids(), os.environ)
    job: TrialJob = config["job"] or shared.jobs[config["trial_id"]]
    runtime = dataclasses.replace(job.runtime, gpu_ids=gpu_ids, gpu_share=min(1.0, gpus or 1.0))
    job = dataclasses.replace(job, runtime=runtime, gpus=gpus)
    problem = shared.admitted.problem(ray.get_runtime_context().get_node_id())
    if problem is not None:
        outcome = misplaced(job.trial_id, problem)
        tune.report({"outcome": dataclasses.asdict(outcome), "done": False})
        raise _SpoiledProcessError(outcome.message)
    last_report = time.monotonic()

    def on_epoch(record: EpochRecord) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= job.report_interval_seconds:
            last_report = now
            keys = ("epoch", "val_dice", "seconds")
            try:
                tune.report({key: getattr(record, key) for key in keys})
            except SystemExit as error:  # Tune ends a stopped attempt in this way
                raise KeyboardInterrupt from error

    trainer = shared.trainer or _run_trial()
    try:
        outcome = execute(job, Store(shared.location), trainer, on_epoch)
    except KeyboardInterrupt:
        sys.exit(0)  # Tune treats any other exception as an error of the attempt
    tune.report({"outcome": dataclasses.asdict(outcome), "done": not outcome.spoiled})
    if outcome.spoiled:
        raise _SpoiledProcessError(outcome.message)


def _run_trial() -> Trainer:
    from workers.run import run_trial

    return run_trial


def assigned_gpus(
    requested: float,
    ray_gpu_ids: Sequence[int | str],
    environment: dict[str, str] | os._Environ[str],
) -> tuple[str, ...]:
    """Checks that the process sees exactly its assigned GPUs; hides all GPUs if it has none.

    Args:
        requested: GPUs of one trial, or a share of one.
        ray_gpu_ids: The GPUs that Ray reports as assigned.
        environment: The process's environment, changed if no GPU was requested.

    Returns:
        The identifiers of the assigned GPUs; empty if there are none.

    Raises:
        RuntimeError: The number of devices or CUDA_VISIBLE_DEVICES differs from the assignment.
    """
    if requested == 0:
        environment["CUDA_VISIBLE_DEVICES"] = ""
        return ()
    assigned = tuple(str(item) for item in ray_gpu_ids)
    visible = tuple(filter(None, environment.get("CUDA_VISIBLE_DEVICES", "").split(",")))
    if len(assigned) != math.ceil(requested) or visible != assigned:
        message = (
            f"the trial requested {requested} GPU; Ray assigned {assigned or 'none'} and "
            f"CUDA_VISIBLE_DEVICES shows {visible or 'none'}"
        )
        raise RuntimeError(message)
    return assigned
