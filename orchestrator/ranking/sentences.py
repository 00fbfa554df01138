"""What a certainty says, in sentences for the terminal, the report and the figures."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.podium_chances import PodiumCertainty
from orchestrator.wording import (
    list_text,
    percent_text,
    points_text,
    probability_text,
)

MAX_NAMED = 10
"""The headline names the losses of a group up to this number; the table has all of them."""


def headline(certainty: Certainty, title: Callable[[str], str] = str) -> str:
    """Returns which losses cannot be told apart from the best, or why there is no answer.

    Args:
        certainty: Of the differences between the losses.
        title: Returns the title of a loss.
    """
    if certainty.refusal:
        return certainty.refusal
    about = f"For {ESTIMANDS[certainty.estimand]}"
    group = [title(loss) for loss in certainty.group]
    worse = [title(loss) for loss in certainty.worse]
    number = len(group) + len(worse)
    if not worse:
        return f"{about}, none of the {number} losses can be told apart from the best."
    if len(group) == 1:
        rest = worse[0] if len(worse) == 1 else f"each of the other {len(worse)} losses"
        return f"{about}, {group[0]} is the best loss; {rest} is worse."
    if len(worse) <= 3 or len(group) > MAX_NAMED:
        verb = "is" if len(worse) == 1 else "are"
        rest = list_text(worse) if len(worse) <= 3 else f"the other {len(worse)} losses"
        return (
            f"{about}, {len(group)} of {number} losses cannot be told apart from the best; "
            f"{rest} {verb} worse."
        )
    return (
        f"{about}, {list_text(group, limit=number)} cannot be told apart from the best; "
        f"the other {len(worse)} losses are worse."
    )


def best_set_sentence(certainty: Certainty, title: Callable[[str], str] = str) -> str:
    """Returns the smallest set of losses with `level` (95 %) of P(truly best)."""
    level = percent_text(certainty.level)
    names = list_text([title(loss) for loss in certainty.best_set], limit=len(certainty.best_set))
    if len(certainty.best_set) == 1:
        return f"{names} is truly the best with at least {level} probability."
    return f"The truly best loss is one of {names} with at least {level} probability."


def null_sentence(podium: PodiumCertainty) -> str | None:
    """Returns how often equal losses have such a leader; None without the null of points."""
    null = podium.null
    if null is None:
        return None
    points = points_text(null.leader_points)
    noun = "point" if null.leader_points == 1 else "points"
    return (
        f"If all losses were equal, the leader would have {points} {noun} or more in "
        f"{probability_text(null.p)} of such sweeps."
    )
