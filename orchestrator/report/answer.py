"""The answer in a sentence or two, with joint places, missing trials and tie rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.sentences import headline
from orchestrator.report.data import RankedSweep, answer_notes
from orchestrator.wording import (
    count_of_text,
    count_text,
    decimal_text,
    list_text,
    metric_title,
    points_text,
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of a sweep in words.

    Attributes:
        sentence: Plain text: which losses cannot be told apart from the best. If this is unknown,
            which loss leads.
        lead: Which loss leads, with its points; None if `sentence` says it.
        unsure: Why it is unknown which losses are the best; otherwise None.
        provisional: A sentence while trials are missing; otherwise None.
        notes: Sentences on choices and findings that could change the answer.
    """

    sentence: str
    lead: str | None
    unsure: str | None
    provisional: str | None
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """Both sentences."""
        return " ".join(filter(None, [self.sentence, self.lead]))


def answer(sweep: RankedSweep, certainty: Certainty | None = None) -> Answer:
    """Returns which losses may be the best, and which loss leads with how many points.

    Args:
        sweep: The ranked results.
        certainty: Of the differences between the losses.
    """
    several = len(sweep.losses) > 1 and sweep.num_diverged < sweep.num_present
    lead = _lead(sweep)
    group = None
    if certainty and several and not certainty.refusal:
        group = headline(certainty, lambda loss: sweep.title("loss", loss))
    return Answer(
        sentence=group or lead,
        lead=lead if group else None,
        unsure=certainty.refusal if certainty and several else None,
        provisional=_provisional(sweep),
        notes=(*answer_notes(sweep), *sweep.ranking.notes, *_tie_notes(sweep)),
    )


def _lead(sweep: RankedSweep) -> str:
    if sweep.num_diverged == sweep.num_present:
        return f"No loss leads: all {count_text(sweep.num_present, 'trial')} so far diverged."
    losses = sweep.losses
    if len(losses) == 1:
        mean = decimal_text(sweep.main_podium.means[losses[0]])
        only = sweep.title("loss", losses[0])
        name = metric_title(sweep.metric)
        return f"{only} was the only loss tried, with a mean test {name} of {mean}."
    podiums = sweep.ranking.podiums
    leaders = [_leaders(podium) for podium in podiums]
    if len(podiums) == 2 and leaders[0] == leaders[1] and len(leaders[0]) == 1:
        name = sweep.title("loss", leaders[0][0])
        parts = " and ".join(
            f"by {podium.axis} ({_points(podium)}{_ahead(sweep, podium)})" for podium in podiums
        )
        return f"{name} leads both {parts}."
    sentence = "; ".join(
        _clause(sweep, podium, own) for podium, own in zip(podiums, leaders, strict=True)
    )
    # Only this word may change its case: a label such as `iou` is a name.
    return f"B{sentence[1:]}." if sentence.startswith("by ") else f"{sentence}."


def _leaders(podium: Podium) -> list[str]:
    return [row.loss for row in podium_rows(podium) if row.place == 1]


def _points(podium: Podium) -> str:
    points = next(iter(podium.points.values()))
    return f"{points_text(points)} {'point' if points == 1 else 'points'}"


def _clause(sweep: RankedSweep, podium: Podium, leaders: Sequence[str]) -> str:
    names = [sweep.title("loss", loss) for loss in leaders]
    if len(names) == len(podium.points):
        return f"by {podium.axis} all losses are level with {_points(podium)} each"
    if len(names) == 1:
        tail = f"{_points(podium)}{_ahead(sweep, podium)}"
        return f"{names[0]} leads by {podium.axis} with {tail}"
    return f"{list_text(names)} share the lead by {podium.axis} with {_points(podium)} each"


def _ahead(sweep: RankedSweep, podium: Podium) -> str:
    rows = podium_rows(podium)
    runners = [row for row in rows if row.place > 1]
    if not runners:
        return ""
    second = [sweep.title("loss", row.loss) for row in runners if row.place == runners[0].place]
    return f", ahead of {list_text(second, limit=3)} with {points_text(runners[0].points)}"


def _provisional(sweep: RankedSweep) -> str | None:
    coverage = sweep.main_podium.coverage
    if coverage.complete:
        return None
    missing = coverage.expected - coverage.present
    return (
        f"Provisional: {count_of_text(coverage.present, coverage.expected, 'trial')} are finished; "
        f"the {missing:,} missing may change any place."
    )


def _tie_notes(sweep: RankedSweep) -> list[str]:
    """Returns a note for each podium with ties, and the leaders under other tie rules."""
    notes: list[str] = []
    for podium in sweep.ranking.podiums:
        if not podium.num_ties:
            continue
        ties = count_text(podium.num_ties, "tie")
        note = f"By {podium.axis}, {ties} touched the three first places; "
        note += f"{TIE_MEANINGS[podium.ties]} (rule “{podium.ties}”)."
        notes.append(note + _other_leaders(sweep, podium))
    return notes


def _other_leaders(sweep: RankedSweep, podium: Podium) -> str:
    changed: dict[tuple[str, ...], list[str]] = {}
    for rule in ("split", "min", "max"):
        leaders = podium.leaders.get(rule, ())
        if rule != podium.ties and set(leaders) != set(_leaders(podium)):
            names = tuple(sweep.title("loss", loss) for loss in leaders)
            changed.setdefault(names, []).append(f"“{rule}”")
    return "".join(
        f" Under the rule {' or '.join(rules)} {list_text(names)} would lead."
        for names, rules in changed.items()
    )
