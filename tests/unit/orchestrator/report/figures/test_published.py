"""Figures 2B and 2C drawn from the published tables: every number shown is the published one."""

import csv
import io
import re

import pandas as pd
import pytest

from orchestrator.ranking.table import read_table
from orchestrator.report.figures.bars import bars_figure
from orchestrator.report.figures.heat import heat_figure
from orchestrator.report.figures.style import drawing_style, save
from tests.published import PAPER, grid_document, published_trials
from tests.unit.orchestrator.report.factory import Tables, arranged

NAMES = {"dataset": "figure2b", "model": "figure2c"}


def published(axis):
    """Returns means as printed and points, and who is 1st, 2nd, 3rd: the first listed of equals."""
    with (PAPER / f"fig2_dice_by_{axis}.csv").open() as file:
        means = {(row[axis], row["loss"]): row["dice"] for row in csv.DictReader(file)}
    with (PAPER / f"fig2_score_by_{axis}.csv").open() as file:
        points = {row["loss"]: row["score"] for row in csv.DictReader(file)}
    marks: dict[tuple[str, str], str] = {}
    for block in dict.fromkeys(block for block, _ in means):
        row = [(loss, value) for (name, loss), value in means.items() if name == block]
        best = sorted(row, key=lambda entry: -float(entry[1]))[:3]  # stable: listed order stays
        marks |= {(block, loss): str(place) for place, (loss, _) in enumerate(best, start=1)}
    return means, marks, points


def from_table(axis):
    table = read_table(PAPER / f"fig2_dice_by_{axis}.csv").rows
    return arranged(Tables(trials=table, ties="order"))


@pytest.fixture(scope="module")
def full_grid():
    trials = published_trials()
    return arranged(Tables(trials=trials, grid=grid_document(trials)))


def drawn(sweep, axis):
    podium = sweep.ranking.podium(axis)
    with drawing_style():
        return heat_figure(sweep, podium, NAMES[axis])


def shown(figure):
    """Reads means, marks and points off the drawing, by where each text stands."""
    (page,) = figure.axes
    texts = [(*text.get_position(), text.get_text().replace("\n", "")) for text in page.texts]
    name_x, points_y = next((x, y) for x, y, text in texts if text == "Points")
    rows = {y: text for x, y, text in texts if x == name_x and y < points_y}
    points_at = {x: text for x, y, text in texts if y == points_y and x != name_x}
    heads_y = min(y for _, y, _ in texts)
    heads = {x: text for x, y, text in texts if y == heads_y}

    def head(x):
        return heads[min(heads, key=lambda centre: abs(centre - x + 0.05))]

    means: dict[tuple[str, str], str] = {}
    marks: dict[tuple[str, str], str] = {}
    for x, y, text in texts:
        if y in rows and x != name_x:
            kind = means if re.fullmatch(r"\d\.\d{4}", text) else marks
            kind[rows[y], head(x)] = text
    return means, marks, {head(x): text for x, text in points_at.items()}


@pytest.mark.parametrize("axis", NAMES)
def test_a_published_table_gives_the_published_numbers(axis):
    figure = drawn(from_table(axis), axis)
    means, marks, points = shown(figure.figure)
    assert (means, marks, points) == published(axis)
    assert len(means) == {"dataset": 60, "model": 120}[axis]


@pytest.mark.parametrize("axis", NAMES)
def test_a_figure_of_3600_trials_with_these_margins_does_too(axis, full_grid):
    figure = drawn(full_grid, axis)
    means, marks, points = shown(figure.figure)
    expected_means, expected_marks, expected_points = published(axis)
    assert means == expected_means
    assert points == expected_points
    assert marks == expected_marks


@pytest.mark.parametrize("axis", NAMES)
def test_the_svg_file_holds_the_same_numbers(axis):
    figure = drawn(from_table(axis), axis)
    with drawing_style():
        svg = save(figure, ["svg"], 72)[f"{NAMES[axis]}.svg"].decode()
    means, marks, points = published(axis)
    found = re.findall(r"<!-- (\S+) -->", svg)
    assert sorted(text for text in found if re.fullmatch(r"\d\.\d{4}", text)) == sorted(
        means.values()
    )
    whole = [text for text in found if re.fullmatch(r"\d+", text)]
    assert sorted(whole) == sorted([*marks.values(), *points.values()])


