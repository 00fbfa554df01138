"""`podium watch`."""

from __future__ import annotations

import os
import secrets
import time

from orchestrator.cli.output import console
from orchestrator.engine.base import utc_now
from orchestrator.store import Store
from orchestrator.watch.follower import Follower
from orchestrator.watch.server import build_app, is_loopback, open_socket, page_address, serve
from workers.contract import UserError

TOKEN_VARIABLE = "PODIUM_WATCH_TOKEN"
MIN_TOKEN_LENGTH = 16


def watch_command(results: str, host: str, port: int) -> None:
    """Serves the page until Ctrl-C."""
    store = Store(results)
    follower = Follower(store, clock=time.monotonic, now=utc_now)
    follower.state()
    token, chosen = _token(host)
    bound = open_socket(host, port)
    # A token that the user chose is not shown again.
    address = page_address(host, bound, None if chosen else token)
    console().print(f"Watching {store.name} at {address}", markup=False, soft_wrap=True)
    if chosen:
        console().print(f"The page asks for the token in {TOKEN_VARIABLE}: append ?token=TOKEN")
    console().print("Ctrl-C stops; the sweep goes on.")
    serve(build_app(follower, token=token), bound)


def _token(host: str) -> tuple[str | None, bool]:
    """Returns the token to ask for, and whether the user chose it."""
    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None and len(given) < MIN_TOKEN_LENGTH:
        msg = f"{TOKEN_VARIABLE}: shorter than {MIN_TOKEN_LENGTH} characters; use a longer token"
        raise UserError(msg)
    if given is not None:
        return given, True
    return (None, False) if is_loopback(host) else (secrets.token_urlsafe(24), False)
