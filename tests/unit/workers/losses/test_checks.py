"""Every loss of the catalogue passes the checks, and each check finds a loss that is wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.plan.preflight import model_findings
from workers.catalogue import Options
from workers.catalogue.losses import LOSSES, LossEntry
from workers.contract import Component, TrialSpec, UserError
from workers.losses.checks import CHECKS, check_loss, run_check

NAMED = {check.name: check for check in CHECKS}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_the_catalogue_passes_every_check(name):
    found = check_loss(LOSSES[name])
    assert [(one.check.name, one.detail) for one in found if one.outcome == "failed"] == []
    unchecked = {one.check.name for one in found if one.outcome == "not checked"}
    assert unchecked == ({"translation"} if name == "distance-ce" else set())


def mean_error(logits, truth):
    """Half of a sound loss."""
    return (logits.sigmoid() - truth).abs().mean()


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


calls: list[float] = []


def remembering(logits, truth):
    calls.append(0.0)
    return mean_error(logits, truth) + len(calls)


def by_column(logits, truth):
    column = torch.arange(logits.shape[-1], dtype=logits.dtype)
    return ((logits.sigmoid() - truth).abs() * column).mean()


WRONG = {
    "values": lambda x, t: mean_error(x, t) + 0.001,
    "precision": lambda x, t: (x * 1e4 + mean_error(x, t) - x * 1e4).mean(),
    "gradient": lambda x, t: _Doubled.apply(mean_error(x, t)),
    "extremes": lambda x, t: -(t * x.sigmoid().log() + (1 - t) * (1 - x.sigmoid()).log()).mean(),
    "half": lambda x, t: (x * 1e36 - t).square().mean(),
    "sizes": lambda x, t: mean_error(x, t) + x.sigmoid().std(),
    "channels": lambda x, t: x.squeeze(1).sigmoid().sub(t[:, 0]).abs().mean() / (2 - x.shape[1]),
    "batch": remembering,
    "translation": by_column,
    "order": lambda x, t: -mean_error(x, t),
    "random": lambda x, t: (x.sigmoid() - t).abs().sum() / t.sum(),
    "learning": lambda x, t: 1e-9 * mean_error(x, t).square(),
}


def wrong_loss(monkeypatch, compute, **fields):
    module = ModuleType("a_wrong_loss")
    module.compute = compute  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    fields = {"values": (0.259,), **fields}
    return LossEntry(
        name="wrong", title="Wrong", compute="a_wrong_loss:compute", options=Options,
        kind="region", citation="none", **fields,
    )  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_check_finds_a_loss_that_is_wrong(monkeypatch, name):
    entry = wrong_loss(monkeypatch, WRONG[name])
    found = run_check(NAMED[name], entry)
    assert found.outcome == "failed", found.detail
    exempt = replace(entry, exempt={name: "a reason"})
    assert run_check(NAMED[name], exempt).outcome == "not checked"


def test_every_check_but_the_cost_has_a_wrong_loss():
    assert set(WRONG) == set(NAMED) - {"cost"}


def test_entry_with_more_values_than_cases_is_refused():
    with pytest.raises(ValueError, match=r"'iou' states 6 `values`; state at most 5, .*'column'"):
        replace(LOSSES["iou"], values=(0.0,) * 6)


def test_loss_that_raises_fails_with_its_error(monkeypatch):
    entry = wrong_loss(monkeypatch, lambda x, t: x.no_such_method())
    found = run_check(NAMED["values"], entry)
    assert (found.outcome, found.detail.partition(":")[0]) == ("failed", "AttributeError")


def test_command_prints_a_table_and_fails_with_code_1(monkeypatch):
    monkeypatch.setitem(LOSSES, "wrong", wrong_loss(monkeypatch, WRONG["order"], values=()))
    done = CliRunner().invoke(app, ["check", "loss", "wrong"])
    assert done.exit_code == 1
    assert "the entry states no" in done.stdout
    assert "checks failed" in done.stdout


def test_command_checks_the_losses_of_a_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["new", "loss", "tilted"]).exit_code == 0
    done = CliRunner().invoke(app, ["check", "loss", "tilted.py", "--json"])
    assert done.exit_code == 0, done.output
    (document,) = json.loads(done.stdout)
    assert (document["loss"], document["num_failed"]) == ("tilted", 0)
    (tmp_path / "tilted.py").write_text("x = 1\n")
    done = CliRunner().invoke(app, ["check", "loss", "tilted.py"])
    assert "defines no loss" in str(done.exception)


@pytest.mark.parametrize(
    ("name", "message"), [("focl", "did you mean 'focal'"), ("iou+bce", "each component of a sum")]
)
def test_command_refuses_an_unknown_loss(name, message):
    done = CliRunner().invoke(app, ["check", "loss", name])
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("boundary", "loss 'mine' does not learn alone: name a sum such as dice+boundary"),
        ("dice+boundary", None),
        ("bce", None),
    ],
)
def test_plan_notes_a_loss_that_does_not_learn_alone(name, note):
    trial = TrialSpec(
        dataset=Component(name="synthetic-skin"), model=Component(name="unet"),
        loss=Component(name=name, label="mine"), repeat=0, seed=1,
    )  # fmt: skip
    assert model_findings([trial], {})[1] == ((note,) if note else ())
