"""Archives of data: what comes out, and what is refused."""

import io
import tarfile
import zipfile

import pytest

from workers.contract import UserError
from workers.datasets.archive import is_archive, unpack


def write_tar(path, members, mode="w"):
    """Writes members, each a name with bytes, or a name with a link's target."""
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpacked(archive, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    unpack(archive, folder, "s3://bucket/data")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("/data", False),
        ("/data.tar", True),
        ("/data.TGZ", True),
        ("s3://b/data.tar.gz?endpoint_override=h:1", True),
        ("s3://b/prefix?x=.zip", False),
        ("/data.rar", False),
    ],
)
def test_an_archive_is_known_by_its_ending(text, answer):
    assert is_archive(text) is answer


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_a_tar_comes_out_as_it_went_in(tmp_path, compression):
    members = {"./set/images/1.png": b"one", "set/masks/1.png": b"two"}
    archive = write_tar(tmp_path / "data.tar", members, f"w:{compression}")
    assert unpacked(archive, tmp_path) == {"set/images/1.png": b"one", "set/masks/1.png": b"two"}


def test_a_zip_comes_out_as_it_went_in(tmp_path):
    members = {"set/images/1.png": b"one", "set/masks/1.png": b"two" * 1000}
    assert unpacked(write_zip(tmp_path / "data.zip", members), tmp_path) == members


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/podium-out"])
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_nothing_lands_outside_the_folder(tmp_path, name, write):
    archive = write(tmp_path / "data.archive", {"good": b"x", name: b"evil"})
    try:
        found = unpacked(archive, tmp_path)
    except UserError as error:
        assert "s3://bucket/data" in str(error)  # noqa: PT017 - a tar may also strip the slash
    else:
        assert all(path.startswith(("good", "tmp/")) for path in found)
    assert not (tmp_path / "out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"data.archive", "folder"}


def test_links_that_lead_out_are_refused(tmp_path):
    archive = write_tar(tmp_path / "data.tar", {"set": "/etc"})
    with pytest.raises(UserError, match=r"s3://bucket/data: .*relative paths only"):
        unpacked(archive, tmp_path)
    (tmp_path / "folder").rmdir()
    link = zipfile.ZipInfo("set")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as content:
        content.writestr(link, "/etc")
    with pytest.raises(UserError, match="'set' is a link"):
        unpacked(tmp_path / "data.zip", tmp_path)


@pytest.mark.parametrize("damage", ["text", "truncated", "flipped", "encrypted"])
def test_what_is_no_archive_is_said(tmp_path, damage):
    archive = tmp_path / "data.zip"
    if damage == "text":
        archive.write_text("not an archive")
    elif damage == "truncated":
        write_tar(tmp_path / "whole", {"a": bytes(range(256)) * 400}, "w:gz")
        archive.write_bytes((tmp_path / "whole").read_bytes()[:-200])
        (tmp_path / "whole").unlink()
    else:
        write_zip(archive, {"a": bytes(range(256)) * 400})
        content = bytearray(archive.read_bytes())
        if damage == "flipped":
            content[60] ^= 255
        else:  # the flag of encryption in the local header and in the directory
            content[6] |= 1
            content[content.index(b"PK\x01\x02") + 8] |= 1
        archive.write_bytes(content)
    with pytest.raises(
        UserError, match=r"s3://bucket/data: is no readable archive .*make it again"
    ):
        unpacked(archive, tmp_path)


def test_a_zip_larger_than_the_disk_is_refused_before_it_fills_it(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    archive = write_zip(tmp_path / "data.zip", {"a": b"x" * 11})
    with pytest.raises(UserError, match=r"data.zip needs 0.0 GB in .*free some space"):
        unpacked(archive, tmp_path)
