"""The engine on Ray Tune: a fresh experiment with the pending trials, on reused actors.

Tune schedules and nothing more. What is finished is in the store, so Tune's own state is
written to a temporary folder and thrown away, and `Tuner.restore` is never used.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import ray
from ray import cloudpickle, tune

from orchestrator.cost import num_slots
from orchestrator.engine.base import (
    EngineReport,
    Outcome,
    TrialJob,
    execute,
    record_failure,
    report_outcome,
    utc_now,
)
from orchestrator.progress import Progress
from orchestrator.store import Store, StoreError
from workers.contract import EpochRecord, FailureClass, Trainer, UserError

_REPORT_INTERVAL_SECONDS = 1.0
_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which Ray to use, and the share of it that one trial gets.

    Attributes:
        address: A running cluster; None starts a local one, unless RAY_ADDRESS names one.
        num_cpus: Size of the local cluster; None takes the machine's.
        num_gpus: Likewise; more than the machine has gives logical GPUs, for scheduling tests.
        trial_cpus: CPUs of one trial.
        trial_gpus: GPUs of one trial, or a fraction of one.
        max_failures: How often a trial is started again after its process or node was lost.
    """

    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    trial_cpus: float = 1
    trial_gpus: float = 0
    max_failures: int = 3


class RayTuneEngine:
    """Runs jobs on a Ray cluster, each trial pinned to its CPUs and GPUs."""

    def __init__(self, options: ClusterOptions, trainer: Trainer | None = None) -> None:
        """Keeps the options; Ray starts in `run`.

        Args:
            options: The cluster and the share of one trial.
            trainer: What trains a trial; `workers.run.run_trial` unless given.
        """
        self._options = options
        self._trainer = trainer

    def run(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> EngineReport:
        """Runs the jobs, the first listed first; see `Engine`.

        Raises:
            UserError: The cluster cannot be reached, or no node can hold one trial.
        """
        if not jobs:
            return EngineReport(outcomes=(), interrupted=False)
        with (
            _cluster(self._options) as slots,
            _stop_on_signals() as stopper,
            tempfile.TemporaryDirectory(prefix="podium-tune-") as scratch,
        ):
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)
            watcher = _Watcher(jobs, store, progress)
            tuner = tune.Tuner(
                _trainable(jobs, store, self._options, self._trainer),
                param_space={"trial_id": tune.grid_search([job.trial_id for job in jobs])},
                tune_config=tune.TuneConfig(
                    num_samples=1,
                    reuse_actors=True,
                    trial_name_creator=_trial_name,
                    trial_dirname_creator=_trial_name,
                ),
                run_config=tune.RunConfig(
                    name="sweep",
                    storage_path=scratch,
                    verbose=0,
                    stop=stopper,
                    callbacks=[watcher],
                    failure_config=tune.FailureConfig(max_failures=self._options.max_failures),
                ),
            )
            with _quiet_tune():
                tuner.fit()
        return EngineReport(outcomes=tuple(watcher.outcomes), interrupted=stopper.stopped)


def _trial_name(trial: Any) -> str:
    return str(trial.config["trial_id"])


def _trainable(
    jobs: Sequence[TrialJob], store: Store, options: ClusterOptions, trainer: Trainer | None
) -> Callable[..., None]:
    """Makes the function each trial runs; the jobs travel once, trial configurations stay small."""
    book = cloudpickle.dumps(
        {
            "jobs": {job.trial_id: job for job in jobs},
            "location": store.location,
            "trainer": trainer,
            "gpus": options.trial_gpus,
        }
    )
    resources = {"cpu": options.trial_cpus, "gpu": options.trial_gpus}
    return tune.with_resources(tune.with_parameters(_run_in_actor, book=book), resources)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _open_book(book: bytes) -> Mapping[str, Any]:
    return cloudpickle.loads(book)  # type: ignore[no-any-return]


def _run_in_actor(config: Mapping[str, str], book: bytes) -> None:
    """Runs one trial inside a Tune actor and reports its epochs and outcome."""
    content = _open_book(book)
    gpu_ids = assigned_gpus(content["gpus"], ray.get_gpu_ids(), os.environ)
    trainer = content["trainer"]
    if trainer is None:
        from workers.run import run_trial as trainer

    job: TrialJob = content["jobs"][config["trial_id"]]
    job = dataclasses.replace(job, runtime=dataclasses.replace(job.runtime, gpu_ids=gpu_ids))
    last_report = -math.inf

    def on_epoch(record: EpochRecord) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= _REPORT_INTERVAL_SECONDS:
            last_report = now
            tune.report({"epoch": record.epoch, "val_dice": record.val_dice})

    outcome = execute(job, Store(content["location"]), trainer, on_epoch)
    tune.report({"outcome": dataclasses.asdict(outcome)})


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


