"""Code that is not Podium's: versions of other packages, and files of users; without torch."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from workers.catalogue.datasets import DATASETS
from workers.catalogue.losses import LOSSES, split_loss
from workers.catalogue.models import MODELS
from workers.contract import CodeFile, TrialSpec

_DIGEST = re.compile(r"\+[0-9a-f]{12}$")


def add_files(files: Iterable[CodeFile]) -> None:
    """Adds the losses and models of users' files to the catalogues of this process.

    Raises:
        UserError: A file cannot be imported here, or an entry is wrong.
    """
    for file in files:
        LOSSES.add_file(file)
        MODELS.add_file(file)


def outside_versions(spec: TrialSpec) -> dict[str, str]:
    """Returns the versions of packages that a trial's dataset, model or loss comes from.

    Each version has a digest of the file with the entry, because code can change without a new
    version. A package with entries in several modules also has one line per module. Files of users
    are left out: their digests are in the names of the entries.
    """
    model, dataset = spec.model.name, spec.dataset.name
    code = [(LOSSES.origin(part), LOSSES[part].compute) for part in split_loss(spec.loss.name)]
    code += [(MODELS.origin(model), MODELS[model].build)]
    code += [(DATASETS.origin(dataset), DATASETS[dataset].open)]
    versions = {}
    for origin, reference in code:
        if origin is not None:
            package, _, version = origin.rpartition(" ")
            module = reference.partition(":")[0]
            versions[package] = f"{version}+{_module_digest(module)}"
            if _num_modules(package) > 1:
                versions[f"{package} {module}"] = versions[package]
    return versions


def code_digests(versions: Mapping[str, str]) -> dict[str, str]:
    """Returns the versions of a row that hold a digest and stand for one file."""
    found = {key: text for key, text in versions.items() if _DIGEST.search(str(text))}
    found.pop("podium-sweep", None)
    split = {key.partition(" ")[0] for key in found if " " in key}
    return {key: text for key, text in found.items() if key not in split}


@functools.cache
def _num_modules(package: str) -> int:
    references = [(LOSSES.origin(name), entry.compute) for name, entry in LOSSES.items()]
    references += [(MODELS.origin(name), entry.build) for name, entry in MODELS.items()]
    references += [(DATASETS.origin(name), entry.open) for name, entry in DATASETS.items()]
    own = {text.partition(":")[0] for origin, text in references if _package(origin) == package}
    return len(own)


def _package(origin: str | None) -> str | None:
    return None if origin is None else origin.rpartition(" ")[0]


@functools.cache
def _module_digest(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    file = found.origin if found else None
    if file is None or not Path(file).is_file():
        return "unknown"
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
