"""The storage protocol, for every kind of storage."""

import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.store import StoreError
from orchestrator.store.opening import open_storage
from orchestrator.store.s3 import ObjectStorage


def test_a_written_file_is_read_listed_replaced_and_deleted(storage):
    assert storage.read("trials/x") is None
    assert not storage.exists("trials/x")
    storage.write("trials/x", b"one")
    storage.write("trials/x", b"three")
    storage.write("trials/.hidden", b"")
    assert storage.read("trials/x") == b"three"
    assert storage.exists("trials/x")
    hidden, file = storage.list("trials")
    assert (hidden.path, file.path, file.name) == ("trials/.hidden", "trials/x", "x")
    assert (file.size_bytes, file.is_folder) == (5, False)
    assert abs(datetime.now(UTC) - file.modified_at) < timedelta(minutes=1)
    storage.delete("trials/x")
    assert storage.read("trials/x") is None
    assert [info.name for info in storage.list("trials")] == [".hidden"]


def test_missing_files_are_no_error(storage):
    assert storage.list("nothing") == ()
    assert storage.read("nothing/x") is None
    storage.delete("nothing/x")
    with storage.local_copies(["nothing/x"]) as copies:
        assert not any(path.exists() for path in copies.values())


def test_a_listing_shows_folders_and_obeys_a_prefix(storage):
    for path in ("trials/part-1", "trials/compact-1", "trials/part-folder/x"):
        storage.write(path, b"")
    assert [(info.name, info.is_folder) for info in storage.list("trials", "part-")] == [
        ("part-1", False),
        ("part-folder", True),
    ]


def test_large_files_and_odd_names_are_kept(storage):
    data = bytes(range(256)) * 40_000
    storage.write("_checkpoints/ä b+c%20.pt", data)
    assert storage.read("_checkpoints/ä b+c%20.pt") == data
    with storage.local_copies(["_checkpoints/ä b+c%20.pt"]) as copies:
        assert [path.read_bytes() for path in copies.values()] == [data]


def test_the_same_location_is_the_same_storage(storage, backend):
    assert open_storage(backend.location) == storage
    assert hash(open_storage(storage.location)) == hash(storage)


def test_lock_is_released_after_use(storage):
    for _ in range(2):
        with storage.lock("compact"):
            pass


@pytest.mark.usefixtures("s3_environment")
def test_a_missing_bucket_is_named_with_the_remedy():
    storage = open_storage("s3://no-such-bucket/results")
    uses = (
        lambda: storage.list("trials"),
        lambda: storage.write("trials/x", b""),
    )
    for use in uses:
        message = r"s3://no-such-bucket/results/trials.*; create the bucket or correct its name"
        with pytest.raises(StoreError, match=message):
            use()


@pytest.mark.usefixtures("s3_environment")
def test_options_are_in_the_location_but_not_in_the_name(s3_port):
    location = f"s3://no-such-bucket/x?endpoint_override=127.0.0.1:{s3_port}&scheme=http"
    storage = open_storage(
        f"S3://no-such-bucket/x/?scheme=http&endpoint_override=127.0.0.1:{s3_port}"
    )
    assert storage.location == location
    assert storage == open_storage(location)
    assert storage.name == "s3://no-such-bucket/x"


def test_invalid_content_keeps_the_old_file(storage):
    storage.write("trials/x", b"old")
    with pytest.raises(TypeError):
        storage.write("trials/x", "text")
    assert storage.read("trials/x") == b"old"
    assert len(storage.list("trials")) == 1


def test_an_interrupted_put_publishes_the_whole_object(s3_environment, s3_bucket, monkeypatch):
    """Dropping an open stream would publish an empty object."""
    storage = ObjectStorage(f"s3://{s3_bucket}/results")
    files = storage._files
    main_thread = threading.get_ident()

    class Interrupted:
        def open_output_stream(self, path: str):
            stream = files.open_output_stream(path)
            time.sleep(0.2)  # until the main thread waits for this one
            signal.pthread_kill(main_thread, signal.SIGINT)
            return stream

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_files", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            storage.write("trials/x", b"whole")
    assert storage.read("trials/x") == b"whole"
