"""The answer in one sentence, with joint places, missing trials and tie rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.ranking.certainty import RESAMPLED_AXES, Certainty
from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.table import BLOCK_AXES
from orchestrator.report.data import RankedSweep, answer_notes
from orchestrator.wording import (
    count_of_text,
    count_text,
    decimal_text,
    list_text,
    metric_title,
    points_text,
    probability_text,
)

SURE = 0.95
"""At this probability or more, a lead is reported as stable."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of a sweep in words.

    Attributes:
        sentence: Plain text, with the probability of the lead if the bootstrap gives one.
        unsure: Why the bootstrap gives none; otherwise None.
        provisional: A second sentence while trials are missing; otherwise None.
        notes: Sentences on choices and findings that could change the answer.
    """

    sentence: str
    unsure: str | None
    provisional: str | None
    notes: tuple[str, ...]


def answer(sweep: RankedSweep, certainties: Mapping[str, Certainty] | None = None) -> Answer:
    """Returns which loss leads, with how many points, and with which probability.

    Args:
        sweep: The ranked results.
        certainties: The bootstrap of each podium, by axis.
    """
    known = certainties or {}
    main = known.get(sweep.main_podium.axis)
    several = len(sweep.losses) > 1 and sweep.num_diverged < sweep.num_present
    return Answer(
        sentence=_sentence(sweep, known),
        unsure=main.refusal if main and several else None,
        provisional=_provisional(sweep),
        notes=(*answer_notes(sweep), *sweep.ranking.notes, *_tie_notes(sweep)),
    )


def _sentence(sweep: RankedSweep, certainties: Mapping[str, Certainty]) -> str:
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
        return f"{name} leads both {parts}{_both_sure(leaders[0][0], certainties)}."
    clauses = [
        _clause(sweep, podium, leaders[index]) + _sure(leaders[index], podium, certainties)
        for index, podium in enumerate(podiums)
    ]
    sentence = "; ".join(clauses)
    # Only this word may change its case: a label such as `iou` is a name.
    return f"B{sentence[1:]}." if sentence.startswith("by ") else f"{sentence}."


def _sure(leaders: Sequence[str], podium: Podium, certainties: Mapping[str, Certainty]) -> str:
    """Returns the probability of the lead of one podium, as the end of its clause."""
    known = certainties.get(podium.axis)
    entries = [known.of(loss) for loss in leaders] if known else []
    found = [entry for entry in entries if entry]
    if not known or not found or len(leaders) == len(podium.points):
        return ""
    p_first = math.fsum(entry.p_first for entry in found)
    if p_first >= SURE:
        who = "one of them" if len(leaders) > 1 else "it"
        said = f"{who} would lead again with {probability_text(p_first)} probability"
        return f", and {_drawn(known)} {said}"
    said = f"another loss would lead with {probability_text(1 - p_first)} probability"
    return f", but {_drawn(known)} {said}"


def _both_sure(leader: str, certainties: Mapping[str, Certainty]) -> str:
    entries = {axis: certainties[axis].of(leader) for axis in BLOCK_AXES if axis in certainties}
    shares = {axis: entry.p_first for axis, entry in entries.items() if entry}
    if not shares:
        return ""
    drawn = _drawn(next(iter(certainties.values())))
    if min(shares.values()) >= SURE:
        return f", and {drawn} it would lead again with {_by_axis(shares)}"
    others = {axis: 1 - share for axis, share in shares.items()}
    return f", but {drawn} another loss would lead with {_by_axis(others)}"


def _by_axis(shares: Mapping[str, float]) -> str:
    parts = [f"{probability_text(share)} probability by {axis}" for axis, share in shares.items()]
    return " and ".join(parts)


def _drawn(known: Certainty) -> str:
    """Returns `under resampling`, with the resampled axes if not all could be drawn."""
    if set(known.resampled) == set(RESAMPLED_AXES):
        return "under resampling"
    return f"under resampling of {list_text([f'{axis}s' for axis in known.resampled])} alone"


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
