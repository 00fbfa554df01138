"""The answer in one sentence, honest about joint places, holes and tie rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.ranking.places import TIE_MEANINGS, TieRule
from orchestrator.ranking.podium import Podium, rank
from orchestrator.ranking.rows import podium_rows
from orchestrator.report.data import Sweep
from orchestrator.report.wording import count_text, list_text, metric_text, points_text


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the sweep found.

    Attributes:
        sentence: Plain text.
        provisional: A second sentence while trials are missing, else None.
        notes: Sentences on what could change the answer.
    """

    sentence: str
    provisional: str | None
    notes: tuple[str, ...]


def answer(sweep: Sweep) -> Answer:
    """Says who leads, on what evidence."""
    return Answer(
        sentence=_sentence(sweep),
        provisional=_provisional(sweep),
        notes=(*sweep.ranking.notes, *_tie_notes(sweep)),
    )


def _sentence(sweep: Sweep) -> str:
    if sweep.num_diverged == sweep.num_present:
        return f"No loss leads: all {count_text(sweep.num_present, 'trial')} so far diverged."
    losses = sweep.losses
    if len(losses) == 1:
        dice = metric_text(sweep.main_podium.means[losses[0]])
        only = sweep.title("loss", losses[0])
        return f"{only} was the only loss tried, with a mean test Dice of {dice}."
    podiums = sweep.ranking.podiums
    leaders = [_leaders(podium) for podium in podiums]
    if len(podiums) == 2 and leaders[0] == leaders[1] and len(leaders[0]) == 1:
        name = sweep.title("loss", leaders[0][0])
        parts = " and ".join(
            f"by {podium.axis} ({_points(podium)}{_ahead(sweep, podium)})" for podium in podiums
        )
        return f"{name} leads both {parts}."
    clauses = [_clause(sweep, podium, leaders[index]) for index, podium in enumerate(podiums)]
    sentence = "; ".join(clauses)
    # Only this word may change its case: a label such as `iou` is a name.
    return f"B{sentence[1:]}." if sentence.startswith("by ") else f"{sentence}."


def _leaders(podium: Podium) -> list[str]:
    return [row.loss for row in podium_rows(podium) if row.place == 1]


def _points(podium: Podium) -> str:
    points = next(iter(podium.points.values()))
    return f"{points_text(points)} {'point' if points == 1 else 'points'}"


def _clause(sweep: Sweep, podium: Podium, leaders: Sequence[str]) -> str:
    names = [sweep.title("loss", loss) for loss in leaders]
    if len(names) == len(podium.points):
        return f"by {podium.axis} all losses are level with {_points(podium)} each"
    if len(names) == 1:
        tail = f"{_points(podium)}{_ahead(sweep, podium)}"
        return f"{names[0]} leads by {podium.axis} with {tail}"
    return f"{list_text(names)} share the lead by {podium.axis} with {_points(podium)} each"


def _ahead(sweep: Sweep, podium: Podium) -> str:
    rows = podium_rows(podium)
    runners = [row for row in rows if row.place > 1]
    if not runners:
        return ""
    second = [sweep.title("loss", row.loss) for row in runners if row.place == runners[0].place]
    return f", ahead of {list_text(second, limit=3)} with {points_text(runners[0].points)}"


def _provisional(sweep: Sweep) -> str | None:
    coverage = sweep.main_podium.coverage
    if coverage.complete:
        return None
    missing = coverage.expected - coverage.present
    return (
        f"Provisional: {coverage.present:,} of {count_text(coverage.expected, 'trial')} are in, "
        f"and the {missing:,} missing may change any place."
    )


def _tie_notes(sweep: Sweep) -> list[str]:
    """Says where another way to count tied places would change who leads."""
    notes: list[str] = []
    for position, podium in enumerate(sweep.ranking.podiums):
        if not podium.num_ties:
            continue
        ties = count_text(podium.num_ties, "tie")
        note = f"By {podium.axis}, {ties} touched the three first places; "
        note += f"{TIE_MEANINGS[podium.ties]} (rule “{podium.ties}”)."
        notes.append(note + _other_leaders(sweep, position, podium))
    return notes


def _other_leaders(sweep: Sweep, position: int, podium: Podium) -> str:
    others: list[TieRule] = [rule for rule in ("split", "min", "max") if rule != podium.ties]
    changed: dict[tuple[str, ...], list[str]] = {}
    for rule in others:
        other = rank(sweep.trials, ties=rule, expected=sweep.grid).podiums[position]
        leaders = _leaders(other)
        if leaders != _leaders(podium):
            names = tuple(sweep.title("loss", loss) for loss in leaders)
            changed.setdefault(names, []).append(f"“{rule}”")
    return "".join(
        f" Under the rule {' or '.join(rules)} {list_text(names)} would lead."
        for names, rules in changed.items()
    )
