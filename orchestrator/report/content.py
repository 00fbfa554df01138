"""Everything a report shows, computed once for the page and the figures."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ranking.siblings import SiblingEffect, find_siblings
from orchestrator.report.answer import Answer, answer
from orchestrator.report.costs import Costs, costs
from orchestrator.report.curves import CurvePanel, curve_panels
from orchestrator.report.data import Sweep
from orchestrator.report.evidence import Evidence, evidence
from orchestrator.report.heat import HeatTable, heat_table
from orchestrator.report.missing import Holes, find_holes
from orchestrator.report.predictions import Example, examples
from orchestrator.report.record import Configuration, Record, configuration, record
from orchestrator.report.standings import Standing, TunedPair, standings, tuned_pairs


@dataclass(frozen=True, kw_only=True)
class Content:
    """The parts of a report in the order in which it shows them."""

    sweep: Sweep
    answer: Answer
    standings: tuple[Standing, ...]
    evidence: Evidence
    tuned: tuple[TunedPair, ...]
    heat_tables: tuple[HeatTable, ...]
    panels: tuple[CurvePanel, ...]
    examples: tuple[Example, ...]
    costs: Costs
    holes: Holes
    siblings: SiblingEffect
    record: Record
    configuration: Configuration


def collect(sweep: Sweep) -> Content:
    """Computes every part."""
    found = evidence(sweep)
    return Content(
        sweep=sweep,
        answer=answer(sweep, found.certainties),
        standings=tuple(standings(sweep)),
        evidence=found,
        tuned=tuned_pairs(sweep, found),
        heat_tables=tuple(heat_table(sweep, podium) for podium in sweep.ranking.podiums),
        panels=tuple(curve_panels(sweep)),
        examples=tuple(examples(sweep)),
        costs=costs(sweep),
        holes=find_holes(sweep),
        siblings=find_siblings(
            sweep.table, sweep.siblings, ties=sweep.ranking.ties, expected=sweep.grid
        ),
        record=record(sweep),
        configuration=configuration(sweep),
    )
