"""The Ray cluster under the engine: reached or started, counted, and ended by signals."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil
import ray
from ray import tune
from ray.exceptions import RayError

from orchestrator.engine import ray_private
from orchestrator.engine.signals import handled, kept_from_children, stop_signals
from orchestrator.plan.cost import num_slots
from workers.contract import UserError

ANSWER_SECONDS = 20
"""Time in which the head of a cluster must answer."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """The cluster, the resources of one trial, and the limits for lost trials.

    Attributes:
        address: A running cluster; None starts a local one, unless RAY_ADDRESS names one.
        num_cpus: Size of the local cluster; None takes the machine's.
        num_gpus: Likewise; more than the machine has gives logical GPUs, to test scheduling.
        trial_cpus: CPUs of one trial.
        trial_gpus: GPUs of one trial, or a fraction of one.
        max_failures: Number of new attempts after losses of a trial's process.
        no_progress_seconds: Time without an epoch after which a process is ended; None: never.
    """

    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None
    trial_cpus: float = 1
    trial_gpus: float = 0
    max_failures: int = 3
    no_progress_seconds: float | None = None


class SignalStopper(tune.Stopper):
    """Ends the experiment after a signal."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Ends no single trial."""
        return False

    def stop_all(self) -> bool:
        """Returns whether to end it."""
        return self.stopped


@contextmanager
def stop_on_signals() -> Iterator[SignalStopper]:
    """Lets Ctrl-C, SIGTERM and SIGHUP end the sweep at the next event; a second signal at once."""
    stopper = SignalStopper()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopper.stopped:
            raise KeyboardInterrupt
        stopper.stopped = True

    with handled(stop):
        yield stopper


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Hides the messages of Tune, which recommend `Tuner.restore`."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def connect(options: ClusterOptions) -> Iterator[int]:
    """Connects to Ray, or starts it, and yields the number of slots."""
    os.environ.update(ray_private.SETTINGS)
    address = options.address or os.environ.get("RAY_ADDRESS") or None
    if ray.is_initialized():
        yield _count_slots(options, is_remote=address is not None)
        return
    check_room(options)
    others = psutil.Process().children()
    try:
        _start_ray(options, address)
        yield _count_slots(options, is_remote=address is not None)
    finally:
        if address is None:
            _end_local(others)
        else:
            ray.shutdown()


def _end_local(others: Collection[psutil.Process]) -> None:
    """Ends all processes of the local cluster, which ignore the SIGTERM that Ray would send.

    Args:
        others: Children of this process that do not belong to the cluster.
    """
    own = [process for process in psutil.Process().children() if process not in others]
    everything = [one for process in own for one in (process, *_descendants(process))]
    ray_private.kill_at_shutdown()
    ray.shutdown()
    for one in everything:
        with suppress(psutil.Error):
            one.kill()


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(process.children(recursive=True))
    return []


def check_room(options: ClusterOptions) -> None:
    """Checks that this machine can hold one trial, if Ray would start on it.

    Raises:
        UserError: It has too few CPUs or GPUs.
    """
    if options.address or os.environ.get("RAY_ADDRESS"):
        return
    cpus = ray_private.num_local_cpus() if options.num_cpus is None else options.num_cpus
    gpus = ray_private.num_local_gpus() if options.num_gpus is None else options.num_gpus
    if not _slots_on(cpus, gpus, options):
        _refuse_no_room(options, cpus, gpus)


def _start_ray(options: ClusterOptions, address: str | None) -> None:
    """Connects to the cluster, or starts one on this machine."""
    if address is not None:
        _reach(address, "cluster.address" if options.address else "RAY_ADDRESS")
        return
    local = {"num_cpus": options.num_cpus, "num_gpus": options.num_gpus}
    try:
        with kept_from_children():
            _init("local", include_dashboard=False, **local)
    except OSError as error:
        raise UserError(_folder_problem(error)) from error
    except (ValueError, RuntimeError) as error:
        msg = f"Ray does not start on this machine: {error}"
        raise UserError(msg) from error


def _folder_problem(error: OSError) -> str:
    """Names the path that Ray could not write: its folder, or its token below HOME."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    folder = os.environ[variable] if variable else "/tmp"
    if error.filename and not Path(error.filename).is_relative_to(Path(folder, "ray")):
        return (
            f"{error.filename}: Ray cannot write it: {error.strerror}; set HOME to a folder that "
            "you can write"
        )
    place = f"{variable}={folder}" if variable else folder
    return (
        f"{place}: Ray cannot keep its files and sockets there: {error}; set RAY_TMPDIR to a "
        f"folder that you own, with a short path, such as RAY_TMPDIR=/var/tmp/{os.getuid()}"
    )


def _reach(address: str, key: str) -> None:
    """Connects to a cluster that answers; Ray would wait for minutes for one that does not."""
    problem = _unreachable(address)
    if problem is None:
        try:
            _init(address)
        except (ConnectionError, ValueError, RuntimeError) as error:
            problem = str(error)
        else:
            return
    msg = (
        f"{key}: no Ray cluster at {address!r}: {problem}; start one with `ray start --head`, or "
        "leave cluster.address empty and RAY_ADDRESS unset for a local one"
    )
    raise UserError(msg)


def _init(address: str, **options: Any) -> None:
    """Runs ray.init and restores the signal handlers, one of which Ray replaces."""
    handlers = {number: signal.getsignal(number) for number in stop_signals()}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except SystemExit as error:  # raised by Ray's handler of SIGTERM
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _unreachable(address: str) -> str | None:
    """Checks whether an address is the head of a cluster; signals can interrupt the check.

    Returns:
        The reason if it is not, within ANSWER_SECONDS; None if it is, or if Ray reports it at once.
    """
    state = f"no connection within {ANSWER_SECONDS} s"
    ended = threading.Event()

    def ask() -> None:
        nonlocal state
        try:
            place = ray_private.head_address(address)
            host, _, port = (place or address).rpartition("://")[2].rpartition(":")
            if place is not None:
                socket.create_connection((host.strip("[]"), int(port))).close()
                state = (
                    f"a server there accepts connections but does not answer as the head of a "
                    f"cluster within {ANSWER_SECONDS} s (the port of a head is 6379, that of its "
                    "dashboard 8265)"
                )
                if "://" not in address:
                    ray_private.ask_head(place)
            state = ""
        except (OSError, ValueError, RuntimeError, RayError) as error:
            state = str(error)
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    deadline = time.monotonic() + ANSWER_SECONDS
    # In short steps, because a signal that another thread receives does not end a wait.
    while not ended.wait(0.2) and time.monotonic() < deadline:
        pass
    return state or None


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
