"""The search on Ray Tune: Optuna proposes, ASHA may stop, the store remembers.

As with grids, Tune's own state is thrown away. What earlier runs tried is told to a fresh sampler
and a fresh scheduler, which therefore know what they would have known without the interruption.
"""

from __future__ import annotations

import functools
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.schedulers import TrialScheduler

from orchestrator.engine.base import TrialJob, record_failure, utc_now
from orchestrator.engine.ray_cluster import ClusterOptions, connect, quiet_tune, stop_on_signals
from orchestrator.engine.ray_tune import assigned_gpus
from orchestrator.progress import EpochEnded, Progress, TrialFailed, TrialFinished, TrialStarted
from orchestrator.records import CandidateRow
from orchestrator.store import Store, StoreError
from orchestrator.tune.sampler import StoredSearch, scheduler_of
from orchestrator.tune.studies import (
    Study,
    candidates_of,
    running_mean,
    step_of,
    still_to_try,
    training_value,
)
from workers.contract import EpochRecord, FailureClass, Runtime, Trainer, TrialSpec
from workers.failures import classify_failure

RuntimeOf = Callable[[TrialSpec], Runtime]


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """What a run of searches came to: candidates that failed, and whether it was stopped."""

    num_failed: int
    interrupted: bool


class RaySearch:
    """Runs searches on a Ray cluster one after another, candidates of one at the same time."""

    def __init__(self, options: ClusterOptions, trainer: Trainer | None = None) -> None:
        """Keeps the options; Ray starts in `run`.

        Args:
            options: The cluster and the share of one training.
            trainer: What trains; `workers.run.run_trial` unless given.
        """
        self._options = options
        self._trainer = trainer

    def run(
        self, studies: Sequence[Study], store: Store, progress: Progress, runtime_of: RuntimeOf
    ) -> SearchReport:
        """Runs what is missing of each search.

        Raises:
            UserError: The cluster cannot be reached, or no node can hold one training.
        """
        num_failed = 0
        with connect(self._options) as slots, stop_on_signals() as stopper:
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots + 1)
            os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a last report has no step
            for study in studies:
                known = candidates_of(study, store.candidates(study.search_id))
                waiting = still_to_try(study, known)
                if not waiting or stopper.stopped:
                    continue
                scheduler = scheduler_of(study, known)
                watcher = _Watcher(study, store, progress, runtime_of, scheduler)
                trainable = _trainable(study, store, self._options, self._trainer, runtime_of)
                with tempfile.TemporaryDirectory(prefix="podium-tune-") as scratch, quiet_tune():
                    tune.Tuner(
                        trainable,
                        tune_config=tune.TuneConfig(
                            num_samples=len(waiting),
                            max_concurrent_trials=slots,
                            search_alg=StoredSearch(study, known),
                            scheduler=scheduler,
                            reuse_actors=True,
                            trial_name_creator=_trial_name,
                            trial_dirname_creator=_trial_name,
                        ),
                        run_config=tune.RunConfig(
                            name="search",
                            storage_path=scratch,
                            verbose=0,
                            stop=stopper,
                            callbacks=[watcher],
                            failure_config=tune.FailureConfig(
                                max_failures=self._options.max_failures
                            ),
                        ),
                    ).fit()
                num_failed += watcher.num_failed
        return SearchReport(num_failed=num_failed, interrupted=stopper.stopped)


def _trial_name(trial: Any) -> str:
    return f"candidate-{trial.config['number']}-{trial.trial_id}"


def _job(study: Study, runtime_of: RuntimeOf, config: Mapping[str, Any], position: int) -> TrialJob:
    values = config["values"]
    spec = study.spec(position, values)
    return TrialJob(
        trial_id=study.training_id(config["number"], position, values),
        spec=spec,
        runtime=runtime_of(spec),
    )


def _trainable(
    study: Study,
    store: Store,
    options: ClusterOptions,
    trainer: Trainer | None,
    runtime_of: RuntimeOf,
) -> Callable[..., None]:
    book = cloudpickle.dumps(
        {
            "study": study,
            "location": store.location,
            "trainer": trainer,
            "gpus": options.trial_gpus,
            "runtime_of": runtime_of,
        }
    )
    resources = {"cpu": options.trial_cpus, "gpu": options.trial_gpus}
    return tune.with_resources(tune.with_parameters(_try_candidate, book=book), resources)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _open_book(book: bytes) -> Mapping[str, Any]:
    return cloudpickle.loads(book)  # type: ignore[no-any-return]


def _try_candidate(config: Mapping[str, Any], book: bytes) -> None:
    """Trains one candidate inside a Tune actor; each training that ends is a row at once."""
    content = _open_book(book)
    study: Study = content["study"]
    gpu_ids = assigned_gpus(content["gpus"], ray.get_gpu_ids(), os.environ)
    store = Store(content["location"])
    trainer = content["trainer"]
    if trainer is None:
        from workers.run import run_trial as trainer
    before: list[float] = []
    status = "completed"
    for position in range(len(study.cells)):
        job = _job(study, content["runtime_of"], config, position)
        job = replace(job, runtime=replace(job.runtime, gpu_ids=gpu_ids))
        row = store.find_candidate(job.trial_id)
        if row is None:
            try:
                row = _train(study, config, job, store, trainer, before)
            except Exception as error:  # noqa: BLE001 - whatever it raises must not stop the others
                failure_class = classify_failure(error)
                message = f"{type(error).__name__}: {error}".strip()
                record_failure(
                    job, store, failure_class, message, traceback.format_exc(), utc_now()
                )
                failure = {"failure_class": str(failure_class), "message": message}
                tune.report({"ended": "failed"} | failure)
                return
        before.append(training_value(row))
        if row.status == "diverged":
            status = "diverged"
    tune.report({"ended": "finished", "status": status, "value": sum(before) / len(before)})


