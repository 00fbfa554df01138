"""A job server that is not ready yet, and the proxy between: real requests to servers of loopback.

A real cluster is in tests/integration/test_cluster.py.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.engine import job_requests
from orchestrator.engine.job_requests import proxy_hint, reach_loopback_directly
from orchestrator.engine.jobs import JobServer, prepare_job
from tests.integration.sweeps import write_config
from workers.contract import UserError

NO_AGENT = (500, "No available agent to submit job, please try again later.")


class Server(ThreadingHTTPServer):
    """Says what a job server would: `answers` to the attempts to submit, one after the other."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str]] = []
        self.submitted: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        found = {"/api/version": {"ray_version": "2.60.0", "version": "4"}, "/api/jobs/": []}
        if self.path in found:
            self.answer(200, json.dumps(found[self.path]))
        else:
            self.answer(200, "{}")  # an uploaded package, which is there already

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.submitted.append(body["submission_id"])
        status, text = self.server.answers.pop(0) if self.server.answers else (200, "")
        found = {"submission_id": body["submission_id"], "job_id": body["submission_id"]}
        self.answer(status, text or json.dumps(found))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(job_requests, "_RETRY_SECONDS", 0.01)
    started = Server()
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def test_a_server_without_agent_gets_the_job_once(server, tmp_path):
    server.answers = [NO_AGENT, (503, "upstream"), NO_AGENT]
    notes: list[str] = []
    submission = prepare_job(write_config(tmp_path))
    sent = JobServer(server.address, notes.append).submit(submission)
    assert sent == f"{submission.stem}-1"
    assert server.submitted == [sent] * 4
    (note,) = notes
    assert re.search(r"is not ready \(.*500: No available agent.*\); trying for 120 s", note)


def test_a_submission_without_answer_is_not_repeated(server, tmp_path):
    server.answers = [(502, "gateway"), (500, "ValueError: Job with id a-1 already exists")]
    submission = prepare_job(write_config(tmp_path))
    assert JobServer(server.address).submit(submission) == f"{submission.stem}-1"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(400, "no such thing")], "refused: Request failed with status code 400: no such thing"),
        ([(500, "Job already exists")], "another process submitted this sweep to .* just now"),
    ],
)
def test_permanent_errors_are_reported_at_once(server, tmp_path, answers, message):
    server.answers = answers
    with pytest.raises(UserError, match=message):
        JobServer(server.address).submit(prepare_job(write_config(tmp_path)))
    assert len(server.submitted) == 1


def test_waiting_for_a_server_has_a_limit(server, tmp_path, monkeypatch):
    monkeypatch.setattr(job_requests, "PATIENCE_SECONDS", 0.05)
    server.answers = [NO_AGENT] * 1000
    with pytest.raises(UserError, match=r"refused: .*No available agent"):
        JobServer(server.address).submit(prepare_job(write_config(tmp_path)))
    assert len(server.submitted) > 1


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_this_machine_is_reached_without_a_proxy(server, tmp_path, monkeypatch, name):
    for other in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(other, "example.org")
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    JobServer(server.address).submit(prepare_job(write_config(tmp_path)))
    assert len(server.submitted) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]", "a.localhost"])
def test_every_name_of_this_machine_counts(monkeypatch, host):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert "no_proxy=" in proxy_hint(f"http://{host}:8265")
    reach_loopback_directly(f"http://{host}:8265")
    assert proxy_hint(f"http://{host}:8265") == ""


def test_a_proxy_is_named_and_never_its_password(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("http_proxy", "http://me:hush@127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        JobServer("http://head.example:8265")
    assert "went through the proxy of the variable http_proxy; if the cluster is" in str(caught)
    assert "set no_proxy=head.example" in str(caught)
    assert "hush" not in str(caught)
    monkeypatch.setenv("no_proxy", "head.example")
    assert proxy_hint("http://head.example:8265") == ""
