"""An S3-compatible store that throttles, fails, drops and refuses, on loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from pyarrow import fs

from orchestrator.store import RunRecord, Store, StoreError
from orchestrator.store.opening import open_storage
from orchestrator.store.s3 import ObjectStorage
from orchestrator.store.storage import RetryPolicy, TemporaryStoreError
from tests.conformance.faulty_server import FaultyServer, serve
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec

PASSING = ("SlowDown", "InternalError", "drop-before", "drop-after", "torn")


@pytest.fixture(scope="module")
def running() -> Iterator[FaultyServer]:
    server, stop = serve()
    yield server
    stop()


@pytest.fixture
def server(
    running: FaultyServer, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyServer]:
    """The server, with credentials and endpoint in the environment; it does not fail yet."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{running.port}")
    # The repetitions of the library sleep for real; those of Podium do not.
    monkeypatch.setattr("orchestrator.store.s3.NUM_REQUESTS", 1)
    running.requests.clear()
    running.faults.clear()
    yield running
    running.decide = lambda _number, _request: None


def driver(run_id: str, num_pending: int) -> RunRecord:
    return RunRecord(
        run_id=run_id, grid_id="g", host=f"node-{run_id}", process_id=7, started_at=NOW,
        heartbeat_at=NOW, num_pending=num_pending,
    )  # fmt: skip


def quick() -> RetryPolicy:
    """A retry policy as for a known location, without pauses."""
    return RetryPolicy(sleep=lambda _seconds: None, unknown_seconds=1000)


@pytest.mark.parametrize("number", [3, 5, 7])
def test_sweep_survives_every_nth_request_failing(
    server: FaultyServer, s3_bucket: str, number: int
) -> None:
    location = f"s3://{s3_bucket}/results"
    server.every(number, PASSING)
    store = Store("", storage=ObjectStorage(location, retry_policy=quick()))
    for trial in range(6):
        store.commit(make_spec(trial), make_result(trial), committed_at=NOW)
        store.checkpoints(f"{trial}").save(b"state")
        store.delete_checkpoint(f"{trial}")
    assert len(server.faults) >= 40 // number
    assert len(Store("", storage=ObjectStorage(location, retry_policy=quick())).committed()) == 6
    store.compact(NOW)
    server.decide = lambda _number, _request: None
    whole = Store(location)
    assert [len(whole.read(table)) for table in ("trials", "epochs", "images")] == [6, 12, 12]
    assert whole.damaged() == []


def test_object_deleted_in_a_read_counts_as_missing(server: FaultyServer, s3_bucket: str) -> None:
    """A compaction can delete the object between the two requests of a read."""
    storage = ObjectStorage(f"s3://{s3_bucket}", retry_policy=quick())
    storage.write("trials/part-a.parquet", b"row" * 1000)  # longer than the text of the error
    server.every(1, ["NoSuchKey"], f"GET /{s3_bucket}/trials/part-a.parquet")
    assert storage.read("trials/part-a.parquet") is None
    with storage.local_copies(["trials/part-a.parquet"]) as copies:
        assert copies == {}
    assert len(server.faults) == 2


@pytest.mark.parametrize(("before", "after"), [(4, 4_000_000), (4_000_000, 4)])
def test_claim_stays_valid_while_its_driver_writes(
    server: FaultyServer, s3_bucket: str, before: int, after: int
) -> None:
    """Between the two requests of a read, the document becomes longer or shorter."""
    store = Store("", storage=ObjectStorage(f"s3://{s3_bucket}", retry_policy=quick()))
    store.save_run(driver("1", num_pending=before))
    store.save_run(driver("2", num_pending=0))
    assert store.claims("1").claim("a" * 20, NOW) is None
    num_reads = 0

    def renew(_number: int, request: str) -> None:
        nonlocal num_reads
        if request == f"GET /{s3_bucket}/_runs/1.json":
            num_reads += 1
            if num_reads in {1, 2}:
                pending = after if num_reads == 1 else before
                store.save_run(driver("1", num_pending=pending))

    server.decide = renew
    holder = store.claims("2").claim("a" * 20, NOW)
    assert holder is not None
    assert holder.run_id == "1"
    num_reads = 0
    assert [run.run_id for run in store.runs()] == ["1", "2"]


@pytest.mark.parametrize("fault", ["SlowDown", "drop-after", "AccessDenied"])
@pytest.mark.parametrize("part", ["partNumber=1", "partNumber=2", "partNumber=3", "uploadId"])
def test_no_truncated_object_ever_becomes_visible(
    server: FaultyServer, s3_bucket: str, fault: str, part: str
) -> None:
    """A checkpoint of 25 MB is sent in three parts; one of its requests always fails."""
    storage = ObjectStorage(
        f"s3://{s3_bucket}", retry_policy=RetryPolicy(unknown_seconds=0, known_seconds=0)
    )
    storage.write("_checkpoints/x.pt", b"old")
    method = "POST" if part == "uploadId" else "PUT"
    server.every(1, [fault], rf"{method} /{s3_bucket}/_checkpoints/x.pt\?.*{part}")
    data = bytes(25_000_000)
    with pytest.raises(StoreError):
        storage.write("_checkpoints/x.pt", data)
    assert storage.read("_checkpoints/x.pt") in (b"old", data)
    assert storage.read("_checkpoints/x.pt") == b"old" or (fault, part) == (
        "drop-after",
        "uploadId",
    )
    server.decide = lambda _number, _request: None
    storage.write("_checkpoints/x.pt", data)
    assert storage.read("_checkpoints/x.pt") == data


