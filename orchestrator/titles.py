"""Published names of datasets, models and losses, for people to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.wording import metric_title
from workers.catalogue.datasets import DATASETS
from workers.catalogue.losses import LOSSES, loss_title
from workers.catalogue.models import MODELS


@dataclass(frozen=True, kw_only=True)
class Titles:
    """What to call the labels of each axis; a label that is absent is its own title."""

    datasets: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    losses: Mapping[str, str] = field(default_factory=dict)

    def of(self, axis: str, label: str) -> str:
        """Returns the title of a label of `dataset`, `model` or `loss`, or of a `metric`."""
        if axis == "metric":
            return metric_title(label)
        titles = {"dataset": self.datasets, "model": self.models, "loss": self.losses}[axis]
        return titles.get(label, label)


def choose_titles(
    *,
    datasets: Sequence[str],
    models: Sequence[str],
    losses: Sequence[str],
    document: Mapping[str, object] | None = None,
) -> Titles:
    """Returns the titles that a grid document states, else the catalogues' own.

    A user's alias stays as it is, and so do labels that would otherwise share one title.

    Args:
        datasets: Labels to be shown.
        models: Labels to be shown.
        losses: Labels to be shown.
        document: A grid document; its entries may have a `label` and a `title`.
    """
    document = document or {}
    return Titles(
        datasets=_distinct(datasets, _catalogue_datasets(datasets) | _stated(document, "datasets")),
        models=_distinct(models, _catalogue_models(models) | _stated(document, "models")),
        losses=_distinct(losses, _catalogue_losses(losses) | _stated(document, "losses")),
    )


def _stated(document: Mapping[str, object], key: str) -> dict[str, str]:
    entries = document.get(key)
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return {}
    return {
        str(entry["label"]): str(entry["title"])
        for entry in entries
        if isinstance(entry, Mapping) and "label" in entry and entry.get("title")
    }


def _catalogue_datasets(labels: Sequence[str]) -> dict[str, str]:
    return {label: DATASETS[label].title for label in labels if label in DATASETS}


def _catalogue_models(labels: Sequence[str]) -> dict[str, str]:
    return {label: MODELS[label].title for label in labels if label in MODELS}


def _catalogue_losses(labels: Sequence[str]) -> dict[str, str]:
    titles: dict[str, str] = {}
    for label in labels:
        parts = label.split("+")
        if set(parts) <= set(LOSSES) and len(set(parts)) == len(parts):
            titles[label] = loss_title(label)
    return titles


def _distinct(labels: Sequence[str], titles: Mapping[str, str]) -> dict[str, str]:
    uses = Counter(titles.get(label, label) for label in labels)
    return {
        label: titles[label] for label in labels if label in titles and uses[titles[label]] == 1
    }
