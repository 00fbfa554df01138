"""The losses at their best, as a file that a grid's configuration can include."""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from orchestrator.studies import Finding, Study

TUNED = " (tuned)"
"""What the label of a tuned loss ends with; a report shows such a loss beside its default."""


def tuned_label(study: Study) -> str:
    """Returns what a loss is called once it is tuned."""
    if not study.group:
        return f"{study.loss.label}{TUNED}"
    return f"{study.loss.label} (tuned for {', '.join(study.group)})"


def fragments(findings: Iterable[Finding]) -> dict[str, str]:
    """Returns {file name: text} of the losses at their best, one file a group.

    A loss none of whose candidates has ended is left out.
    """
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        if finding.best is not None:
            groups.setdefault(finding.study.group, []).append(finding)
    return {_name(group): _text(group, found) for group, found in groups.items()}


def _name(group: tuple[str, ...]) -> str:
    safe = (re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.") or "other" for label in group)
    return "-".join(("losses", *safe)) + ".yaml"


def _text(group: tuple[str, ...], findings: list[Finding]) -> str:
    about = f" for {' and '.join(group)}" if group else ""
    lines = [
        f"# Each loss at its best{about} by validation Dice, from `podium tune`. To include it:",
        "#   losses: [bce, focal, {from: THIS FILE}]",
    ]
    entries = []
    for finding in findings:
        best = finding.best
        if best is None:
            continue
        candidate, value = best
        default = "unknown" if finding.default is None else f"{finding.default:.4f}"
        state = "" if finding.complete else f" of {finding.study.options.trials}, unfinished"
        lines.append(
            f"# {finding.study.loss.label}: {value:.4f}, default {default}; candidate "
            f"{candidate.number}, {finding.num_ended} tried{state}; search "
            f"{finding.study.search_id}"
        )
        component = finding.study.component(candidate.values)
        entries.append(
            {
                "name": component.name,
                "alias": tuned_label(finding.study),
                "parameters": dict(component.parameters),
            }
        )
    body = yaml.safe_dump(
        {"losses": entries}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=98
    )
    return "\n".join(lines) + "\n" + body
