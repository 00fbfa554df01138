"""Connections to the page: few at once, and each with little time, whoever opens them."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 128
"""More than this many browsers do not watch; each file descriptor beyond is one less for others."""
REQUEST_SECONDS = 10.0
"""Within this time a connection must send a whole request, the first and every other one."""
ANSWER_SECONDS = 30.0
"""Within this time it must take the answer."""


class BoundedProtocol(H11Protocol):
    """HTTP for clients that may mean harm.

    Where a connection too many comes, the one that has waited longest without a whole request is
    dropped: whoever opens hundreds and sends one byte on each keeps nobody else out.
    """

    is_waiting = False
    since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection in and drops another one where there are too many."""
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > MAX_CONNECTIONS:
            known = (one for one in self.connections if isinstance(one, BoundedProtocol))
            waiting = (one for one in known if one.is_waiting)
            min(waiting, key=lambda one: one.since, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Handles what came, and starts the time for the answer once the request is whole."""
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
