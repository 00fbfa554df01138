"""The two sweeps of a comparison, checked and ranked separately, and their different settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.ranking.metrics import in_percent
from orchestrator.ranking.podium import Ranking
from orchestrator.ranking.protocols import protocol_values
from orchestrator.report.data import RankedSweep, ReportData, arrange, column
from orchestrator.untrusted import AXES, mapping_of, spec_of
from orchestrator.wording import MISSING, list_text, metric_title

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "Machines": {
        "device": "device",
        "host": "host",
        "gpu_ids": "GPU",
        "num_threads": "CPU threads per trial",
        "arithmetic": "arithmetic",
        "deterministic": "deterministic kernels",
    },
    "Software": {"code_version": "podium"},
}
_MAX_VALUES = 4
_SKIPPED = ("name", "results", "roots", "datasets", "models", "losses", "repeats", "seed")
"""Keys of the configuration that are shown elsewhere or belong to one machine's folders."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two sweeps.

    Attributes:
        letter: `A` or `B`.
        place: Folder, URI or file.
        sweep: Its trials and ranking.
    """

    letter: str
    place: str
    sweep: RankedSweep

    @property
    def trials(self) -> pd.DataFrame:
        """The checked trials."""
        return self.sweep.trials

    @property
    def ranking(self) -> Ranking:
        """Both podiums."""
        return self.sweep.ranking

    @property
    def name(self) -> str:
        """Name of the sweep."""
        return self.sweep.name

    @property
    def metric(self) -> str:
        """The ranked column."""
        return self.sweep.metric

    @property
    def metric_text(self) -> str:
        """Title of the ranked column; with its direction if it is user-defined."""
        stated = self.ranking.measure.stated
        beside = ", ".join(filter(None, ["in %" if self.in_percent else "", stated]))
        return f"{metric_title(self.metric)} ({beside})" if beside else metric_title(self.metric)

    @property
    def in_percent(self) -> bool:
        """Whether a share is written as a percentage."""
        values = self.trials[self.metric].to_numpy(dtype=float)
        return self.ranking.measure.bounded and in_percent(values)

    @property
    def quantity(self) -> tuple[str, bool]:
        """The measured quantity and whether it is in percent; pooled Dice counts as Dice."""
        return self.metric.removesuffix("_pooled"), self.in_percent


def side(letter: str, place: str, data: ReportData) -> Side:
    """Checks and ranks one of the two sweeps.

    Raises:
        UserError: See `arrange`.
    """
    return Side(letter=letter, place=place, sweep=arrange(data))


@dataclass(frozen=True, kw_only=True)
class SettingDifference:
    """One setting, version or device that differs.

    Attributes:
        group: Its kind, such as `Protocol`.
        name: The key.
        a: Its value or values in A; a dash for none.
        b: Likewise.
    """

    group: str
    name: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class SettingDifferences:
    """All differences, and the number of compared settings, versions and devices."""

    differing: tuple[SettingDifference, ...]
    num_compared: int


def compare_settings(a: Side, b: Side) -> SettingDifferences:
    """Returns every difference, by group."""
    groups: dict[str, Callable[[Side], dict[str, str]]] = {
        "Grid": _grid,
        "Protocol": _protocol,
        "Components": _components,
        "Data": _fingerprints,
        "Configuration": _configuration,
        "Machines": lambda side: _columns(side.trials, _COLUMNS["Machines"]),
        "Software": _software,
    }
    differing: list[SettingDifference] = []
    num_compared = 0
    for group, read in groups.items():
        left, right = read(a), read(b)
        names = list(dict.fromkeys((*left, *right)))
        num_compared += len(names)
        differing += [
            SettingDifference(
                group=group, name=name, a=left.get(name, MISSING), b=right.get(name, MISSING)
            )
            for name in names
            if left.get(name, MISSING) != right.get(name, MISSING)
        ]
    return SettingDifferences(differing=tuple(differing), num_compared=num_compared)


def _grid(side: Side) -> dict[str, str]:
    grid = side.sweep.grid
    return {
        "metric": side.metric,
        "tie rule": side.ranking.ties,
        "datasets": ", ".join(sorted(grid.datasets)) or MISSING,
        "models": ", ".join(sorted(grid.models)) or MISSING,
        "losses": ", ".join(sorted(grid.losses)),
        "repeats": str(grid.num_repeats),
    }


def _protocol(side: Side) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for spec in dict.fromkeys(column(side.trials, "spec").dropna()):
        for key, value in protocol_values(spec).items():
            found.setdefault(key, []).append(value)
    return {key: _listed(values) for key, values in sorted(found.items())}


def _components(side: Side) -> dict[str, str]:
    """Returns name and parameters of each dataset, model and loss, by label."""
    found: dict[str, list[str]] = {}
    for text in dict.fromkeys(column(side.trials, "spec").dropna()):
        spec = spec_of(text)
        for axis in AXES:
            if axis in spec:
                used = spec[axis]
                label = str(used.get("label") or used["name"])
                parameters = json.dumps(used["parameters"], sort_keys=True)
                found.setdefault(f"{axis} {label}", []).append(f"{used['name']} {parameters}")
    return {key: _listed(values) for key, values in sorted(found.items())}


def _fingerprints(side: Side) -> dict[str, str]:
    trials = side.trials
    if not {"dataset", "dataset_fingerprint"} <= set(trials.columns):
        return {}
    groups = trials.groupby("dataset", sort=True)["dataset_fingerprint"]
    return {f"fingerprint of {name}": _listed(values.dropna()) for name, values in groups}


def _configuration(side: Side) -> dict[str, str]:
    kept = (side.sweep.document or {}).get("config")
    if not isinstance(kept, Mapping):
        return {}
    protocol = set(_protocol(side))
    flat = _flat({key: value for key, value in kept.items() if key not in _SKIPPED})
    return {key: value for key, value in sorted(flat.items()) if key not in protocol}


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        elif value not in (None, [], {}):  # the same as a missing key of an older version
            found[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def _columns(trials: pd.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    found = {name: _listed(column(trials, source).dropna()) for source, name in names.items()}
    return {name: text for name, text in found.items() if text != MISSING}


def _software(side: Side) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for text in dict.fromkeys(column(side.trials, "versions").dropna()):
        for package, version in mapping_of(text).items():
            found.setdefault(str(package), []).append(str(version))
    packages = {package: _listed(values) for package, values in sorted(found.items())}
    return _columns(side.trials, _COLUMNS["Software"]) | packages


def _listed(values: Iterable[object]) -> str:
    """Returns the one value, or the different ones, the most frequent first."""
    counts = Counter(str(value) for value in values if str(value) != "")
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return list_text(ordered, limit=_MAX_VALUES) if ordered else MISSING
