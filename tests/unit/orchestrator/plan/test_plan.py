"""RUN, SKIP or RETRY: each trial once, with its reason, whatever the store holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.grid import Grid
from orchestrator.plan.planner import Action, PlannedTrial, plan
from orchestrator.records import FailureRow
from tests.unit.orchestrator.plan.builders import (
    committed,
    damaged_file,
    failed,
    make_grid,
    make_specs,
    row_of,
)
from workers.contract import FailureClass, TrialSpec, TrialStatus, UserError

GRID = make_grid()
FIRST, FIRST_ID = GRID.trials[0], GRID.trial_ids[0]


def first(grid: Grid = GRID, **store) -> PlannedTrial:
    rows = store.pop("committed", {})
    return plan(grid, rows, **store).trials[0]


def test_an_empty_store_means_run_everything():
    made = plan(GRID, {})
    assert [trial.trial_id for trial in made.trials] == list(GRID.trial_ids)
    assert {trial.action for trial in made.trials} == {Action.RUN}
    assert {trial.reason for trial in made.trials} == {"no result yet"}
    assert len(made.pending) == 16
    assert made.failed == ()


@pytest.mark.parametrize("status", ["completed", "diverged"])
def test_a_result_is_not_computed_again(status):
    trial = first(committed=committed(row_of(FIRST, status=status)))
    assert (trial.action, trial.reason, trial.status) == (Action.SKIP, status, TrialStatus(status))
    assert not trial.failed
    assert trial.expected_seconds == 0


@pytest.mark.parametrize("failure_class", ["infrastructure", "out-of-memory"])
def test_what_chance_or_memory_stopped_is_tried_again(failure_class):
    failures = [
        failed(trial_id=FIRST_ID, failure_class="bug", attempt=1),
        failed(trial_id=FIRST_ID, failure_class=failure_class, attempt=2),
    ]
    trial = first(failures=failures)
    assert (trial.action, trial.reason) == (Action.RETRY, f"after {failure_class} (attempt 2)")
    assert trial.attempt == 3
    assert trial == first(failures=failures[::-1])


def test_a_bug_is_not_tried_again_by_itself():
    trial = first(failures=[failed(trial_id=FIRST_ID, failure_class="bug", attempt=1)])
    assert trial.action == Action.SKIP
    assert trial.reason == "failed: bug (attempt 1), use --retry bug"
    assert trial.failed
    assert trial.failure == FailureClass.BUG


def test_a_bug_is_tried_again_when_asked():
    failures = [failed(trial_id=FIRST_ID, failure_class="bug", attempt=1)]
    trial = first(failures=failures, retry=frozenset({FailureClass.BUG}))
    assert (trial.action, trial.reason, trial.failed) == (
        Action.RETRY,
        "after bug (attempt 1)",
        False,
    )


def oom(gpus: float | None, attempt: int = 1) -> FailureRow:
    return failed(trial_id=FIRST_ID, failure_class="out-of-memory", attempt=attempt, gpus=gpus)


@pytest.mark.parametrize(
    ("failures", "gpus", "reason"),
    [
        ([oom(0.25)], 0.5, "after out-of-memory (attempt 1), on 0.5 GPU"),
        ([oom(0.25), oom(0.5, 2)], 1.0, "after out-of-memory (attempt 2), on a whole GPU"),
        ([oom(None)], None, "after out-of-memory (attempt 1)"),  # an older version wrote it
        (
            [oom(0.25), failed(trial_id=FIRST_ID, failure_class="infrastructure", attempt=2)],
            0.5,
            "after infrastructure (attempt 2), on 0.5 GPU",
        ),
    ],
)
def test_after_out_of_memory_a_later_run_begins_with_a_larger_share(failures, gpus, reason):
    grid = make_grid(gpus_per_trial=0.25)
    trial = first(grid, failures=failures)
    assert (trial.action, trial.gpus, trial.reason) == (Action.RETRY, gpus, reason)


@pytest.mark.parametrize(("configured", "failed"), [(0.25, 1), (1, 1), (0, 0)])
def test_out_of_memory_on_all_there_is_is_left_until_asked_for(configured, failed):
    grid = make_grid(gpus_per_trial=configured)
    trial = first(grid, failures=[oom(failed, 3)])
    assert trial.failed
    assert trial.reason == "failed: out-of-memory (attempt 3), use --retry out-of-memory"
    again = first(grid, failures=[oom(failed, 3)], retry=frozenset({FailureClass.OUT_OF_MEMORY}))
    assert again.action == Action.RETRY
    assert (again.gpus or configured) == failed


def test_host_out_of_memory_does_not_block_a_gpu_attempt():
    assert first(make_grid(gpus_per_trial=1), failures=[oom(0)]).action == Action.RETRY


def test_a_result_after_a_failure_counts():
    failures = [failed(trial_id=FIRST_ID, failure_class="bug")]
    trial = first(committed=committed(row_of(FIRST)), failures=failures)
    assert (trial.action, trial.failed, trial.failure) == (Action.SKIP, False, None)


def test_divergence_without_its_row_was_cut_off_before_the_commit():
    trial = first(failures=[failed(trial_id=FIRST_ID, failure_class="diverged")])
    assert (trial.action, trial.reason) == (Action.RETRY, "after diverged (attempt 1)")


def test_a_damaged_file_is_named_and_its_trial_run_again():
    trial = first(damaged=[damaged_file(trial_id=FIRST_ID, path="r/trials/part-1.parquet")])
    assert (trial.action, trial.reason) == (Action.RETRY, "damaged file: r/trials/part-1.parquet")


def test_a_whole_row_outweighs_a_damaged_file():
    trial = first(committed=committed(row_of(FIRST)), damaged=[damaged_file(trial_id=FIRST_ID)])
    assert trial.action == Action.SKIP


def test_a_damaged_result_outweighs_the_bug_before_it():
    trial = first(
        failures=[failed(trial_id=FIRST_ID, failure_class="bug")],
        damaged=[damaged_file(trial_id=FIRST_ID)],
    )
    assert trial.action == Action.RETRY


def test_divergence_cannot_be_tried_again():
    with pytest.raises(UserError, match="a diverged trial is a result"):
        plan(GRID, {}, retry=frozenset({FailureClass.DIVERGED}))


def test_another_grids_trials_do_not_matter():
    others = make_specs(seed=1)
    made = plan(GRID, committed(*map(row_of, others)))
    assert {trial.action for trial in made.trials} == {Action.RUN}


def test_an_extended_grid_runs_only_what_is_new():
    done = committed(*(row_of(spec) for spec in make_specs(repeats=1)))
    pending = plan(make_grid(make_specs(repeats=2)), done).pending
    assert {trial.spec.repeat for trial in pending} == {1}
    assert len(pending) == 8


def test_the_longest_are_first_and_equals_keep_their_order():
    made = plan(GRID, {})
    seconds = [trial.expected_seconds for trial in made.pending]
    assert seconds == sorted(seconds, reverse=True)
    assert made.pending[0].spec.dataset.label == "wound"
    assert made.pending[0].spec.model.label == "fcn"
    block = [t for t in made.pending if t.expected_seconds == seconds[0]]
    assert [t.trial_id for t in block] == [
        key for key in GRID.trial_ids if key in {t.trial_id for t in block}
    ]


states = st.lists(
    st.sampled_from(["none", "completed", "diverged", "bug", "infrastructure", "damaged"]),
    min_size=16,
    max_size=16,
)


@settings(deadline=None, max_examples=60)
@given(states, st.randoms())
def test_every_trial_is_planned_once_whatever_the_order(kinds, random):
    def planned(order: list[int], specs: list[TrialSpec]) -> dict[str, tuple[str, str]]:
        rows, failures, damaged = [], [], []
        for index in order:
            kind, spec, key = kinds[index], GRID.trials[index], GRID.trial_ids[index]
            if kind in ("completed", "diverged"):
                rows.append(row_of(spec, status=kind))
            elif kind in ("bug", "infrastructure"):
                failures.append(failed(trial_id=key, failure_class=kind))
            elif kind == "damaged":
                damaged.append(damaged_file(trial_id=key))
        made = plan(make_grid(specs), committed(*rows), failures, damaged)
        assert sorted(trial.trial_id for trial in made.trials) == sorted(GRID.trial_ids)
        done = {row.trial_id for row in rows} | {trial.trial_id for trial in made.failed}
        assert {trial.trial_id for trial in made.pending} == set(GRID.trial_ids) - done
        return {trial.trial_id: (trial.action, trial.reason) for trial in made.trials}

    order, specs = list(range(16)), list(GRID.trials)
    expected = planned(order, specs)
    random.shuffle(order)
    random.shuffle(specs)
    assert planned(order, specs) == expected
