"""The documentation is correct: its examples run, its commands parse, its files exist."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from typer.main import get_command

from orchestrator.cli.app import app
from orchestrator.config import load_config
from orchestrator.store import describe_tables
from workers.catalogue.costs import TABLE
from workers.catalogue.datasets import DATASETS
from workers.catalogue.losses import LOSSES
from workers.catalogue.models import MODELS, complete_model, weights_of
from workers.contract import Component
from workers.datasets import inspection, open_dataset
from workers.datasets.findings import FindingKind
from workers.datasets.layouts import layout, pairing
from workers.datasets.layouts.pairing import IMAGE_WITHOUT_MASK
from workers.datasets.survey import survey_dataset
from workers.losses import build_loss
from workers.losses.checks import check_loss
from workers.models import build_model

ROOT = Path(__file__).parents[2]
MINIMAL = "{datasets: [synthetic-skin], models: [unet], losses: [bce], results: r}"
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
PAGES = [README, CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md"))]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"<!-- example: (.+?) -->\n```python\n(.*?)```", re.DOTALL)
ADDRESS = re.compile(r"https?://(?!127\.0\.0\.1:|HEAD:)|index.url")
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|root|tmp|mnt|opt|srv|usr|Users|home/(?!ada/))\b")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def sweep(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def play(section: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Runs a section's examples in copies of their modules, or in new modules.

    Returns the value of the last lone expression (a table entry), and the names by module.
    """
    body = text_of(CONTRIBUTING).partition(f"## {section}\n")[2].partition("\n## ")[0]
    entry, spaces = None, {}
    new: dict[str, Any] = {}  # the next examples can use the names of an example
    for target, source in EXAMPLE.findall(body):
        name = target.removeprefix("new ")
        if target.startswith("new "):
            module = ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            spaces[name] = vars(module)
        elif name not in spaces:
            spaces[name] = {} if name == "query" else vars(importlib.import_module(name)).copy()
        before = set(spaces[name])
        spaces[name] |= {key: value for key, value in new.items() if key not in before}
        tree = ast.parse(source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), spaces[name])
        if isinstance(last, ast.Expr):
            entry = eval(compile(ast.Expression(last.value), name, "eval"), spaces[name])
        new |= {key: value for key, value in spaces[name].items() if key not in before}
    return entry, spaces


def test_example_of_a_loss_runs(tmp_path, monkeypatch):
    entry, spaces = play("Add a loss", monkeypatch)
    new = spaces["workers.losses.region"]["asymmetric_similarity_loss"]
    monkeypatch.setattr("workers.losses.region.asymmetric_similarity_loss", new, raising=False)
    monkeypatch.setitem(LOSSES, entry.name, entry)
    tests = spaces["tests.unit.workers.losses.test_values"]
    tests["test_asymmetric_similarity_by_hand_and_its_special_case"]()
    assert [found for found in check_loss(entry) if found.outcome != "passed"] == []
    for name, num_classes in ((entry.name, 1), (f"{entry.name}+bce", 1), (entry.name, 3)):
        logits = torch.randn(2, num_classes, 4, 4, requires_grad=True)
        loss = build_loss(name)(logits, torch.ones(2, 4, 4, dtype=torch.long))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert 0 < gradient.abs().sum() < torch.inf
    assert load_config(sweep(tmp_path, MINIMAL.replace("bce", entry.name))).losses


def test_example_of_a_model_runs(monkeypatch):
    entry, _ = play("Add a model", monkeypatch)
    monkeypatch.setitem(MODELS, entry.name, entry)
    model = build_model("shallow")
    assert sum(p.numel() for p in model.parameters()) == entry.parameters
    with FlopCounterMode(display=False) as flops:
        assert model(torch.zeros(1, 3, 224, 224)).logits_BCHW.shape == (1, 1, 224, 224)
    assert flops.get_total_flops() / 2e9 == pytest.approx(entry.gmacs_224, rel=0.005)


def test_example_of_a_dataset_runs(tmp_path, monkeypatch):
    entry, _ = play("Add a dataset", monkeypatch)
    monkeypatch.setitem(DATASETS, entry.name, entry)
    pairs = ["p1/a", "p1/b", "p2/a", "p2/b", "p10/a", "p10/b"]
    for name in (*pairs, *(f"{pair}_label" for pair in pairs), "p1/lonely"):
        path = tmp_path / "Site-A" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(8, dtype=bool)).save(path)
    dataset = open_dataset(Component(name="site-a"), tmp_path)
    assert [sample.name for sample in dataset.samples] == pairs
    assert [sample.group for sample in dataset.samples] == ["p1", "p1", "p2", "p2", "p10", "p10"]
    assert dataset.read_mask(0).sum() == 8
    survey = survey_dataset(Component(name="site-a"), tmp_path, tmp_path / "cache")
    assert survey.names(IMAGE_WITHOUT_MASK) == ("p1/lonely.png",)


def test_the_page_on_data_has_every_finding_of_names_and_sizes():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    kinds = [
        kind
        for module in (inspection, layout, pairing)
        for kind in vars(module).values()
        if isinstance(kind, FindingKind) and kind not in (pairing.TOO_FEW_PAIRS, pairing.INCOMPLETE)
    ]
    assert len(kinds) >= 10
    assert [kind.name for kind in kinds if f"{kind.severity}: `{kind.text}`" not in page] == []


