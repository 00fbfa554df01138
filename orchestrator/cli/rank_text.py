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
    list_text,
    p_value_text,
    percent_text,
    points_text,
    probability_text,
    signed_text,
)

if TYPE_CHECKING:
    from orchestrator.ranking.certainty import Certainty
    from orchestrator.ranking.choices import PodiumAxis
    from orchestrator.ranking.components import Power
    from orchestrator.ranking.leads import Lead, Leads
    from orchestrator.ranking.podium import Podium, PodiumRow, Ranking
    from orchestrator.ranking.podium_chances import PodiumCertainty

ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """Everything that `podium rank` found.

    Attributes:
        leads: The leaders without each dataset, model and loss.
        power: None unless requested.
    """

    ranking: Ranking
    certainty: Certainty
    leads: Leads
    power: Power | None


def print_answer(
    answer: RankAnswer, axes: Sequence[PodiumAxis], *, break_ties: bool, pairs: bool
) -> None:
    """Prints the answer, the podiums of some axes, and the other results requested."""
    certain = answer.certainty
    shown = [podium for axis in axes if (podium := answer.ranking.podium(axis))]
    _print_best(certain, answer.ranking)
    for axis in axes:
        if answer.ranking.podium(axis) is None and len(axes) < 2:
            _say(f"There is no podium by {axis}: the table has no column for it.")
    for podium in shown:
        _print_podium(podium, certain, break_ties=break_ties)
    if certain.num_draws and shown:
        _say(_meaning(certain, shown))
    if certain.pairs and pairs:
        _print_pairs(certain)
    _print_leads(answer.leads, [podium.axis for podium in shown])
    if certain.if_missing:
        _say(_if_missing(certain.if_missing, axes))
    if answer.power:
        print_power(answer.power)
    if certain.wild:
        verb = "varies" if len(certain.wild) == 1 else "vary"
        _say(
            f"{list_text(certain.wild)} {verb} more than the other losses: the intervals of these "
            "pairs use their own variance alone."
        )
    for note in (*certain.notes, *answer.ranking.notes):
        _say(note)


def _say(text: str) -> None:
    print_line(text, wrap=True)


def _print_best(certain: Certainty, ranking: Ranking) -> None:
    """Prints which losses may be the best, and the losses beside the best mean."""
    from orchestrator.ranking.choices import ESTIMANDS
    from orchestrator.ranking.sentences import best_set_sentence, headline
    from orchestrator.ranking.text_tables import loss_heads, loss_rows

    _say(headline(certain))
    if certain.refusal:
        return
    if certain.best_set:
        _say(best_set_sentence(certain))
    podium = ranking.podiums[0]
    heads = loss_heads(certain, podium)
    # All pairs are in the table of --pairs.
    kept = [number for number, head in enumerate(heads) if "all pairs" not in head]
    print_table(
        [heads[number] for number in kept],
        [[row[number] for number in kept] for row in loss_rows(certain, podium)],
        title=f"Best mean minus the mean of each loss: {ESTIMANDS[certain.estimand]}",
        numeric=frozenset(heads[1:-1]),
    )


def _print_podium(podium: Podium, certain: Certainty, *, break_ties: bool) -> None:
    from orchestrator.ranking.podium import podium_rows
    from orchestrator.ranking.sentences import null_sentence

    rows = podium_rows(podium, break_ties=break_ties)
    known = certain.podiums.get(podium.axis)
    columns = ["place", "loss", "points", "1/2/3", f"mean\n{podium.measure.name}"]
    chances = _chances(known, percent_text(certain.level)) if known else {}
    cells = [
        [
            f"{row.place}{' =' if row.joint else ''}",
            row.loss,
            points_text(row.points),
            f"{row.num_first}/{row.num_second}/{row.num_third}",
            decimal_text(row.mean),
            *(texts.get(row.loss) for texts in chances.values()),
        ]
        for row in rows
    ]
    print_table(
        [*columns, *chances],
        cells,
        title=_title(podium),
        numeric=frozenset((columns[2], columns[4], *chances)),
    )
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


