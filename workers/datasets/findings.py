"""Findings in the files of a dataset, in the same words for every command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from workers.contract import JSONValue

NUM_NAMES = 5
"""Names that a sentence lists before it says how many more there are."""

Severity = Literal["refused", "note"]


@dataclass(frozen=True, kw_only=True)
class FindingKind:
    """One kind of finding.

    Attributes:
        name: Key in JSON, `size-mismatch`.
        severity: `refused`: no trial of the dataset can be trained; `note`: it is trained, and the
            user is informed.
        text: The finding in words, without the count: "mask of another size, scaled to its image".
        remedy: Imperative sentence without a full stop; empty if nothing must be done.
    """

    name: str
    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of finding, with the files or samples that it concerns.

    Attributes:
        kind: Its entry in the table of kinds.
        names: Files relative to the dataset's folder, or samples; in natural order. Empty where
            the finding concerns the dataset as a whole.
        details: One text per name, "64x64, its image 96x96"; empty if the kind says everything.
    """

    kind: FindingKind
    names: tuple[str, ...]
    details: tuple[str, ...] = ()

    def sentence(self, num_names: int | None = NUM_NAMES) -> str:
        """Returns kind, count, the first names with details, and the remedy.

        A finding without names is its text and its remedy.

        Args:
            num_names: How many names at most; None for all.
        """
        shown = self.names[:num_names]
        details = self.details[: len(shown)] or ("",) * len(shown)
        listed = [
            f"{name} ({detail})" if detail else name
            for name, detail in zip(shown, details, strict=True)
        ]
        more = len(self.names) - len(shown)
        if more:
            listed.append(f"and {more} more")
        names = f" ({', '.join(listed)})" if listed else ""
        remedy = f"; {self.kind.remedy}" if self.kind.remedy else ""
        count = f": {len(self.names)}" if self.names else ""
        return f"{self.kind.text}{count}{names}{remedy}"

    def to_json(self) -> dict[str, JSONValue]:
        """Returns kind, severity, text, remedy and every name with its detail."""
        details = self.details or ("",) * len(self.names)
        return {
            "kind": self.kind.name,
            "severity": self.kind.severity,
            "text": self.kind.text,
            "remedy": self.kind.remedy,
            "files": [
                {"name": name, "detail": detail or None}
                for name, detail in zip(self.names, details, strict=True)
            ],
        }


def finding(kind: FindingKind, found: Mapping[str, str] | Iterable[str]) -> tuple[Finding, ...]:
    """Returns one finding, or nothing if nothing was found.

    Args:
        kind: The kind of finding.
        found: Names, or details by name.
    """
    details = tuple(found.values()) if isinstance(found, Mapping) else ()
    names = tuple(found)
    return (Finding(kind=kind, names=names, details=details),) if names else ()
