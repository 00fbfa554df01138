"""Watches a sweep: serves its page until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.engine.base import utc_now
from orchestrator.store import Store
from orchestrator.watch.follower import Follower
from orchestrator.watch.server import build_app, is_loopback, open_socket, page_address, serve
from workers.contract import UserError

TOKEN_VARIABLE = "PODIUM_WATCH_TOKEN"
MIN_TOKEN_LENGTH = 16


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def watch(
    results: str | Path,
    host: str = "127.0.0.1",
    port: int = 8787,
    *,
    on_line: Callable[[str], None] = _print,
) -> None:
    """Serves one page that shows a sweep while it runs; reads the results, writes nothing.

    Args:
        results: A results folder or URI.
        host: Address to listen on. Every address except loopback needs a token: that of the
            environment variable PODIUM_WATCH_TOKEN, otherwise a new one.
        port: Port to listen on; 0 takes any free port.
        on_line: Called with each line for the user, such as the address of the page.

    Raises:
        UserError: The address is in use, or the token is too short. A location without results
            is no error: the page waits for them.
    """
    store = Store(results)
    follower = Follower(store, clock=time.monotonic, now=utc_now)
    follower.state()
    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None and len(given) < MIN_TOKEN_LENGTH:
        msg = f"{TOKEN_VARIABLE}: shorter than {MIN_TOKEN_LENGTH} characters; use a longer token"
        raise UserError(msg)
    made = None if given is not None or is_loopback(host) else secrets.token_urlsafe(24)
    bound = open_socket(host, port)
    # The token of the variable is not printed.
    on_line(f"Watching {store.name} at {page_address(host, bound, made)}")
    if given is not None:
        on_line(f"The page needs the token in {TOKEN_VARIABLE}: append ?token=TOKEN")
    on_line("Ctrl-C stops the page; the sweep continues.")
    serve(build_app(follower, token=given or made), bound)