def _chances(known: PodiumCertainty, level: str) -> dict[str, dict[str, str]]:
    """Returns the columns of chances that are known: by head, the text of each loss."""
    from orchestrator.ranking.text_tables import points_intervals

    columns = {f"{level}\npoints": points_intervals(known)}
    for head, attribute in (
        ("P(1st)", "p_first"),
        ("P(top 3)", "p_podium"),
        ("here:\nP(1st)", "p_first_again"),
        ("here:\nP(top 3)", "p_podium_again"),
    ):
        columns[head] = {
            entry.loss: probability_text(getattr(entry, attribute))
            for entry in known.losses
            if getattr(entry, attribute) is not None
        }
    return {head: texts for head, texts in columns.items() if texts}


def _meaning(certain: Certainty, shown: Sequence[Podium]) -> str:
    """Returns what the probabilities in the podium tables are about."""
    from orchestrator.ranking.choices import ESTIMANDS

    found = [certain.podiums.get(podium.axis) for podium in shown]
    entries = [entry for known in found if known for entry in known.losses]
    parts = []
    if any(entry.p_first is not None for entry in entries):
        about = ESTIMANDS[certain.estimand]
        parts.append(f"P(1st), P(top 3): in a new sweep of the same size ({about}).")
    if any(entry.p_first_again is not None for entry in entries):
        parts.append(f"Here: with new repeats of the same grid ({ESTIMANDS['these']}).")
    parts.append(f"Probabilities are from {certain.num_draws:,} draws (seed {certain.seed}).")
    return " ".join(parts)


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
    from orchestrator.ranking.text_tables import span

    level, margin = percent_text(certain.level), f"{certain.margin:g}"
    corrected = any(pair.corrected for pair in certain.pairs)
    columns = [
        "A", "B", "difference", f"{level} interval", *(["corrected"] if corrected else []),
        f"{level}, all pairs", "p\n(Tukey)", f"within\n±{margin}",
    ]  # fmt: skip
    print_table(
        columns,
        [
            (
                pair.first,
                pair.second,
                signed_text(pair.difference),
                span(pair.interval),
                *([span(pair.corrected)] if corrected else []),
                span(pair.simultaneous),
                None if pair.p_tukey is None else p_value_text(pair.p_tukey),
                {True: "yes", False: "no", None: None}[pair.equivalent],
            )
            for pair in certain.pairs
        ],
        title=f"Pairs, mean of A minus mean of B: {ESTIMANDS[certain.estimand]}",
        numeric=frozenset(columns[2:-1]),
    )


def _print_leads(leads: Leads, axes: Sequence[PodiumAxis]) -> None:
    """Prints which losses lead without one dataset, model or loss."""
    rows = []
    for axis in axes:
        changes = leads.changes(axis)
        for leaders, entries in changes.items():
            rows.append((axis, list_text(leaders) or "no loss", _left_out(entries)))
    number = len(leads.without)
    if not number:
        return
    if not rows:
        tried = list_text([*dict.fromkeys(lead.axis for lead in leads.without)])
        _say(f"Leave one out: the lead stays without each single {tried} ({number} tried).")
        return
    print_table(
        ["by", "lead", "without"],
        rows,
        title="Leave one out: without one dataset, model or loss, another loss leads",
    )


def _left_out(entries: Sequence[Lead]) -> str:
    """Returns `datasets A and B; model C`."""
    parts = []
    for axis, plural in (("dataset", "datasets"), ("model", "models"), ("loss", "losses")):
        labels = [entry.label for entry in entries if entry.axis == axis]
        if labels:
            parts.append(f"{axis if len(labels) == 1 else plural} {list_text(labels, len(labels))}")
    return "; ".join(parts)


def _if_missing(certain: Certainty, axes: Sequence[PodiumAxis]) -> str:
    """Returns the leaders and the tie group as they would be if diverged trials were missing."""
    from orchestrator.ranking.sentences import headline

    leads = []
    for axis in axes:
        known = certain.podiums.get(axis)
        first = [entry for entry in (known.losses if known else ()) if entry.place == 1]
        if first and first[0].points:
            verb = "leads" if len(first) == 1 else "lead"
            names, points = list_text([entry.loss for entry in first]), points_text(first[0].points)
            leads.append(f"{names} {verb} by {axis} with {points} points")
    listed = f"{'; '.join(leads)}. " if leads else ""
    return f"If diverged trials were missing: {listed}{headline(certain)}"


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
                    "∞" if repeats is None else repeats,
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
