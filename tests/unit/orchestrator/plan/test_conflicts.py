"""Labels whose meaning in the results differs from the grid's are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.plan.planner import plan
from tests.unit.orchestrator.plan.builders import (
    FCN,
    IOU,
    SKIN,
    WOUND,
    committed,
    make_grid,
    make_specs,
    row_of,
)
from workers.contract import Component, UserError

FOCAL = Component(name="focal", parameters={"alpha": 0.8, "gamma": 0.2})
FOCAL_2 = Component(name="focal", parameters={"alpha": 0.8, "gamma": 2.0})


def refusal(grid_losses: list[Component], stored_losses: list[Component], **protocol) -> str:
    # The stored trials have another dataset, so that they include no trial of the grid.
    grid = make_grid(make_specs([SKIN], [FCN], grid_losses))
    rows = map(row_of, make_specs([WOUND], [FCN], stored_losses, **protocol))
    with pytest.raises(UserError) as caught:
        plan(grid, committed(*rows))
    return str(caught.value)


def test_a_label_of_another_loss_in_the_results_is_refused():
    assert refusal([FOCAL_2], [FOCAL]) == (
        "loss 'focal': in the results this label stands for focal with "
        '{"alpha": 0.8, "gamma": 0.2}, and here for something else; give it an alias here, or set '
        "results to another location"
    )


def test_a_loss_with_another_label_in_the_results_is_refused():
    assert refusal([replace(FOCAL, label="mine")], [FOCAL]) == (
        "loss 'mine': in the results the same loss has the label 'focal'; use that alias here, "
        "or set results to another location"
    )


def test_the_same_trial_under_another_label_is_refused():
    specs = make_specs([SKIN], [FCN], [FOCAL])
    renamed = [replace(spec, model=replace(FCN, label="old-fcn")) for spec in specs]
    with pytest.raises(UserError, match=r"model 'fcn'.*has the label 'old-fcn'"):
        plan(make_grid(specs), committed(*map(row_of, renamed)))


def test_every_conflict_is_reported_once():
    stored = [replace(FOCAL, label="x"), replace(IOU, label="y")]
    assert refusal([FOCAL, IOU], stored).count("\n") == 1


def test_many_conflicts_are_counted():
    losses = [Component(name="focal", parameters={"gamma": n}, label=f"f{n}") for n in range(9)]
    moved = [replace(c, label=f"g{n}") for n, c in enumerate(losses)]
    assert refusal(losses, moved).splitlines()[-1] == "and 4 more"


def test_a_label_can_differ_in_meaning_between_protocols():
    grid = make_grid(make_specs([SKIN], [FCN], [FOCAL_2]))
    rows = map(row_of, make_specs([WOUND], [FCN], [FOCAL], seed=7))
    assert len(plan(grid, committed(*rows)).pending) == 2


def test_labels_outside_the_grid_are_not_checked():
    grid = make_grid(make_specs([SKIN], [FCN], [replace(FOCAL_2, label="focal-g2")]))
    rows = map(row_of, make_specs([WOUND], [FCN], [FOCAL]))
    assert len(plan(grid, committed(*rows)).pending) == 2


@pytest.mark.parametrize(
    ("ours", "theirs"), [("Focal", "focal"), ("\u00e9", "E\u0301"), ("\ufb01", "FI")]
)
def test_label_equal_but_for_case_or_unicode_is_refused(ours, theirs):
    theirs = replace(FOCAL, label=theirs)
    message = refusal([replace(FOCAL_2, label=ours)], [theirs])
    assert message.startswith(f"loss {ours!r}: the results have a label {theirs.label!r} for some")
