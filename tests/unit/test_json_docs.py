"""docs/json.md is correct: the JSON of each command fits its table, and every row occurs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.config import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.records import FailureRecord
from orchestrator.store import TABLES as STORED
from orchestrator.store import RunRecord, Store
from orchestrator.store.codec import decode, encode_part
from orchestrator.tune.studies import studies_of
from tests.integration.sweeps import write_config
from tests.unit.json_tables import Node, problems, read_tables, rows_of
from tests.unit.orchestrator.store.trials import NOW, make_candidate, make_result
from workers.contract import FailureClass, UserError

ROOT = Path(__file__).parents[2]
TABLES = read_tables((ROOT / "docs" / "json.md").read_text(encoding="utf-8"))
COMMANDS = [name for name in TABLES if name.startswith("podium ")]
SEEN: set[tuple[str, str]] = set()
PAPER = str(ROOT / "tests" / "data" / "paper" / "fig2_dice_by_dataset.csv")

Run = Callable[..., Any]


def run(*arguments: str) -> Any:
    """Runs a command in this process and returns its JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def check(command: str, document: Any) -> None:
    found = list(problems(document, TABLES[command], TABLES, SEEN, command))
    assert found == []


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of 2 x 3 x 3 x 2 trials: most complete, some diverged, one failed, one missing."""
    folder = tmp_path_factory.mktemp("json")
    widths = [
        {"name": "unet", "alias": f"unet-{n}", "parameters": {"width": n}} for n in (4, 8, 12)
    ]
    path = write_config(
        folder,
        datasets=[
            {"name": name, "parameters": {"num_images": 15}}
            for name in ("synthetic-skin", "synthetic-wound")
        ],
        models=widths,
        losses=["dice", "bce", "iou"],
    )
    return fill(path)


def fill(path: Path) -> Path:
    settings = load_config(path)
    grid, store = build_grid(settings), Store(settings.results)
    store.save_grid(grid.document(NOW))
    for number, spec in enumerate(grid.trials[:-2]):
        lost = (spec.dataset.label, spec.loss.label) == ("synthetic-wound", "iou")
        result = make_result(number * 7 % 31, diverged=lost)
        result = dataclasses.replace(result, predictions=())  # simulated masks are no images
        store.commit(spec, result, committed_at=NOW)
    store.record_failure(
        FailureRecord(
            spec=grid.trials[-1], attempt=1, failure_class=FailureClass.BUG, message="no",
            traceback="", host="machine", failed_at=NOW, gpus=0.5,
        )
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def results(config: Path) -> str:
    return str(config.parent / "results")


def planned(path: Path, *options: str) -> Any:
    """Returns a plan; `podium run` would refuse, because the simulated trials have other data."""
    done = CliRunner().invoke(app, ["plan", str(path), *options, "--json"])
    assert isinstance(done.exception, UserError)
    return json.loads(done.stdout)


def test_plan(config):
    check("podium plan --json", planned(config))
    left_out = ("--set", "models=[colonformer]", "--set", "training.batch_size=2")
    check("podium plan --json", run("plan", str(config), "--power", *left_out))


def test_race(tmp_path):
    path = write_config(tmp_path, losses=["dice", "bce", "iou"], repeats=5, policy="race")
    check("podium plan --json", run("plan", str(path)))
    settings = load_config(path)
    store = Store(settings.results)
    for spec in build_grid(settings).trials:
        if spec.repeat < 2:  # all losses have nearly the same mean, with much noise
            number = {"dice": (10, 30), "bce": (21, 20), "iou": (30, 10)}[spec.loss.label]
            store.commit(spec, make_result(number[spec.repeat]), committed_at=NOW)
    check("podium plan --json", planned(path))
    check("podium status --json", run("status", str(path)))


def test_status(config, results):
    check("podium status --json", run("status", results))
    store = Store(results)
    run_at_work = RunRecord(
        run_id="r", grid_id="g", host="machine", process_id=7, started_at=NOW,
        heartbeat_at=datetime.now(UTC), num_pending=3,
    )  # fmt: skip
    store.save_run(run_at_work)
    check("podium status --json", run("status", str(config)))
    store.delete_run("r")


def test_failures(results):
    check("podium failures --json", run("failures", results))
    (bug,) = run("failures", results, "--class", "bug")
    assert (bug["message"], bug["gpus"], bug["status"]) == ("no", 0.5, None)
    diverged = run("failures", results, "--class", "diverged", "--last", "1")
    assert [row["status"] for row in diverged] == ["diverged"]


def test_tune(tmp_path):
    """All candidates have a result, so that no training starts."""
    datasets = [{"name": name} for name in ("synthetic-skin", "synthetic-wound")]
    tune = {"trials": 4, "separate": ["dataset"]}
    path = write_config(tmp_path, datasets=datasets, repeats=1, tune=tune)
    for number in range(4):
        for study in studies_of(load_config(path)):
            values = {**study.defaults, "learning_rate": 0.001 * (number + 1)}
            row = make_candidate(number, parameters=values, search_id=study.search_id,
                                 status="completed" if number < 3 else "pruned",
                                 best_val_dice=0.5 + number / 10,
                                 trial_id=study.training_id(number, 0, values))  # fmt: skip
            Store(str(tmp_path / "results")).commit_candidate(row)
    check("podium tune --json", run("tune", str(path)))


def test_compact(tmp_path):
    config = fill(write_config(tmp_path))
    check("podium compact --json", run("compact", str(config.parent / "results")))


def test_verify(tmp_path):
    config = fill(write_config(tmp_path))
    results = config.parent / "results"
    check("podium verify --json", run("verify", str(results)))
    broken, mislabelled, *_ = sorted((results / "images").glob("part-*"))
    broken.write_bytes(b"")
    rows = [row | {"loss": "focal"} for row in decode(mislabelled.read_bytes()) or []]
    mislabelled.write_bytes(encode_part(STORED["images"], rows))
    for option in ([], ["--quarantine"]):
        done = CliRunner().invoke(app, ["verify", str(results), *option, "--json"])
        assert done.exit_code == 1
        check("podium verify --json", json.loads(done.stdout))
    check("podium verify --json", run("verify", str(results)))


def test_query(results):
    sql = "SELECT *, {'a': 1} AS d FROM trials"
    check("podium query --json", run("query", results, sql))
    check("podium query --json", run("query", results, "FROM trials LIMIT 0"))
    check("podium query --examples --json", run("query", "--examples"))


def test_rank(results, tmp_path):
    everything = ("--pairs", "--power", "--draws", "100")
    for axis in ((), ("--axis", "both")):
        check("podium rank --json", run("rank", results, *everything, *axis))
    check("podium rank --json", run("rank", results, "--draws", "0"))
    check("podium rank --json", run("rank", PAPER, "--ties", "order", *everything))
    blocks = pd.DataFrame(
        {"dataset": f"d{d}", "model": f"m{m}", "loss": f"l{k}", "dice": 0.5 + k / 10 + d * m / 100}
        for d in range(4)
        for m in range(3)
        for k in range(3)
    )
    blocks.to_csv(tmp_path / "table.csv", index=False)
    check("podium rank --json", run("rank", str(tmp_path / "table.csv"), *everything))


def test_compare(results, tmp_path):
    check("podium compare --json", run("compare", results, results, "--metric-b", "iou"))
    other = fill(write_config(tmp_path, losses=["dice", "focal"], seed=3))
    there = str(other.parent / "results")
    check("podium compare --json", run("compare", results, there))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_report_and_figures(results, tmp_path):
    out = str(tmp_path)
    check("podium report --json", run("report", results, "--out", out, "--draws", "100"))
    few = ("--only", "2a,3", "--format", "svg")
    check("podium figures --json", run("figures", results, "--out", out, *few))


@pytest.mark.parametrize("what", ["models", "losses", "datasets"])
def test_list(what):
    check(f"podium list {what} --json", run("list", what))


def test_check_loss():
    check("podium check loss --json", run("check", "loss", "bce"))


def test_data_verify(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        for number in range(6):
            pixels = np.zeros((8, 8), dtype=np.uint8)
            pixels[2:4, : 2 + number] = 255
            Image.fromarray(pixels).save(tmp_path / part / f"{number}.png")
    Image.new("L", (8, 8)).save(tmp_path / "masks" / "0.png")
    (tmp_path / "images" / "1.png").write_bytes(b"torn")
    (tmp_path / "masks" / "2.png").rename(tmp_path / "masks" / "lonely.png")
    for part in ("Original", "Ground Truth"):
        (tmp_path / "CVC-ClinicDB" / part).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "CVC-ClinicDB" / part / "1.png")
    arguments = ["data", "verify", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 1
    check("podium data verify --json", json.loads(done.stdout))


def test_run_events():
    events = ROOT / "tests" / "unit" / "orchestrator" / "progress" / "golden" / "events.jsonl"
    for line in events.read_text(encoding="utf-8").splitlines():
        check("podium run --progress json", json.loads(line))


def test_every_command_with_json_has_its_table():
    command: Any = get_command(app)
    known = set()
    for name, found in command.commands.items():
        children = getattr(found, "commands", None) or {"": found}
        for child, leaf in children.items():
            if any("--json" in parameter.opts for parameter in leaf.params):
                known.add(" ".join(filter(None, ("podium", name, child, "--json"))))
    documented = {name for name in COMMANDS if name.endswith("--json") and "--ex" not in name}
    assert known - {"podium data list --json"} == documented


@pytest.mark.parametrize("command", COMMANDS)
def test_every_row_of_the_command_was_seen(command):
    """Runs last; a row that occurs in no output is out of date, or its test is too small."""
    met = {row for table, row in SEEN if table == command}
    if not met:
        pytest.skip("this command's own test did not run")
    assert [row for row in rows_of(TABLES[command]) if row not in met] == []


def test_every_row_of_every_shape_was_seen():
    if not {"podium rank --json", "podium compare --json"} <= {table for table, _ in SEEN}:
        pytest.skip("the tests of rank and compare did not run")
    for name in set(TABLES) - set(COMMANDS):
        met = {row for table, row in SEEN if table == name}
        assert [row for row in rows_of(TABLES[name]) if row not in met] == [], name


def test_the_check_finds_wrong_documents():
    tables = {"t": Node(), **read_tables("## `t`\n\n| `a[].b` | integer or null | x |\n")}
    wrong: list[Any] = [{"a": [{"b": "x"}]}, {"a": [{}]}, {"a": [{"b": 1, "c": 1}]}, {"a": 1}, {}]
    for document in wrong:
        assert list(problems(document, tables["t"], tables, set(), "t")) != []
    assert list(problems({"a": [{"b": None}, {"b": 2}]}, tables["t"], tables, set(), "t")) == []
