"""The signals that end a command: Ctrl-C, SIGTERM (a scheduler) and SIGHUP (a closed terminal)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns these signals; without SIGHUP if it is ignored, as under nohup."""
    number = signal.SIGHUP
    hangs_up = signal.getsignal(number) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *([number] if hangs_up else []))


def raise_on_signals() -> None:
    """Makes each of them raise KeyboardInterrupt, as Ctrl-C does, from now on."""
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Gives these signals to a handler; does nothing outside the main thread."""
    previous = {}
    try:
        for number in stop_signals():
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread: the program that runs Podium handles signals
        pass
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Lets processes that start within this context ignore these signals.

    A scheduler and a terminal send a signal to all processes of a job. Only the driver may receive
    it, because it ends the others in order.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