@pytest.mark.parametrize("axis", NAMES)
def test_the_data_beside_the_figure_are_the_published_ones(axis):
    texts = drawn(from_table(axis), axis).texts
    means, marks, points = published(axis)
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert {(row[axis], row["loss"]): f"{float(row['dice']):.4f}" for row in rows} == means
    places = {(row[axis], row["loss"]): row["place"] for row in rows if int(row["place"]) <= 3}
    assert places == marks
    assert {row["loss"]: row["points_of_loss"] for row in rows} == points
    for loss, total in points.items():
        assert sum(int(row["points"]) for row in rows if row["loss"] == loss) == int(total)


@pytest.mark.parametrize("axis", NAMES)
def test_markdown_and_latex_show_the_published_numbers_and_marks(axis):
    texts = drawn(from_table(axis), axis).texts
    means, marks, points = published(axis)
    wraps = {
        "md": {"1": "**{}**", "2": "<u>{}</u>", "3": "*{}*", None: "{}"},
        "tex": {"1": r"\textbf{{{}}}", "2": r"\underline{{{}}}", "3": r"\textit{{{}}}", None: "{}"},
    }
    for kind, separator in (("md", "|"), ("tex", "&")):
        lines = [line for line in texts[kind].splitlines() if line.count(separator) >= 10]
        cells = [
            [cell.strip().removesuffix(r"\\").strip() for cell in line.strip("|").split(separator)]
            for line in lines
            if "---" not in line
        ]
        losses = cells[0][1:]
        assert cells[-1] == ["points", *(points[loss] for loss in losses)]
        found = {
            (row[0].replace("\\", ""), loss): cell
            for row in cells[1:-1]
            for loss, cell in zip(losses, row[1:], strict=True)
        }
        assert found == {
            key: wraps[kind][marks.get(key)].format(value) for key, value in means.items()
        }
    assert r"\toprule" in texts["tex"]


def test_split_ties_change_points_and_say_so():
    sweep = arranged(Tables(trials=read_table(PAPER / "fig2_dice_by_dataset.csv").rows))
    figure = drawn(sweep, "dataset")
    _, marks, points = shown(figure.figure)
    assert marks["ISIC-2017", "IoU"] == "2="  # 2nd to 4th place are equal at four decimals
    assert (points["BCE"], points["IoUFocal"]) == ("8", "7")
    assert "Equal means (=): tied places share their points evenly." in figure.caption


def test_bars_show_the_published_overall_means(full_grid):
    with drawing_style():
        figure = bars_figure(full_grid)
    table = pd.read_csv(io.StringIO(figure.texts["csv"]))
    means = {(row.metric, row.loss): f"{row.mean:.4f}" for row in table.itertuples()}
    published_dice = {"DiceBCE": "0.7940", "IoUFocal": "0.7938", "BCE": "0.7937", "Focal": "0.7685"}
    assert (
        published_dice.items() <= {loss: v for (m, loss), v in means.items() if m == "dice"}.items()
    )
    order = {metric: list(rows.loss) for metric, rows in table.groupby("metric")}
    assert order["iou"][:4] == ["IoU", "IoUFocal", "IoUDice", "DiceBCE"]
    assert order["precision"][:3] == ["IoU", "IoUDice", "IoUFocal"]
    assert order["recall"][:3] == ["Dice", "IoUFocal", "BCEFocal"]
    assert {losses[-1] for losses in order.values()} == {"Focal"}
    kinds = dict(zip(table.loss, table.kind, strict=True))
    assert {loss for loss, kind in kinds.items() if kind == "single"} == {
        "IoU", "Dice", "BCE", "Focal",
    }  # fmt: skip
    drawn_values = [
        text.get_text() for axes in figure.figure.axes for text in axes.texts
        if re.fullmatch(r"\d\.\d{4}", text.get_text())
    ]  # fmt: skip
    assert drawn_values == list(means.values())
    assert table.lowest_repeat.lt(table["mean"]).all()
    assert table.highest_repeat.gt(table["mean"]).all()
