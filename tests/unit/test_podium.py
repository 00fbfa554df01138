"""`import podium`: every public name exists, has a docstring and is imported only when used."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from typing import Any

import pytest

import podium
from tests.conftest import ROOT

SMALL: Any = {
    "datasets": ["synthetic-skin"], "models": ["unet"], "losses": ["iou"], "results": "results",
}  # fmt: skip
WRONG: Any = "rya"
NOTHING: Any = None
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: podium.load_config(NOTHING),
            "a YAML file or a dict, not a value of type NoneType",
        ),
        (lambda: podium.load_config({}, "repeats=1"), "overrides: 'repeats=1': give a list"),
        (lambda: podium.run_sweep(SMALL), "only a sweep from open_sweep can be run"),
        (lambda: podium.run_search(SMALL), "only a search from open_search can be run"),
        (lambda: podium.plan(SMALL, retry=["x"]), "retry 'x': unknown failure class; known: "),
        (lambda: podium.plan(SMALL, slots=0), "slots 0: must be at least 1"),
        (lambda: podium.rank(WRONG), "trials: a value of type str; give a pandas frame"),
        (
            lambda: podium.run_sweep(podium.open_sweep(SMALL), engine=WRONG),
            "engine 'rya': unknown engine; known: ray, inline",
        ),
    ],
)
def test_wrong_arguments_are_refused_with_a_remedy(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(podium.UserError, match=re.escape(message)):
        call()
    assert not (tmp_path / "results").exists()
