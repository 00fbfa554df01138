"""Decides for each trial of a grid whether the next run starts it; pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any

from orchestrator.plan.conflicts import refuse_conflicts
from orchestrator.plan.cost import CostModel, Estimate, EstimateSource, makespan_seconds
from orchestrator.plan.grid import Grid
from orchestrator.plan.race_state import RaceState
from orchestrator.plan.retries import share_after, share_text
from orchestrator.records import CommittedTrial, DamagedFile, FailureRow
from workers.contract import FailureClass, JSONValue, TrialSpec, TrialStatus, UserError

MAX_CAUSES = 5
"""Most causes of one failure class that a summary lists."""


class Action(StrEnum):
    """What the next run does with a trial."""

    RUN = "RUN"
    SKIP = "SKIP"
    RETRY = "RETRY"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedTrial:
    """One trial and what the next run does with it.

    Attributes:
        reason: Why, in a few words.
        expected_seconds: Estimate; 0 for a skipped trial.
        source: Source of the estimate; None for a skipped trial.
        status: How the trial ended; None while it has no result.
        failure: Class of the last failure; None without a failure, or with a result after it.
        attempt: Number of the next attempt, counted from 1.
        gpus: GPU share of the next attempt, if it differs from the grid's.
        held_back: Whether a race spares the trial, or lets it wait.
    """

    spec: TrialSpec
    trial_id: str
    action: Action
    reason: str
    expected_seconds: float = 0.0
    source: EstimateSource | None = None
    status: TrialStatus | None = None
    failure: FailureClass | None = None
    attempt: int = 1
    gpus: float | None = None
    held_back: bool = False

    @property
    def failed(self) -> bool:
        """Whether the trial has no result and the next run does not start it again."""
        return self.action == Action.SKIP and self.status is None and not self.held_back

    @property
    def may_run(self) -> bool:
        """Whether the trial runs now, or can run in a later round of a race."""
        return self.action != Action.SKIP or self.held_back

    @property
    def label(self) -> str:
        """Short name of the trial: dataset, model, loss and repeat."""
        spec = self.spec
        return f"{spec.dataset.label} · {spec.model.label} · {spec.loss.label} · {spec.repeat}"

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the values of a listing."""
        return {
            "trial_id": self.trial_id,
            "dataset": self.spec.dataset.label,
            "model": self.spec.model.label,
            "loss": self.spec.loss.label,
            "repeat": self.spec.repeat,
            "action": self.action.value,
            "reason": self.reason,
            "expected_seconds": round(self.expected_seconds, 3),
            "estimate": self.source.value if self.source else None,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every trial of a grid exactly once, in the grid's order; `race` with `policy: race`."""

    grid: Grid
    trials: tuple[PlannedTrial, ...]
    race: RaceState | None = None

    @cached_property
    def pending(self) -> tuple[PlannedTrial, ...]:
        """Trials to run, longest expected first, so that no long trial runs alone at the end."""
        pending = (trial for trial in self.trials if trial.action != Action.SKIP)
        return tuple(sorted(pending, key=lambda trial: -trial.expected_seconds))

    @cached_property
    def failed(self) -> tuple[PlannedTrial, ...]:
        """Trials without a result that the next run does not start again."""
        return tuple(trial for trial in self.trials if trial.failed)

    def wall_seconds(self, slots: int) -> float:
        """Returns the expected wall time of the pending trials on `slots` slots."""
        return makespan_seconds([trial.expected_seconds for trial in self.pending], slots)


def plan(
    grid: Grid,
    committed: Mapping[str, CommittedTrial],
    failures: Iterable[FailureRow] = (),
    damaged: Iterable[DamagedFile] = (),
    *,
    retry: frozenset[FailureClass] = frozenset(),
    num_images: Mapping[str, int] | None = None,
    device: str = "",
) -> Plan:
    """Decides what the next run does with each trial.

    Args:
        grid: The sweep.
        committed: Finished trials by id; trials of other grids are allowed.
        failures: All failures so far.
        damaged: Files of trials that cannot be read.
        retry: Failure classes to start again, besides those that always are: infrastructure, and
            out-of-memory while a larger GPU share exists.
        num_images: Number of images by dataset label, if they are counted; only the expected
            seconds depend on it.
        device: Name of the GPU, if it is known; only the expected seconds depend on it.

    Raises:
        UserError: A label would have two meanings, or one entry two labels.
    """
    if FailureClass.DIVERGED in retry:
        msg = "--retry diverged: a diverged trial is a result; change its parameters or its seed"
        raise UserError(msg)
    rows = list(committed.values())
    refuse_conflicts(grid, rows)
    failures = tuple(failures)
    last, shares = _last_failures(failures), _failed_shares(failures)
    torn = {item.trial_id: item.path for item in damaged}
    costs = CostModel(
        rows,
        grid.trials,
        grid.protocol_id,
        cpus_per_trial=grid.cpus_per_trial,
        gpus_per_trial=grid.gpus_per_trial,
        gpu_shares=grid.gpu_shares,
        num_images=num_images or {},
        device=device,
    )
    estimates: dict[tuple[str, str], Estimate] = {}
    trials: list[PlannedTrial] = []
    for key, spec in zip(grid.trial_ids, grid.trials, strict=True):
        block = (spec.dataset.label, spec.model.label)
        if block not in estimates:  # no estimate depends on loss or repeat
            estimates[block] = costs.estimate(spec)
        before = _NOTHING
        row = committed.get(key)
        if row is not None or key in last or key in torn:
            before = _Before(
                status=None if row is None else row.status,
                failure=last.get(key),
                damaged=torn.get(key),
                short_of_memory=key in shares,
                failed_share=shares.get(key),
            )
        trial = _decide(spec, key, before, retry, estimates[block], grid.gpus_of(spec))
        if trial.gpus is None and spec.model.label in grid.gpu_shares:
            trial = replace(trial, gpus=grid.gpus_of(spec))
        trials.append(trial)
    return Plan(grid=grid, trials=tuple(trials))


@dataclass(frozen=True, kw_only=True)
class _Before:
    """What the results hold about a trial.

    Attributes:
        short_of_memory: Whether an attempt ran out of memory.
        failed_share: The largest GPU share on which one did; None if it is not known.
    """

    status: TrialStatus | None
    failure: FailureRow | None
    damaged: str | None
    short_of_memory: bool
    failed_share: float | None

    def next_share(self, configured: float) -> float | None:
        """Returns the share of the next attempt; None if memory ran out on the largest share."""
        if not self.short_of_memory:
            return configured
        return share_after(configured, self.failed_share)


_NOTHING = _Before(
    status=None, failure=None, damaged=None, short_of_memory=False, failed_share=None
)


def _decide(
    spec: TrialSpec,
    trial_id: str,
    before: _Before,
    retry: frozenset[FailureClass],
    estimate: Estimate,
    configured_gpus: float,
) -> PlannedTrial:
    status, failure, damaged = before.status, before.failure, before.damaged
    if before is _NOTHING:
        return PlannedTrial(
            spec=spec,
            trial_id=trial_id,
            action=Action.RUN,
            reason="no result yet",
            expected_seconds=estimate.seconds,
            source=estimate.source,
        )
    if status is not None:
        return PlannedTrial(
            spec=spec, trial_id=trial_id, action=Action.SKIP, reason=status.value, status=status
        )
    failure_class = failure.failure_class if failure else None
    attempts = failure.attempt if failure else 0
    what = f"{failure_class} (attempt {attempts})"
    share = before.next_share(configured_gpus)
    final = failure_class == FailureClass.BUG or (
        failure_class == FailureClass.OUT_OF_MEMORY and share is None
    )
    # A damaged result is newer than every failure before it.
    if damaged is None and final and failure_class not in retry:
        return PlannedTrial(
            spec=spec,
            trial_id=trial_id,
            action=Action.SKIP,
            reason=f"failed: {what}, use --retry {failure_class}",
            failure=failure_class,
            attempt=attempts + 1,
        )
    action, reason = Action.RUN, "no result yet"
    if damaged is not None:
        action, reason = Action.RETRY, f"damaged file: {damaged}"
    elif failure_class is not None:
        action, reason = Action.RETRY, f"after {what}"
    if share is None:  # the user asked for a retry: with the largest share
        share = max(configured_gpus, before.failed_share or 0.0)
    larger = share if share > configured_gpus else None
    if larger is not None:
        reason = f"{reason}, on {share_text(larger)}"
    return PlannedTrial(
        spec=spec,
        trial_id=trial_id,
        action=action,
        reason=reason,
        expected_seconds=estimate.seconds,
        source=estimate.source,
        failure=failure_class,
        attempt=attempts + 1,
        gpus=larger,
    )


def _failed_shares(failures: Iterable[FailureRow]) -> dict[str, float | None]:
    """Returns, for each trial that ran out of memory, the largest GPU share on which it did."""
    shares: dict[str, float | None] = {}
    for row in failures:
        if row.failure_class == FailureClass.OUT_OF_MEMORY:
            known = [share for share in (shares.get(row.trial_id), row.gpus) if share is not None]
            shares[row.trial_id] = max(known, default=None)
    return shares


def _last_failures(failures: Iterable[FailureRow]) -> dict[str, FailureRow]:
    last: dict[str, FailureRow] = {}
    for row in failures:
        if row.trial_id not in last or row.attempt >= last[row.trial_id].attempt:
            last[row.trial_id] = row
    return last


def plan_summary(plan: Plan, slots: int) -> dict[str, Any]:
    """Returns the JSON of `podium plan --json`, without its last key `trials`.

    Args:
        plan: The plan.
        slots: Number of trials that run at the same time.
    """
    grid, pending = plan.grid, plan.pending
    seconds = sum(trial.expected_seconds for trial in pending)
    gpu_seconds = sum(
        trial.expected_seconds * (trial.gpus or grid.gpus_per_trial) for trial in pending
    )
    sources = Counter(trial.source for trial in pending if trial.source)
    return {
        "name": grid.name,
        "grid_id": grid.grid_id,
        "protocol_id": grid.protocol_id,
        "num_trials": len(plan.trials),
        "num_pending": len(pending),
        "num_failed": len(plan.failed),
        "actions": _actions(plan.trials),
        "axes": {
            "datasets": _by_label(plan, "dataset"),
            "models": _by_label(plan, "model"),
            "losses": _by_label(plan, "loss"),
        },
        "repeats": grid.repeats,
        "slots": slots,
        "expected_wall_seconds": round(plan.wall_seconds(slots), 3),
        "expected_gpu_hours": round(gpu_seconds / 3600, 6),
        "expected_cpu_core_hours": round(seconds * grid.cpus_per_trial / 3600, 6),
        "estimates": {
            source.value: sources[source] for source in EstimateSource if sources[source]
        },
        "race": plan.race.to_json() if plan.race else None,
    }


def summarise_status(plan: Plan, failures: Iterable[FailureRow], slots: int) -> dict[str, Any]:
    """Returns the JSON of `podium status --json`.

    Each trial is exactly one of completed, diverged, failed and pending. `failures` counts, by
    class, the trials that failed and have no result, or that diverged, with one message each.
    """
    trials = {trial.trial_id: trial for trial in plan.trials}
    num_completed = sum(trial.status == TrialStatus.COMPLETED for trial in plan.trials)
    num_diverged = sum(trial.status == TrialStatus.DIVERGED for trial in plan.trials)
    return {
        "name": plan.grid.name,
        "grid_id": plan.grid.grid_id,
        "num_trials": len(plan.trials),
        "completed": num_completed,
        "diverged": num_diverged,
        "failed": len(plan.failed),
        "pending": len(plan.pending),
        "race": plan.race.to_json() if plan.race else None,
        "failures": _unresolved_failures(trials, failures),
        "slots": slots,
        "eta_seconds": round(plan.wall_seconds(slots), 3),
    }


def _unresolved_failures(
    trials: Mapping[str, PlannedTrial], failures: Iterable[FailureRow]
) -> dict[str, JSONValue]:
    unresolved: dict[str, list[tuple[PlannedTrial, str]]] = {}
    for key, row in _last_failures(failures).items():
        trial = trials.get(key)
        diverged = row.failure_class is FailureClass.DIVERGED
        if trial is not None and (trial.status is None or diverged):
            unresolved.setdefault(row.failure_class.value, []).append((trial, row.message))
    return {name: _summarise_failures(found) for name, found in unresolved.items()}


def _summarise_failures(found: Sequence[tuple[PlannedTrial, str]]) -> dict[str, JSONValue]:
    """Counts the trials of one class and lists the causes, the most frequent first."""
    trial, message = found[-1]
    causes = Counter(text for _, text in found)
    examples = {text: example.label for example, text in found}
    return {
        "num_trials": len(found),
        "example_trial_id": trial.trial_id,
        "example_label": trial.label,
        "example_message": message,
        "causes": [
            {"message": text, "num_trials": count, "example_label": examples[text]}
            for text, count in causes.most_common(MAX_CAUSES)
        ],
    }


def _actions(trials: Iterable[PlannedTrial]) -> dict[str, JSONValue]:
    counts = Counter(trial.action for trial in trials)
    return {action.value: counts[action] for action in Action}


def _by_label(plan: Plan, axis: str) -> dict[str, JSONValue]:
    entry_of = attrgetter(axis)
    counts = Counter((entry_of(trial.spec).label, trial.action) for trial in plan.trials)
    labels = dict.fromkeys(label for label, _ in counts)
    return {label: {action.value: counts[label, action] for action in Action} for label in labels}