def _train(
    study: Study,
    config: Mapping[str, Any],
    job: TrialJob,
    store: Store,
    trainer: Trainer,
    before: Sequence[float],
) -> CandidateRow:
    best = 0.0
    position = len(before)

    def on_epoch(record: EpochRecord) -> None:
        nonlocal best
        best = max(best, record.val_dice)
        tune.report(
            {
                "step": step_of(position, record.epoch, study.max_epochs),
                "value": running_mean(before, best),
                "position": position,
                "epoch": record.epoch,
                "val_dice": record.val_dice,
                "seconds": record.seconds,
            }
        )

    result = trainer(job.spec, job.runtime, store.checkpoints(job.trial_id), on_epoch)
    row = CandidateRow(
        trial_id=job.trial_id,
        search_id=study.search_id,
        number=config["number"],
        spec=job.spec,
        status="diverged" if result.status == "diverged" else "completed",
        parameters=config["values"],
        val_dice=tuple(record.val_dice for record in result.epochs),
        best_val_dice=result.best_val_dice,
        best_epoch=result.best_epoch,
        num_epochs=result.num_epochs,
        train_seconds=result.train_seconds,
        device=result.device,
        host=result.host,
        dataset_fingerprint=result.dataset_fingerprint,
        code_version=result.code_version,
        versions=result.versions,
        message=result.message,
        committed_at=utc_now(),
    )
    store.commit_candidate(row)
    store.delete_checkpoint(job.trial_id)
    return row


class _Watcher(tune.Callback):
    """Shows candidates, and writes the rows of those that were stopped or lost."""

    def __init__(
        self,
        study: Study,
        store: Store,
        progress: Progress,
        runtime_of: RuntimeOf,
        scheduler: TrialScheduler,
    ) -> None:
        self._study = study
        self._store = store
        self._progress = progress
        self._runtime_of = runtime_of
        self._scheduler = scheduler
        self._epochs: dict[str, list[dict[str, Any]]] = {}
        self.num_failed = 0

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune stores its callbacks for a restore that never comes."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        number = trial.config["number"]
        self._progress.on(TrialStarted(trial.trial_id, f"{self._study.label} · #{number}"))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: object
    ) -> None:
        if "step" in result:
            seen = self._epochs.setdefault(trial.trial_id, [])
            # A training that starts again replaces what it reported before.
            place = (result["position"], result["epoch"])
            seen[:] = [one for one in seen if (one["position"], one["epoch"]) < place]
            seen.append(result)
            self._progress.on(EpochEnded(trial.trial_id, result["step"], result["value"]))
        elif result.get("ended") == "finished":
            seconds = sum(one["seconds"] for one in self._epochs.get(trial.trial_id, ()))
            status = result["status"]
            value = result["value"] if status == "completed" else None
            self._progress.on(TrialFinished(trial.trial_id, status, value, seconds))
        elif result.get("ended") == "failed":
            self.num_failed += 1
            event = TrialFailed(trial.trial_id, result["failure_class"], result["message"])
            self._progress.on(event)

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: object
    ) -> None:
        """Writes the row of the training at which a candidate was stopped."""
        if trial.trial_id not in getattr(self._scheduler, "pruned", ()):
            return
        epochs = self._epochs[trial.trial_id]
        last = epochs[-1]
        own = [one for one in epochs if one["position"] == last["position"]]
        best = max(own, key=lambda one: (one["val_dice"], -one["epoch"]))
        job = _job(self._study, self._runtime_of, trial.config, last["position"])
        self._store.commit_candidate(
            CandidateRow(
                trial_id=job.trial_id,
                search_id=self._study.search_id,
                number=trial.config["number"],
                spec=job.spec,
                status="pruned",
                parameters=trial.config["values"],
                val_dice=tuple(one["val_dice"] for one in own),
                best_val_dice=best["val_dice"],
                best_epoch=best["epoch"],
                num_epochs=last["epoch"],
                train_seconds=sum(one["seconds"] for one in own),
                committed_at=utc_now(),
            )
        )
        self._store.delete_checkpoint(job.trial_id)
        seconds = sum(one["seconds"] for one in epochs)
        self._progress.on(TrialFinished(trial.trial_id, "pruned", last["value"], seconds))

    def on_trial_recover(
        self, iteration: int, trials: list[Any], trial: Any, **info: object
    ) -> None:
        self._record_loss(trial, "started again")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        self.num_failed += 1
        message = self._record_loss(trial, "given up for this run")
        self._progress.on(TrialFailed(trial.trial_id, FailureClass.INFRASTRUCTURE, message))

    def _record_loss(self, trial: Any, consequence: str) -> str:
        """Notes that a candidate's process or node was lost, at the training it was in."""
        trace = str(trial.get_error() or "")
        last_line = next(iter(reversed(trace.strip().splitlines())), "no message")
        message = f"the candidate's process ended ({last_line.strip()}); {consequence}"
        seen = self._epochs.get(trial.trial_id)
        position = seen[-1]["position"] if seen else 0
        job = _job(self._study, self._runtime_of, trial.config, position)
        try:
            record_failure(job, self._store, FailureClass.INFRASTRUCTURE, message, trace, utc_now())
        except StoreError as error:
            return f"{message}; and the failure could not be stored: {error}"
        return message