class _Watcher(tune.Callback):
    """Turns Tune's events into progress, outcomes and, for lost processes, failure rows."""

    def __init__(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> None:
        self._jobs = {job.trial_id: job for job in jobs}
        self._store = store
        self._progress = progress
        self.outcomes: list[Outcome] = []

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune stores its callbacks for a restore that never comes.

        And the display of a terminal cannot be stored.
        """
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        job = self._jobs[_trial_name(trial)]
        self._progress.trial_started(job.trial_id, job.label)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: object
    ) -> None:
        if "outcome" in result:
            self._finish(Outcome(**result["outcome"]))
        elif "epoch" in result:
            self._progress.epoch(_trial_name(trial), result["epoch"], result["val_dice"])

    def on_trial_recover(
        self, iteration: int, trials: list[Any], trial: Any, **info: object
    ) -> None:
        self._record_loss(self._jobs[_trial_name(trial)], trial, "started again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        job = self._jobs[_trial_name(trial)]
        message = self._record_loss(job, trial, "given up for this run")
        self._finish(
            Outcome(
                trial_id=job.trial_id,
                status="failed",
                failure_class=FailureClass.INFRASTRUCTURE,
                message=message,
            )
        )

    def _finish(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        report_outcome(outcome, self._progress)

    def _record_loss(self, job: TrialJob, trial: Any, consequence: str) -> str:
        """Notes that a trial's process or node was lost; Tune's own error text is the trace."""
        trace = str(trial.get_error() or "")
        last_line = next(iter(reversed(trace.strip().splitlines())), "no message")
        message = f"the trial's process ended ({last_line.strip()}); {consequence}"
        try:
            record_failure(job, self._store, FailureClass.INFRASTRUCTURE, message, trace, utc_now())
        except StoreError as error:
            return f"{message}; and the failure could not be stored: {error}"
        return message


class _SignalStopper(tune.Stopper):
    """Ends the experiment when told to."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never ends a single trial."""
        return False

    def stop_all(self) -> bool:
        return self.stopped


@contextmanager
def _stop_on_signals() -> Iterator[_SignalStopper]:
    """Lets Ctrl-C and SIGTERM end the sweep at the next event; a second one ends it at once."""
    stopper = _SignalStopper()
    previous: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopper.stopped:
            raise KeyboardInterrupt
        stopper.stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread: whoever runs us handles signals
            break
    try:
        yield stopper
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Keeps Tune's own messages, which tell to use `Tuner.restore`, off the terminal."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _cluster(options: ClusterOptions) -> Iterator[int]:
    """Connects to Ray, or starts it, and yields how many trials fit at once."""
    os.environ.update(_TUNE_SETTINGS)
    ours = not ray.is_initialized()
    address = options.address or os.environ.get("RAY_ADDRESS")
    if ours:
        _start_ray(options, address)
    try:
        yield _count_slots(options, is_remote=address is not None)
    finally:
        if ours:
            ray.shutdown()


def _start_ray(options: ClusterOptions, address: str | None) -> None:
    local: dict[str, Any] = {"include_dashboard": False}
    if options.num_cpus is not None:
        local["num_cpus"] = options.num_cpus
    if options.num_gpus is not None:
        local["num_gpus"] = options.num_gpus
    try:
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else local),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = (
            f"no Ray cluster at {address!r} (cluster.address or RAY_ADDRESS): {error}; start one "
            f"with `ray start --head`, or leave cluster.address empty for a local one"
        )
        raise UserError(message) from error


def _count_slots(options: ClusterOptions, *, is_remote: bool) -> int:
    slots = 0
    for node in ray.nodes():
        if node["Alive"]:
            slots += num_slots(
                cpus=int(node["Resources"].get("CPU", 0)),
                gpus=int(node["Resources"].get("GPU", 0)),
                cpus_per_trial=options.trial_cpus,
                gpus_per_trial=options.trial_gpus,
            )
    if slots == 0 and not is_remote:
        have = {key: ray.cluster_resources().get(key, 0) for key in ("CPU", "GPU")}
        message = (
            f"resources: a trial needs {options.trial_cpus} CPUs and {options.trial_gpus} GPUs, "
            f"and this machine offers {have['CPU']:g} and {have['GPU']:g}: lower resources.cpus "
            f"or resources.gpus"
        )
        raise UserError(message)
    return max(slots, 1)
