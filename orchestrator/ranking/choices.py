"""The named choices of a ranking, in a module that the command line loads without pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

TieRule = Literal["split", "min", "max", "order"]
TieName = Literal["split", "min", "competition", "max", "modified", "order", "first"]
"""A tie rule, or the name that the literature on rankings has for it."""

Compare = Literal["available", "common"]
"""Which cells count: every cell with a trial, or only cells that all losses have."""

PodiumAxis = Literal["dataset", "model", "both"]
"""The blocks of a podium: datasets, models, or both."""

Estimand = Literal["other", "other_datasets", "other_networks", "these", "images"]
"""What a statement on losses is about; a sweep of one dataset or network allows fewer of them."""

About = Literal["other", "other-datasets", "other-networks", "these", "images"]
"""An estimand, as the command line writes it."""

ESTIMANDS: Mapping[Estimand, str] = {
    "other": "other datasets and networks",
    "other_datasets": "other datasets, these networks",
    "other_networks": "other networks, this dataset",
    "these": "these datasets, these networks",
    "images": "these networks, other images",
}
"""The name of each estimand in texts."""
