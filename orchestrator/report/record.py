"""The record for reproduction: protocol, machines, software, data, and the configuration."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd
import yaml

from orchestrator.config.schema import SweepFile
from orchestrator.report.data import RankedSweep, column, surveyed
from orchestrator.untrusted import mapping_of, spec_of
from orchestrator.wording import MISSING, count_text
from workers.catalogue.code_files import digest_in, short_name

_MACHINES = {
    "Device": "device",
    "Host": "host",
    "GPU": "gpu_ids",
    "CPU threads per trial": "num_threads",
    "Arithmetic": "arithmetic",
    "Deterministic kernels": "deterministic",
}
_CODE = {"Podium": "code_version"}
_PROTOCOL_GROUPS = ("data", "training")

_FIRST_KEYS = ("name", "datasets", "models", "losses", "repeats", "seed", "data", "training")


@dataclass(frozen=True, kw_only=True)
class AxisEntry:
    """A dataset, model or loss with its parameters."""

    title: str
    label: str
    name: str
    parameters: str


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """The data behind a dataset's numbers; several values if trials differ.

    Attributes:
        surveyed: Sentences on the meaning of its masks and on findings in its files.
    """

    entry: AxisEntry
    num_images: str
    fingerprint: str
    surveyed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record:
    """Facts as (name, value) pairs in groups, and the datasets, models and losses used."""

    groups: Mapping[str, tuple[tuple[str, str], ...]]
    datasets: tuple[DatasetRecord, ...]
    models: tuple[AxisEntry, ...]
    losses: tuple[AxisEntry, ...]
    committed: str


def record(sweep: RankedSweep) -> Record:
    """Returns the record; a value that differs between trials is listed with its counts."""
    trials = sweep.trials
    specs = [spec_of(text) for text in column(trials, "spec")]
    return Record(
        groups={
            "Protocol": _protocol(trials, specs),
            "Where it ran": _facts(trials, _MACHINES),
            "Software": (*_facts(trials, _CODE), *_versions(trials)),
        },
        datasets=tuple(
            DatasetRecord(
                entry=entry,
                num_images=_image_counts(rows),
                fingerprint=_values(column(rows, "dataset_fingerprint")),
                surveyed=surveyed(sweep, entry.label),
            )
            for entry, rows in _entries(sweep, "dataset", specs)
        ),
        models=tuple(entry for entry, _ in _entries(sweep, "model", specs)),
        losses=tuple(entry for entry, _ in _entries(sweep, "loss", specs)),
        committed=_committed(trials),
    )


def _facts(trials: pd.DataFrame, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    facts = ((name, _values(column(trials, source))) for name, source in names.items())
    return tuple(fact for fact in facts if fact[1] != MISSING)


def _values(values: Iterable[object], limit: int = 6) -> str:
    """Returns the one value, or all with how many trials have each, the most frequent first."""
    counts = Counter(str(value) for value in values if not pd.isna(value) and str(value) != "")  # type: ignore[call-overload]
    if not counts:
        return MISSING
    if len(counts) == 1:
        return next(iter(counts))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{value} ({count_text(count, 'trial')})" for value, count in ordered[:limit]]
    more = [f"and {len(ordered) - limit} more"] if len(ordered) > limit else []
    return ", ".join([*shown, *more])


def _protocol(trials: pd.DataFrame, specs: list[dict[str, object]]) -> tuple[tuple[str, str], ...]:
    facts = list(_facts(trials, {"Protocol": "protocol_id", "Seed": "seed"}))
    repeats = column(trials, "repeat").dropna()
    if len(repeats):
        numbers = sorted({int(value) for value in repeats})
        listing = ", ".join(map(str, numbers))
        facts.append(("Repeats", f"{len(numbers)}, numbered {listing}"))
    collected: dict[str, list[str]] = {}
    for spec in specs:
        for group in _PROTOCOL_GROUPS:
            values = spec.get(group)
            if isinstance(values, dict):
                for key, value in values.items():
                    collected.setdefault(str(key), []).append(_plain(value))
    facts.extend((_words(key), _values(values)) for key, values in collected.items())
    if "image_size" not in collected:
        facts.extend(_facts(trials, {"Image size": "image_size"}))
    return tuple(facts)


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " : ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _versions(trials: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    found: dict[str, list[str]] = {}
    for text in column(trials, "versions"):
        for package, version in mapping_of(text).items():
            found.setdefault(str(package), []).append(str(version))
    return tuple((package, _values(found[package])) for package in sorted(found))


def _entries(
    sweep: RankedSweep, axis: str, specs: list[dict[str, object]]
) -> list[tuple[AxisEntry, pd.DataFrame]]:
    if axis not in sweep.trials:
        return []
    found: list[tuple[AxisEntry, pd.DataFrame]] = []
    for label in sweep.losses if axis == "loss" else sweep.grid.blocks(axis):
        mask = (sweep.trials[axis] == label).to_numpy()
        rows = sweep.trials[mask]
        if rows.empty:
            continue
        used = specs[int(mask.argmax())].get(axis)
        used = used if isinstance(used, dict) else {}
        parameters = used.get("parameters") or {}
        entry = AxisEntry(
            title=sweep.title(axis, label),
            label=label,
            name=str(used.get("name") or column(rows, f"{axis}_name").iloc[0] or label),
            parameters=", ".join(
                f"{key} {json.dumps(value, sort_keys=True)}"
                for key, value in sorted(parameters.items())
            ),
        )
        found.append((entry, rows))
    return found


def _image_counts(rows: pd.DataFrame) -> str:
    names = ("num_train_images", "num_val_images", "num_test_images")
    if not all(name in rows for name in names):
        return MISSING
    return _values(
        " : ".join(_plain(value) for value in counts)
        for counts in zip(*(rows[name] for name in names), strict=True)
    )


def _committed(trials: pd.DataFrame) -> str:
    times = pd.to_datetime(column(trials, "committed_at").dropna(), utc=True)
    if not len(times):
        return MISSING
    first, last = times.min(), times.max()
    if first.date() == last.date():
        return f"{first:%Y-%m-%d, %H:%M} to {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The configuration of a sweep, as the results keep it.

    Attributes:
        yaml: A configuration file for `podium run`; empty if the results have no grid.
        json: The complete configuration as JSON; without a grid the specification of one
            trial.
    """

    yaml: str
    json: str


