"""`import podium`: every public name exists, has a docstring and is imported only when used."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys

import pytest

import podium
from tests.conftest import ROOT

HEAVY = {"duckdb", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "ray", "rich", "torch"}


@pytest.mark.parametrize("name", podium.__all__)
def test_public_name_exists_and_is_documented(name):
    found = getattr(podium, name)
    assert found is getattr(sys.modules[podium._MODULES[name]], name)
    assert inspect.getdoc(found) or name.isupper()


def test_type_checkers_see_the_names_of_programs():
    (block,) = [
        node for node in ast.parse(inspect.getsource(podium)).body if isinstance(node, ast.If)
    ]
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == podium._MODULES


def test_names_on_the_notebook_page_exist():
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    names = set(re.findall(r"podium\.([A-Za-z_]+)", page))
    assert len(names) > 25
    assert names <= set(podium.__all__)


def test_import_loads_no_heavy_library():
    code = (
        f"import sys, podium; print(sorted({HEAVY} & set(sys.modules)), "
        "'rank' in dir(podium), hasattr(podium, 'nothing'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[] True False\n"


def test_model_and_loss_need_neither_ray_nor_duckdb():
    code = (
        "import sys, torch, podium; model = podium.build_model('unet', width=4); "
        "loss = podium.build_loss('iou+bce'); image = torch.zeros(1, 3, 32, 32); "
        "print(loss(model(image).logits_BCHW, torch.ones(1, 32, 32)).item() > 0, "
        "sorted({'ray', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "True []\n"
