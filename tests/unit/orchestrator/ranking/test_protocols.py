"""Protocols: their values and differences; changed code of other packages."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from orchestrator.ranking.protocols import (
    changed_code,
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


def test_only_differing_keys_are_named():
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


def test_error_of_several_protocols_names_differing_keys():
    trials = pd.DataFrame({"protocol_id": ["pp", "qq", "qq"], "spec": [spec(2), spec(9), spec(9)]})
    with pytest.raises(UserError) as refused:
        choose_protocol(trials, None, "results")
    assert "pp (1 trial: training.max_epochs 2), qq (2 trials: training.max_epochs 9)" in str(
        refused.value
    )


OLD, NEW = "0.3+aaaaaaaaaaaa", "0.3+bbbbbbbbbbbb"


def rows(*versions: dict[str, str]) -> list[str]:
    base = {"python": "3.11.7", "torch": "2.9.0+cpu", "weights r18": "0123456789ab"}
    return [json.dumps(base | one) for one in versions]


def test_unchanged_code_has_no_note():
    assert changed_code(rows({"acme": OLD}, {"acme": OLD}, {})) == ()
    assert changed_code(rows({"acme": OLD}), {"acme": OLD, "other": NEW}) == ()
    assert changed_code([]) == ()
    assert changed_code(["no JSON", "[]", "null"]) == ()


def test_changed_code_of_finished_trials_is_noted():
    (note,) = changed_code(rows({"acme": OLD}, {"acme": NEW}, {"acme": OLD}))
    assert note.startswith(f"the code of acme changed: 2 trials with {OLD}, 1 trial with {NEW}; ")


def test_changed_code_of_the_next_trials_is_noted():
    (note,) = changed_code(rows({"acme": OLD}), {"acme": NEW})
    assert f"1 trial with {OLD}, the next ones with {NEW}; " in note


def test_changed_code_is_noted_by_module():
    # The line of the package itself holds one module or another, by what a trial needs.
    loss = {"acme": OLD, "acme acme.losses": OLD}
    both = {"acme": NEW, "acme acme.losses": OLD, "acme acme.models": NEW}
    assert changed_code(rows(loss, both)) == ()
    (note,) = changed_code(rows(loss), both | {"acme acme.losses": NEW})
    assert note.startswith("the code of acme acme.losses changed")