def configuration(sweep: RankedSweep) -> Configuration:
    """Returns the configuration that the results keep."""
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
    """Returns the values of a configuration file that runs the same trials.

    The location of the results is replaced by a folder, because it may contain credentials and
    belongs to the machine that ran the sweep.

    Args:
        kept: The `config` of a grid document: axes as name, label and parameters,
            and the paths `roots`, `weights` and `code`.
    """
    paths = (kept.get(key) for key in ("roots", "weights", "code"))
    roots, weights, code = (path if isinstance(path, Mapping) else {} for path in paths)
    read = {
        "datasets": lambda entry: _dataset(entry, roots),
        "models": lambda entry: _from_file(_model(entry, weights), code),
        "losses": lambda entry: _from_file(_entry(entry), code),
    }
    values: dict[str, object] = {}
    others = [key for key in SweepFile.model_fields if key not in (*_FIRST_KEYS, "results")]
    for key in (*_FIRST_KEYS, *others):
        value = kept.get(key)
        if key in read and isinstance(value, list):
            values[key] = [read[key](entry) for entry in value if isinstance(entry, Mapping)]
        elif value is not None:
            values[key] = value
    return values | {"results": "results"}


def _entry(component: Mapping[str, object]) -> dict[str, object]:
    """Returns name, alias and parameters as in a configuration file."""
    name, label = component.get("name"), component.get("label")
    entry: dict[str, object] = {"name": name}
    if label not in (None, name):
        entry["alias"] = label
    parameters = component.get("parameters")
    if isinstance(parameters, Mapping) and parameters:
        entry["parameters"] = dict(parameters)
    return entry


def _from_file(entry: dict[str, object], code: Mapping[str, object]) -> dict[str, object]:
    """Returns a model or loss of a file of code with the path of this file."""
    name = str(entry["name"])
    digest = digest_in(name)
    if digest is None:
        return entry
    short = short_name(name)
    rest = {k: v for k, v in entry.items() if k != "name" and (k, v) != ("alias", short)}
    return {"file": code.get(digest, "FILE"), "name": short, **rest}


def _dataset(component: Mapping[str, object], roots: Mapping[str, object]) -> dict[str, object]:
    """Returns a dataset with its folder; an alias that repeats the parameter `label` removes it."""
    entry = _entry(component)
    parameters = entry.get("parameters")
    if isinstance(parameters, dict) and parameters.get("label") == component.get("label"):
        del parameters["label"]
    root = roots.get(str(component.get("label")))
    return entry | ({"root": root} if root else {})


def _model(component: Mapping[str, object], weights: Mapping[str, object]) -> dict[str, object]:
    """Returns a model; weights by their path, for which the grid has only a digest."""
    entry = _entry(component)
    path = weights.get(str(component.get("label")))
    parameters = entry.get("parameters")
    if path and isinstance(parameters, dict):
        parameters["pretrained"] = path
    return entry


def _one_trial(sweep: RankedSweep) -> str:
    specs = column(sweep.trials, "spec").dropna()
    if not len(specs):
        return ""
    found = spec_of(specs.iloc[0])
    return json.dumps(found, indent=2, ensure_ascii=False) if found else ""
