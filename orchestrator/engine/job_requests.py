"""Requests to a cluster's job server: its address, a proxy, and new attempts while it starts."""

from __future__ import annotations

import ipaddress
import os
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from orchestrator.address import hide_credentials
from workers.contract import UserError

PATIENCE_SECONDS = 120
"""Time in which a job server must become ready: on a busy node its agent needs a minute."""

_T = TypeVar("_T")
_ADDRESS = re.compile(
    r"((?P<scheme>https?)://)?"
    r"(?P<rest>([^/@?#\s]+@)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[^?#\s]*)?)",
    re.IGNORECASE,
)
"""Address of a job server, which may be behind a proxy with a user and a path."""
_RETRY_SECONDS = 3.0
_NOT_READY = re.compile(r"status code 5\d\d|\b50[234] (?:Server|Bad|Service|Gateway)")


def http_address(address: str) -> str:
    """Returns the address with its scheme.

    Raises:
        UserError: It is not an HTTP address.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        shown = hide_credentials(address)
        msg = f"--address {shown}: must be the address of the dashboard, such as http://HEAD:8265"
        raise UserError(msg)
    return f"{(match['scheme'] or 'http').lower()}://{match['rest'].rstrip('/')}"


def reach_loopback_directly(address: str) -> None:
    """Excludes an address of this machine from the proxy of this process."""
    host = urlsplit(address).hostname or ""
    if not _is_loopback(host):
        return
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host)))


def proxy_hint(address: str) -> str:
    """Returns a remedy to add to a message if requests to an address go through a proxy."""
    url = urlsplit(address)
    proxies = getproxies()
    names = [f"{kind}_proxy" for kind in (url.scheme, "all") if kind in proxies]
    if not names or proxy_bypass(url.hostname or ""):
        return ""
    return (
        f". The request went through the proxy of the variable {names[0]}; if the cluster is in "
        f"your network, set no_proxy={url.hostname}"
    )


def patiently(
    request: Callable[[], _T], address: str, on_wait: Callable[[str], None], done: _T | None
) -> _T:
    """Repeats a request while the server answers that it is not ready.

    The server takes requests before the agent that starts jobs runs.

    Args:
        request: Can be sent any number of times.
        address: Address of the server.
        on_wait: Called once with a sentence about what it waits for.
        done: The answer if an earlier attempt had its effect but got no answer.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    told = False
    while True:
        try:
            return request()
        except (RuntimeError, OSError) as error:
            if told and done is not None and "already exists" in str(error):
                return done
            passing = _NOT_READY.search(str(error)) and "already exists" not in str(error)
            if not passing or time.monotonic() > deadline:
                raise
            if not told:
                reason = str(error).strip().partition("\n")[0]
                on_wait(f"{address} is not ready ({reason}); trying for {PATIENCE_SECONDS} s")
                told = True
        threading.Event().wait(_RETRY_SECONDS)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
