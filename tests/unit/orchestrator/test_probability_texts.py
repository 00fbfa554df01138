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
from orchestrator.report.answer import answer
from orchestrator.report.data import ReportData, Sampling, arrange
from orchestrator.report.figures.intervals import intervals_figure
from orchestrator.report.figures.style import drawing_style
from orchestrator.report.page import render_page
from orchestrator.report.sections import compute_sections
from orchestrator.watch.follower import describe_podium
from tests.published import published_trials

TEXTS = {0.0: "<1 %", 0.004: "<1 %", 0.5: "50 %", 0.996: ">99 %", 1.0: ">99 %"}


@pytest.fixture(scope="module")
def found():
    trials = published_trials(num_repeats=2)
    few = trials[trials["loss"].isin(("IoUFocal", "BCE", "Focal"))]
    return compute_sections(
        arrange(ReportData(trials=check_trials(few), sampling=Sampling(num_samples=100)))
    )


def with_probability(sections, probability):
    """Returns the sections, every probability in their statistics replaced by one."""
    certainties = {
        axis: dataclasses.replace(
            certainty,
            losses=tuple(
                dataclasses.replace(entry, p_first=probability, p_podium=probability)
                for entry in certainty.losses
            ),
            pairs=tuple(
                dataclasses.replace(
                    pair,
                    p_better=probability,
                    p_equivalent=probability,
                    p_better_by_margin=probability,
                    p_worse_by_margin=probability,
                )
                for pair in certainty.pairs
            ),
        )
        for axis, certainty in sections.statistics.certainties.items()
    }
    statistics = dataclasses.replace(sections.statistics, certainties=certainties)
    return dataclasses.replace(sections, statistics=statistics)


@pytest.fixture(params=TEXTS, ids=str)
def case(request, found):
    return with_probability(found, request.param), request.param, TEXTS[request.param]


def test_podium_rank_in_the_terminal(case, capsys):
    sections, _, text = case
    ranking = sections.sweep.ranking
    shown = RankAnswer(
        ranking=ranking,
        certainties=sections.statistics.certainties,
        significance=None,
        powers={},
    )
    print_answer(shown, ("dataset", "model"), break_ties=False, pairs=True)
    out = capsys.readouterr().out
    assert out.count(f" {text} │") == 2 * 2 * 3 + 2 * 3  # two podiums of 3 losses, 3 pairs
    assert f" in {text} of the samples" in out
    assert f"differ by at most 0.005 in {text}." in out


def test_podium_rank_as_json_keeps_the_number(case):
    sections, probability, _ = case
    document = json.loads(json.dumps(sections.statistics.main.to_json()))
    assert {entry["p_first"] for entry in document["losses"]} == {probability}


def test_the_answer_in_one_sentence(case):
    sections, probability, text = case
    known = {"model": sections.statistics.certainties["model"]}  # there one loss leads alone
    sentence = answer(sections.sweep, known).sentence
    other = {"<1 %": ">99 %", "50 %": "50 %"}.get(text)
    said = f"again with {text} probability" if probability >= 0.95 else f"with {other} probability"
    assert said in sentence


def test_the_page(case):
    sections, probability, text = case
    page = render_page(sections, []).replace("&gt;", ">").replace("&lt;", "<")
    section = page.partition('<section id="certainty">')[2].partition("</section>")[0]
    cell = f'data-value="{probability!r}">{text}</td>'
    # First and on podium of 3 losses in 3 tables; 4 probabilities of 3 pairs.
    assert section.count(cell) == 3 * 3 * 2 + 3 * 4
    assert section.count(f"better by more than the margin {text}, equivalent {text}") == 6


def test_the_figure_its_latex_and_its_csv(case):
    sections, probability, text = case
    certainties = list(sections.statistics.certainties.values())
    with drawing_style():
        drawn = intervals_figure(sections.sweep, certainties)
        shown = [item.get_text() for item in drawn.figure.axes[0].texts]
    assert shown.count(text) == 2 * 3 * 3
    latex = {"<": r"\textless{}", ">": r"\textgreater{}", "%": r"\%"}
    escaped = "".join(latex.get(mark, mark) for mark in text)
    assert drawn.texts["tex"].count(f"& {escaped} & {escaped} \\\\") == 3 * 3
    rows = list(csv.DictReader(io.StringIO(drawn.texts["csv"])))
    assert {float(row["p_first"]) for row in rows} == {probability}


def test_the_watch_page(case):
    sections, probability, text = case
    (podium, *_) = sections.sweep.ranking.podiums
    rows = describe_podium(podium, sections.statistics.certainties[podium.axis])["rows"]
    assert {(row["p_first"], row["texts"]["p_first"]) for row in rows} == {(probability, text)}
    assert {row["texts"]["p_podium"] for row in rows} == {text}


@pytest.mark.parametrize(
    ("certainty", "text"),
    [(0.0, "<0.1 %"), (0.0004, "<0.1 %"), (0.5, "50.0 %"), (0.9996, ">99.9 %"), (1.0, ">99.9 %")],
)
def test_a_race_has_one_decimal_beside_its_level(certainty, text):
    state = RaceState(
        state="spent", round=2, level=0.95, certainty=certainty, podium=("a", "b", "c"),
        num_trials=60, num_asked=40, num_held_back=20,
    )  # fmt: skip
    assert f"with {text} certainty, below the 95 % asked for" in state.sentence()
    assert state.to_json()["certainty"] == certainty
