"""docs/notebook.md, query.md and guide.md run on a simulated store of the quickstart's grid.

The printed numbers come from a real sweep. So the test compares only text that does not depend on
them: names of columns, numbers of lines, exit codes.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.store import SAVED_QUERIES, Store
from tests.unit.orchestrator.store.trials import NOW, make_result
from workers.contract import EpochRecord, UserError
from workers.evaluation import keep_prediction

ROOT = Path(__file__).parents[2]
NOTEBOOK, QUERY, GUIDE = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("notebook", "query", "guide")
)
CELL = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
CONSOLE = re.compile(r"^\$ (podium .*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which results/quickstart has every trial of the quickstart, with 12 epochs."""
    root = tmp_path_factory.mktemp("docs")
    grid = build_grid(load_config(ROOT / "configs" / "quickstart.yaml"))
    store = Store(root / "results" / "quickstart")
    store.save_grid(grid.document(NOW))
    epochs = tuple(
        EpochRecord(epoch=n, train_loss=1 / n, val_dice=n / 12, val_iou=n / 20, seconds=1.0)
        for n in range(1, 13)
    )
    logits = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    image = np.zeros((8, 8, 3), np.uint8)
    picture = keep_prediction("0.png", image, np.eye(8, dtype=np.uint8), logits)
    for number, spec in enumerate(grid.trials):
        result = dataclasses.replace(
            # In another order than the trials: or every cell has the same differences.
            make_result(number * 37 % len(grid.trials), num_images=1),
            epochs=epochs,
            predictions=(picture,),
        )
        store.commit(spec, result, committed_at=NOW)
    store.compact(NOW)
    return root


def run_cells(page: str) -> Iterator[tuple[str, str]]:
    """Yields the output of each cell, as in a notebook, and its output on the page."""
    names: dict[str, Any] = {}
    for source, shown in CELL.findall(page):
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        assert (last is None) == (not shown), source
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            yield repr(value), shown


def test_the_notebook_runs_and_shows_the_same_columns(folder, monkeypatch):
    monkeypatch.chdir(folder)
    cells = list(run_cells(NOTEBOOK))
    assert len(cells) >= 6
    for found, shown in cells:
        found_lines, shown_lines = found.splitlines(), shown.splitlines()
        assert len(found_lines) == len(shown_lines)
        if found.startswith("{"):
            assert ast.literal_eval(found).keys() == ast.literal_eval(shown).keys()
        else:
            assert found_lines[0].split() == shown_lines[0].split()
            assert [line.split()[:1] for line in found_lines] == [
                line.split()[:1] for line in shown_lines
            ]


QUERIES = [
    line
    for page in (QUERY, GUIDE)
    for line in CONSOLE.findall(page)
    if line[0].startswith("podium query ")
]


@pytest.mark.parametrize("line", QUERIES, ids=lambda line: line[0][-40:])
def test_every_query_of_the_pages_runs(folder, monkeypatch, line):
    command, shown = line
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    if shown.startswith("error: "):
        assert isinstance(done.exception, UserError)
        assert f"error: {done.exception}" == shown.rstrip()
        return
    assert done.exit_code == 0, done.output
    assert _words(done.stdout.splitlines()) == _words(shown.splitlines())
    assert len(done.stdout.splitlines()) == len(shown.rstrip().splitlines())


STEPS = [
    step for step in CONSOLE.findall(GUIDE) if step[0].split()[1] in ("rank", "figures", "compare")
]  # a report draws all figures again


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[0].split()[1])
def test_every_guide_step_gives_output_of_the_printed_form(folder, monkeypatch, step):
    command, shown = step
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    command, _, limit = command.partition(" | head -")
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    found = done.stdout.splitlines()[: int(limit) if limit else None]
    assert _forms(found) == _forms(shown.splitlines())


def _forms(lines: list[str]) -> list[str]:
    """Returns the text without numbers: heads of tables, names of files, LaTeX.

    The width of a column depends on its numbers and names.
    """
    kept = re.compile(r"┃|\w+: \.|Figures: |Report: |\\(?!draw)\w+|By ")
    return [" ".join(line.split()) for line in lines if kept.match(line) and "leads" not in line]


def test_the_guide_runs_every_command_that_shows_results():
    commands = {step[0].split()[1] for step in CONSOLE.findall(GUIDE)}
    assert commands == {"query", "rank", "figures", "report", "compare"}


def _words(lines: list[str]) -> list[str]:
    """Returns the names of the columns, of a table or of CSV."""
    head = lines[1] if lines[0].startswith("┏") else lines[0]
    return re.findall(r"\w+", head)


def test_the_page_lists_every_saved_query():
    listed = re.findall(r"^\| `([a-z-]+)` \| (.+\?) \|$", QUERY, re.MULTILINE)
    assert listed == [(saved.name, saved.question) for saved in SAVED_QUERIES.values()]
