"""The answer in one sentence, honest in every case."""

from __future__ import annotations

import pandas as pd
import pytest

from orchestrator.ranking.table import read_table
from orchestrator.report.answer import answer
from tests.published import PAPER
from tests.unit.orchestrator.report.factory import Tables, arranged


def say(text, **options):
    lines = [line.split() for line in text.strip().splitlines()]
    table = pd.DataFrame(lines[1:], columns=lines[0])
    return answer(arranged(Tables(trials=table, **options)))


CASES = {
    "one leader": (
        "dataset loss dice\nw a 0.3\nw b 0.2\nw c 0.1",
        "a leads by dataset with 3 points, ahead of b with 2.",
    ),
    "the same leader twice": (
        "dataset model loss dice\nw u a 0.3\nw u b 0.2\nv u a 0.3\nv u b 0.2",
        "a leads both by dataset (6 points, ahead of b with 4) and by model (3 points, ahead of b "
        "with 2).",
    ),
    "a shared lead": (
        "dataset loss dice\nw a 0.3\nw b 0.2\nw c 0.1\nv a 0.2\nv b 0.3\nv c 0.1",
        "a and b share the lead by dataset with 5 points each.",
    ),
    "all level": (
        "dataset loss dice\nw a 0.3\nw b 0.3",
        "By dataset all losses are level with 2.5 points each.",
    ),
    "one loss": (
        "dataset loss dice\nw a 0.25\nv a 0.75",
        "a was the only loss tried, with a mean test Dice of 0.5000.",
    ),
    "all diverged": (
        "dataset loss dice status\nw a . diverged\nw b . diverged",
        "No loss leads: all 2 trials so far diverged.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sentences(case):
    table, sentence = CASES[case]
    found = say(table)
    assert found.sentence == sentence
    assert found.provisional is None


def test_a_provisional_answer_counts_missing_trials():
    grid = {"datasets": ["w", "v"], "losses": ["a", "b"], "repeats": 2}
    found = say("dataset loss dice\nw a 0.3\nw b 0.2\nv a 0.1", grid=grid)
    assert found.provisional == (
        "Provisional: 3 of 8 trials are finished; the 5 missing may change any place."
    )


def test_a_tie_rule_that_changes_the_leader_is_named():
    trials = read_table(PAPER / "fig2_dice_by_dataset.csv").rows
    (note,) = answer(arranged(Tables(trials=trials))).notes
    assert note.startswith("By dataset, 1 tie touched the three first places; tied places share")
    assert "Under the rule “min” IoUFocal and BCE would lead." in note


def test_an_incomplete_dataset_is_named():
    incomplete = {"kind": "incomplete", "sentence": "2,093 of 2,150 official pairs are here"}
    known = {
        "w": {"notes": [incomplete, {"kind": "mask-empty", "sentence": "mask without lesion"}]}
    }
    grid = {"datasets": ["w"], "losses": ["a", "b"], "repeats": 1, "data": known}
    notes = say("dataset loss dice\nw a 3\nw b 2", grid=grid).notes
    assert notes[0] == "Dataset w: 2,093 of 2,150 official pairs are here."
    assert not any("mask" in note for note in notes)
    malformed: list[object] = [[], "text", {"w": []}, {"w": {"notes": {}}}, {"w": {"notes": ["a"]}}]
    for data in malformed:
        found = say("dataset loss dice\nw a 3\nw b 2", grid=grid | {"data": data})
        assert found.notes == notes[1:]
