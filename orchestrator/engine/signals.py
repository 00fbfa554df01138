"""The signals that end a command: Ctrl-C, SIGTERM (a scheduler) and SIGHUP (a closed terminal)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


def stop_signals() -> tuple[signal.Signals, ...]:
    """Returns those signals; without SIGHUP where it is ignored, as under nohup."""
    number = signal.SIGHUP
    hangs_up = signal.getsignal(number) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *([number] if hangs_up else []))


def raise_on_signals() -> None:
    """Makes each of them raise KeyboardInterrupt, as Ctrl-C does, from now on."""
    for number in stop_signals():
        signal.signal(number, signal.default_int_handler)


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Gives these signals to a handler; in a thread, where Python takes none, to nobody new."""
    previous = {}
    try:
        for number in stop_signals():
            previous[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread: whoever runs us handles signals
        pass
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Starts processes that these signals do not reach, within this context.

    A scheduler and a terminal signal all processes of a job at once. A process that others serve
    has to hear it alone, to end them in order.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
