"""Prints the answer of `podium rank`: the tie group, tables, and a sentence for each caveat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.shared import print_line, print_table
from orchestrator.wording import (
    count_of_text,
    count_text,
    decimal_text,
    interval_text,
    list_text,
    p_value_text,
    percent_text,
    points_text,
    probability_text,
    signed_text,
)

if TYPE_CHECKING:
    from orchestrator.ranking.certainty import Certainty, PodiumCertainty
    from orchestrator.ranking.components import Power
    from orchestrator.ranking.leads import Leads
    from orchestrator.ranking.podium import Podium, PodiumRow, Ranking

ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """Everything that `podium rank` found.

    Attributes:
        certainty: None without draws.
        leads: The leaders without each dataset, model and loss.
        if_missing: Ranking and certainty of the same trials without those that diverged; None if no
            trial diverged.
        power: None unless requested.
    """

    ranking: Ranking
    certainty: Certainty | None
    leads: Leads
    if_missing: tuple[Ranking, Certainty | None] | None
    power: Power | None


def print_answer(answer: RankAnswer, axes: Sequence[str], *, break_ties: bool, pairs: bool) -> None:
    """Prints the answer, the podiums of some axes, and the other results requested."""
    certain = answer.certainty
    shown = [podium for axis in axes if (podium := answer.ranking.podium(axis))]
    if certain:
        _print_best(certain, answer.ranking)
    for axis in axes:
        if answer.ranking.podium(axis) is None and len(axes) < 2:
            _say(f"There is no podium by {axis}: the table has no column for it.")
    for podium in shown:
        _print_podium(podium, certain, break_ties=break_ties)
    if certain and any(found.losses for found in certain.podiums.values()):
        _say(_meaning(certain, shown))
    if certain and certain.pairs and pairs:
        _print_pairs(certain)
    _print_leads(answer.leads, [podium.axis for podium in shown])
    if answer.if_missing:
        _say(_if_missing(*answer.if_missing, axes))
    if answer.power:
        print_power(answer.power)
    for note in (*(certain.notes if certain else ()), *answer.ranking.notes):
        _say(note)


def _say(text: str) -> None:
    print_line(text, wrap=True)


def _print_best(certain: Certainty, ranking: Ranking) -> None:
    """Prints which losses may be the best, and the losses beside the best mean."""
    from orchestrator.ranking.choices import ESTIMANDS
    from orchestrator.ranking.sentences import best_set_sentence, headline
    from orchestrator.ranking.text_tables import loss_cells, loss_heads, loss_rows

    _say(headline(certain))
    if certain.refusal:
        return
    if certain.p_best:
        _say(best_set_sentence(certain))
    podium = ranking.podiums[0]
    heads = loss_heads(certain, podium)
    kept = [number for number, head in enumerate(heads) if "all pairs" not in head]
    print_table(
        ["loss", *(heads[number] for number in kept)],
        [
            (row.loss, *(loss_cells(row)[number] for number in kept))
            for row in loss_rows(certain, podium)
        ],
        title=f"Differences to the best mean: {ESTIMANDS[certain.estimand]}",
        numeric=frozenset(heads[:-1]),
    )


def _print_podium(podium: Podium, certain: Certainty | None, *, break_ties: bool) -> None:
    from orchestrator.ranking.podium import podium_rows
    from orchestrator.ranking.sentences import null_sentence

    rows = podium_rows(podium, break_ties=break_ties)
    known = certain.podiums.get(podium.axis) if certain else None
    columns = ["place", "loss", "points", "1/2/3", f"mean\n{podium.measure.name}"]
    here = bool(known and any(entry.p_first_again is not None for entry in known.losses))
    if known and known.losses and certain:
        columns += [f"{percent_text(certain.level)}\npoints", "P(1st)", "P(top 3)"]
        columns += ["here:\nP(1st)", "here:\nP(top 3)"] if here else []
    cells = [
        [
            f"{row.place}{' =' if row.joint else ''}",
            row.loss,
            points_text(row.points),
            f"{row.num_first}/{row.num_second}/{row.num_third}",
            decimal_text(row.mean),
            *(_certainty_cells(known, row.loss, here=here) if known and known.losses else ()),
        ]
        for row in rows
    ]
    print_table(columns, cells, title=_title(podium), numeric=frozenset(columns[2:]) - {columns[3]})
    if not any(podium.points.values()):
        _say("No loss has points, because no trial finished.")
    sentences = [*_joint(rows), *_ties(podium), *_agreement(podium)]
    if known:
        sentences += filter(None, [known.refusal, null_sentence(known)])
    for sentence in sentences:
        _say(sentence)


def _title(podium: Podium) -> str:
    coverage = podium.coverage
    state = " (provisional)" if podium.provisional else ""
    if podium.axis == "both":
        what = f"Both together: {count_text(len(podium.blocks), 'block')}"
    else:
        what = f"By {podium.axis}: {count_text(len(podium.blocks), podium.axis)}"
    return f"{what}, {count_of_text(coverage.present, coverage.expected, 'trial')}{state}"


def _certainty_cells(known: PodiumCertainty, loss: str, *, here: bool) -> list[str | None]:
    found = next((entry for entry in known.losses if entry.loss == loss), None)
    if found is None:
        return [None] * (5 if here else 3)
    interval = found.points_interval
    shown = [found.p_first, found.p_podium]
    shown += [found.p_first_again, found.p_podium_again] if here else []
    return [
        f"{points_text(interval.low)} to {points_text(interval.high)}" if interval else None,
        *(None if share is None else probability_text(share) for share in shown),
    ]


def _meaning(certain: Certainty, shown: Sequence[Podium]) -> str:
    """Returns what the probabilities in the podium tables are about."""
    from orchestrator.ranking.choices import ESTIMANDS

    text = (
        f"P(1st) and P(top 3): in a new sweep of the same size, for {ESTIMANDS[certain.estimand]} "
        f"({certain.num_draws:,} draws, seed {certain.seed})."
    )
    entries = [
        entry
        for podium in shown
        for entry in (certain.podiums[podium.axis].losses if podium.axis in certain.podiums else ())
    ]
    if any(entry.p_first_again is not None for entry in entries):
        text += f" Here: with new repeats of the same grid, for {ESTIMANDS['these']}."
    return text


def _joint(rows: Sequence[PodiumRow]) -> list[str]:
    sentences = []
    for place, name in ORDINALS.items():
        joint = [row for row in rows if row.place == place and row.joint and row.points]
        if joint:
            losses = list_text([row.loss for row in joint])
            sentences.append(
                f"Joint {name}: {losses} with {points_text(joint[0].points)} points each."
            )
    return sentences


def _ties(podium: Podium) -> list[str]:
    """Returns the number of ties, the points under each rule, and whether the rule matters."""
    from orchestrator.ranking.places import TIE_MEANINGS, TIE_RULES

    if not podium.num_ties:
        return []
    ties = count_text(podium.num_ties, "tie")
    text = f"{ties} on podium places; rule {podium.ties}: {TIE_MEANINGS[podium.ties]}."
    if not podium.leader_depends_on_ties:
        names = list_text(podium.leaders[podium.ties])
        same = "leads" if len(podium.leaders[podium.ties]) == 1 else "lead"
        text += f" {names} {same} under every rule"
        text += ", though other places change." if podium.podium_depends_on_ties else "."
        return [text]
    leaders = "; ".join(f"{rule}: {list_text(podium.leaders[rule])}" for rule in TIE_RULES)
    changed = [
        f"{loss} {'/'.join(points_text(podium.rule_points[rule][loss]) for rule in TIE_RULES)}"
        for loss in podium.points
        if len({podium.rule_points[rule][loss] for rule in TIE_RULES}) > 1
    ]
    return [
        text,
        f"The rule decides who leads: {leaders}. "
        f"Points under {'/'.join(TIE_RULES)}: {', '.join(changed)}.",
    ]


def _agreement(podium: Podium) -> list[str]:
    agreement = podium.agreement
    if agreement is None:
        return []
    if agreement.refusal:
        return [agreement.refusal]
    best = max(agreement.points.values())
    if not best:
        return []
    leaders = [loss for loss, points in agreement.points.items() if points == best]
    tau = "undefined" if agreement.kendall_tau is None else signed_text(agreement.kendall_tau, 2)
    left_out = agreement.num_units_left_out
    lacking = f", {left_out:,} lack a loss" if left_out else ""
    leads = "leads" if len(leaders) == 1 else "lead"
    return [
        f"Ranks first, then means: {list_text(leaders)} {leads} with {points_text(best)} points; "
        f"Kendall's tau {tau}, W {decimal_text(agreement.concordance, 2)} "
        f"({count_text(agreement.num_units, 'dataset x model x repeat unit')}{lacking})."
    ]


def _print_pairs(certain: Certainty) -> None:
    from orchestrator.ranking.choices import ESTIMANDS

    level, margin = percent_text(certain.level), f"{certain.margin:g}"
    columns = [
        "A", "B", "difference", f"{level} interval", f"{level}, all pairs", "p\n(Tukey)",
        f"within\n±{margin}",
    ]  # fmt: skip
    print_table(
        columns,
        [
            (
                pair.first,
                pair.second,
                signed_text(pair.difference),
                interval_text(pair.interval.low, pair.interval.high),
                interval_text(pair.simultaneous.low, pair.simultaneous.high),
                p_value_text(pair.p_tukey),
                "yes" if pair.equivalent else "no",
            )
            for pair in certain.pairs
        ],
        title=f"Pairs, mean of A minus mean of B: {ESTIMANDS[certain.estimand]}",
        numeric=frozenset(columns[2:-1]),
    )


def _print_leads(leads: Leads, axes: Sequence[str]) -> None:
    """Prints which losses lead without one dataset, model or loss."""
    rows = []
    for axis in axes:
        changes = leads.changes(axis)
        for leaders, entries in changes.items():
            names = [f"{entry.axis} {entry.label}" for entry in entries]
            rows.append((axis, list_text(leaders) or "no loss", list_text(names, len(names))))
    number = len(leads.without)
    if not number:
        return
    if not rows:
        _say(f"Leave one out: the lead stays without any one of {number} datasets, models, losses.")
        return
    print_table(
        ["by", "lead", "without"],
        rows,
        title="Leave one out: without one dataset, model or loss, another loss leads",
    )


def _if_missing(ranking: Ranking, certain: Certainty | None, axes: Sequence[str]) -> str:
    """Returns the leaders and the tie group as they would be if diverged trials were missing."""
    from orchestrator.ranking.podium import steps
    from orchestrator.ranking.sentences import headline

    leads = []
    for axis in axes:
        podium = ranking.podium(axis)
        first = steps(podium.points)[0] if podium else ()
        if podium and first:
            verb = "leads" if len(first) == 1 else "lead"
            points = points_text(podium.points[first[0]])
            leads.append(f"{list_text(first)} {verb} by {axis} with {points} points")
    text = f"If diverged trials counted as missing: {'; '.join(leads) or 'no loss has points'}."
    return f"{text} {headline(certain)}" if certain else text


def print_power(power: Power) -> None:
    """Prints the half-widths of a grid and of larger ones, a table for each estimand."""
    from orchestrator.ranking.choices import ESTIMANDS

    components = power.components
    known = {
        "loss x dataset": components.dataset,
        "loss x model": components.model,
        "loss x cell": components.cell,
        "loss x split": components.split,
        "training": components.training,
    }
    listed = ", ".join(
        f"{name} {decimal_text(deviation)}"
        for name, deviation in known.items()
        if deviation is not None
    )
    _say(f"Standard deviations of the effects of one loss ({components.source}): {listed}.")
    for about in power.outlooks[0].half_widths:
        rows = []
        for outlook in power.outlooks:
            found = outlook.half_widths[about]
            repeats = outlook.size.num_repeats
            rows.append(
                (
                    outlook.change,
                    outlook.size.num_datasets,
                    outlook.size.num_models,
                    "any" if repeats is None else repeats,
                    f"±{decimal_text(found.pair)}" if found else None,
                    f"±{decimal_text(found.all_pairs)}" if found else None,
                )
            )
        columns = ["grid", "datasets", "models", "repeats", "one pair", "all pairs"]
        print_table(
            columns,
            rows,
            title=f"Half-width of the {percent_text(power.level)} interval of a difference: "
            f"{ESTIMANDS[about]}",
            numeric=frozenset(columns[1:]),
        )
