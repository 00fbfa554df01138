"""Prints the answer of `podium rank`: tables, and a sentence for each caveat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.shared import print_line, print_table
from orchestrator.wording import (
    count_of_text,
    count_text,
    decimal_text,
    interval_text,
    list_text,
    p_equation_text,
    percent_text,
    points_text,
    probability_text,
    signed_text,
)

if TYPE_CHECKING:
    from orchestrator.ranking.certainty import Certainty
    from orchestrator.ranking.metrics import Metric
    from orchestrator.ranking.pairs import PairCertainty
    from orchestrator.ranking.podium import Podium, PodiumRow, Ranking
    from orchestrator.ranking.power import Power
    from orchestrator.ranking.significance import Significance

ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


@dataclass(frozen=True, kw_only=True)
class RankAnswer:
    """Everything that `podium rank` found.

    Attributes:
        certainties: By axis; empty without bootstrap samples.
        significance: None unless requested.
        powers: By axis; empty unless requested.
    """

    ranking: Ranking
    certainties: Mapping[str, Certainty]
    significance: Significance | None
    powers: Mapping[str, Power]


def print_answer(answer: RankAnswer, axes: Sequence[str], *, break_ties: bool, pairs: bool) -> None:
    """Prints the podiums of some axes with their certainty, and the other results requested."""
    shown = [podium for axis in axes if (podium := answer.ranking.podium(axis))]
    for axis in axes:
        if answer.ranking.podium(axis) is None and len(axes) < 2:
            print_line(f"There is no podium by {axis}: the table has no column for it.")
    for podium in shown:
        certain = answer.certainties.get(podium.axis)
        _print_podium(podium, answer.ranking, certain, break_ties=break_ties)
        if podium.axis in answer.powers:
            print_line(f"Repeats: {answer.powers[podium.axis].sentence}")
    certain = answer.certainties.get(shown[0].axis) if shown else None
    sign = "<" if answer.ranking.measure.lower_is_better else ">"
    if certain and certain.pairs and pairs:
        _print_pairs(certain, sign)
    if answer.significance:
        _print_significance(answer.significance, sign)
    if certain:
        for sentence in _certainty_notes(certain):
            print_line(sentence)
    for note in answer.ranking.notes:
        print_line(note)


def _print_podium(
    podium: Podium, ranking: Ranking, certain: Certainty | None, *, break_ties: bool
) -> None:
    from orchestrator.ranking.podium import podium_rows

    rows = podium_rows(podium, break_ties=break_ties)
    agreement = podium.agreement
    columns = ["place", "loss", "points", "1/2/3", f"mean {ranking.metric}"]
    sure = bool(certain and certain.losses)
    if sure and certain:
        columns += [f"{percent_text(certain.level)} points", "P(1st)", "P(top 3)"]
    if agreement and not agreement.refusal:
        columns.append("by ranks")
    cells = []
    for row in rows:
        line: list[str | None] = [
            f"{row.place}{' =' if row.joint else ''}",
            row.loss,
            points_text(row.points),
            f"{row.num_first}/{row.num_second}/{row.num_third}",
            decimal_text(row.mean),
        ]
        if sure and certain:
            line += _certainty_cells(certain, row.loss)
        if agreement and not agreement.refusal:
            line.append(points_text(agreement.points[row.loss]))
        cells.append(line)
    print_table(columns, cells, title=_title(podium), numeric=frozenset(columns[2:]) - {columns[3]})
    if not any(podium.points.values()):
        print_line("No loss has points, because no trial finished.")
    for sentence in (*_joint(rows), *_ties(podium), *_agreement(podium)):
        print_line(sentence)
    if certain and certain.refusal:
        print_line(certain.refusal)
    elif certain and certain.pairs:
        print_line(_pair_sentence(certain.pairs[0], certain.margin, ranking.measure))


def _title(podium: Podium) -> str:
    coverage = podium.coverage
    state = " (provisional)" if podium.provisional else ""
    if podium.axis == "both":
        what = f"Both together: {count_text(len(podium.blocks), 'block')}"
    else:
        what = f"By {podium.axis}: {count_text(len(podium.blocks), podium.axis)}"
    return f"{what}, {count_of_text(coverage.present, coverage.expected, 'trial')}{state}"


def _certainty_cells(certain: Certainty, loss: str) -> list[str | None]:
    found = certain.of(loss)
    if found is None:
        return [None, None, None]
    interval = found.points_interval
    return [
        f"{points_text(interval.low)} to {points_text(interval.high)}",
        probability_text(found.p_first),
        probability_text(found.p_podium),
    ]


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
        f"Ranks first, then means (by ranks): {list_text(leaders)} {leads}; Kendall's tau {tau} "
        f"({count_text(agreement.num_units, 'dataset x model x repeat unit')}{lacking})."
    ]


def _pair_sentence(pair: PairCertainty, margin: float, measure: Metric) -> str:
    effect = "" if pair.effect_size is None else f", d = {signed_text(pair.effect_size, 2)}"
    low, high = pair.difference_interval.low, pair.difference_interval.high
    return (
        f"{pair.first} has a {measure.better} mean than {pair.second} in "
        f"{probability_text(pair.p_better)} of the samples (difference "
        f"{signed_text(pair.difference)}, {interval_text(low, high)}{effect}); "
        f"they differ by at most {margin:g} in {probability_text(pair.p_equivalent)}."
    )


def _certainty_notes(certain: Certainty) -> list[str]:
    if certain.refusal:
        return []
    drawn = list_text([f"{axis}s" for axis in certain.resampled])
    return [
        f"Certainty: {certain.num_samples:,} bootstrap samples of {drawn}, paired over losses "
        f"(seed {certain.seed}).",
        *certain.notes,
    ]


def _print_pairs(certain: Certainty, sign: str) -> None:
    margin = f"{certain.margin:g}"
    columns = ["A", "B", f"P(A {sign} B)", "difference", "interval", f"P(±{margin})", "d"]
    print_table(
        columns,
        [
            (
                pair.first,
                pair.second,
                probability_text(pair.p_better),
                signed_text(pair.difference),
                interval_text(pair.difference_interval.low, pair.difference_interval.high),
                probability_text(pair.p_equivalent),
                None if pair.effect_size is None else signed_text(pair.effect_size, 2),
            )
            for pair in certain.pairs
        ],
        title=f"Pairs: {percent_text(certain.level)} interval, equivalent up to {margin}",
        numeric=frozenset(columns[2:]),
    )


def _print_significance(tests: Significance, sign: str) -> None:
    diagram = tests.critical_difference
    if diagram:
        print_table(
            ["loss", "mean rank", "groups"],
            [
                (loss, decimal_text(rank, 2), " ".join(_marks(diagram.groups, loss)) or None)
                for loss, rank in diagram.mean_ranks.items()
            ],
            title=(
                f"Mean ranks over {count_text(diagram.num_blocks, 'dataset x model block')}; "
                f"critical difference {decimal_text(diagram.difference, 2)} "
                f"(Nemenyi, {diagram.alpha:g})"
            ),
            numeric=frozenset({"mean rank"}),
        )
        print_line("Losses that share a letter are not significantly different.")
    if tests.friedman:
        found = tests.friedman
        f = found.iman_davenport_statistic
        davenport = "" if f is None else f"; Iman-Davenport F {decimal_text(f, 2)}, "
        davenport += "" if f is None else p_equation_text(found.iman_davenport_p)
        print_line(
            f"Friedman: chi-squared {decimal_text(found.statistic, 2)}, "
            f"{p_equation_text(found.p)}{davenport}; {found.num_blocks} blocks, "
            f"{found.num_losses} losses, W {decimal_text(found.concordance, 2)}."
        )
    if tests.wilcoxon:
        found_pairs = [pair for pair in tests.wilcoxon if pair.significant]
        listed = "; ".join(
            f"{pair.first} {sign} {pair.second} ({p_equation_text(pair.p_holm)})"
            for pair in found_pairs
        )
        print_line(
            f"Wilcoxon with Holm: {len(found_pairs)} of {count_text(len(tests.wilcoxon), 'pair')} "
            f"differ at {tests.alpha:g}{': ' + listed if listed else ''}."
        )
    for sentence in (*tests.refusals, *tests.notes):
        print_line(sentence)


def _marks(groups: Sequence[Sequence[str]], loss: str) -> list[str]:
    return [chr(ord("a") + number) for number, group in enumerate(groups) if loss in group]
