"""What protocols differ in."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from orchestrator.ranking.protocols import (
    choose_protocol,
    describe_protocols,
    differing_keys,
    protocol_values,
)
from workers.contract import UserError


def spec(epochs, seed=42, **data):
    return json.dumps(
        {"seed": seed, "data": {"image_size": 64} | data, "training": {"max_epochs": epochs}}
    )


def test_values_by_hand():
    assert protocol_values(spec(2, split=[0.6, 0.4])) == {
        "seed": "42", "data.image_size": "64", "data.split": "[0.6, 0.4]",
        "training.max_epochs": "2",
    }  # fmt: skip
    assert protocol_values(None) == protocol_values("[1]") == {}


def test_only_what_differs_is_named():
    values = [{"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"a": "1", "b": "2", "c": "4"}]
    assert differing_keys(values) == ["b", "c"]
    trials = pd.DataFrame(
        {"protocol_id": ["pp", "qq", "qq"], "spec": [spec(2), spec(9, unit="group"), spec(9)]}
    )
    assert describe_protocols(trials) == {
        "pp": "training.max_epochs 2, data.unit unknown",
        "qq": "training.max_epochs 9, data.unit group",
    }
    assert describe_protocols(trials[["protocol_id"]]) == {}


def test_the_error_that_lists_protocols_says_what_differs():
    trials = pd.DataFrame({"protocol_id": ["pp", "qq", "qq"], "spec": [spec(2), spec(9), spec(9)]})
    with pytest.raises(UserError) as refused:
        choose_protocol(trials, None, "results")
    assert "pp (1 trial: training.max_epochs 2), qq (2 trials: training.max_epochs 9)" in str(
        refused.value
    )