def test_example_of_a_metric_runs(tmp_path, monkeypatch):
    _, spaces = play("Add a metric or a statistic", monkeypatch)
    (tmp_path / "images").mkdir()
    labels = {"dataset": "d", "model": "m", "loss": "bce", "repeat": 0}
    counts = [{"tp": 4, "fn": 1, "fp": 0}, {"tp": 0, "fn": 0, "fp": 0}, {"tp": 0, "fn": 0, "fp": 9}]
    pd.DataFrame([labels | row for row in counts]).to_parquet(tmp_path / "images" / "a.parquet")
    (row,) = spaces["query"]["rank_by_f2"](tmp_path).to_dict("records")
    assert row == labels | {"f2": pytest.approx((20 / 24 + 1 + 0) / 3)}


@EACH_PAGE
def test_every_command_and_option_exists(page):
    blocks = "\n".join(block for _, block in FENCE.findall(text_of(page)))
    prose = FENCE.sub("", text_of(page))
    shown = re.findall(r"^(?:\$ )?(podium .*)$", blocks, re.MULTILINE)
    known = set()
    for line in [*shown, *re.findall(r"`(podium [^`]+)`", prose)]:
        command: Any = get_command(app)
        words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            command = command.commands[words.pop(0)]
        if words not in ([], ["--help"]):  # a command name in prose has no arguments
            command.make_context(line, words)
        known |= {option for parameter in command.params for option in parameter.opts}
    if page == README:
        assert len(shown) > 5
        assert set(re.findall(r"`(--[a-z]+)", prose)) <= known


@EACH_PAGE
def test_every_full_configuration_loads(page, tmp_path):
    blocks = FENCE.findall(text_of(page))
    for language, block in blocks:
        if page.name == "own.md" and language == "python" and "LossEntry(" in block:
            (tmp_path / "tilted.py").write_text(block, encoding="utf-8")
    for language, block in blocks:
        if language == "yaml" and "results:" in block:
            assert load_config(sweep(tmp_path, block)).losses
    assert page != README or "```yaml" in text_of(page)


def test_tables_page_equals_the_store_schema():
    assert text_of(ROOT / "docs" / "tables.md") == describe_tables(), "see CONTRIBUTING.md"


def test_keys_and_defaults_equal_the_schema(tmp_path):
    sections = ("data", "training", "resources", "cluster", "runtime")
    loaded = load_config(sweep(tmp_path, MINIMAL))
    config = loaded.to_json()
    flat = pd.json_normalize({key: config[key] for key in sections}).iloc[0].to_dict()
    for name, section in (("tune", loaded.tune), ("race", loaded.race)):
        flat |= {f"{name}.{key}": value for key, value in section.model_dump().items()}
    page = text_of(ROOT / "docs" / "configuration.md")
    rows = re.findall(r"^\| `([a-z_]+\.[a-z0-9_.]+)` \| `(.+?)` \|", page, re.MULTILINE)
    shown = {key: yaml.safe_load(value) for key, value in rows}
    shown["data.cache"] = str(Path(shown["data.cache"]).expanduser())
    assert shown == flat


def test_tables_of_models_equal_the_catalogue():
    page = text_of(ROOT / "docs" / "models.md")
    for name, entry in MODELS.items():
        assert (
            f"| `{name}` | {entry.title} | {entry.parameters:,} | {entry.gmacs_224:.2f} |" in page
        )
        for variant in entry.variants:
            assert f"| {variant.parameters:,} | {variant.gmacs_224:.2f} |" in page
        for weights in weights_of(name, complete_model(name, {})[1]):
            assert f"| `{weights.name}` | `{weights.normalisation}` | {weights.licence} |" in page
        row = json.loads(TABLE.read_text(encoding="utf-8"))["cpu"]["models"][name]
        memory = row["peak_memory_bytes"] / 2**30
        assert f"| `{name}` | {row['seconds_per_step']:.2f} | {memory:.2f} |" in page


def test_losses_page_has_every_loss_with_its_options():
    page = text_of(ROOT / "docs" / "losses.md")
    for name, entry in LOSSES.items():
        (row,) = re.findall(rf"^\| `{name}` \| {re.escape(entry.title)} \|.*$", page, re.MULTILINE)
        for option in entry.options.model_fields:
            assert f"`{option}` (" in row


def test_data_page_and_readme_have_every_public_dataset():
    public = {name: entry for name, entry in DATASETS.items() if entry.num_images}
    assert len(public) == 6
    for name, entry in public.items():
        row = f"| `{name}` | {entry.num_images:,} |"
        assert row in text_of(ROOT / "docs" / "data.md")
        assert f"`{name}`" in text_of(README)


def test_index_links_every_page():
    index = text_of(ROOT / "docs" / "README.md")
    assert all(f"]({page.name})" in index for page in PAGES[2:] if page.name != "README.md")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@EACH_PAGE
def test_every_link_and_picture_exists(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors_of(linked), target
    for picture in (ROOT / "docs").rglob("*.png"):
        assert picture.stat().st_size < 150_000, picture


@EACH_PAGE
def test_page_has_no_local_address_or_path(page):
    for line in text_of(page).splitlines():
        assert not ADDRESS.search(line), line
        assert not MACHINE_PATH.search(line), line
