"""The addresses of the page: what they answer, whom they refuse, and that nothing is written."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn

from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.store import RunningTrial, RunRecord, Store
from orchestrator.watch import connections
from orchestrator.watch import follower as following
from orchestrator.watch.follower import Follower
from orchestrator.watch.server import (
    build_app,
    is_loopback,
    open_socket,
    page_address,
    render_page,
    server_config,
)
from tests.unit.orchestrator.store.trials import make_result
from workers.contract import UserError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONFIG = """
name: "<script>alert(1)"
datasets: [synthetic-skin]
models: [{name: unet, parameters: {width: 4}}]
losses: [iou, bce]
repeats: 2
results: RESULTS
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(CONFIG.replace("RESULTS", str(tmp_path / "res")))
    return build_grid(load_config(path, []))


@pytest.fixture
def store(grid, tmp_path):
    store = Store(tmp_path / "res")
    store.save_grid(grid.document(NOW))
    store.commit(grid.trials[0], make_result(50), committed_at=NOW)
    return store


@pytest.fixture(autouse=True)
def always_look(monkeypatch):
    monkeypatch.setattr(following, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(following, "RANK_SECONDS", 0.0)


def make_follower(store):
    return Follower(store, clock=lambda: 0.0, now=lambda: NOW)


@contextmanager
def serving(store, token=None):
    bound = open_socket("127.0.0.1", 0)
    app = build_app(make_follower(store), token=token)
    server = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        bound.close()


def ask(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return (
                answer.status,
                answer.read(),
                {key.lower(): value for key, value in answer.headers.items()},
            )
    except urllib.error.HTTPError as error:
        with error:
            return (
                error.code,
                error.read(),
                {key.lower(): value for key, value in error.headers.items()},
            )


def test_the_state_follows_the_store_and_is_304_without_news(store):
    with serving(store) as address:
        status, text, headers = ask(f"{address}/api/state")
        found = json.loads(text)
        assert (status, found["counts"]["completed"], found["counts"]["missing"]) == (200, 1, 3)
        assert found["podium"]["dataset"]["rows"][0]["loss"] == "iou"
        assert found["podium"]["dataset"]["provisional"] is True
        assert ask(f"{address}/api/state", **{"If-None-Match": headers["etag"]})[0] == 304


def test_a_new_trial_appears_even_after_compaction(store, grid):
    page = make_follower(store)
    assert json.loads(page.state().text)["counts"]["completed"] == 1
    store.commit(grid.trials[1], make_result(40), committed_at=NOW)
    assert json.loads(page.state().text)["counts"]["completed"] == 2
    store.compact(NOW)
    store.commit(grid.trials[2], make_result(41, diverged=True), committed_at=NOW)
    found = json.loads(page.state().text)
    assert (found["counts"]["completed"], found["counts"]["diverged"]) == (2, 1)
    store.compact(NOW)
    assert json.loads(page.state().text)["counts"] == found["counts"]


def test_curves_come_from_epochs_or_the_running_driver(store, grid):
    running = RunningTrial(trial_id=grid.trial_ids[3], label="x", since=NOW, val_dice=(0.1, None))
    store.save_run(
        RunRecord(
            run_id="r",
            grid_id="g",
            host="h",
            process_id=1,
            started_at=NOW,
            heartbeat_at=NOW,
            num_pending=1,
            running=(running,),
        )
    )
    with serving(store) as address:
        done = json.loads(ask(f"{address}/api/curve/{grid.trial_ids[0]}")[1])
        assert [row["epoch"] for row in done["epochs"]] == [1, 2]
        assert done["epochs"][0]["train_loss"] == 1.0
        under_way = json.loads(ask(f"{address}/api/curve/{grid.trial_ids[3]}")[1])
        assert [row["val_dice"] for row in under_way["epochs"]] == [0.1, None]
        assert json.loads(ask(f"{address}/api/curve/nothing")[1])["epochs"] == []
        cell = json.loads(ask(f"{address}/api/cell?dataset=synthetic-skin&model=unet&loss=bce")[1])
        assert [item["state"] for item in cell] == ["missing", "running"]


def test_the_state_has_notes_on_coverage_and_missing_rows(store, grid, tmp_path):
    for number in (1, 2):
        store.commit(grid.trials[number], make_result(number), committed_at=NOW)
    (tmp_path / "res" / "epochs" / f"part-{grid.trial_ids[1]}.parquet").unlink()
    coverage, missing = json.loads(make_follower(store).state().text)["notes"]
    assert coverage.startswith("Combinations have from 1 to 2 repeats")
    assert missing.startswith(f"{store.name}/epochs: 1 of 3 completed trials lack their rows")


def test_a_new_grid_without_trials_keeps_no_old_statement(store, grid, tmp_path):
    for number in (1, 2):
        store.commit(grid.trials[number], make_result(number), committed_at=NOW)
    page = make_follower(store)
    found = json.loads(page.state().text)
    assert found["certainty"]
    assert found["notes"]
    path = tmp_path / "grid.yaml"
    path.write_text(path.read_text() + "seed: 7\n")
    store.save_grid(build_grid(load_config(path, [])).document(NOW + timedelta(hours=1)))
    found = json.loads(page.state().text)
    assert (found["podium"], found["certainty"], found["notes"]) == ({}, {}, [])


def test_watching_writes_nothing(store, tmp_path):
    def files():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "res").rglob("*")}

    before = files()
    page = make_follower(store)
    page.state(), page.cell("synthetic-skin", "unet", "iou"), page.curve("x")
    assert files() == before


