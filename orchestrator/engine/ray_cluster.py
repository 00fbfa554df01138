"""The Ray cluster under the engine: reached or started, counted, and ended by signals."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import ray
from ray import tune
from ray._private.accelerators import get_accelerator_manager_for_resource
from ray._private.utils import get_num_cpus

from orchestrator.cost import num_slots
from workers.contract import UserError

_TUNE_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which Ray to use, the share of it that one trial gets, and what becomes of lost ones.

    Attributes:
        address: A running cluster; None starts a local one, unless RAY_ADDRESS names one.
        num_cpus: Size of the local cluster; None takes the machine's.
        num_gpus: Likewise; more than the machine has gives logical GPUs, for scheduling tests.
        trial_cpus: CPUs of one trial.
        trial_gpus: GPUs of one trial, or a fraction of one.
        max_failures: How often a trial is started again after its process was lost.
        no_progress_seconds: After how long without an epoch a process is ended; None: never.
    """

    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    trial_cpus: float = 1
    trial_gpus: float = 0
    max_failures: int = 3
    no_progress_seconds: float | None = None


class SignalStopper(tune.Stopper):
    """Ends the experiment when told to."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never ends a single trial."""
        return False

    def stop_all(self) -> bool:
        """Says whether to end it."""
        return self.stopped


@contextmanager
def stop_on_signals() -> Iterator[SignalStopper]:
    """Lets Ctrl-C and SIGTERM end the sweep at the next event; a second one ends it at once."""
    stopper = SignalStopper()
    previous: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopper.stopped:
            raise KeyboardInterrupt
        stopper.stopped = True

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread: whoever runs us handles signals
            break
    try:
        yield stopper
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Keeps Tune's own messages, which tell to use `Tuner.restore`, off the terminal."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def connect(options: ClusterOptions) -> Iterator[int]:
    """Connects to Ray, or starts it, and yields how many trials fit at once."""
    os.environ.update(_TUNE_SETTINGS)
    ours = not ray.is_initialized()
    address = options.address or os.environ.get("RAY_ADDRESS")
    if ours:
        check_room(options)
        _start_ray(options, address)
    try:
        yield _count_slots(options, is_remote=address is not None)
    finally:
        if ours:
            ray.shutdown()


def check_room(options: ClusterOptions) -> None:
    """Checks that this machine, where Ray would start on it, can hold one trial.

    Raises:
        UserError: It has too few CPUs or GPUs.
    """
    if options.address or os.environ.get("RAY_ADDRESS"):
        return
    cpus = get_num_cpus() if options.num_cpus is None else options.num_cpus
    gpus = _num_local_gpus() if options.num_gpus is None else options.num_gpus
    if not _slots_on(cpus, gpus, options):
        _refuse_no_room(options, cpus, gpus)


def _num_local_gpus() -> int:
    """Counts this machine's GPUs as Ray does when it starts."""
    manager = get_accelerator_manager_for_resource("GPU")
    if manager is None:
        return 0
    visible = manager.get_current_process_visible_accelerator_ids()
    found = int(manager.get_current_node_num_accelerators())
    return found if visible is None else min(found, len(visible))


def _start_ray(options: ClusterOptions, address: str | None) -> None:
    local: dict[str, Any] = {"include_dashboard": False}
    if options.num_cpus is not None:
        local["num_cpus"] = options.num_cpus
    if options.num_gpus is not None:
        local["num_gpus"] = options.num_gpus
    try:
        ray.init(
            address=address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else local),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = (
            f"no Ray cluster at {address!r} (cluster.address or RAY_ADDRESS): {error}; start one "
            f"with `ray start --head`, or leave cluster.address empty for a local one"
        )
        raise UserError(message) from error


def _count_slots(options: ClusterOptions, *, is_remote: bool) -> int:
    slots = sum(
        _slots_on(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0), options)
        for node in ray.nodes()
        if node["Alive"]
    )
    if slots == 0 and not is_remote:
        have = ray.cluster_resources()
        _refuse_no_room(options, have.get("CPU", 0), have.get("GPU", 0))
    return max(slots, 1)


def _slots_on(cpus: float, gpus: float, options: ClusterOptions) -> int:
    return num_slots(
        cpus=int(cpus),
        gpus=int(gpus),
        cpus_per_trial=options.trial_cpus,
        gpus_per_trial=options.trial_gpus,
    )


def _refuse_no_room(options: ClusterOptions, cpus: float, gpus: float) -> NoReturn:
    msg = (
        f"resources: a trial needs {options.trial_cpus:g} CPUs and {options.trial_gpus:g} GPUs, "
        f"and this machine offers {cpus:g} and {gpus:g}: lower resources.cpus or resources.gpus, "
        "or name a cluster in cluster.address"
    )
    raise UserError(msg)
