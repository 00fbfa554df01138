"""Makes a configuration independent of its folder and machine, so that it can be submitted."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config.axes import include_losses
from orchestrator.config.document import ConfigSource, read_document
from orchestrator.config.loading import apply_overrides
from orchestrator.config.paths import resolve_local
from workers.catalogue.code_files import read_code
from workers.contract import CodeFile

_ELSEWHERE = re.compile(r"~|[A-Za-z][A-Za-z0-9+.-]*:/")
"""A home folder or a URI, which do not depend on the configuration's folder."""


def portable_yaml(source: ConfigSource, overrides: Sequence[str] = ()) -> str:
    """Returns a configuration with its overrides, a name, and absolute paths.

    Included losses stand in their place, and files of code have the names of `code_name`. Keys that
    are not set stay unset. `cluster.address` is removed, because the job server that receives the
    configuration belongs to one cluster.

    Args:
        source: A configuration that `load_config` accepts with these overrides.
        overrides: `KEY=VALUE`, as there.
    """
    document, _ = apply_overrides(read_document(source), overrides)
    document = include_losses(document, document.folder)
    values = copy.deepcopy(document.values)
    values["name"] = values.get("name") or document.stem
    if isinstance(values.get("cluster"), dict):
        values["cluster"].pop("address", None)
    folder = document.folder
    _resolve(values, "results", folder)
    for key in ("root", "cache"):
        _resolve(values.get("data"), key, folder)
    for entry in values["datasets"]:
        _resolve(entry, "root", folder)
    for entry in values["models"]:
        # `pretrained: true` is no path.
        _resolve(entry.get("parameters") if isinstance(entry, dict) else None, "pretrained", folder)
    for entry in (*values["models"], *values["losses"]):
        if isinstance(entry, dict) and entry.get("file") is not None:
            entry["file"] = code_name(read_code(Path(resolve_local(entry["file"], folder))))
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def code_name(file: CodeFile) -> str:
    """Returns the name of a file of code beside a submitted configuration."""
    return f"{Path(file.path).stem}-{file.digest}.py"


def _resolve(holder: Any, key: str, folder: Path) -> None:  # noqa: ANN401 - YAML
    text = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(text, str) and not _ELSEWHERE.match(text):
        holder[key] = str((folder / text).resolve())


class _Dumper(yaml.SafeDumper):
    """Writes all text in quotes, so that the text `1e-3` stays text; uses no references."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Dumper.add_representer(str, _quoted)
