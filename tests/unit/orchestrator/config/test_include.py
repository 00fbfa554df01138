"""`{from: FILE}` among the losses: its result, the line of errors, refusals."""

from __future__ import annotations

import pytest

from orchestrator.config import load_config
from tests.unit.orchestrator.config.builders import write
from workers.contract import UserError

CONFIG = """\
datasets: [synthetic-skin]
models: [unet]
losses:
  - focal
  - {from: tuned.yaml}
  - bce
results: results
"""
TUNED = """\
losses:
- {name: focal, alias: focal (tuned), parameters: {gamma: 2, learning_rate: 0.01}}
- {name: iou, alias: iou (tuned)}
"""


def load(folder, tuned: str | None = TUNED, *overrides: str, text: str = CONFIG):
    if tuned is not None:
        (folder / "tuned.yaml").write_text(tuned, encoding="utf-8")
    return load_config(write(folder, text), overrides)


def test_included_losses_replace_the_entry_of_the_file(tmp_path):
    config = load(tmp_path)
    assert [loss.label for loss in config.losses] == [
        "focal", "focal (tuned)", "iou (tuned)", "bce",
    ]  # fmt: skip
    assert config.losses[1].parameters == {"alpha": 0.8, "gamma": 2.0, "learning_rate": 0.01}


def test_included_loss_that_is_already_listed_is_skipped(tmp_path):
    same = "losses: [{name: focal, alias: focal (tuned), parameters: {gamma: 0.2}}, bce, iou]"
    assert [loss.label for loss in load(tmp_path, same).losses] == ["focal", "iou", "bce"]


def test_learning_rate_of_the_protocol_is_not_a_new_loss(tmp_path):
    rate = "losses: [{name: focal, alias: focal (tuned), parameters: {learning_rate: 0.001}}, iou]"
    assert [loss.label for loss in load(tmp_path, rate).losses] == ["focal", "iou", "bce"]
    other = load(tmp_path, rate, "training.learning_rate=0.002")
    assert [loss.label for loss in other.losses] == ["focal", "focal (tuned)", "iou", "bce"]


def test_an_override_may_name_a_file(tmp_path):
    config = load(tmp_path, TUNED, "losses=[{from: tuned.yaml}]")
    assert [loss.label for loss in config.losses] == ["focal (tuned)", "iou (tuned)"]


def test_errors_after_an_included_file_name_the_right_line(tmp_path):
    with pytest.raises(UserError, match=r"sweep\.yaml:6: losses\.3: 'bec': unknown loss"):
        load(tmp_path, text=CONFIG.replace("- bce", "- bec"))


@pytest.mark.parametrize(
    ("tuned", "message"),
    [
        (None, r"sweep\.yaml:5: losses\.1\.from: 'tuned\.yaml': .*tuned\.yaml: no such file"),
        ("losses: [focla]", r"tuned\.yaml:1: losses\.0: 'focla': unknown loss; did you mean"),
        ("losses: []", r"tuned\.yaml:1: losses: \[\]: must not be empty"),
        ("models: [unet]", r"tuned\.yaml.*unknown key 'models'"),
        ("losses: [{from: other.yaml}]", r"tuned\.yaml:1: losses\.0\.from.*unknown key 'from'"),
        ("losses: [{name: focal, parameters: {gama: 1}}]", r"parameters\.gama.*did you mean"),
        ("- focal", r"tuned\.yaml: is a list"),
        ("losses: !!python/object/apply:os.getcwd []", r"tuned\.yaml:1:9: is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_file_and_line(tmp_path, tuned, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, tuned)


@pytest.mark.parametrize("entry", ["{from: tuned.yaml, alias: x}", "{from: 3}", "{from: [a]}"])
def test_from_with_another_key_is_refused(tmp_path, entry):
    with pytest.raises(UserError, match=r"losses\.1: .*must hold 'from' and nothing else"):
        load(tmp_path, text=CONFIG.replace("{from: tuned.yaml}", entry))
