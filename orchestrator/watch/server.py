"""The web server of the page: a handful of addresses, read-only, for this machine by default."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from orchestrator.watch.follower import Document, Follower
from workers.contract import UserError

COOKIE = "podium_token"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

Next = Callable[[Request], Awaitable[Response]]


def is_loopback(host: str) -> bool:
    """Says whether a host to bind to can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def build_app(follower: Follower, *, token: str | None) -> Starlette:
    """Returns the application.

    Args:
        follower: What reads the store.
        token: Asked of every request; None serves requests to loopback names only.
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

    check = _refuse_other_names if token is None else _ask_for(token)
    routes = [
        Route("/", page),
        Route("/api/state", state),
        Route("/api/cell", cell),
        Route("/api/curve/{trial_id}", curve),
    ]
    steps = [Middleware(BaseHTTPMiddleware, dispatch=step) for step in (_harden, check)]
    return Starlette(routes=routes, middleware=steps)


def render_page() -> str:
    """Returns the page; all it shows comes from /api."""
    environment = Environment(
        loader=PackageLoader("orchestrator.watch", "templates"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
    )
    return environment.get_template("watch.html.j2").render()


def open_socket(host: str, port: int) -> socket.socket:
    """Binds to an address; port 0 takes any free one.

    Raises:
        UserError: The address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
        bound.listen()  # from here on callers wait instead of being refused
    except (OSError, OverflowError) as error:
        bound.close()
        msg = f"--host {host} --port {port}: cannot listen there: {error}; choose another --port"
        raise UserError(msg) from error
    return bound


def page_address(host: str, bound: socket.socket, token: str | None) -> str:
    """Returns what to open in a browser; the token, if any, is part of it."""
    shown = f"[{host.strip('[]')}]" if ":" in host else host
    address = f"http://{shown}:{bound.getsockname()[1]}/"
    return f"{address}?token={quote(token)}" if token else address


def serve(app: Starlette, bound: socket.socket) -> None:
    """Answers requests until Ctrl-C or SIGTERM."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[bound])


def _answer(request: Request, make: Callable[[], Document]) -> Response:
    try:
        document = make()
    except UserError as error:
        return JSONResponse({"problem": str(error)}, status_code=503)
    headers = {"ETag": f'"{document.tag}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(document.text, media_type="application/json", headers=headers)


async def _refuse_other_names(request: Request, call_next: Next) -> Response:
    """Keeps out pages of other sites whose name was made to point at this machine."""
    if request.url.hostname in LOOPBACK_NAMES:
        return await call_next(request)
    return Response("Open this page as localhost.\n", status_code=400, media_type="text/plain")


def _ask_for(token: str) -> Callable[[Request, Next], Awaitable[Response]]:
    async def check(request: Request, call_next: Next) -> Response:
        offered = request.query_params.get("token")
        if offered is not None and _same(offered, token):
            # Into a cookie, so that it does not stay in the address bar.
            answer: Response = RedirectResponse(request.url.remove_query_params("token"))
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if _same(request.cookies.get(COOKIE, ""), token) or _same(bearer, token):
            return await call_next(request)
        message = "This page needs the token that podium watch printed: open its whole address.\n"
        return Response(message, status_code=401, media_type="text/plain")

    return check


def _same(offered: str, token: str) -> bool:
    return hmac.compare_digest(offered.encode(), token.encode())


async def _harden(request: Request, call_next: Next) -> Response:
    answer = await call_next(request)
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
