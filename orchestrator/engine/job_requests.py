"""Requests to a cluster's job server: its address, a proxy before it, and patience with it."""

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
"""How long a job server may say that it is not ready: on a busy node its agent takes a minute."""

_T = TypeVar("_T")
_ADDRESS = re.compile(
    r"((?P<scheme>https?)://)?"
    r"(?P<rest>([^/@?#\s]+@)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?(/[^?#\s]*)?)",
    re.IGNORECASE,
)
"""Of a job server, which may be behind a proxy that wants a user and has a path."""
_RETRY_SECONDS = 3.0
_NOT_READY = re.compile(r"status code 5\d\d|\b50[234] (?:Server|Bad|Service|Gateway)")


def http_address(address: str) -> str:
    """Returns the address with its scheme.

    Raises:
        UserError: It is no HTTP address.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        shown = hide_credentials(address)
        msg = f"--address {shown}: must be the dashboard's, such as http://HEAD:8265"
        raise UserError(msg)
    return f"{(match['scheme'] or 'http').lower()}://{match['rest'].rstrip('/')}"


def reach_loopback_directly(address: str) -> None:
    """Takes an address of this machine out of what goes through a proxy, in this process."""
    host = urlsplit(address).hostname or ""
    if not _is_loopback(host):
        return
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), host)))


def proxy_hint(address: str) -> str:
    """Returns a remedy to add to a message where requests to an address go through a proxy."""
    url = urlsplit(address)
    proxies = getproxies()
    names = [f"{kind}_proxy" for kind in (url.scheme, "all") if kind in proxies]
    if not names or proxy_bypass(url.hostname or ""):
        return ""
    return (
        f". The request went through the proxy of the variable {names[0]}; if the cluster is in "
        f"your own network, set no_proxy={url.hostname}"
    )


def patiently(
    request: Callable[[], _T], address: str, on_wait: Callable[[str], None], done: _T | None
) -> _T:
    """Sends a request again while the server says that it is not ready.

    The server takes requests before the agent runs that starts jobs.

    Args:
        request: May be sent any number of times.
        address: Of the server.
        on_wait: Told once what it waits for.
        done: The answer where an attempt that got none has had its effect after all.
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
