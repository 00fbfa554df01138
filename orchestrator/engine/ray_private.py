"""What Podium uses of Ray beyond its documented interface, in this file only.

Private names may move in any minor version of Ray, so `pyproject.toml` bounds Ray to the versions
that were tried. To try another version, raise the bound and run
`tests/unit/orchestrator/engine/test_ray_private.py` first: it reports the names that moved.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray._private import services, worker
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray._private.utils import get_num_cpus
from ray._raylet import GcsClient  # type: ignore[attr-defined]

SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables of the environment that a driver sets; Ray ignores names that it does not know."""

JOB_LOGGERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Loggers that report each step of submitting a job."""


def num_local_cpus() -> float:
    """Returns how many CPUs Ray would offer if it started on this machine."""
    return float(get_num_cpus())


def num_local_gpus() -> int:
    """Returns how many GPUs Ray would offer if it started on this machine."""
    manager = get_accelerator_manager_for_resource("GPU")
    if manager is None:
        return 0
    visible = manager.get_current_process_visible_accelerator_ids()
    found = int(manager.get_current_node_num_accelerators())
    return found if visible is None else min(found, len(visible))


def head_address(address: str) -> str | None:
    """Returns host and port of a cluster's head; None if it is `local`, a cluster still to start.

    Raises:
        ValueError: The text is not an address.
        ConnectionError: The address is `auto` and this machine runs no cluster.
    """
    found: str | None = services.canonicalize_bootstrap_address(address)
    return found


def ask_head(address: str) -> None:
    """Returns when the head of a cluster answers; may wait for minutes.

    Raises:
        RayError: No head answers there.
    """
    GcsClient(address=address)


def kill_at_shutdown() -> None:
    """Makes `ray.shutdown` end the processes of the local cluster by SIGKILL.

    By default it sends SIGTERM and waits; these processes were started with SIGTERM blocked.
    """
    node: Any = worker._global_node
    for infos in node.all_processes.values() if node else ():
        for info in infos:
            info.process.terminate = info.process.kill


def kill_attempt(trial: Any) -> None:
    """Ends the process of a running attempt by SIGKILL; Tune then reports it as lost."""
    ray.kill(trial.temporary_state.ray_actor)


def error_of(trial: Any) -> tuple[BaseException | None, str]:
    """Returns what ended an attempt, and its text; None for errors that Tune does not keep.

    Tune writes both beside its logs. Its own `get_error` looks in the storage, where they come
    only with the end of the experiment.
    """
    error, text = None, ""
    if trial.error_file:
        with suppress(OSError):
            text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    if trial.pickled_error_file:
        # The class of the error may exist on the worker alone.
        with suppress(OSError, ImportError, AttributeError, TypeError, pickle.UnpicklingError):
            error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    return error, text
