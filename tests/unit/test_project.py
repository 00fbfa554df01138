"""The files that describe the project agree with each other and with its code."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
DEPENDENCIES = {
    canonicalize_name(item.name): item for item in map(Requirement, PROJECT["dependencies"])
}
WHEEL = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
PACKAGES = [name for name in WHEEL if (ROOT / name).is_dir()]
FILES = [ROOT / name for name in WHEEL if name not in PACKAGES]


def modules(path: Path) -> Iterator[str]:
    """Yields the top module of each import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_citation_names_the_version_and_licence_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]


def test_hooks_are_the_checks_of_make_lint_and_local():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = {hook["entry"].partition(" --")[0] for hook in repositories[0]["hooks"]}
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    checks = re.findall(r"@\$\(BIN\)/([a-z-]+(?: (?:check|format))?)", lint)
    assert hooks == {f".venv/bin/{check}" for check in checks}


def test_every_package_has_a_typing_marker():
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)


def test_dependencies_equal_the_imports():
    """Packages that only tests import belong to the extra `dev`."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    imported = {name for path in [*files, *FILES] for name in modules(path)}
    outside = imported - sys.stdlib_module_names - set(PACKAGES)
    distributions = importlib.metadata.packages_distributions()
    needed = {canonicalize_name(distributions[name][0]) for name in outside}
    assert needed - set(DEPENDENCIES) == {"markupsafe", "pydantic-core"}  # of Jinja and Pydantic
    assert set(DEPENDENCIES) - needed == {"pytz"}  # DuckDB imports it


def test_ray_is_bounded_to_the_minor_version_of_its_pin():
    pin = re.search(r"^ray==(\d+)\.(\d+)\.", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pin
    major, minor = int(pin[1]), int(pin[2])
    assert DEPENDENCIES[canonicalize_name("ray")].specifier == SpecifierSet(
        f">={major}.{minor},<{major}.{minor + 1}"
    )
