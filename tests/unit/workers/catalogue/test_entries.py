"""Entries of other packages: found through real entry points, and refused with their owner."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workers.catalogue.entries import Catalogue
from workers.catalogue.losses import LossEntry, RegionOptions
from workers.contract import UserError

GROUP = "podium.losses"


def entry(name: str) -> LossEntry:
    return LossEntry(
        name=name, title=name, compute="a:b", options=RegionOptions, kind="region", citation="none"
    )


def install(folder: Path, package: str, points: str, code: str = "") -> None:
    """Writes what an installer leaves: a module, and metadata with entry points."""
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    (folder / f"{package.replace('-', '_')}.py").write_text(code)


CODE = """
from workers.catalogue.losses import LossEntry, RegionOptions
def make(name):
    return LossEntry(name=name, title=name, compute="a:b", options=RegionOptions, kind="region",
                     citation="none")
ALPHA, BETA = make("alpha"), make("beta")
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def table() -> Catalogue[LossEntry]:
    return Catalogue(GROUP, LossEntry, [entry("own")])


def test_entries_are_own_first_then_others_by_name(site):
    install(site, "acme-losses", "beta = acme_losses:BETA\nalpha = acme_losses:ALPHA", CODE)
    found = table()
    assert list(found) == ["own", "alpha", "beta"]
    assert len(found) == 3
    assert found["alpha"].name == "alpha"
    assert [found.origin(name) for name in found] == [None, "acme-losses 1.2", "acme-losses 1.2"]


def test_an_entry_can_be_added_and_removed_in_this_process(site):
    found = table()
    found["mine"] = entry("mine")
    assert "mine" in found
    del found["mine"]
    assert list(found) == ["own"]


@pytest.mark.parametrize(
    ("points", "code", "message"),
    [
        ("own = acme_losses:OWN", CODE + "OWN = make('own')", "Podium has a loss of this name"),
        ("alpha = acme_losses:GONE", CODE, "cannot be loaded: AttributeError"),
        (
            "alpha = acme_losses:ALPHA",
            "import gone_module",
            "No module named 'gone_module'; fix or uninstall",
        ),
        ("alpha = acme_losses:ALPHA", "1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("alpha = acme_losses:make", CODE, "is a function, not a LossEntry"),
        ("alpha = acme_losses:BETA", CODE, "holds an entry named 'beta'; both need one name"),
    ],
)
def test_a_broken_entry_point_names_its_distribution(site, points, code, message):
    install(site, "acme-losses", points, code)
    broken = table()
    for _ in range(2):  # and not only the first time
        with pytest.raises(UserError) as caught:
            list(broken)
        name = points.partition(" ")[0]
        where = f"entry point {name!r} of podium.losses in acme-losses 1.2 (acme_losses:"
        assert str(caught.value).startswith(where)
        assert message in str(caught.value)


def test_two_packages_with_one_name_are_both_named(site):
    install(site, "acme-losses", "alpha = acme_losses:ALPHA", CODE)
    install(site, "zeta-losses", "alpha = zeta_losses:ALPHA", CODE)
    with pytest.raises(UserError, match=r"zeta-losses 1.2 .*: acme-losses 1.2 has a loss of this"):
        list(table())
