"""Every place that shows a probability writes it alike; JSON and CSV keep the number."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest

from orchestrator.cli.rank_text import RankAnswer, print_answer
from orchestrator.plan.race_state import RaceState
from orchestrator.ranking.table import check_trials
from orchestrator.report.data import ReportData, Sampling, arrange
from orchestrator.report.figures.intervals import intervals_figure
from orchestrator.report.figures.style import drawing_style
from orchestrator.report.page import render_page
from orchestrator.report.sections import compute_sections
from orchestrator.watch.follower import describe_certainty, describe_podium
from tests.published import published_trials

TEXTS = {0.0: "<1 %", 0.004: "<1 %", 0.5: "50 %", 0.996: ">99 %", 1.0: ">99 %"}


@pytest.fixture(scope="module")
def found():
    trials = published_trials(num_repeats=2)
    few = trials[trials["loss"].isin(("IoUFocal", "BCE", "Focal"))]
    return compute_sections(
        arrange(ReportData(trials=check_trials(few), sampling=Sampling(num_draws=100)))
    )


def with_probability(sections, probability):
    """Returns the sections, every probability in their statistics replaced by one."""
    names = ("p_first", "p_podium", "p_first_again", "p_podium_again")
    same = dict.fromkeys(names, probability)
    certainty = sections.statistics.certainty
    podiums = {
        axis: dataclasses.replace(
            podium,
            losses=tuple(dataclasses.replace(entry, **same) for entry in podium.losses),
            null=dataclasses.replace(podium.null, p=probability),
        )
        for axis, podium in certainty.podiums.items()
    }
    p_best = dict.fromkeys(certainty.p_best, probability)
    certainty = dataclasses.replace(certainty, podiums=podiums, p_best=p_best)
    statistics = dataclasses.replace(sections.statistics, certainty=certainty)
    return dataclasses.replace(sections, statistics=statistics)


@pytest.fixture(params=TEXTS, ids=str)
def case(request, found):
    return with_probability(found, request.param), request.param, TEXTS[request.param]


def test_podium_rank_in_the_terminal(case, capsys):
    sections, _, text = case
    ranking = sections.sweep.ranking
    statistics = sections.statistics
    shown = RankAnswer(
        ranking=ranking, certainty=statistics.certainty, leads=statistics.leads, power=None
    )
    print_answer(shown, ("dataset", "model"), break_ties=False, pairs=True)
    out = capsys.readouterr().out
    # 1st and top 3, in a new sweep and here, of 3 losses in 2 podiums; truly best of 3 losses.
    assert out.count(f" {text} │") == 2 * 2 * 3 * 2 + 3
    assert out.count(f"points or more in {text} of such sweeps.") == 2


def test_podium_rank_as_json_keeps_the_number(case):
    sections, probability, _ = case
    document = json.loads(json.dumps(sections.statistics.certainty.to_json()))
    losses = document["podiums"]["dataset"]["losses"]
    assert {entry["p_first"] for entry in losses} == {probability}


def test_the_page(case):
    sections, probability, text = case
    page = render_page(sections, {}).replace("&gt;", ">").replace("&lt;", "<")
    section = page.partition('<section id="certainty">')[2].partition("</section>")[0]
    cell = f'data-value="{probability!r}">{text}</td>'
    # 1st and top 3, in a new sweep and here, of 3 losses in 3 tables.
    assert section.count(cell) == 2 * 2 * 3 * 3
    shown = text.replace(" %", "\u00a0%")
    assert page.count(f"points or more in {shown} of such sweeps.") == 2


def test_the_figure_its_latex_and_its_csv(case):
    sections, probability, text = case
    with drawing_style():
        drawn = intervals_figure(sections.sweep, sections.statistics.certainty)
        shown = [item.get_text() for item in drawn.figure.axes[0].texts]
    assert shown.count(text) == 4 * 3 * 3
    latex = {"<": r"\textless{}", ">": r"\textgreater{}", "%": r"\%"}
    escaped = "".join(latex.get(mark, mark) for mark in text)
    assert drawn.texts["tex"].count(" & ".join(["", *[escaped] * 4]) + r" \\") == 3 * 3
    rows = list(csv.DictReader(io.StringIO(drawn.texts["csv"])))
    assert {float(row["p_first"]) for row in rows} == {probability}


def test_the_watch_page(case):
    sections, probability, text = case
    (podium, *_) = sections.sweep.ranking.podiums
    found = describe_podium(podium, sections.statistics.certainty.podiums[podium.axis])
    rows = found["rows"]
    assert {(row["p_first"], row["texts"]["p_first"]) for row in rows} == {(probability, text)}
    assert {row["texts"]["p_podium"] for row in rows} == {text}
    assert found["null"].endswith(f"points or more in {text} of such sweeps.")
    said = describe_certainty(sections.statistics.certainty)
    assert said["sentence"].endswith("cannot be told apart from the best; Focal is worse.")
    assert (len(said["group"]), said["worse"]) == (2, ["Focal"])
    assert "(other datasets and networks; 100 draws)" in said["meaning"]


@pytest.mark.parametrize(
    ("certainty", "text"),
    [(0.0, "<0.1 %"), (0.0004, "<0.1 %"), (0.5, "50.0 %"), (0.9996, ">99.9 %"), (1.0, ">99.9 %")],
)
def test_a_race_has_one_decimal_beside_its_level(certainty, text):
    state = RaceState(
        state="spent", round=2, level=0.95, certainty=certainty, podium=("a", "b", "c"),
        num_trials=60, num_asked=40, num_held_back=20,
    )  # fmt: skip
    assert f"with {text} probability the full grid" in state.sentence()
    assert "below the 95 % asked for" in state.sentence()
    assert state.to_json()["certainty"] == certainty
