"""Random archives and configurations: each is accepted or refused with a message."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from workers.contract import UserError
from workers.datasets.files.archive import unpack

NAMES = st.sampled_from(
    ["a", "a/b", "a/b/c", "./d", "../out", "/tmp/podium-out", "a/../../out", "e/./f", "", ".", "..",
     "a\\..\\..\\out", "x" * 300, "a\0b", "\udcff", "escape/out", "escape"]
)  # fmt: skip
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
     tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"?"]
)  # fmt: skip
MEMBERS = st.lists(
    st.tuples(NAMES, KINDS, NAMES, st.binary(max_size=40), st.integers(-600, 600)), max_size=6
)
FLIPS = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), max_size=3)


@contextmanager
def named(start: str):
    """Allows only a UserError whose text begins with `start`."""
    try:
        yield
    except UserError as error:
        if not str(error).startswith(start):
            raise


def tar_of(members) -> bytes:
    """Writes headers and contents unchanged, without the checks of a library."""
    parts = []
    for name, kind, link, content, excess in members:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        info.size = len(content) + (excess if kind == tarfile.XHDTYPE else 0)
        try:
            parts.append(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
        except ValueError:
            continue
        parts.append(content + bytes(-len(content) % 512))
    return b"".join(parts) + bytes(1024)


def zip_of(members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind, _, content, excess in members:
            info = zipfile.ZipInfo("a")
            info.filename = name.encode("ascii", "replace").decode()  # unchanged
            info.external_attr = (0o120777 if kind == tarfile.SYMTYPE else abs(excess)) << 16
            archive.writestr(info, content)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=400, deadline=None)
@given(MEMBERS, FLIPS, st.sampled_from(["tar", "gz", "zip"]))
def test_archive_is_unpacked_inside_its_folder_or_refused(members, flips, form):
    data = zip_of(members) if form == "zip" else tar_of(members)
    data = gzip.compress(data, 1) if form == "gz" else data
    changed = bytearray(data)
    for place, bit in flips:
        changed[int(place * len(changed))] ^= 1 << bit
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        (top / "in" / "folder").mkdir(parents=True)
        (top / "data").write_bytes(changed)
        with named("s3://bucket/data: "):
            unpack(top / "data", top / "in" / "folder", "s3://bucket/data")
        outside = {path.relative_to(top).parts[:2] for path in top.rglob("*")}
        assert outside <= {("data",), ("in",), ("in", "folder")}
        for path in (top / "in" / "folder").rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or path.stat().st_nlink == 1
    assert not Path("/tmp/podium-out").exists()


PIECES = st.sampled_from(
    ["losses", "models", "[", "]", "{", "}", ": ", ", ", "\n", "\n  ", "- ", "&a ", "*a", "<<: ",
     "010", "1:30", "1e999", "-.inf", "~", "true", "!!int ", "!!binary ", "? ", "'", '"', "|\n",
     "name", "iou", "width", "from", "results", "s3:/b", "%", "\u200b", "training", "patience", "0"]
)  # fmt: skip
BASE = "datasets: [synthetic-skin]\nmodels: [unet]\nlosses: [iou]\nresults: results\n"


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14), st.booleans())
def test_configuration_gives_a_grid_or_a_user_error(pieces, alone):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sweep.yaml"
        path.write_text(("" if alone else BASE) + "".join(pieces), encoding="utf-8")
        with named(str(path)):
            assert build_grid(load_config(path)).trial_ids


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["seed", "training.patience", "losses", "models.0", "results", "a.b"]),
       st.lists(PIECES, max_size=8))  # fmt: skip
def test_override_is_applied_or_gives_a_user_error(key, pieces):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sweep.yaml"
        path.write_text(BASE, encoding="utf-8")
        with named(str(path)):
            load_config(path, [f"{key}={''.join(pieces)}"])
