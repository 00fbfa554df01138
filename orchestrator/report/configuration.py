"""The configuration of a sweep as text to copy: YAML that runs again, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from orchestrator.config.schema import SweepFile
from orchestrator.report.data import Sweep, column
from orchestrator.untrusted import spec_of

_AXES = ("datasets", "models", "losses")
_FIRST = ("name", *_AXES, "repeats", "seed", "data", "training")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What was asked for.

    Attributes:
        yaml: A configuration file for `podium run`; empty where the store keeps no grid.
        json: Everything that the store keeps of it, complete, as JSON; without a grid the
            specification of one trial.
    """

    yaml: str
    json: str


def configuration(sweep: Sweep) -> Configuration:
    """Returns the configuration that the store keeps beside its results."""
    kept = (sweep.document or {}).get("config")
    if not isinstance(kept, Mapping) or not kept:
        return Configuration(yaml="", json=_one_trial(sweep))
    values = runnable(kept)
    return Configuration(
        yaml=yaml.safe_dump(
            values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
        json=json.dumps(
            {key: value for key, value in kept.items() if key != "results"},
            indent=2,
            ensure_ascii=False,
        ),
    )


def runnable(kept: Mapping[str, object]) -> dict[str, object]:
    """Returns the values of a configuration file that asks for the same trials.

    The place of the results is not kept, for it may hold credentials and belongs to the machine
    that ran the sweep: a folder beside the file stands in for it.

    Args:
        kept: The `config` of a grid document: axes as name, label and parameters,
            and the paths `roots` and `weights`.
    """
    paths = {key: kept.get(key) for key in ("roots", "weights")}
    roots, weights = (path if isinstance(path, Mapping) else {} for path in paths.values())
    read = {
        "datasets": lambda entry: _dataset(entry, roots),
        "models": lambda entry: _model(entry, weights),
        "losses": _entry,
    }
    values: dict[str, object] = {}
    others = [key for key in SweepFile.model_fields if key not in (*_FIRST, "results")]
    for key in (*_FIRST, *others):
        value = kept.get(key)
        if key in read and isinstance(value, list):
            values[key] = [read[key](entry) for entry in value if isinstance(entry, Mapping)]
        elif value is not None:
            values[key] = value
    return values | {"results": "results"}


def _entry(component: Mapping[str, object]) -> dict[str, object]:
    """Returns name, alias and parameters as a file says them."""
    name, label = component.get("name"), component.get("label")
    entry: dict[str, object] = {"name": name}
    if label not in (None, name):
        entry["alias"] = label
    parameters = component.get("parameters")
    if isinstance(parameters, Mapping) and parameters:
        entry["parameters"] = dict(parameters)
    return entry


def _dataset(component: Mapping[str, object], roots: Mapping[str, object]) -> dict[str, object]:
    """Returns a dataset with its folder; where the alias names the data, it is no parameter."""
    entry = _entry(component)
    parameters = entry.get("parameters")
    if isinstance(parameters, dict) and parameters.get("label") == component.get("label"):
        del parameters["label"]
    root = roots.get(str(component.get("label")))
    return entry | ({"root": root} if root else {})


def _model(component: Mapping[str, object], weights: Mapping[str, object]) -> dict[str, object]:
    """Returns a model; given weights by their path, of which the grid keeps the content."""
    entry = _entry(component)
    path = weights.get(str(component.get("label")))
    parameters = entry.get("parameters")
    if path and isinstance(parameters, dict):
        parameters["pretrained"] = path
    return entry


def _one_trial(sweep: Sweep) -> str:
    specs = column(sweep.trials, "spec").dropna()
    if not len(specs):
        return ""
    found = spec_of(specs.iloc[0])
    return json.dumps(found, indent=2, ensure_ascii=False) if found else ""
