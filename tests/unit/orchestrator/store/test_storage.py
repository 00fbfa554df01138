import os

import pytest

from orchestrator.store import StoreError
from orchestrator.store.local import REMEDIES, LocalStorage
from orchestrator.store.opening import open_storage


@pytest.mark.parametrize("form", ["{path}", "file://{path}", "file://localhost{path}"])
def test_local_location_has_several_spellings(tmp_path, form):
    storage = open_storage(form.format(path=tmp_path))
    assert storage.location == storage.name == str(tmp_path)


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_storage("results").location == str(tmp_path / "results")
    assert open_storage("file:///a%20b").location == "/a b"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://user:secret@host/x?key=secret", r"ftp://\*\*\*@host/x.*: .* path, a file:// or"),
        ("file://other/x", "file:///other/x"),
        ("s3://user:secret@bucket/x", r"s3://\*\*\*@bucket/x: .*credentials.*AWS_ACCESS_KEY_ID"),
        ("s3://user:sec/ret@bucket/x", r"s3://\*\*\*@bucket/x: .*credentials"),
        ("s3:/user:secret@bucket/x", r"s3:/\*\*\*@bucket/x: .*two slashes"),
        ("s3://bucket/x?odd=secret", r"s3://bucket/x\?odd=\*\*\*: option 'odd': unknown"),
        ("s3://bucket/x?region=a&password=secret", r"password=\*\*\*: .*AWS_ACCESS_KEY_ID"),
    ],
)
def test_refused_location_shows_no_secrets(location, message):
    with pytest.raises(StoreError, match=message) as caught:
        open_storage(location)
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_file_in_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match=f"{tmp_path}/results: .* move that file away"):
        LocalStorage(tmp_path / "results").write("trials/x", b"")
    with pytest.raises(StoreError, match=f"{tmp_path}/results.*: .* move that file away"):
        LocalStorage(tmp_path / "results").list("trials")


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_each_system_error_has_a_remedy_and_leaves_no_file(tmp_path, monkeypatch, number):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError, match=REMEDIES[number].split(";")[0]) as caught:
        LocalStorage(tmp_path).write("x", b"data")
    assert str(tmp_path / "x") in str(caught.value)
    assert list(tmp_path.iterdir()) == []
