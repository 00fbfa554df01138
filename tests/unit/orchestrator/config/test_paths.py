"""Paths, home folders and URIs in a configuration."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.paths import resolve_data, resolve_local, resolve_location
from tests.unit.orchestrator.config.builders import load

FOLDER = Path("/sweeps/configs")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("results", "/sweeps/configs/results"),
        ("../results/x", "/sweeps/results/x"),
        ("./a/../b", "/sweeps/configs/b"),
        ("/data", "/data"),
        ("file:///data/my%20set", "/data/my set"),
        ("file://localhost/data", "/data"),
        ("file:/data", "/data"),
        ("with space", "/sweeps/configs/with space"),
    ],
)
def test_paths_are_relative_to_the_file_or_absolute(text, path):
    assert resolve_local(text, FOLDER) == path
    assert resolve_location(text, FOLDER) == path


def test_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve_location("~/x", FOLDER) == "/home/someone/x"
    assert resolve_local("~", FOLDER) == "/home/someone"


@pytest.mark.parametrize("uri", ["s3://bucket/a/b", "s3://b/100%25", "s3://b?region=x"])
def test_uris_in_normal_form_are_kept_as_they_are(uri):
    assert resolve_location(uri, FOLDER) == uri


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("gs://bucket", "not gs://"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "must name a bucket"),
        ("s3://?region=x", "names no bucket"),
    ],
)
def test_invalid_uris_are_refused(uri, reason):
    with pytest.raises(ValueError, match=reason):
        resolve_location(uri, FOLDER)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must name a folder"),
        ("  ", "must name a folder"),
        ("a\0b", "must name a folder"),
        ("file://data/x", "three slashes: file:///data/x"),
        ("s3:/bucket/a", "two slashes: s3://bucket/prefix"),
        ("https:/host/a", "not https:/"),
        ("~nobody-of-this-name/x", "write the path in full"),
    ],
)
def test_invalid_paths_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        resolve_location(text, FOLDER)


def test_local_path_cannot_be_a_uri():
    with pytest.raises(ValueError, match="local or mounted path"):
        resolve_local("s3://bucket/data", FOLDER)


def test_archives_are_read_from_a_file_or_s3():
    assert resolve_data("../data.tar", FOLDER) == "/sweeps/data.tar"
    assert resolve_data("file:///data/all.zip", FOLDER) == "/data/all.zip"
    uri = "s3://bucket/some/data.tar.gz?endpoint_override=host:9000"
    assert resolve_data(uri, FOLDER) == uri


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3://bucket/data", r"archive that each node unpacks: s3://bucket/data\.tar"),
        ("s3://data.tar", "archive that each node unpacks"),
        ("s3://key:hush@bucket/data.tar", "must not contain credentials"),
        ("gs://bucket/data.tar", "not gs://"),
        ("", "must name a folder"),
    ],
)
def test_data_that_nodes_cannot_read_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        resolve_data(text, FOLDER)
    assert "hush" not in str(caught.value)


def test_a_link_in_a_path_is_followed_as_the_system_does(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    assert resolve_local("../x", tmp_path / "link") == str((tmp_path / "real" / "x").resolve())


def test_every_configured_path_is_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = load(
        tmp_path,
        "data={root: d, cache: c}",
        "results=../r",
        "datasets=[wound, {name: folder, alias: clinic, root: mine}]",
    )
    root = tmp_path.resolve()
    assert (config.data.root, config.data.cache) == (f"{root}/d", f"{root}/c")
    assert config.results == str(root.parent / "r")
    assert config.roots == {"wound": f"{root}/d", "clinic": f"{root}/mine"}


def test_a_file_at_a_relative_path_gives_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(Path()).results == str(tmp_path.resolve() / "results")


names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(st.lists(names, min_size=1, max_size=4))
def test_a_relative_path_equals_its_absolute_path(parts):
    with tempfile.TemporaryDirectory() as folder:
        absolute = str(Path(folder).resolve().joinpath(*parts))
        assert resolve_local(absolute, FOLDER) == absolute
        assert resolve_local("/".join(parts), Path(folder)) == absolute
        assert resolve_local(os.path.relpath(absolute, folder), Path(folder)) == absolute
