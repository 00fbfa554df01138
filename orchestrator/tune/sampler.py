"""Proposals of Optuna and decisions of ASHA, from what the store knows: the one door of Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from orchestrator.tune.studies import Candidate, Study, Values
from workers.catalogue.spaces import Domain, Range, Space
from workers.identity import digest

REDUCTION = 3
"""Of REDUCTION candidates that reach a rung of ASHA, one goes on."""
HYPERBAND_BRACKETS = 3
LEAST_FOR_IMPORTANCE = 8

optuna.logging.set_verbosity(optuna.logging.WARNING)


def propose(
    study: Study,
    ended: Sequence[Candidate],
    running: Sequence[Values],
    number: int,
    values: Values | None,
) -> Values:
    """Returns the values of a candidate, from TPE.

    The sampler gets its own seed for each candidate, from search and number. A proposal therefore
    depends only on its number and on what has ended or runs, and not on how often the search was
    interrupted.

    Args:
        study: The search.
        ended: Candidates that ended, in the order of their numbers.
        running: Values of candidates that run now.
        number: The candidate's number.
        values: Values that are fixed already; None lets the sampler decide.
    """
    space = distributions(study.space)
    memory = optuna.create_study(direction="maximize", sampler=_sampler(study, number))
    memory.add_trials([told(one, space) for one in ended])
    for one in running:
        state = TrialState.RUNNING
        memory.add_trial(create_trial(state=state, params=dict(one), distributions=space))
    if values is not None:
        memory.enqueue_trial(dict(values))
    return memory.ask(fixed_distributions=space).params


def _sampler(study: Study, number: int) -> optuna.samplers.BaseSampler:
    seed = digest({"search": study.search_id, "number": number}, length=8)
    return optuna.samplers.TPESampler(
        seed=int(seed, 16), n_startup_trials=study.options.random_trials, constant_liar=True
    )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Returns a space as distributions of Optuna."""
    return {key: _distribution(domain) for key, domain in space.items()}


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Range):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    values: tuple[Any, ...] = domain.values
    return CategoricalDistribution(values)


def told(one: Candidate, space: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    """Returns a candidate that ended as a trial of Optuna."""
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
    """Returns each parameter's fraction of importance (PED-ANOVA), or None if too few ended.

    It compares the distribution of the best quarter of the candidates with that of all.
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


class Pruner:
    """Decides which candidates stop early: ASHA or Hyperband over what all candidates reached."""

    def __init__(self, study: Study) -> None:
        """Knows no candidate; without pruning it stops none."""
        self._known: set[str] = set()
        self._study = study
        num_steps = len(study.cells) * study.max_epochs
        self._scheduler = AsyncHyperBandScheduler(
            time_attr="step",
            metric="value",
            mode="max",
            max_t=num_steps + 1,  # the last epoch is not stopped
            grace_period=min(study.least_steps, num_steps),
            reduction_factor=REDUCTION,
            brackets=HYPERBAND_BRACKETS if study.options.pruning == "hyperband" else 1,
        )

    def learn(self, candidate: Candidate) -> None:
        """Takes the curve of a candidate from the store, unless it is known already."""
        key = self._study.training_id(candidate.number, 0, candidate.values)
        if key not in self._known:
            for step, value in candidate.curve():
                self.goes_on(key, candidate.number, step, value)

    def goes_on(self, key: str, number: int, step: int, value: float) -> bool:
        """Takes the mean that a candidate has reached; returns False if it must stop.

        Number 0 never stops, because all others are compared with it.
        """
        if self._study.options.pruning == "none":
            return True
        no_controller, trial = cast("Any", None), cast("Any", SimpleNamespace(trial_id=key))
        if key not in self._known:
            self._known.add(key)
            self._scheduler.on_trial_add(no_controller, trial)
        result = {"step": step, "value": value}
        decision = self._scheduler.on_trial_result(no_controller, trial, result)
        return number == 0 or decision != TrialScheduler.STOP
