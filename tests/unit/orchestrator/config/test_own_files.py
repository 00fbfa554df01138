"""`{file: FILE, name: NAME}` among models and losses: identity, labels, problems, submission."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from orchestrator.config import SweepConfig, load_config
from orchestrator.config.portable import code_name, portable_yaml
from orchestrator.engine.jobs import prepare_job
from orchestrator.plan.conflicts import refuse_conflicts
from orchestrator.plan.grid import build_grid, grid_from_document
from orchestrator.report.record import runnable
from orchestrator.run import runtime_of
from tests.conftest import ROOT
from tests.unit.orchestrator.config.builders import write
from tests.unit.orchestrator.store.trials import NOW
from workers.contract import UserError
from workers.identity import protocol_id, trial_id

CODE = (ROOT / "tests" / "data" / "own_file.txt").read_text(encoding="utf-8")
CONFIG = """\
datasets: [synthetic-skin]
models: [unet]
losses:
  - bce
  - {file: code/mine.py, name: tilted}
results: results
"""
TILTED = "losses=[{file: code/mine.py, name: tilted}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path)
    return tmp_path


def put(folder: Path, code: str = CODE, name: str = "mine.py") -> Path:
    path = folder / "code" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(code, encoding="utf-8")
    return path


def load(folder: Path, *overrides: str) -> SweepConfig:
    return load_config(write(folder, CONFIG), overrides)


def ids(config: SweepConfig) -> tuple[str, ...]:
    return build_grid(config).trial_ids


def test_entry_of_a_file_has_its_label_and_complete_parameters(folder):
    config = load(folder)
    (file,) = config.code
    loss = config.losses[1]
    assert (loss.name, loss.label) == (f"tilted@{file.digest}", "tilted")
    assert loss.parameters == {"miss": 2.0}
    assert config.to_json()["code"] == {file.digest: str(folder / "code" / "mine.py")}
    assert [entry["title"] for entry in build_grid(config).document(NOW)["losses"]] == [
        "BCE", "tilted",
    ]  # fmt: skip


def test_content_decides_the_ids_and_the_path_does_not(folder):
    before = ids(load(folder))
    put(folder, name="other.py")
    assert ids(load(folder, "losses.1.file=code/other.py")) == before
    put(folder, CODE + "# a comment\n")
    after = ids(load(folder))
    assert after[:5] == before[:5]
    assert not set(after[5:]) & set(before)
    put(folder)
    assert ids(load(folder)) == before


def test_sum_with_a_loss_of_a_file_has_one_order(folder):
    parameters = "parameters: {weights: [2, 1], tilted: {miss: 3}}"
    sums = f"losses=[{{file: code/mine.py, name: tilted+bce, {parameters}}}]"
    (loss,) = load(folder, sums).losses
    assert (loss.name.partition("@")[0], loss.label) == ("bce+tilted", "bce+tilted")
    assert loss.parameters == {"weights": [1.0, 2.0], "bce": {}, "tilted": {"miss": 3.0}}


def test_trial_gets_only_the_code_that_it_needs(folder):
    put(folder, CODE + "# another\n", name="net.py")
    config = load(folder, "models=[{file: code/net.py, name: shallow}, unet]")
    needed = {
        (spec.model.label, spec.loss.label): [
            Path(file.path).name for file in runtime_of(config, spec).code
        ]
        for spec in build_grid(config).trials
    }
    assert needed == {
        ("shallow", "bce"): ["net.py"], ("shallow", "tilted"): ["net.py", "mine.py"],
        ("unet", "bce"): [], ("unet", "tilted"): ["mine.py"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("losses.1.name=tilded", r"losses.1.name: 'tilded': .*mine.py has no loss of this name;"),
        ("losses.1.name=tilted+tilted", r"'tilted\+tilted': 'tilted' is named twice; name"),
        ("losses.1.name=tilted+dicee", r"losses.1.name: 'tilted\+dicee': unknown loss 'dicee'"),
        ("losses.0={file: code/mine.py, name: tilted, alias: x}", "are both tilted with {"),
        ("losses.1.file=''", "losses.1.file: '': must name a folder or file"),
        ("losses.1.file=code/gone.py", r"losses.1.file: .*gone.py: no such file; did you mean"),
        ("losses.1.file=code/empty.py", r"empty.py defines no loss; `podium new loss NAME` writes"),
        ("losses.1.file=code/wrong.py", r"losses.1.file: .*wrong.py:2: SyntaxError: "),
        ("losses.1.parameters={mis: 1}", "losses.1.parameters.mis: 1: unknown parameter; did you"),
        ("losses.1.parameters={miss: -1}", "losses.1.parameters.miss: -1: must be greater than 0"),
        ("losses.1.parameters={miss: '3'}", "must be a number, without quotes"),
        ("losses.0={file: code/two.py, name: tilted}", "'tilted': the label is used already"),
        ("losses.0=tilted@0123456789ab", "no file with this content is listed; add {file: FILE, n"),
        ("models.0={file: code/mine.py, name: tilted}", "has no model of this name; known: s"),
        ("datasets.0={file: code/mine.py, name: folder}", "datasets.0.file: unknown key 'file'"),
    ],
)  # fmt: skip
def test_wrong_entry_is_refused_with_its_key(folder, override, message):
    put(folder, "# nothing\n", name="empty.py")
    put(folder, "\nx = = 1\n", name="wrong.py")
    put(folder, CODE + "# two\n", name="two.py")
    with pytest.raises(UserError, match=message):
        load(folder, override)


def test_included_losses_use_the_files_of_the_configuration(folder):
    digest = load(folder).code[0].digest
    tuned = {"name": f"tilted@{digest}", "alias": "tilted (tuned)", "parameters": {"miss": 4.0}}
    (folder / "tuned.yaml").write_text(yaml.safe_dump({"losses": [tuned]}), encoding="utf-8")
    config = load(folder, "losses=[{from: tuned.yaml}, {file: code/mine.py, name: tilted}]")
    assert [loss.label for loss in config.losses] == ["tilted (tuned)", "tilted"]
    with pytest.raises(UserError, match=r"tuned.yaml:\d+: losses.0.name: .*is listed; add {file:"):
        load(folder, "losses=[bce, {from: tuned.yaml}]")


def test_sum_of_losses_of_two_files_is_refused(folder):
    # A trial gets the code of one file; the digests of both are known here.
    digest = load(folder).code[0].digest
    put(folder, CODE.replace("tilted", "curved"), name="curved.py")
    sums = f"losses=[{{file: code/curved.py, name: curved+tilted@{digest}}}, {TILTED[8:]}"
    with pytest.raises(UserError, match=r"losses.0.name: .*: adds losses of two files; put both"):
        load(folder, sums)


def test_included_file_cannot_run_code(folder):
    put(folder, "raise SystemExit('it ran')", name="evil.py")
    text = "losses: [bce, {file: code/evil.py, name: tilted}]"
    (folder / "tuned.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(
        UserError, match=r"losses.1.file: .*: an included file cannot name"
    ) as caught:
        load(folder, "losses=[{from: tuned.yaml}]")
    assert "it ran" not in str(caught.value)


def test_submitted_configuration_finds_its_files_beside_it(folder, tmp_path_factory):
    (folder / "more.yaml").write_text("losses: [dice]", encoding="utf-8")
    path = write(folder, CONFIG)
    overrides = ["losses.0={from: more.yaml}"]
    submission = prepare_job(path, overrides)
    there = tmp_path_factory.mktemp("job")
    (there / "sweep.yaml").write_text(submission.config, encoding="utf-8")
    for file in submission.files:
        (there / code_name(file)).write_text(file.source, encoding="utf-8")
    assert [file.name for file in sorted(there.iterdir())] == [
        f"mine-{load(folder).code[0].digest}.py", "sweep.yaml",
    ]  # fmt: skip
    assert ids(load_config(there / "sweep.yaml")) == ids(load_config(path, overrides))
    assert "from" not in portable_yaml(path, overrides)


def test_changed_file_is_a_conflict_with_the_results(folder):
    old = build_grid(load(folder, TILTED))
    spec = old.trials[0]
    row: Any = SimpleNamespace(
        trial_id=trial_id(spec), protocol_id=protocol_id(spec), dataset=spec.dataset.label,
        model=spec.model.label, loss=spec.loss.label, spec=json.dumps(spec.to_json()),
    )  # fmt: skip
    refuse_conflicts(old, [row])
    other = "losses=[{file: code/mine.py, name: tilted+bce, alias: tilted}]"  # the same content
    with pytest.raises(UserError, match="this label stands for tilted with"):
        refuse_conflicts(build_grid(load(folder, other)), [row])
    put(folder, CODE + "# changed\n")
    with pytest.raises(UserError, match=r"loss 'tilted': .* a file with another content") as caught:
        refuse_conflicts(build_grid(load(folder, TILTED)), [row])
    assert spec.loss.name.partition("@")[2] in str(caught.value)
    refuse_conflicts(build_grid(load(folder, TILTED, "losses.0.alias=tilted-2")), [row])


def test_grid_document_is_read_without_the_file(folder):
    grid = build_grid(load(folder))
    document = grid.document(NOW)
    (folder / "code" / "mine.py").unlink()
    assert grid_from_document(document).trial_ids == grid.trial_ids
    written = runnable(document["config"])
    path = str(folder / "code" / "mine.py")
    assert written["losses"] == [
        {"name": "bce"}, {"file": path, "name": "tilted", "parameters": {"miss": 2.0}},
    ]  # fmt: skip
