"""A configuration from a dict equals the configuration from the same file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from orchestrator.config import load_config
from orchestrator.config.portable import portable_yaml
from orchestrator.plan.grid import build_grid
from tests.conftest import ROOT
from workers.contract import UserError

QUICKSTART = ROOT / "configs" / "quickstart.yaml"
VALUES = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))


def test_a_dict_gives_the_sweep_of_the_same_file(monkeypatch):
    monkeypatch.chdir(QUICKSTART.parent)
    overrides = ["repeats=3", "losses.0=focal"]
    one, other = load_config(VALUES, overrides), load_config(QUICKSTART, overrides)
    assert dataclasses.replace(one, source=other.source) == other
    assert build_grid(one).trial_ids == build_grid(other).trial_ids
    assert portable_yaml(VALUES) == portable_yaml(QUICKSTART)
    assert yaml.safe_load(QUICKSTART.read_text(encoding="utf-8")) == VALUES


def test_paths_and_tuples_of_a_program_are_accepted(tmp_path):
    config = load_config(VALUES | {"results": tmp_path / "r", "losses": ("bce", "dice")})
    assert config.results == str(tmp_path / "r")
    assert [loss.label for loss in config.losses] == ["bce", "dice"]
    assert load_config(str(QUICKSTART)) == load_config(QUICKSTART)


def test_a_dict_without_a_name_is_called_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config({key: value for key, value in VALUES.items() if key != "name"})
    assert (config.name, config.source) == ("sweep", "configuration")
    assert config.results == os.path.normpath(Path.cwd() / "../results/quickstart")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": ["dicee"]}, "configuration: losses.0: 'dicee': unknown loss"),
        ({"repeats": 0}, "configuration: repeats: 0: "),
        ({"repeats": np.int64(2)}, r"configuration: np.int64\(2\) is of type int64; use text"),
        ({"seed": float("nan")}, "configuration: Out of range float values .*; use text"),
        ({"training": {"epochs": 2}}, "configuration: training.epochs: unknown key 'epochs'"),
    ],
)
def test_errors_of_a_dict_name_the_key(change, message):
    with pytest.raises(UserError, match=message):
        load_config(VALUES | change)
