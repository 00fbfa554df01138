"""The engine on Ray Tune: a fresh experiment with the pending trials, on reused actors.

Tune schedules and nothing more. What is finished is in the store, so Tune's own state is
written to a temporary folder and thrown away, and `Tuner.restore` is never used. Every attempt is
a trial of Tune's own: whether there is another, and with which share of a GPU, is decided in
`orchestrator.plan.retries`.
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

from orchestrator.engine.base import EngineReport, TrialJob, execute, misplaced
from orchestrator.engine.ray_cluster import ClusterOptions, connect, quiet_tune, stop_on_signals
from orchestrator.engine.ray_nodes import Admission, admission, check_nodes
from orchestrator.engine.ray_watcher import Attempts, Watcher, attempt_name
from orchestrator.progress import Progress
from orchestrator.store import Store
from workers.contract import EpochRecord, Trainer

_REPORT_INTERVAL_SECONDS = 1.0


class RayTuneEngine:
    """Runs jobs on a Ray cluster, each trial pinned to its CPUs and GPUs."""

    def __init__(self, options: ClusterOptions, trainer: Trainer | None = None) -> None:
        """Keeps the options; Ray starts in `run`.

        Args:
            options: The cluster, and what becomes of a trial that is lost.
            trainer: What trains a trial; `workers.run.run_trial` unless given.
        """
        self._options = options
        self._trainer = trainer

    def run(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> EngineReport:
        """Runs the jobs, the first listed first; see `Engine`.

        Raises:
            UserError: The cluster cannot be reached, no node can hold one trial, or a node lacks
                data, weights or results.
        """
        if not jobs:
            return EngineReport(outcomes=(), interrupted=False)
        with (
            connect(self._options) as slots,
            stop_on_signals() as stopper,
            tempfile.TemporaryDirectory(prefix="podium-tune-") as scratch,
        ):
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)
            admitted = admission(jobs, store)
            check_nodes(
                admitted.needs,
                trial_cpus=self._options.trial_cpus,
                trial_gpus=self._options.trial_gpus,
            )
            watcher = Watcher(
                jobs,
                store,
                progress,
                usual_gpus=self._options.trial_gpus,
                max_failures=self._options.max_failures,
                no_progress_seconds=self._options.no_progress_seconds,
            )
            tuner = tune.Tuner(
                _trainable(jobs, store, self._options, self._trainer, admitted),
                tune_config=tune.TuneConfig(
                    num_samples=-1,
                    search_alg=Attempts(watcher, is_stopped=stopper.stop_all),
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


def _trainable(
    jobs: Sequence[TrialJob],
    store: Store,
    options: ClusterOptions,
    trainer: Trainer | None,
    admitted: Admission,
) -> Callable[..., None]:
    """Makes the function each trial runs; the jobs travel once, trial configurations stay small.

    Every process fetches and opens the jobs once: `tune.with_parameters` would do so every trial.
    """
    book = ray.put(
        cloudpickle.dumps(
            {
                "jobs": {job.trial_id: job for job in jobs},
                "location": store.location,
                "trainer": trainer,
                "admitted": admitted,
            }
        )
    )

    def run_in_actor(config: dict[str, Any]) -> None:
        _run_in_actor(config["trial_id"], config["gpus"], book)

    def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        bundle = {"CPU": options.trial_cpus, "GPU": config["gpus"]}
        return tune.PlacementGroupFactory([{key: value for key, value in bundle.items() if value}])

    return tune.with_resources(run_in_actor, resources)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _open_book(book: ray.ObjectRef[bytes]) -> Mapping[str, Any]:
    return cloudpickle.loads(ray.get(book))  # type: ignore[no-any-return]


class _SpoiledProcessError(RuntimeError):
    """Makes Tune end a process in which nothing more should be trained."""


def _run_in_actor(trial_id: str, gpus: float, book: ray.ObjectRef[bytes]) -> None:
    """Runs one trial inside a Tune actor and reports its epochs and outcome.

    Tune takes a whole round trip for each report: epochs that end within a second of the start
    or of one another are left out, and the outcome says itself that it is the last.
    """
    content = _open_book(book)
    gpu_ids = assigned_gpus(gpus, ray.get_gpu_ids(), os.environ)
    trainer = content["trainer"]
    if trainer is None:
        from workers.run import run_trial as trainer

    job: TrialJob = content["jobs"][trial_id]
    runtime = dataclasses.replace(job.runtime, gpu_ids=gpu_ids, gpu_share=min(1.0, gpus or 1.0))
    job = dataclasses.replace(job, runtime=runtime, gpus=gpus)
    problem = content["admitted"].problem(ray.get_runtime_context().get_node_id())
    if problem is not None:
        outcome = misplaced(trial_id, problem)
        tune.report({"outcome": dataclasses.asdict(outcome), "done": False})
        raise _SpoiledProcessError(outcome.message)
    last_report = time.monotonic()

    def on_epoch(record: EpochRecord) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= _REPORT_INTERVAL_SECONDS:
            last_report = now
            try:
                tune.report({"epoch": record.epoch, "val_dice": record.val_dice})
            except SystemExit as error:  # Tune ends a stopped attempt in this way
                raise KeyboardInterrupt from error

    try:
        outcome = execute(job, Store(content["location"]), trainer, on_epoch)
    except KeyboardInterrupt:
        sys.exit(0)  # Tune treats any other exception as an error of the attempt
    tune.report({"outcome": dataclasses.asdict(outcome), "done": not outcome.spoiled})
    if outcome.spoiled:
        raise _SpoiledProcessError(outcome.message)


def assigned_gpus(
    requested: float,
    ray_gpu_ids: Sequence[int | str],
    environment: dict[str, str] | os._Environ[str],
) -> tuple[str, ...]:
    """Checks that the process sees exactly the GPUs it was assigned; hides them all without any.

    Args:
        requested: GPUs of one trial, or a fraction of one.
        ray_gpu_ids: What Ray says it assigned.
        environment: The process's environment, changed where no GPU was requested.

    Returns:
        The identifiers of the assigned GPUs, empty without any.

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
            f"the trial was to get {requested} GPU; Ray assigned {assigned or 'none'} and "
            f"CUDA_VISIBLE_DEVICES shows {visible or 'none'}"
        )
        raise RuntimeError(message)
    return assigned
