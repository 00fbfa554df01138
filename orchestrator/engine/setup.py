"""Chooses the engine of a configuration and checks that it has room for a trial.

The command line loads this module for `--help`, so its imports are in its functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig
    from orchestrator.engine.base import Engine
    from orchestrator.engine.ray_cluster import ClusterOptions
    from orchestrator.plan.grid import Grid

EngineName = Literal["ray", "inline"]


def make_engine(name: EngineName, config: SweepConfig, grid: Grid) -> Engine:
    """Returns the engine of a name; Ray is imported only if it is used.

    Raises:
        UserError: There is no engine of this name.
    """
    if name == "inline":
        from orchestrator.engine.inline import InlineEngine

        return InlineEngine()
    if name != "ray":
        msg = f"engine {name!r}: unknown engine; known: ray, inline"
        raise UserError(msg)
    from orchestrator.engine.ray_tune import RayTuneEngine

    return RayTuneEngine(cluster_options(config, grid))


def cluster_options(config: SweepConfig, grid: Grid) -> ClusterOptions:
    """Returns the Ray cluster of a configuration, and the resources of one trial on it."""
    from orchestrator.engine.ray_cluster import ClusterOptions

    minutes = config.runtime.no_progress_minutes
    return ClusterOptions(
        address=config.cluster.address,
        num_cpus=config.cluster.cpus,
        num_gpus=config.cluster.gpus,
        trial_cpus=config.resources.cpus,
        trial_gpus=grid.gpus_per_trial,
        max_failures=config.cluster.max_failures,
        no_progress_seconds=minutes * 60 if minutes is not None else None,
    )


def no_room(name: EngineName, config: SweepConfig, grid: Grid) -> tuple[str, ...]:
    """Returns why an engine cannot hold one trial; empty if a cluster is named."""
    from orchestrator.config.gpus import local_gpu

    gpus = grid.gpus_per_trial
    if not gpus and grid.cpus_per_trial <= 1:
        return ()
    if name != "ray":
        text = (
            f"resources.gpus: {gpus:g}: --engine inline trains on this machine, and nvidia-smi "
            "reports no GPU here; leave it out, or add --set resources.gpus=0"
        )
        return (text,) if gpus and local_gpu() is None else ()
    from orchestrator.engine.ray_cluster import check_room

    try:
        check_room(cluster_options(config, grid))
    except UserError as error:
        return (str(error),)
    return ()
