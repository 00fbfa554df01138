"""`--set`: any key, the same checks as in a file, and its name in every message."""
# ruff: noqa: E501 - messages are quoted whole

from __future__ import annotations

import pytest

from tests.unit.orchestrator.config.builders import MINIMAL, load
from workers.contract import UserError


def refusal(folder, *overrides: str, text: str = MINIMAL) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(folder, *overrides, text=text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_value_is_replaced(tmp_path):
    assert load(tmp_path).training.max_epochs == 200
    assert load(tmp_path, "training.max_epochs=2").training.max_epochs == 2


def test_values_are_yaml(tmp_path):
    config = load(
        tmp_path,
        "losses=[iou, {name: focal, alias: g2, parameters: {gamma: 2}}]",
        "training={learning_rate: 1e-4, patience: 3}",
        "name=a = b",
    )
    assert [c.label for c in config.losses] == ["iou", "g2"]
    assert (config.training.learning_rate, config.training.patience) == (1e-4, 3)
    assert config.name == "a = b"


def test_positions_in_a_list_count_from_zero(tmp_path):
    config = load(tmp_path, "losses=[iou, dice]", "losses.1=bce")
    assert [c.name for c in config.losses] == ["iou", "bce"]


def test_keys_inside_an_entry_can_be_set(tmp_path):
    config = load(tmp_path, "models.0={name: unet, alias: u}", "models.0.parameters.width=8")
    assert config.models[0].parameters["width"] == 8
    assert config.models[0].label == "u"


def test_the_last_override_of_a_key_wins(tmp_path):
    assert load(tmp_path, "seed=1", "seed=2").seed == 2


def test_null_and_empty_overrides_remove_a_value(tmp_path):
    assert load(tmp_path, "data.root=/d", "data.root=null").data.root is None
    assert load(tmp_path, "data.root=/d", "data.root=").data.root is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.max_epoch=2", "sweep.yaml: training.max_epoch: unknown key 'max_epoch'; did you mean 'max_epochs'"),
        ("training.max_epochs=0", "sweep.yaml: training.max_epochs: 0: must be at least 1 (from"),
        ("trianing.max_epochs=2", "sweep.yaml: trianing: unknown key 'trianing'; did you mean 'training'?"),
        ("losses.0=jaccard", "sweep.yaml: losses.0: 'jaccard': unknown loss"),
        ("losses.1=iou", "sweep.yaml: losses is a list: '1' is not one of its positions (0 to 0)"),
        ("losses.-1=iou", "sweep.yaml: losses is a list: '-1' is not one of its positions (0 to 0)"),
        ("losses.0.parameters.gamma=2", "sweep.yaml: losses.0 is 'iou' and has no keys; set losses.0 as a whole"),
        ("repeats", "sweep.yaml: must look like KEY=VALUE, for example training.max_epochs=2"),
        ("=3", "sweep.yaml: must look like KEY=VALUE"),
        ("a..b=3", "sweep.yaml: must look like KEY=VALUE"),
        ("losses=[iou", "sweep.yaml: the value is not YAML"),
        ("data={root: a, root: b}", "sweep.yaml: the value is not YAML: the key 'root' occurs twice"),
        ("data.split.train=0.7", "sweep.yaml: data.split: {\"train\": 0.7}: the fractions must sum to 1"),
    ],
)  # fmt: skip
def test_a_refused_override_is_named_with_key_value_and_remedy(tmp_path, override, message):
    (line,) = refusal(tmp_path, override)
    assert line.startswith(message)
    assert line.endswith(f"(from --set {override})")


def test_all_refused_overrides_are_named_at_once(tmp_path):
    lines = refusal(tmp_path, "seed=x", "oops", "repeats=0")
    assert [line.partition("--set ")[2] for line in lines] == ["oops)", "repeats=0)", "seed=x)"]


def test_an_override_can_correct_the_file(tmp_path):
    text = MINIMAL + "training: {max_epochs: 0}\n"
    assert refusal(tmp_path, text=text) == [
        "sweep.yaml:5: training.max_epochs: 0: must be at least 1"
    ]
    assert load(tmp_path, "training.max_epochs=1", text=text).training.max_epochs == 1


def test_relative_paths_are_relative_to_the_file(tmp_path):
    assert load(tmp_path, "results=../x").results == str(tmp_path.resolve().parent / "x")


def test_a_uri_is_kept(tmp_path):
    assert load(tmp_path, "results=s3://bucket/x").results == "s3://bucket/x"
