"""The files of docker/, parsed for the tests."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.conftest import ROOT

DOCKER = ROOT / "docker"


def interpolated(text: str) -> str:
    """Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?reason}` with values."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda match: match[3] if match[2] == "-" else match[1].lower(),
        text,
    )


def compose() -> dict[str, Any]:
    """The Compose file, with its variables set and its merges done."""
    document = yaml.safe_load(interpolated((DOCKER / "compose.yaml").read_text()))
    assert isinstance(document, dict)
    return document


def rayjob() -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap with the configuration, and the job."""
    config, job = yaml.safe_load_all((DOCKER / "rayjob.yaml").read_text())
    return config, job


def ray_up() -> dict[str, Any]:
    """The file of `ray up`."""
    document = yaml.safe_load((DOCKER / "cluster.yaml").read_text())
    assert isinstance(document, dict)
    return document


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each group of the job's cluster."""
    cluster = rayjob()[1]["spec"]["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {name: group["template"]["spec"] for name, group in groups.items()}
