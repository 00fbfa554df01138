"""What Optuna proposes and ASHA stops, both told what the store knows: the one door of Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from orchestrator.tune.studies import Candidate, Study, still_to_try
from workers.catalogue.spaces import Domain, Range, Space
from workers.identity import digest

REDUCTION = 3
"""Of the candidates that reach a rung of ASHA, one in so many goes on."""
HYPERBAND_BRACKETS = 3
LEAST_FOR_IMPORTANCE = 8

optuna.logging.set_verbosity(optuna.logging.WARNING)


class StoredSearch(OptunaSearch):
    """TPE that was told what the store knows.

    The sampler gets a seed of its own for each candidate, from search and number. A proposal is
    therefore a function of its number and of what has ended before, and not of how often the
    search was interrupted.
    """

    def __init__(self, study: Study, known: Sequence[Candidate]) -> None:
        """Tells the sampler every candidate that ended."""
        space = distributions(study.space)
        super().__init__(space=space, metric="value", mode="max", sampler=_sampler(study, 0))
        self._study = study
        self._memory = cast("Any", self._ot_study)
        self._waiting = list(still_to_try(study, known))
        self._last_steps: dict[str, int] = {}
        for one in known:
            if one.status != "partial":
                self._memory.add_trial(told(one, space))

    def suggest(self, trial_id: str) -> Any:
        """Returns the next candidate, or that there is none."""
        if not self._waiting:
            return str(Searcher.FINISHED)
        number, values = self._waiting.pop(0)
        self._memory.sampler = _sampler(self._study, number)
        if values is not None:
            self._memory.enqueue_trial(dict(values))
        return {"number": number, "values": super().suggest(trial_id)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Notes how far a candidate is; a process started again reports some steps twice."""
        step = result.get("step")
        if step is not None and step > self._last_steps.get(trial_id, 0):
            self._last_steps[trial_id] = step
            self._ot_trials[trial_id].report(result["value"], step)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tells the sampler how a candidate ended."""
        ended = (result or {}).get("ended")
        trial = self._ot_trials[trial_id]
        if result and not error:
            self.on_trial_result(trial_id, result)  # Tune keeps the one it stopped at to itself
        if ended == "finished" and not error:
            self._memory.tell(trial, (result or {})["value"])
        else:
            stopped = ended is None and not error and trial_id in self._last_steps
            self._memory.tell(trial, state=TrialState.PRUNED if stopped else TrialState.FAIL)


def _sampler(study: Study, number: int) -> optuna.samplers.BaseSampler:
    seed = digest({"search": study.search_id, "number": number}, length=8)
    return optuna.samplers.TPESampler(
        seed=int(seed, 16), n_startup_trials=study.options.random_trials, constant_liar=True
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Returns a space as Optuna names it."""
    return {key: _distribution(domain) for key, domain in space.items()}


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Range):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    values: tuple[Any, ...] = domain.values
    return CategoricalDistribution(values)


def told(one: Candidate, space: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    """Returns a candidate that ended as the sampler is told of it."""
    pruned = one.status == "pruned"
    steps = list(one.curve())[-1:] if pruned else []
    return create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=one.value if not pruned else (steps[0][1] if steps else None),
        params=dict(one.values),
        distributions=space,
        intermediate_values=dict(steps),
    )


def importances(study: Study, known: Sequence[Candidate]) -> dict[str, float] | None:
    """Returns each parameter's share of importance (PED-ANOVA), or None where too few ended.

    It compares how the best quarter of the candidates is spread with how all are.
    """
    ended = [one for one in known if one.value is not None]
    if len(ended) < LEAST_FOR_IMPORTANCE or len({one.value for one in ended}) < 2:
        return None
    if len(study.space) == 1:
        return dict.fromkeys(study.space, 1.0)
    space = distributions(study.space)
    whole = optuna.create_study(direction="maximize")
    whole.add_trials([told(one, space) for one in ended])
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
    found = get_param_importances(whole, evaluator=evaluator)
    return {key: float(found.get(key, 0.0)) for key in study.space}


class StoppingScheduler(AsyncHyperBandScheduler):
    """ASHA that notes which candidates it stopped, and never stops the default."""

    def __init__(self, study: Study) -> None:
        super().__init__(
            time_attr="step",
            metric="value",
            mode="max",
            max_t=len(study.cells) * study.max_epochs + 1,  # the last epoch is not stopped
            grace_period=min(study.grace_epochs, len(study.cells) * study.max_epochs),
            reduction_factor=REDUCTION,
            brackets=HYPERBAND_BRACKETS if study.options.pruning == "hyperband" else 1,
        )
        self.pruned: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides whether a candidate goes on."""
        decision = super().on_trial_result(tune_controller, trial, result)
        if trial.config["number"] == 0:  # the default is what all others are compared with
            return str(TrialScheduler.CONTINUE)
        if decision == TrialScheduler.STOP:
            self.pruned.add(trial.trial_id)
        return str(decision)


def scheduler_of(study: Study, known: Sequence[Candidate]) -> TrialScheduler:
    """Returns what stops candidates, having seen the curves of earlier ones."""
    if study.options.pruning == "none":
        return FIFOScheduler()
    scheduler, nobody = StoppingScheduler(study), cast("Any", None)
    for one in known:
        if one.status == "partial":
            continue
        stand_in: Any = SimpleNamespace(
            trial_id=f"stored-{one.number}", config={"number": one.number}
        )
        scheduler.on_trial_add(nobody, stand_in)
        for step, value in one.curve():
            scheduler.on_trial_result(nobody, stand_in, {"step": step, "value": value})
    return scheduler
