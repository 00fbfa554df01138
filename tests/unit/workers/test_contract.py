"""The contract: plain data, complete round trips, the study's protocol as default."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
from pathlib import Path

import pytest

import workers.contract
from workers.contract import (
    Component,
    DataProtocol,
    FailureClass,
    TrainingProtocol,
    TrialSpec,
    TrialStatus,
)
from workers.identity import trial_id

SPEC = TrialSpec(
    dataset=Component(name="folder", parameters={"label": "clinic"}, label="clinic"),
    model=Component(name="unet", parameters={"width": 8, "encoder": None}, label="unet-8"),
    loss=Component(name="iou+focal", parameters={"weights": [1.0, 2.0], "focal": {"gamma": 0.2}}),
    repeat=1,
    seed=7,
    data=DataProtocol(image_size=64, split=(0.5, 0.25, 0.25), split_unit="group"),
    training=TrainingProtocol(max_epochs=3),
)


def test_defaults_are_the_published_protocol():
    data, training = DataProtocol(), TrainingProtocol()
    assert data.image_size == 224
    assert data.split == (0.6, 0.2, 0.2)
    assert (training.optimizer, training.learning_rate, training.batch_size) == ("adam", 0.001, 8)
    assert (training.max_epochs, training.patience) == (200, 40)


def test_label_of_a_component_defaults_to_its_name():
    assert Component(name="iou").label == "iou"
    assert Component(name="iou", label="mine").label == "mine"


def test_a_label_does_not_make_another_component():
    assert Component(name="iou") == Component(name="iou", label="mine")


def test_a_specification_survives_json_whole():
    text = json.dumps(SPEC.to_json())
    again = TrialSpec.from_json(json.loads(text))
    assert again == SPEC
    assert trial_id(again) == trial_id(SPEC)
    assert [c.label for c in (again.dataset, again.model, again.loss)] == [
        "clinic",
        "unet-8",
        "iou+focal",
    ]
    assert again.data.split == (0.5, 0.25, 0.25)


def test_an_unknown_key_in_a_stored_specification_is_an_error():
    with pytest.raises(TypeError, match="colour"):
        TrialSpec.from_json(SPEC.to_json() | {"colour": "red"})


def test_a_specification_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.repeat = 2  # type: ignore[misc]


def test_states_and_classes_are_the_words_of_the_store():
    assert [status.value for status in TrialStatus] == ["completed", "diverged"]
    assert [item.value for item in FailureClass] == [
        "diverged",
        "out-of-memory",
        "infrastructure",
        "bug",
    ]


def test_the_contract_imports_the_standard_library_only():
    source = Path(workers.contract.__file__).read_text(encoding="utf-8")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
