"""Archives of data: what comes out, and what is refused."""

import io
import tarfile
import zipfile

import pytest

from workers.contract import UserError
from workers.datasets.files.archive import is_archive, unpack


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
        ("/what?/data.zip", True),
    ],
)
def test_archive_is_recognised_by_its_ending(text, answer):
    assert is_archive(text) is answer


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_unpacked_tar_equals_its_source(tmp_path, compression):
    members = {"./set/images/1.png": b"one", "set/masks/1.png": b"two"}
    archive = write_tar(tmp_path / "data.tar", members, f"w:{compression}")
    assert unpacked(archive, tmp_path) == {"set/images/1.png": b"one", "set/masks/1.png": b"two"}


def test_unpacked_zip_equals_its_source(tmp_path):
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


def tar_with(path, *members):
    """Writes a tar of headers as an attacker makes them: no check stands in between."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_link_with_overlong_path_writes_nothing_outside(tmp_path):
    """CVE-2025-4517: `realpath` stops at 4096 bytes, so that Python's own filter is passed by."""
    long = "d" * 247
    members, path = [], ""
    for letter in "abcdefghijklmnop":
        members.append((f"{path}{long}", tarfile.DIRTYPE, "", b""))
        members.append((f"{path}{letter}", tarfile.SYMTYPE, long, b""))
        path += f"{letter}/"
    members.append((f"{path}{'l' * 254}", tarfile.SYMTYPE, "../" * 16, b""))
    members.append(("escape", tarfile.SYMTYPE, f"{path}{'l' * 254}/../../outside", b""))
    members.append(("there", tarfile.LNKTYPE, "escape/victim", b""))
    members.append(("there", tarfile.REGTYPE, "", b"written by the archive"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "victim").write_text("mine")
    archive = tar_with(tmp_path / "data.tar", *members)
    with pytest.raises(UserError, match="is a link"):
        unpacked(archive, tmp_path)
    assert (tmp_path / "outside" / "victim").read_text() == "mine"


LINKS = [tarfile.SYMTYPE, tarfile.LNKTYPE]
DEVICES = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]


@pytest.mark.parametrize("kind", [*LINKS, *DEVICES])
def test_tar_with_other_members_than_files_is_refused(tmp_path, kind):
    archive = tar_with(tmp_path / "data.tar", ("set", kind, "good", b""))
    what = "is a link.*tar --dereference" if kind in LINKS else "is a device, a pipe"
    with pytest.raises(UserError, match=rf"^s3://bucket/data: 'set' {what}"):
        unpacked(archive, tmp_path)
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o140644])
def test_zip_with_other_members_than_files_is_refused(tmp_path, mode):
    member = zipfile.ZipInfo("set")
    member.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as content:
        content.writestr(member, "/etc")
    with pytest.raises(UserError, match=r"'set' is a (link|device)"):
        unpacked(tmp_path / "data.zip", tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/absolute", "outside the folder"),
        ("a/..", "outside the folder"),
        ("..\\..\\out", "outside the folder"),
        ("C:\\out", "outside the folder"),
        ("n" * 256, "too long a name"),
        ("/".join(["d"] * 40), "too long a name"),
        ("a\nb", "control character"),
    ],
)
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_invalid_member_name_is_refused(tmp_path, write, name, reason):
    archive = write(tmp_path / "data.archive", {name: b"x"})
    with pytest.raises(UserError, match=reason):
        unpacked(archive, tmp_path)
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("second", ["set/1.png", "set/1.png/under", "set"])
def test_member_contained_twice_is_refused(tmp_path, second):
    members = [("set/1.png", tarfile.REGTYPE, "", b"one"), (second, tarfile.REGTYPE, "", b"two")]
    with pytest.raises(UserError, match="held twice"):
        unpacked(tar_with(tmp_path / "data.tar", *members), tmp_path)


def test_member_larger_than_a_chunk_is_complete(tmp_path):
    content = bytes(range(256)) * 12_345
    archive = write_tar(tmp_path / "data.tgz", {"a": content}, "w:gz")
    assert unpacked(archive, tmp_path) == {"a": content}


@pytest.mark.parametrize("name", ["PKLot/1.png", "BZhang/1.png"])
def test_a_tar_is_not_mistaken_by_its_first_name(tmp_path, name):
    archive = write_tar(tmp_path / "data.tar", {name: b"one"})
    assert unpacked(archive, tmp_path) == {name: b"one"}


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "zip"])
def test_a_bomb_is_refused_before_it_grows(tmp_path, monkeypatch, mode):
    monkeypatch.setattr("workers.datasets.files.archive.FREE_OF_RATIO_BYTES", 1 << 20)
    members = {str(number): bytes(1 << 20) for number in range(20)}
    archive = tmp_path / "data.archive"
    write_zip(archive, members) if mode == "zip" else write_tar(archive, members, mode)
    with pytest.raises(UserError, match=r"grows to more than .*; if you trust it, unpack it"):
        unpacked(archive, tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "folder").iterdir()) <= 6 << 20


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("MAX_FILES", "more than 1 files"), ("MAX_FILE_BYTES", "'a' is 0.0 GB large")],
)
def test_number_and_size_of_files_are_bounded(tmp_path, monkeypatch, limit, reason):
    monkeypatch.setattr(f"workers.datasets.files.archive.{limit}", 1)
    archive = write_tar(tmp_path / "data.tar", {"a": b"xx", "b": b"xx"})
    with pytest.raises(UserError, match=reason):
        unpacked(archive, tmp_path)


def header(name, kind, size):
    """Returns one header with any size, of which the sum is right."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE])
@pytest.mark.parametrize("size", [-512, -1024, 1 << 40])
def test_a_header_of_absurd_size_ends_at_once(tmp_path, kind, size):
    """CVE-2025-8194: negative sizes make Python's own reader run in circles."""
    archive = tmp_path / "data.tar"
    archive.write_bytes(header("good", tarfile.REGTYPE, 0) + header("a", kind, size) + bytes(1024))
    with pytest.raises(UserError, match="s3://bucket/data"):
        unpacked(archive, tmp_path)


@pytest.mark.parametrize("damage", ["text", "truncated", "flipped", "encrypted"])
def test_damaged_archive_is_refused(tmp_path, damage):
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
        UserError, match=r"s3://bucket/data: is not a readable archive .*make it again"
    ):
        unpacked(archive, tmp_path)


def test_zip_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    archive = write_zip(tmp_path / "data.zip", {"a": b"x" * 11})
    with pytest.raises(UserError, match=r"data: needs 0.0 GB or more in .*free some space"):
        unpacked(archive, tmp_path)
