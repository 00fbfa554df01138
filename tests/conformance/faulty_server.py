"""An S3-compatible server on loopback with chosen faults: errors, dropped and torn responses."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Fault = str
"""`drop-before`: the request never arrives. `drop-after`: the server executes the request, but its
response is lost. `torn`: half of the response's body arrives. Otherwise an S3 error code, for
example `SlowDown`."""

STATUSES = {
    "SlowDown": "503 Slow Down",
    "InternalError": "500 Internal Server Error",
    "AccessDenied": "403 Forbidden",
    "InvalidAccessKeyId": "403 Forbidden",
    "SignatureDoesNotMatch": "403 Forbidden",
    "RequestTimeTooSkewed": "403 Forbidden",
    "NoSuchBucket": "404 Not Found",
    "NoSuchKey": "404 Not Found",
    "AuthorizationHeaderMalformed": "400 Bad Request",
    "ExpiredToken": "400 Bad Request",
    "PermanentRedirect": "301 Moved Permanently",
    "XMinioStorageFull": "507 Insufficient Storage",
}


@dataclass
class FaultyServer:
    """The requests to the server, and the failures of its responses.

    Attributes:
        decide: Returns the fault or None, given the number of a request, from 1, and its text
            (`PUT /bucket/key?query`).
        requests: The text of each request, in the order of arrival.
        faults: The faults, in the same order.
    """

    decide: Callable[[int, str], Fault | None] = lambda _number, _request: None
    port: int = 0
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    inner: WSGIApplication = field(
        default_factory=lambda: DomainDispatcherApplication(create_backend_app)
    )

    def every(self, number: int, faults: Iterable[Fault], only: str = "") -> None:
        """Fails every Nth request (of the requests that match `only`), with each fault in turn."""
        pattern, kinds, matched = re.compile(only), list(faults), [0]

        def decide(_number: int, request: str) -> Fault | None:
            if not pattern.match(request):
                return None
            matched[0] += 1
            return kinds[matched[0] // number % len(kinds)] if matched[0] % number == 0 else None

        self.decide = decide

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        if environ.get("QUERY_STRING"):
            request += f"?{environ['QUERY_STRING']}"
        self.requests.append(request)
        fault = self.decide(len(self.requests), request)
        if fault is None:
            return self.inner(environ, start)
        self.faults.append((request, fault))
        # The rest of the body must be read. Otherwise the next request would start with it.
        if fault in STATUSES:
            _body(environ)
            return _refuse(fault, environ, start)
        if fault == "drop-before":
            return _drop(environ, start)
        answer = b"".join(self.inner(environ, start))
        if fault == "drop-after" or environ["REQUEST_METHOD"] == "HEAD":
            return _drop(environ, lambda *_: lambda _: None)
        return _torn(answer, environ)


def _body(environ: WSGIEnvironment) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def _refuse(code: str, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    length = ("Content-Length", str(len(text)))
    start(STATUSES[code], [("Content-Type", "application/xml"), length])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else text]


def _drop(environ: WSGIEnvironment, start: Any) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    start("500 Dropped", [])
    return [b""]


def _torn(answer: bytes, environ: WSGIEnvironment) -> Iterator[bytes]:
    yield answer[: len(answer) // 2]
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    def log(self, *_arguments: object) -> None:
        """Logs nothing."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Ignores a dropped connection, which the test wants."""


def serve() -> tuple[FaultyServer, Callable[[], None]]:
    """Starts a server with moto's buckets of this process; returns it and a function to stop it."""
    faulty = FaultyServer()
    server = make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=_Quiet)
    faulty.port = server.port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return faulty, stop