def test_absent_results_are_waited_for_and_not_created(tmp_path):
    place = tmp_path / "later"
    found = json.loads(make_follower(Store(place)).state().text)
    assert found["axes"] == []
    assert not place.exists()


def test_unreadable_results_are_reported_as_a_problem(store, tmp_path):
    (tmp_path / "res" / "trials" / "mine.parquet").write_bytes(b"x")
    with serving(store) as address:
        status, text, _ = ask(f"{address}/api/state")
        assert status == 503
        assert "mine.parquet" in json.loads(text)["problem"]


def test_the_token_is_required_and_kept_in_a_cookie(store):
    secret = "correct-horse-battery"
    with serving(store, token=secret) as address:
        assert ask(f"{address}/api/state")[0] == 401
        assert ask(f"{address}/")[0] == 401
        assert ask(f"{address}/api/state?token=wrong")[0] == 401
        assert ask(f"{address}/api/state", Cookie="podium_token=wröng")[0] == 401
        assert ask(f"{address}/api/state", Authorization=f"Bearer {secret}")[0] == 200
        assert ask(f"{address}/api/state", Cookie=f"podium_token={secret}")[0] == 200
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"{address}/?token={secret}", timeout=10) as answer:
            assert (answer.status, answer.url) == (200, f"{address}/")


HOSTS = {
    b"Host: localhost": 200,
    b"Host: LOCALHOST:1234": 200,
    b"Host: 127.0.0.1:80": 200,
    b"Host: [::1]:80": 200,
    b"Host: evil.example": 400,
    b"Host: localhost.evil.example": 400,
    b"Host: localhost:80@evil.example": 400,
    b"Host: localhost/@evil.example": 400,
    b"Host: evil.example#localhost": 400,
    b"Host: 127.0.0.1:evil": 400,
    b"Host: [::1": 400,
    b"Host: ": 400,
    b"Host: localhost, evil.example": 400,
    b"Host: localhost\r\nHost: evil.example": 400,
    b"X-Forwarded-Host: localhost\r\nHost: evil.example": 400,
    b"Accept: */*": 400,
    b"GET / HTTP/1.1": 400,
}


def raw(address: str, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10) as link:
        link.sendall(request)
        return b"".join(iter(lambda: link.recv(65536), b""))


def test_without_a_token_only_loopback_names_are_served(store, capfd):
    with serving(store) as address:
        for head, status in HOSTS.items():
            text = raw(address, b"GET / HTTP/1.1\r\n" + head + b"\r\nConnection: close\r\n\r\n")
            assert text.startswith(b"HTTP/1.1 %d " % status), head
    assert capfd.readouterr() == ("", "")


def test_redirects_stay_on_this_host(store):
    secret = "correct-horse-battery"
    with serving(store, token=secret) as address:
        for path in ("/", "//evil.example/", "/%2F/evil.example/", "/\\evil.example", "/api/state"):
            for host in (b"evil.example", b"127.0.0.1", b"evil.example:80@x", b"[::1"):
                request = b"GET %b?token=%b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
                head = raw(address, request % (path.encode(), secret.encode(), host))
                head = head.partition(b"\r\n\r\n")[0].lower()
                places = [line for line in head.splitlines() if line.startswith(b"location")]
                assert places in ([], [b"location: /"]), head
                assert (b" 303 " in head) == (
                    path == "/" and host in (b"evil.example", b"127.0.0.1")
                )
        assert ask(f"{address}/api/state?token={secret}")[0] == 200


def test_idle_connections_do_not_block_others(store, monkeypatch, capfd):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 3.0)
    with serving(store, token="correct-horse-battery") as address, ExitStack() as stack:
        port = int(address.rpartition(":")[2])
        idle = []
        for number in range(400):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            link.sendall(b"G" if number % 2 else b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
            idle.append(link)
        began = time.monotonic()
        assert ask(f"{address}/")[0] == 401
        assert time.monotonic() - began < 2
        for link in idle:  # The first 272 were dropped for others, the rest when time was up.
            link.settimeout(10)
            with suppress(ConnectionError):
                assert link.recv(1) == b""
        assert ask(f"{address}/")[0] == 401
    assert capfd.readouterr() == ("", "")


def test_an_endless_request_is_closed(store, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    with serving(store) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 10) as link:
            assert _bytes_taken(link) < 10


def _bytes_taken(link: socket.socket) -> int:
    for number, letter in enumerate(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaa"):
        try:
            link.sendall(bytes([letter]))
        except ConnectionError:
            return number
        time.sleep(0.1)
    return 100


def test_the_page_loads_nothing_from_elsewhere(store):
    with serving(store) as address:
        status, text, headers = ask(f"{address}/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    (script,) = re.findall("<script>(.*?)</script>", text.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert text.decode() == render_page()
    assert "http://" not in render_page().replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in render_page()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("[::1]", True),
     ("0.0.0.0", False), ("192.168.1.4", False), ("::", False), ("node1", False)],
)  # fmt: skip
def test_only_loopback_needs_no_token(host, expected):
    assert is_loopback(host) is expected


def test_a_taken_port_names_the_remedy():
    bound = open_socket("127.0.0.1", 0)
    port = bound.getsockname()[1]
    with pytest.raises(UserError, match=f"--port {port}.*another --port"):
        open_socket("127.0.0.1", port)
    assert page_address("127.0.0.1", bound, None) == f"http://127.0.0.1:{port}/"
    assert page_address("0.0.0.0", bound, "a b") == f"http://0.0.0.0:{port}/?token=a%20b"
    bound.close()
