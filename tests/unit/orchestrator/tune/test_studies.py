"""Searches as data: what they try, what their rows mean, and the losses at their best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from orchestrator.config import load_config
from orchestrator.tune.results import SearchResult, fragments, overlap_note, spread
from orchestrator.tune.sampler import Pruner
from orchestrator.tune.studies import (
    Study,
    Values,
    candidates_of,
    still_to_try,
    studies_of,
)
from tests.integration.sweeps import write_config
from workers.contract import UserError

SEARCH: dict[str, Any] = {"losses": ["focal", "bce"], "repeats": 2, "tune": {"trials": 3}}


@dataclass(frozen=True, kw_only=True)
class Row:
    trial_id: str
    number: int
    parameters: Values
    status: Literal["completed", "diverged", "pruned"] = "completed"
    val_dice: tuple[float, ...] = (0.25, 0.5)
    best_val_dice: float | None = 0.5
    train_seconds: float = 1.0


def studies(folder, *overrides: str, **changes: Any) -> tuple[Study, ...]:
    return studies_of(load_config(write_config(folder, **(SEARCH | changes)), overrides))


def row(study: Study, number: int, position: int, values: Values, **changes: Any) -> Row:
    key = study.training_id(number, position, values)
    return Row(trial_id=key, number=number, parameters=values, **changes)


def test_one_search_per_loss_covers_the_whole_grid(tmp_path):
    focal, bce = studies(tmp_path)
    assert (focal.label, bce.label) == ("focal", "bce")
    assert [cell.repeat for cell in focal.cells] == [0, 1]
    assert {cell.data.measured_on for cell in focal.cells} == {"val"}
    assert focal.defaults == {"alpha": 0.8, "gamma": 0.2, "learning_rate": 0.001}
    assert focal.component(focal.defaults).parameters == {"alpha": 0.8, "gamma": 0.2}


def test_separate_searches_by_dataset_and_model(tmp_path):
    two = [{"name": "synthetic-skin"}, {"name": "synthetic-wound"}]
    found = studies(tmp_path, "tune.separate=[dataset, model]", datasets=two)
    assert [study.label for study in found] == [
        "focal · synthetic-skin · unet-4", "focal · synthetic-wound · unet-4",
        "bce · synthetic-skin · unet-4", "bce · synthetic-wound · unet-4",
    ]  # fmt: skip
    assert len({study.search_id for study in found}) == 4


def test_search_id_depends_on_the_search_but_not_on_the_budget(tmp_path):
    (first, *_) = studies(tmp_path)
    same = ("tune.trials=50", "resources.cpus=2", "name=other", "tune.grace_epochs=1")
    assert {studies(tmp_path, text)[0].search_id for text in same} == {first.search_id}
    others = (
        "seed=1", "repeats=1", "tune.random_trials=2", "tune.pruning=asha",
        "tune.spaces={focal: {gamma: {low: 0, high: 1}}}", "losses.0={name: focal, alias: f, "
        "parameters: {gamma: 1}}", "training.max_epochs=9",
    )  # fmt: skip
    found = {studies(tmp_path, text)[0].search_id for text in others}
    assert len(found) == len(others)
    assert first.search_id not in found


def test_no_candidate_is_stopped_before_it_has_seen_every_dataset(tmp_path):
    three = [{"name": f"synthetic-{look}"} for look in ("skin", "wound", "endoscopy-wide")]
    asha = {"trials": 3, "pruning": "asha", "grace_epochs": 1}
    (study, _) = studies(tmp_path, datasets=three, tune=asha)
    order = [(cell.repeat, cell.dataset.name) for cell in study.cells]
    assert order == [(repeat, one["name"]) for repeat in (0, 1) for one in three]
    assert study.least_steps == 2 * 2 + 1
    pruner = Pruner(study)
    for number in range(12):
        for step in range(1, study.least_steps):
            assert pruner.goes_on(f"id {number}", number, step, 1 - number / 20)
    stopped = [not pruner.goes_on(f"id {n}", n, study.least_steps, 1 - n / 20) for n in range(12)]
    assert any(stopped)
    assert not stopped[0]
    plain, _ = studies(tmp_path, datasets=three)
    assert [cell.repeat for cell in plain.cells] == [0, 1, 0, 1, 0, 1]


def test_further_searches_differ_by_chance_only(tmp_path):
    found = studies(tmp_path, "tune.searches=3", losses=["focal"])
    assert [one.label for one in found] == [f"focal · search {number}" for number in (1, 2, 3)]
    assert len({one.search_id for one in found}) == 3
    assert found[0].search_id == studies(tmp_path, losses=["focal"])[0].search_id
    results = []
    for one, dice, gamma in zip(found, (0.4, 0.6, 0.5), (1.0, 3.0, 2.0), strict=True):
        values = {**one.defaults, "gamma": gamma}
        rows = [row(one, 1, place, values, best_val_dice=dice) for place in (0, 1)]
        results.append(SearchResult(study=one, candidates=candidates_of(one, rows)))
    (text,) = fragments(results).values()
    assert "focal: 0.6000" in text
    assert "gamma: 3.0" in text
    assert text.count("name: focal") == 1
    (sentence,) = spread(results)
    assert sentence.startswith("focal: 3 searches that differ only by chance: best validation Dice")
    assert "0.4000 to 0.6000" in sentence
    assert "gamma 1 to 3" in sentence
    assert spread(results[:1]) == ()


def test_file_names_the_key_that_keeps_test_images_apart(tmp_path):
    for fixed in (False, True):
        config = load_config(write_config(tmp_path, **SEARCH), [f"data.fixed_test={fixed}".lower()])
        (study, _) = studies_of(config)
        rows = [row(study, 0, place, study.defaults) for place in (0, 1)]
        result = SearchResult(study=study, candidates=candidates_of(study, rows))
        (text,) = fragments([result]).values()
        assert ("fixed_test: true, seed: 42" in text) == fixed
        assert (overlap_note(config) is None) == fixed


def test_a_candidate_by_hand(tmp_path):
    (study, _) = studies(tmp_path)
    values = study.defaults
    rows = [row(study, 0, 0, values), row(study, 0, 1, values, val_dice=(0.1,), best_val_dice=0.1)]
    (one,) = candidates_of(study, rows)
    assert one.status == "completed"
    assert one.value == pytest.approx(0.3)
    assert list(one.curve()) == [(1, 0.25), (2, 0.5), (3, pytest.approx(0.3))]
    (partial,) = candidates_of(study, rows[:1])
    assert (partial.status, partial.value) == ("partial", None)
    (pruned,) = candidates_of(study, [row(study, 0, 0, values, status="pruned")])
    assert (pruned.status, pruned.value) == ("pruned", None)
    gone = row(study, 0, 1, values, status="diverged", best_val_dice=0.4)
    (diverged,) = candidates_of(study, [rows[0], gone])
    assert (diverged.status, diverged.value) == ("diverged", 0.25)


def test_interrupted_candidates_come_first_without_duplicates(tmp_path):
    (study, _) = studies(tmp_path)
    assert still_to_try(study, ()) == ((0, study.defaults), (1, None), (2, None))
    other = {**study.defaults, "gamma": 2.0}
    rows = [row(study, 1, place, other) for place in (0, 1)] + [row(study, 2, 0, other)]
    known = candidates_of(study, rows)
    assert still_to_try(study, known) == ((2, other), (0, study.defaults))
    # Two drivers tried different values under one number: both count.
    both = candidates_of(study, [*rows[:2], *(row(study, 1, p, study.defaults) for p in (0, 1))])
    assert [one.number for one in both] == [1, 1]
    assert still_to_try(study, both) == ((0, study.defaults),)


def test_rows_of_another_search_are_left_out(tmp_path):
    focal, _ = studies(tmp_path)
    (longer, _) = studies(tmp_path, "training.max_epochs=9")
    (one,) = candidates_of(longer, [row(focal, 0, 0, focal.defaults)])
    assert one.rows == ()


def test_a_grid_can_include_the_tuned_losses(tmp_path):
    found = []
    for study, gamma in zip(studies(tmp_path), ({"gamma": 1e-05}, {}), strict=True):
        best = {**study.defaults, **gamma, "learning_rate": 0.004}
        rows = [row(study, 0, p, study.defaults, best_val_dice=0.4) for p in (0, 1)]
        rows += [row(study, 1, p, best) for p in (0, 1)]
        found.append(SearchResult(study=study, candidates=candidates_of(study, rows)))
    ((name, text),) = fragments(found).items()
    assert name == "losses.yaml"
    assert "# focal: 0.5000, default 0.4000; candidate 1, 2 tried of 3, unfinished" in text
    (tmp_path / name).write_text(text, encoding="utf-8")
    grid = write_config(tmp_path, losses=["focal", {"from": name}])
    losses = load_config(grid).losses
    assert [loss.label for loss in losses] == ["focal", "focal (tuned)", "bce (tuned)"]
    assert losses[1].parameters == {"alpha": 0.8, "gamma": 1e-05, "learning_rate": 0.004}
    assert losses[2].parameters == {"learning_rate": 0.004}


def search_result(study: Study, *candidates: tuple[Values, dict[str, Any]]) -> SearchResult:
    """A search whose candidates have two trainings each, both with these changes."""
    rows = [
        row(study, number, place, values, **changes)
        for number, (values, changes) in enumerate(candidates)
        for place in (0, 1)
    ]
    return SearchResult(study=study, candidates=candidates_of(study, rows))


@pytest.mark.parametrize("changes", [{"status": "diverged"}, {"best_val_dice": 0.0}])
def test_a_search_without_a_value_above_0_has_no_best(tmp_path, changes):
    (study, _) = studies(tmp_path)
    other = {**study.defaults, "gamma": 2.0}
    found = search_result(study, (study.defaults, changes), (other, changes))
    assert found.best is None
    assert fragments([found]) == {}
    number = 2 if "status" in changes else 0
    assert found.num_diverged == number
    (note,) = found.notes
    assert note.startswith("no best, since no candidate reached a validation Dice above 0; ")
    assert f"{number} of 2 candidates diverged: lower training.learning_rate" in note


def test_diverged_candidates_are_counted_beside_a_best(tmp_path):
    (study, _) = studies(tmp_path)
    other = {**study.defaults, "gamma": 2.0}
    found = search_result(study, (study.defaults, {"status": "diverged"}), (other, {}))
    assert found.best is not None
    assert (found.best[0].number, found.best[1]) == (1, 0.5)
    assert found.notes == ("1 of 2 candidates diverged in at least one training, which counts 0",)


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"gamma": 0.1}, ["gamma: the best value, 0.1, lies at the lower end of its range (0 "]),
        ({"gamma": 0.11}, []),
        ({"gamma": 4.9}, ["gamma: the best value, 4.9, lies at the upper end of its range (0 "]),
        # From 0.0001 to 0.01 on a logarithmic scale: 2 % of it is a factor of 1.096.
        ({"learning_rate": 0.0092, "gamma": 5.0}, ["gamma", "learning_rate"]),
        ({"learning_rate": 0.0091}, []),
        ({"learning_rate": 0.000109}, ["learning_rate: the best value, 0.000109, lies at the"]),
    ],
)  # fmt: skip
def test_a_best_value_at_an_end_of_its_range_is_noted(tmp_path, changes, ends):
    (study, _) = studies(tmp_path)
    found = search_result(study, ({**study.defaults, **changes}, {}))
    assert len(found.notes) == len(ends)
    for note, expected in zip(sorted(found.notes), ends, strict=True):
        assert note.startswith(expected)
        assert note.endswith("widen the range in tune.spaces if the loss allows it")


REFUSED = [
    ("{focla: {gamma: null}}", r"tune\.spaces\.focla: .*no loss of this file; did you mean"),
    ("{focal: {gama: null, x: [1, 2]}}", r"focal\.x: \[1, 2\]: unknown parameter"),
    ("{'*': {gama: null}}", r"tune\.spaces\.\*\.gama: null: no loss of this file has it; did you"),
    ("{focal: {gamma: {low: 2, high: 1}}}", "low must be below high"),
    ("{focal: {gamma: {low: 0, high: 1, log: true}}}", "a logarithmic range begins above 0"),
    ("{focal: {gamma: {low: -1, high: 1}}}", r"focal\.gamma: .*must be at least 0"),
    ("{focal: {gamma: {low: 1, high: 2}}}", "leaves out the default 0.2"),
    ("{focal: {gamma: {low: 0}}}", r"must be \{low: "),
    ("{focal: {gamma: {low: true, high: 2}}}", "low and high must be numbers"),
    ("{focal: {gamma: {low: 0, high: 2, log: 1}}}", "log must be true or false"),
    ("{focal: {gamma: 3}}", r"must be \{low: "),
    ("{focal: {gamma: [0.2]}}", "at least two"),
    ("{focal: {gamma: [0.2, true]}}", "true is taken as 1"),
    ("{bce: {learning_rate: null}}", "nothing is left to search"),
    ("{'*': {learning_rate: {low: 0.01, high: 1}}}", "leaves out the default 0.001"),
]  # fmt: skip


@pytest.mark.parametrize(("spaces", "message"), REFUSED)
def test_a_wrong_space_is_refused_with_its_place(tmp_path, spaces, message):
    with pytest.raises(UserError, match=message):
        studies(tmp_path, f"tune.spaces={spaces}")


def test_choices_of_the_configuration_are_searched(tmp_path):
    (dice,) = studies(
        tmp_path, losses=["dice"], tune={"spaces": {"dice": {"sums": ["batch", "image"]}}}
    )
    assert list(dice.space) == ["smooth", "learning_rate", "sums"]
    assert dice.defaults["sums"] == "batch"
