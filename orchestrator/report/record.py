"""The record that lets someone else do it again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.data import Sweep, column
from orchestrator.report.data_notes import surveyed
from orchestrator.untrusted import mapping_of, spec_of
from orchestrator.wording import MISSING, count_text


@dataclass(frozen=True, kw_only=True)
class Component:
    """A dataset, model or loss as it was used."""

    title: str
    label: str
    name: str
    parameters: str


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What data a dataset's numbers come from; several values where trials differ.

    `surveyed` says what its masks mean and what was odd in its files before the trials ran.
    """

    component: Component
    num_images: str
    fingerprint: str
    surveyed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record:
    """Facts as (name, value) pairs, in groups, and the tables of what was used."""

    groups: Mapping[str, tuple[tuple[str, str], ...]]
    datasets: tuple[DatasetRecord, ...]
    models: tuple[Component, ...]
    losses: tuple[Component, ...]
    committed: str


def record(sweep: Sweep) -> Record:
    """Collects everything that was the same in all trials, and where they differed says so."""
    trials = sweep.trials
    specs = [spec_of(text) for text in column(trials, "spec")]
    return Record(
        groups={
            "Protocol": _protocol(trials, specs),
            "Where it ran": _facts(trials, _PLACES),
            "Software": (*_facts(trials, _CODE), *_versions(trials)),
        },
        datasets=tuple(
            DatasetRecord(
                component=component,
                num_images=_image_counts(rows),
                fingerprint=_values(column(rows, "dataset_fingerprint")),
                surveyed=surveyed(sweep, component.label),
            )
            for component, rows in _components(sweep, "dataset", specs)
        ),
        models=tuple(component for component, _ in _components(sweep, "model", specs)),
        losses=tuple(component for component, _ in _components(sweep, "loss", specs)),
        committed=_committed(trials),
    )


_PLACES = {
    "Device": "device",
    "Host": "host",
    "GPU": "gpu_ids",
    "CPU threads a trial": "num_threads",
    "Arithmetic": "arithmetic",
    "Deterministic kernels": "deterministic",
}
_CODE = {"Podium": "code_version"}
_PROTOCOL_WORDS = {"data": "Data", "training": "Training"}


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
        for group in _PROTOCOL_WORDS:
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


def _components(
    sweep: Sweep, axis: str, specs: list[dict[str, object]]
) -> list[tuple[Component, pd.DataFrame]]:
    if axis not in sweep.trials:
        return []
    found: list[tuple[Component, pd.DataFrame]] = []
    for label in sweep.losses if axis == "loss" else sweep.grid.blocks(axis):
        mask = (sweep.trials[axis] == label).to_numpy()
        rows = sweep.trials[mask]
        if rows.empty:
            continue
        used = specs[int(mask.argmax())].get(axis)
        used = used if isinstance(used, dict) else {}
        parameters = used.get("parameters") or {}
        component = Component(
            title=sweep.title(axis, label),
            label=label,
            name=str(used.get("name") or column(rows, f"{axis}_name").iloc[0] or label),
            parameters=", ".join(
                f"{key} {json.dumps(value, sort_keys=True)}"
                for key, value in sorted(parameters.items())
            ),
        )
        found.append((component, rows))
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
