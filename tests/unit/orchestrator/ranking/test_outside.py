"""A note where code of another package changed between trials that are ranked together."""

from __future__ import annotations

import json

from orchestrator.ranking.protocols import changed_code

OLD, NEW = "0.3+aaaaaaaaaaaa", "0.3+bbbbbbbbbbbb"


def rows(*versions: dict[str, str]) -> list[str]:
    base = {"python": "3.11.7", "torch": "2.9.0+cpu", "weights r18": "0123456789ab"}
    return [json.dumps(base | one) for one in versions]


def test_the_same_code_needs_no_note():
    assert changed_code(rows({"acme": OLD}, {"acme": OLD}, {})) == ()
    assert changed_code(rows({"acme": OLD}), {"acme": OLD, "other": NEW}) == ()
    assert changed_code([]) == ()
    assert changed_code(["no JSON", "[]", "null"]) == ()


def test_finished_trials_of_two_versions():
    (note,) = changed_code(rows({"acme": OLD}, {"acme": NEW}, {"acme": OLD}))
    assert note.startswith(f"the code of acme changed: 2 trials with {OLD}, 1 trial with {NEW}; ")


def test_the_next_trials_have_other_code():
    (note,) = changed_code(rows({"acme": OLD}), {"acme": NEW})
    assert f"1 trial with {OLD}, the next ones with {NEW}; " in note


def test_a_package_of_several_modules_is_told_by_module():
    # The line of the package itself holds one module or another, by what a trial needs.
    loss = {"acme": OLD, "acme acme.losses": OLD}
    both = {"acme": NEW, "acme acme.losses": OLD, "acme acme.models": NEW}
    assert changed_code(rows(loss, both)) == ()
    (note,) = changed_code(rows(loss), both | {"acme acme.losses": NEW})
    assert note.startswith("the code of acme acme.losses changed")
