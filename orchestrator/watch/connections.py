"""Limits on the number of connections to the watch page and on their time."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
"""Largest number of connections at the same time; each needs a file descriptor."""

REQUEST_SECONDS = 10.0
"""Time in which a client must send a complete request."""

ANSWER_SECONDS = 30.0
"""Time in which a client must receive the answer."""


class BoundedProtocol(H11Protocol):
    """HTTP with limits, because clients may be hostile.

    If there are too many connections, the one that has waited longest without a complete request
    is closed. A client that opens hundreds and sends one byte on each cannot block others.
    """

    is_waiting = False
    since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts a connection, and closes another one if there are too many."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > MAX_CONNECTIONS:
            known = (one for one in self.connections if isinstance(one, BoundedProtocol))
            waiting = (one for one in known if one.is_waiting)
            min(waiting, key=lambda one: one.since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer of a closed connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handles received data, and starts the time for the answer after a complete request."""
        super().handle_events()
        if self.is_waiting and self.cycle is not None and not self.cycle.response_complete:
            self.is_waiting = False
            self._start_clock(ANSWER_SECONDS)

    def on_response_complete(self) -> None:
        """Starts the time for the next request."""
        self._await_request()
        super().on_response_complete()

    def _await_request(self) -> None:
        self.is_waiting, self.since = True, self.loop.time()
        self._start_clock(REQUEST_SECONDS)

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
