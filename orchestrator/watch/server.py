"""The web server of the watch page: read-only, for this machine by default."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
import signal
import socket
from collections.abc import Callable
from urllib.parse import quote

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.report.rendering import content_policy
from orchestrator.watch.connections import BoundedProtocol
from orchestrator.watch.follower import Follower, TaggedJson
from workers.contract import UserError

COOKIE = "podium_token"
SHUTDOWN_SECONDS = 1
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LOOPBACK = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)

Check = Callable[[Request], Response | None]
"""Returns the answer to a refused request, or None."""


def is_loopback(host: str) -> bool:
    """Returns whether a host to bind to can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def build_app(follower: Follower, *, token: str | None) -> Starlette:
    """Returns the application.

    Args:
        follower: Makes the documents from the store.
        token: Required in every request; None serves requests to loopback names only.
    """

    def page(_: Request) -> Response:
        return HTMLResponse(render_page())

    def state(request: Request) -> Response:
        return _answer(request, follower.state)

    def cell(request: Request) -> Response:
        wanted = [request.query_params.get(axis, "") for axis in ("dataset", "model", "loss")]
        return _answer(request, lambda: follower.cell(*wanted))

    def curve(request: Request) -> Response:
        return _answer(request, lambda: follower.curve(request.path_params["trial_id"]))

    check = _refuse_other_names if token is None else functools.partial(_ask_for, token)
    routes = [
        Route("/", page),
        Route("/api/state", state),
        Route("/api/cell", cell),
        Route("/api/curve/{trial_id}", curve),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Guard, check=check)])


@functools.cache
def render_page() -> str:
    """Returns the page; its contents come from /api."""
    environment = Environment(
        loader=PackageLoader("orchestrator.watch", "templates"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
    )
    return environment.get_template("watch.html.j2").render()


def open_socket(host: str, port: int) -> socket.socket:
    """Binds to an address; port 0 takes any free one.

    Raises:
        UserError: The address is in use, or does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
        bound.listen()  # from here on, clients wait and are not refused
    except (OSError, OverflowError) as error:
        bound.close()
        msg = f"--host {host} --port {port}: cannot listen there: {error}; choose another --port"
        raise UserError(msg) from error
    return bound


def page_address(host: str, bound: socket.socket, token: str | None) -> str:
    """Returns the address for the browser, with the token if there is one."""
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    address = f"http://{shown}:{bound.getsockname()[1]}/"
    return f"{address}?token={quote(token)}" if token else address


def serve(app: Starlette, bound: socket.socket) -> None:
    """Answers requests until Ctrl-C, SIGTERM or SIGHUP."""
    server = uvicorn.Server(server_config(app))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, server.handle_exit)
    server.run(sockets=[bound])


def server_config(app: Starlette) -> uvicorn.Config:
    """Returns the settings of the server: few and short connections, and no access log."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _answer(request: Request, make: Callable[[], TaggedJson]) -> Response:
    try:
        document = make()
    except UserError as error:
        return JSONResponse({"problem": str(error)}, status_code=503)
    headers = {"ETag": f'"{document.tag}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(document.text, media_type="application/json", headers=headers)


def _refuse_other_names(request: Request) -> Response | None:
    """Refuses pages of other sites whose host name points to this machine."""
    if _LOOPBACK.fullmatch(_host(request)):
        return None
    return PlainTextResponse("Open this page as localhost.\n", status_code=400)


def _ask_for(token: str, request: Request) -> Response | None:
    if not _HOST.fullmatch(_host(request)):
        return PlainTextResponse("This request names no host.\n", status_code=400)
    if _same(request.query_params.get("token", ""), token):
        if request.url.path != "/":
            return None
        # The token moves into a cookie, so that it does not stay in the address bar.
        answer = Response(status_code=303, headers={"Location": "/", "Cache-Control": "no-store"})
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return answer
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    if _same(request.cookies.get(COOKIE, ""), token) or _same(bearer, token):
        return None
    message = "This page needs a token. Open the complete address that podium watch printed.\n"
    return PlainTextResponse(message, status_code=401)


def _host(request: Request) -> bytes:
    """Returns the header Host as received; empty if there are several."""
    found = [value for name, value in request.scope["headers"] if name == b"host"]
    return found[0] if len(found) == 1 else b""


def _same(offered: str, token: str) -> bool:
    return hmac.compare_digest(offered.encode(), token.encode())


class _Guard:
    """Checks every request, and adds security headers to every answer."""

    def __init__(self, app: ASGIApp, check: Check) -> None:
        self._app, self._check = app, check
        scripts = re.findall("<script>(.*?)</script>", render_page(), re.DOTALL)
        self._headers = {
            "Content-Security-Policy": f"{content_policy(scripts)}; connect-src 'self'; "
            "frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        refusal = self._check(Request(scope))
        await (refusal or self._app)(scope, receive, send_hardened)
