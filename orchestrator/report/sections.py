"""The sections of a report, computed once for the page and the figures."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ranking.siblings import SiblingEffect, find_siblings
from orchestrator.report.answer import Answer, answer
from orchestrator.report.costs import Costs, costs
from orchestrator.report.curves import CurvePanel, curve_panels
from orchestrator.report.data import RankedSweep
from orchestrator.report.missing import MissingAndFailed, find_missing
from orchestrator.report.predictions import Example, examples
from orchestrator.report.record import Configuration, Record, configuration, record
from orchestrator.report.standings import StandingRow, TunedPair, standings, tuned_pairs
from orchestrator.report.statistics import Statistics, compute_statistics


@dataclass(frozen=True, kw_only=True)
class Sections:
    """All sections, in the order of the page."""

    sweep: RankedSweep
    answer: Answer
    standings: tuple[StandingRow, ...]
    statistics: Statistics
    tuned: tuple[TunedPair, ...]
    panels: tuple[CurvePanel, ...]
    examples: tuple[Example, ...]
    costs: Costs
    missing: MissingAndFailed
    siblings: SiblingEffect
    record: Record
    configuration: Configuration


def compute_sections(sweep: RankedSweep) -> Sections:
    """Computes every section."""
    found = compute_statistics(sweep)
    return Sections(
        sweep=sweep,
        answer=answer(sweep, found.certainty),
        standings=tuple(standings(sweep)),
        statistics=found,
        tuned=tuned_pairs(sweep, found),
        panels=tuple(curve_panels(sweep)),
        examples=tuple(examples(sweep)),
        costs=costs(sweep),
        missing=find_missing(sweep),
        siblings=find_siblings(
            sweep.table, sweep.siblings, ties=sweep.ranking.ties, expected=sweep.grid
        ),
        record=record(sweep),
        configuration=configuration(sweep),
    )