def _uses(storage: ObjectStorage) -> dict[str, Callable[[], object]]:
    return {
        "list": lambda: storage.list("trials"),
        "write": lambda: storage.write("trials/x", b"data"),
        "read": lambda: storage.read("trials/x"),
        "exists": lambda: storage.exists("trials/x"),
        "delete": lambda: storage.delete("trials/x"),
    }


@pytest.mark.parametrize("use", ["list", "write", "read", "exists", "delete"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDenied", "give credentials that may list"),
        ("InvalidAccessKeyId", "give credentials that may list"),
        ("SignatureDoesNotMatch", "give credentials that may list"),
        ("ExpiredToken", "AWS_SESSION_TOKEN"),
        ("AuthorizationHeaderMalformed", "name the region of the bucket"),
        ("PermanentRedirect", "name the region of the bucket"),
        ("XMinioStorageFull", "free some space there"),
    ],
)
def test_refused_request_is_reported_at_once_with_a_remedy(
    server: FaultyServer,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    use: str,
    code: str,
    remedy: str,
) -> None:
    """Also for a request whose response has only a status and no body."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    storage = ObjectStorage(f"s3://{s3_bucket}/results", retry_policy=quick())
    server.every(1, [code])
    with pytest.raises(StoreError) as caught:
        _uses(storage)[use]()
    text = str(caught.value)
    assert text.startswith(f"s3://{s3_bucket}/results/trials")
    assert remedy in text
    assert type(caught.value) is StoreError
    assert len(server.requests) == 1
    assert "a-secret" not in text
    assert "a-key" not in text


def test_secrets_of_the_environment_are_not_shown(
    server: FaultyServer, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no")  # the response of the server
    storage = ObjectStorage(f"s3://{s3_bucket}", retry_policy=quick())
    server.every(1, ["AccessDenied"])
    with pytest.raises(StoreError, match=r"ListObjectsV2 operation: \*\*\*"):
        storage.list("trials")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("endpoint", "remedy"),
    [
        ("no-such-host.invalid:9000", "correct the host in the endpoint"),
        ("127.0.0.1:9", "no server listens there: start the store or correct the endpoint"),
        ("silent", "check that the store answers"),
    ],
)
def test_wrong_or_silent_endpoint_is_reported_within_seconds(
    s3_environment: None, monkeypatch: pytest.MonkeyPatch, endpoint: str, remedy: str
) -> None:
    monkeypatch.setattr("orchestrator.store.s3.SILENT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if endpoint == "silent":
            endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        location = f"s3://bucket/results?endpoint_override={endpoint}&scheme=http"
        started = time.monotonic()
        with pytest.raises(TemporaryStoreError) as caught:
            Store(
                location,
                storage=ObjectStorage(location, retry_policy=RetryPolicy(unknown_seconds=2)),
            ).grids()
        assert time.monotonic() - started < 20
    assert str(caught.value).startswith("s3://bucket/results/_grids: ")
    assert remedy in str(caught.value)


def test_request_waits_for_a_restarting_object_store(server: FaultyServer, s3_bucket: str) -> None:
    outage = [5]

    def sleep(_seconds: float) -> None:
        outage[0] -= 1
        if outage[0] == 0:
            server.decide = lambda _number, _request: None

    patience = RetryPolicy(sleep=sleep)
    storage = ObjectStorage(f"s3://{s3_bucket}", retry_policy=patience)
    storage.write("trials/x", b"one")
    server.every(1, ["drop-before"])
    storage.write("trials/x", b"two")
    assert outage == [0]
    assert storage.read("trials/x") == b"two"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("s3:///x", "must name a bucket"),
        ("s3://bucket:9000/x", "names no bucket"),
        ("s3://bucket/x?regoin=eu", "option 'regoin': unknown; known: region, scheme"),
        ("s3://bucket/x?secret", "option 'secret': unknown"),
    ],
)
def test_meaningless_location_is_refused(location: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_storage(location)


@pytest.mark.parametrize(
    "url", ["http://HOST/a-path", "http://me:hush-hush@HOST", "https//HOST", "http://HOST?x=1"]
)
def test_invalid_endpoint_of_the_environment_is_reported(
    s3_environment: None, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    with pytest.raises(StoreError, match=r"^AWS_ENDPOINT_URL: .*: must be a host and") as no:
        open_storage("s3://bucket/x")
    assert "hush" not in str(no.value)


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("key", ["buck", "mine", "bucket-of-mine"])
def test_short_secret_does_not_mask_a_bucket(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, key)
    storage = open_storage("s3://bucket-of-mine/a")
    with pytest.raises(StoreError, match=r"there is no bucket 'bucket-of-mine'; create the") as no:
        storage.list("trials")
    assert str(no.value).startswith("s3://bucket-of-mine/a/trials: ")


def test_location_accepts_every_option_except_credentials(
    server: FaultyServer, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    query = f"region=eu-central-1&scheme=http&endpoint_override=127.0.0.1%3A{server.port}"
    storage = ObjectStorage(f"s3://{s3_bucket}/a%20b?{query}", retry_policy=quick())
    storage.write("trials/x", b"data")
    files = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{server.port}", scheme="http")
    assert files.get_file_info(f"{s3_bucket}/a b/trials/x").size == 4
