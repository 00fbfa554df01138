"""What searches have found, and the file of losses at their best: pure, starts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from orchestrator.config import SweepConfig
from orchestrator.tune.studies import Candidate, Study
from workers.catalogue.spaces import Range

TUNED = " (tuned)"
"""End of the label of a tuned loss; a report compares such a loss with its default."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The candidates of a search so far, and the best of them.

    Attributes:
        candidates: In the order of their numbers.
    """

    study: Study
    candidates: tuple[Candidate, ...]

    @property
    def ended(self) -> tuple[tuple[Candidate, float], ...]:
        """The candidates that have a value, with their values."""
        return tuple((one, one.value) for one in self.candidates if one.value is not None)

    @property
    def best(self) -> tuple[Candidate, float] | None:
        """The candidate with the highest value above 0, and of equal ones the first.

        A value of 0 means that every training diverged or found no structure.
        """
        found = (pair for pair in self.ended if pair[1] > 0)
        return max(found, key=lambda pair: (pair[1], -pair[0].number), default=None)

    @property
    def default(self) -> float | None:
        """The value of the default parameters; None if their candidate has no value."""
        return next((value for one, value in self.ended if one.number == 0), None)

    @property
    def num_pruned(self) -> int:
        """Number of candidates that were stopped early."""
        return sum(one.status == "pruned" for one in self.candidates)

    @property
    def num_diverged(self) -> int:
        """Number of candidates with a training that diverged."""
        return sum(one.status == "diverged" for one in self.candidates)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about the best candidate, one sentence each."""
        found = []
        best = self.best
        counts = f"{self.num_diverged} of {len(self.ended)} candidates diverged"
        if best is None and self.ended:
            found.append(
                f"no best, since no candidate reached a validation Dice above 0; {counts}: lower "
                "training.learning_rate, or search another space"
            )
        elif self.num_diverged:
            found.append(f"{counts} in at least one training, which counts 0")
        if best is not None:
            found += [
                f"{key}: the best value, {value:.3g}, lies at the {end} of its range "
                f"({domain.low:g} to {domain.high:g}); a better one may lie beyond: widen the "
                "range in tune.spaces if the loss allows it"
                for key, domain in self.study.space.items()
                if isinstance(domain, Range)
                and isinstance(value := best[0].values[key], int | float)
                and (end := domain.end_at(value))
            ]
        return tuple(found)

    @property
    def num_ended(self) -> int:
        """Number of candidates that count towards the budget: all that ended."""
        return sum(one.status != "partial" for one in self.candidates)

    @property
    def complete(self) -> bool:
        """Whether the budget is spent."""
        return self.num_ended >= self.study.options.trials


def tuned_label(study: Study) -> str:
    """Returns the label of a tuned loss."""
    if not study.group:
        return f"{study.loss.label}{TUNED}"
    return f"{study.loss.label} (tuned for {', '.join(study.group)})"


def fragments(results: Iterable[SearchResult]) -> dict[str, str]:
    """Returns {file name: text} of the losses at their best, one file per group.

    Of several searches for a loss, the one with the best candidate counts. A loss without a best
    candidate is left out.
    """
    groups: dict[tuple[str, ...], dict[str, SearchResult]] = {}
    for result in results:
        found = groups.setdefault(result.study.group, {})
        other = found.get(result.study.loss.label)
        if result.best is not None and (
            other is None or other.best is None or result.best[1] > other.best[1]
        ):
            found[result.study.loss.label] = result
    return {
        _name(group): _text(group, [*found.values()]) for group, found in groups.items() if found
    }


def spread(results: Iterable[SearchResult]) -> tuple[str, ...]:
    """Returns a sentence on how far the searches for the same loss agree; none for one search."""
    searches: dict[tuple[str, ...], list[tuple[Candidate, float]]] = {}
    for result in results:
        key = (result.study.loss.label, *result.study.group)
        if result.best is not None:
            searches.setdefault(key, []).append(result.best)
    sentences = []
    for key, bests in searches.items():
        if len(bests) > 1:
            values = [value for _, value in bests]
            ranges = [f"best validation Dice {min(values):.4f} to {max(values):.4f}"]
            for name in bests[0][0].values:
                chosen = [one.values[name] for one, _ in bests]
                numbers = [value for value in chosen if isinstance(value, int | float)]
                if len(numbers) == len(chosen):
                    ranges.append(f"{name} {min(numbers):.3g} to {max(numbers):.3g}")
                else:
                    ranges.append(f"{name} {', '.join(sorted({str(value) for value in chosen}))}")
            sentences.append(
                f"{' · '.join(key)}: {len(bests)} searches that differ only by chance: "
                f"{'; '.join(ranges)}"
            )
    return tuple(sentences)


def overlap_note(config: SweepConfig) -> str | None:
    """Returns why a grid of these images would be tested on images that judged candidates."""
    if config.data.fixed_test:
        return None
    return (
        "each repeat of a grid tests other images, and some of them judged candidates here as "
        "validation images; with data.fixed_test: true, and the same seed, in the search and in "
        "the grid no test image did"
    )


def _name(group: tuple[str, ...]) -> str:
    safe = (re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "other" for label in group)
    return "-".join(("losses", *safe)) + ".yaml"


def _text(group: tuple[str, ...], results: list[SearchResult]) -> str:
    about = f" for {' and '.join(group)}" if group else ""
    lines = [
        f"# Each loss at its best{about} by validation Dice, from `podium tune`. To include it:",
        "#   losses: [bce, focal, {from: THIS FILE}]",
    ]
    cell = results[0].study.cells[0]
    if cell.data.fixed_test:
        lines.append(
            f"# No test image judged a candidate, if the grid has data.fixed_test: true, seed: "
            f"{cell.seed} and the same data keys."
        )
    entries = []
    for result in results:
        best = result.best
        if best is None:
            continue
        candidate, value = best
        default = "unknown" if result.default is None else f"{result.default:.4f}"
        state = "" if result.complete else f" of {result.study.options.trials}, unfinished"
        lines.append(
            f"# {result.study.loss.label}: {value:.4f}, default {default}; candidate "
            f"{candidate.number}, {result.num_ended} tried{state}; search "
            f"{result.study.search_id}"
        )
        component = result.study.component(candidate.values)
        entries.append(
            {
                "name": component.name,
                "alias": tuned_label(result.study),
                "parameters": dict(component.parameters),
            }
        )
    body = yaml.safe_dump(
        {"losses": entries}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=98
    )
    return "\n".join(lines) + "\n" + body
