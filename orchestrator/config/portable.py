"""A configuration that means the same in any folder and on any machine: what is submitted."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestrator.config.document import ConfigSource, read_document
from orchestrator.config.loading import apply_overrides

_ELSEWHERE = re.compile(r"~|[A-Za-z][A-Za-z0-9+.-]*:/")
"""A home folder, which is each machine's own, and a URI: neither depends on a folder."""


def portable_yaml(source: ConfigSource, overrides: Sequence[str] = ()) -> str:
    """Returns a configuration with its overrides applied, named, its paths absolute.

    What is left out stays left out, and so does `cluster.address`: where it is submitted says
    which cluster it is.

    Args:
        source: A configuration that `load_config` accepts with these overrides.
        overrides: `KEY=VALUE`, as there.
    """
    document, _ = apply_overrides(read_document(source), overrides)
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
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _resolve(holder: Any, key: str, folder: Path) -> None:  # noqa: ANN401 - YAML
    text = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(text, str) and not _ELSEWHERE.match(text):
        holder[key] = str((folder / text).resolve())


class _Dumper(yaml.SafeDumper):
    """Every text in quotes, so that `1e-3` stays the text it was; nothing by reference."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Dumper.add_representer(str, _quoted)
