"""What a ranking says: sentences for the terminal and the report, a paragraph for a paper."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.lending import LENT
from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.ranking.podium import Podium, Ranking, steps
from orchestrator.ranking.podium_chances import PodiumCertainty
from orchestrator.wording import (
    count_of_text,
    count_text,
    list_text,
    metric_title,
    p_equation_text,
    percent_text,
    points_text,
    probability_text,
)

MAX_NAMED = 10
"""The headline names the losses of a group up to this number; the table has all of them."""

_VARIANCES = {
    "other": "from the two-way mean squares over datasets and networks",
    "other_datasets": "from the mean square over datasets",
    "other_networks": "from the two-way mean squares over repeats and networks",
    "these": "over repeats within each dataset",
    "images": "over test images and over repeats",
}
"""Where the variance of a difference comes from, by estimand."""


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


def methods_paragraph(ranking: Ranking, certainty: Certainty) -> str:
    """Returns the paragraph: data, points, certainty with its formulas, seed and refusals.

    Args:
        ranking: The podiums.
        certainty: Of the same trials.
    """
    sentences = [*_points(ranking, certainty)]
    if certainty.refusal:
        sentences.append(certainty.refusal)
    else:
        sentences += [*_differences(certainty), *_probabilities(ranking, certainty)]
    sentences.append(f"All numbers are from Podium {version('podium-sweep')}.")
    return " ".join(sentences)


def _points(ranking: Ranking, certainty: Certainty) -> list[str]:
    podium = ranking.podiums[0]
    sizes = [count_text(len(each.blocks), each.axis) for each in ranking.podiums]
    blocks = list_text([f"each {each.axis}" for each in ranking.podiums])
    text = (
        f"We ranked {count_text(len(podium.points), 'loss')} over {list_text(sizes)} by mean test "
        f"{metric_title(ranking.metric)} "
        f"({count_of_text(podium.coverage.present, podium.coverage.expected, 'trial')})."
    )
    rule = (
        f"Within {blocks}, repeats were averaged first, and the best three losses received 3, 2 "
        f"and 1 points ({TIE_MEANINGS[ranking.ties]})."
    )
    leads = [_lead(each) for each in ranking.podiums]
    return [text, rule, *_diverged(certainty), f"{list_text(leads)}."]


def _diverged(certainty: Certainty) -> list[str]:
    number = sum(certainty.num_diverged.values())
    if not number:
        return []
    text = f"{count_text(number, 'trial')} diverged and counted as the worst value"
    missing = certainty.if_missing
    if missing is None:
        return [f"{text}."]
    answer = headline(missing)
    return [f"{text}; if missing: {answer[0].lower()}{answer[1:]}"]


def _lead(podium: Podium) -> str:
    first = steps(podium.points)[0]
    if not first:
        return f"no loss has points by {podium.axis}"
    verb = "led" if len(first) == 1 else "shared the lead"
    points = podium.points[first[0]]
    noun = "point" if points == 1 else "points"
    return f"{list_text(first)} {verb} by {podium.axis} with {points_text(points)} {noun}"


def _differences(certainty: Certainty) -> list[str]:
    level = percent_text(certainty.level)
    text = (
        f"Differences between losses are statements about {ESTIMANDS[certainty.estimand]}: {level} "
        f"intervals use Student's t with a variance {_VARIANCES[certainty.estimand]}"
    )
    if len(certainty.pairs) > 1 and certainty.estimand != "images":
        text += f", to which the other pairs of losses lend at most {LENT:g} degrees of freedom"
    text += "."
    tukey = (
        "All pairs were tested together by the studentised range (Tukey); the smallest p-value, "
        f"which tests that all losses are equal, was {p_equation_text(certainty.p_all_equal)}."
        if certainty.p_all_equal is not None
        else None
    )
    answer = headline(certainty)
    group = (
        f"By Hsu's comparison with the best at {certainty.alpha:g}, {answer[0].lower()}{answer[1:]}"
    )
    return [sentence for sentence in (text, *certainty.notes, tukey, group) if sentence]


def _probabilities(ranking: Ranking, certainty: Certainty) -> list[str]:
    if not certainty.p_best:
        return []
    sentences = [
        f"Probabilities are from {certainty.num_draws:,} draws (seed {certainty.seed}) of variance "
        "components and effects of the losses, which shrink towards their mean; they are right on "
        "average over sweeps.",
        best_set_sentence(certainty),
    ]
    for podium in ranking.podiums:
        known = certainty.podiums.get(podium.axis)
        if known is None:
            continue
        if known.refusal:
            sentences.append(known.refusal)
            continue
        leader = next(iter(podium.points))
        found = known.of(leader)
        if found and found.p_first is not None:
            sentences.append(
                f"By {podium.axis}, {leader} would win a new sweep of the same size with "
                f"{probability_text(found.p_first)} probability."
            )
        sentences += filter(None, [null_sentence(known)])
    return sentences
