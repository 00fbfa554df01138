"""Searches as a trial source: proposes candidates, orders their trainings, stops weak ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from orchestrator.engine.base import Outcome, TrialJob
from orchestrator.engine.sharing import OtherDrivers
from orchestrator.progress import (
    EpochEnded,
    Progress,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
)
from orchestrator.store import RunRecord, StoreError
from orchestrator.tune.sampler import Pruner, propose
from orchestrator.tune.studies import (
    Candidate,
    Study,
    Values,
    running_mean,
    step_of,
    still_to_try,
    training_value,
)
from orchestrator.tune.trainings import CandidateJob, SeenEpoch
from workers.contract import FailureClass, Runtime, TrialSpec

RuntimeOf = Callable[[TrialSpec], Runtime]
KnownOf = Callable[[Study], tuple[Candidate, ...]]


class _StudyState:
    """What this driver knows of one search.

    Attributes:
        known: Candidates with a row in the store, by number.
        tried: Numbers that this run has begun.
        elsewhere: Numbers that another driver tries, with the claim that it holds.
    """

    def __init__(self, study: Study, known: tuple[Candidate, ...]) -> None:
        self.study = study
        self.pruner = Pruner(study)
        self.known = known
        self.tried: set[int] = set()
        self.elsewhere: dict[int, str] = {}

    def next_number(self) -> int | None:
        """Returns the number of the next candidate for this driver."""
        numbers = (number for number, _ in still_to_try(self.study, self.known))
        return next((n for n in numbers if n not in self.tried and n not in self.elsewhere), None)


@dataclass(kw_only=True)
class _OpenCandidate:
    """A candidate that this driver tries now.

    Attributes:
        values_before: Best validation Dice of each training that ended.
        waits: Whether the next training has not been given to the engine yet.
        shown: Whether the display shows it as running.
        epochs: Epochs of the current training.
        seconds: Training time in this run.
    """

    state: _StudyState
    number: int
    values: Values
    values_before: list[float]
    diverged: bool
    waits: bool = True
    shown: bool = False
    epochs: list[SeenEpoch] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def key(self) -> str:
        """See `Study.candidate_id`."""
        return self.state.study.candidate_id(self.number)

    @property
    def value(self) -> float:
        """Mean of the trainings so far, with the best epoch of the current one."""
        if not self.epochs:
            return sum(self.values_before) / len(self.values_before)
        best = max(0.0, *(one.val_dice for one in self.epochs))
        return running_mean(self.values_before, best)


class SearchSource:
    """The trial source of searches; see `orchestrator.engine.base.TrialSource` for the methods.

    A candidate has as many trainings as its search has cells. They run one after another, and each
    is a job. At most `slots` candidates are open at the same time, so that a proposal knows as many
    results as possible. A driver claims the number of a candidate until it ends. Other drivers
    therefore take other numbers, and read the rows of this one before they propose.

    Attributes:
        num_failed: Candidates that failed in this run.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        known_of: KnownOf,
        others: OtherDrivers,
        progress: Progress,
        runtime_of: RuntimeOf,
    ) -> None:
        """Reads what each search has tried.

        Args:
            studies: The searches, in the order in which they begin.
            known_of: Reads the candidates of a search from the store.
            others: The store, this driver, and the drivers to wait for.
            progress: Shows candidates.
            runtime_of: Returns where and with what a training runs.

        Raises:
            StoreError: The store cannot be read.
        """
        self._states = [_StudyState(study, known_of(study)) for study in studies]
        self._known_of = known_of
        self._others = others
        self._claims = others.store.claims(others.run_id)
        self._progress = progress
        self._runtime_of = runtime_of
        self._open: dict[str, _OpenCandidate] = {}
        self._running: dict[str, tuple[_OpenCandidate, CandidateJob]] = {}
        self._ended = {  # in this run or an earlier one, here or in another driver
            state.study.candidate_id(one.number)
            for state in self._states
            for one in state.known
            if one.status != "partial"
        }
        self.num_failed = 0

    @property
    def jobs(self) -> Sequence[TrialJob]:
        """The trainings of each default: together they need what all candidates need."""
        return [
            self._job(state.study, 0, position, state.study.defaults)
            for state in self._states
            for position in range(len(state.study.cells))
        ]

    @property
    def is_finished(self) -> bool:
        """Whether every candidate has ended, has failed, or is tried by another driver."""
        return not self._open and all(state.next_number() is None for state in self._states)

    def next(self, slots: int) -> TrialJob | None:
        """Returns the next training of an open candidate, or the first one of a new candidate."""
        candidate = next((one for one in self._open.values() if one.waits), None)
        if candidate is None and len(self._open) < slots:
            candidate = next(filter(None, map(self._begin, self._states)), None)
        if candidate is None:
            return None
        position = len(candidate.values_before)
        job = self._job(candidate.state.study, candidate.number, position, candidate.values)
        candidate.waits = False
        self._running[job.trial_id] = candidate, job
        return job

    def started(self, job: TrialJob) -> None:
        """Shows the candidate with its first training."""
        candidate, _ = self._running[job.trial_id]
        if not candidate.shown:
            candidate.shown = True
            self._show_start(candidate.state.study, candidate.number)

    def goes_on(self, trial_id: str, epoch: int, val_dice: float, seconds: float) -> bool:
        """Asks ASHA, with the mean of the trainings so far."""
        candidate, _ = self._running[trial_id]
        # A training that starts again reports its epochs again.
        candidate.epochs = [one for one in candidate.epochs if one.epoch < epoch]
        candidate.epochs.append(SeenEpoch(epoch=epoch, val_dice=val_dice, seconds=seconds))
        study = candidate.state.study
        step = step_of(len(candidate.values_before), epoch, study.max_epochs)
        self._progress.on(EpochEnded(candidate.key, step, candidate.value))
        key = study.training_id(candidate.number, 0, candidate.values)
        return candidate.state.pruner.goes_on(key, candidate.number, step, candidate.value)

    def waits(self, trial_id: str, message: str) -> None:
        """Shows that the candidate does not run now."""
        candidate, _ = self._running[trial_id]
        candidate.shown = False
        self._progress.on(TrialLeft(candidate.key, message))

    def ended(self, outcome: Outcome) -> None:
        """Continues with the candidate's next training, or ends the candidate."""
        candidate, job = self._running.pop(outcome.trial_id)
        candidate.seconds += sum(one.seconds for one in candidate.epochs)
        if outcome.status == "pruned":
            self._prune(candidate, job)
        elif outcome.status == "failed":
            self._fail(candidate, outcome.failure_class or FailureClass.BUG, outcome.message)
        elif outcome.status == "elsewhere":
            # A driver that had lost its claim on the candidate still trains it.
            candidate.state.tried.discard(candidate.number)
            candidate.state.elsewhere[candidate.number] = outcome.trial_id
            self._close(candidate)
            self._progress.on(TrialLeft(candidate.key, outcome.message))
        else:
            candidate.values_before.append(outcome.dice or 0.0)
            candidate.diverged = candidate.diverged or outcome.status == "diverged"
            candidate.epochs = []
            candidate.waits = len(candidate.values_before) < len(candidate.state.study.cells)
            if not candidate.waits:
                self._finish(candidate, "diverged" if candidate.diverged else "completed")

    def wait(self) -> None:
        """Waits until this driver must try a candidate of another driver, or all have ended.

        Raises:
            StoreError: The claims cannot be read.
        """
        while self.is_finished:
            held = {
                claim: (state, number)
                for state in self._states
                for number, claim in state.elsewhere.items()
            }
            if not held:
                return
            for claim in self._others.wait(held):
                state, number = held[claim]
                del state.elsewhere[number]
            for state in self._states:
                self._read(state)

    def _begin(self, state: _StudyState) -> _OpenCandidate | None:
        """Claims the next number of a search and proposes its values."""
        while (number := state.next_number()) is not None:
            key = state.study.candidate_id(number)
            holder = self._claim(key)
            if holder is not None:
                state.elsewhere[number] = key
                self._show_start(state.study, number)
                message = f"process {holder.process_id} on {holder.host} is training it"
                self._progress.on(TrialLeft(key, message))
                continue
            self._read(state)
            state.tried.add(number)
            values = dict(still_to_try(state.study, state.known))
            if number in values:
                candidate = self._propose(state, number, values[number])
                self._open[key] = candidate
                return candidate
            self._release(key)  # another driver ended it before this claim
        return None

    def _propose(self, state: _StudyState, number: int, values: Values | None) -> _OpenCandidate:
        ended = [one for one in state.known if one.status != "partial"]
        partial = [one for one in state.known if one.number == number and one.values == values]
        for one in (*ended, *partial):
            state.pruner.learn(one)
        running = [one.values for one in self._open.values() if one.state is state]
        rows = partial[0].rows if partial else ()
        return _OpenCandidate(
            state=state,
            number=number,
            values=propose(state.study, ended, running, number, values),
            values_before=[training_value(row) for row in rows],
            diverged=any(row.status == "diverged" for row in rows),
        )

    def _job(self, study: Study, number: int, position: int, values: Values) -> CandidateJob:
        spec = study.spec(position, values)
        return CandidateJob(
            trial_id=study.training_id(number, position, values),
            spec=spec,
            runtime=self._runtime_of(spec),
            run_id=self._others.run_id,
            search_id=study.search_id,
            number=number,
            values=values,
        )

    def _claim(self, key: str) -> RunRecord | None:
        # Without a claim two drivers may try the candidate; then both count.
        with suppress(StoreError):
            return self._claims.claim(key, self._others.now())
        return None

    def _release(self, key: str) -> None:
        with suppress(StoreError):
            self._claims.release(key)

    def _read(self, state: _StudyState) -> None:
        """Reads what other drivers have tried meanwhile, and shows what ended."""
        with suppress(StoreError):  # the rows of the last reading serve as well
            state.known = self._known_of(state.study)
        for one in state.known:
            key = state.study.candidate_id(one.number)
            if one.status == "partial" or key in self._ended or key in self._open:
                continue
            self._ended.add(key)
            self._show_start(state.study, one.number)
            seconds = sum(row.train_seconds for row in one.rows)
            self._progress.on(TrialFinished(key, one.status, one.value, seconds))

    def _prune(self, candidate: _OpenCandidate, job: CandidateJob) -> None:
        if candidate.epochs:  # without one, the row was in the store before
            try:
                job.commit_pruned(self._others.store, candidate.epochs, self._others.now())
            except StoreError as error:
                self._fail(candidate, FailureClass.INFRASTRUCTURE, f"StoreError: {error}")
                return
        self._finish(candidate, "pruned")

    def _finish(self, candidate: _OpenCandidate, status: str) -> None:
        value = None if candidate.diverged and status != "pruned" else candidate.value
        self._close(candidate)
        self._ended.add(candidate.key)
        self._progress.on(TrialFinished(candidate.key, status, value, candidate.seconds))

    def _fail(self, candidate: _OpenCandidate, failure_class: str, message: str) -> None:
        self.num_failed += 1
        self._close(candidate)
        self._progress.on(TrialFailed(candidate.key, failure_class, message))

    def _close(self, candidate: _OpenCandidate) -> None:
        del self._open[candidate.key]
        self._release(candidate.key)

    def _show_start(self, study: Study, number: int) -> None:
        key, label = study.candidate_id(number), f"{study.label} · #{number}"
        self._progress.on(TrialStarted(key, label))
