"""All figures together: files, determinism, what is left out and why, and the data beside each."""

import dataclasses
import io
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from orchestrator.report.figures.bars import axis_start, bars_figure
from orchestrator.report.figures.drawing import make_figures
from orchestrator.report.figures.files import (
    FIGURE_NAMES,
    csv_text,
    file_stem,
    stale_figures,
    table_texts,
)
from orchestrator.report.figures.intervals import intervals_figure
from orchestrator.report.figures.ranks import stacked_figure
from orchestrator.report.figures.significance import significance_figure
from orchestrator.report.figures.style import drawing_style
from orchestrator.report.standings import loss_means
from orchestrator.report.statistics import compute_statistics
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data


def small(num_datasets, num_models, num_losses, num_repeats):
    return make_data(num_datasets, num_models, num_losses, num_repeats, num_epochs=3, image_size=24)


@pytest.fixture(scope="module")
def data():
    return small(2, 3, 3, 2)


def shuffled(data):
    frames = {
        name: getattr(data, name).sample(frac=1, random_state=3)
        for name in ("trials", "epochs", "predictions")
    }
    return dataclasses.replace(data, **frames)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_figures_exist_in_every_format_and_are_reproducible(data):
    first = make_figures(arranged(data))
    second = make_figures(arranged(shuffled(data)))
    assert first.left_out == {}
    stems = {name.rpartition(".")[0] for name in first.files}
    assert stems == {*FIGURE_NAMES, "figure3_synthetic-skin", "figure3_synthetic-wound"}
    for stem in stems:
        assert {f"{stem}.{kind}" for kind in ("png", "svg", "pdf", "csv")} <= set(first.files)
    for stem in ("figure1", "figure2a", "figure2b", "figure2c", "significance_map", "intervals"):
        assert {f"{stem}.tex", f"{stem}.md"} <= set(first.files)
    assert first.files.keys() == second.files.keys()
    for name, content in first.files.items():
        assert content == second.files[name], name


@pytest.mark.timeout(60)
def test_files_have_print_size_and_no_date(data):
    files = make_figures(arranged(data), names=["figure2b"], dots_per_inch=100).files
    width, _ = Image.open(io.BytesIO(files["figure2b.png"])).size
    assert width == 350  # one column of 3.5 inches
    assert b"<dc:date>" not in files["figure2b.svg"]
    assert re.search(rb'width="252pt"', files["figure2b.svg"])
    pdf = files["figure2b.pdf"]
    assert b"/CreationDate" not in pdf
    assert b"/Type3" not in pdf  # journals refuse fonts of this type
    assert b"/FontFile2" in pdf  # embedded
    assert set(files) == {f"figure2b.{kind}" for kind in ("png", "svg", "pdf", "csv", "tex", "md")}


@pytest.mark.timeout(60)
def test_a_figure_without_data_is_left_out_with_a_reason(data):
    bare = Tables(trials=data.trials[["dataset", "loss", "dice", "repeat"]].drop_duplicates(
        ["dataset", "loss", "repeat"]))  # fmt: skip
    found = make_figures(arranged(bare), formats=["svg"])
    assert found.left_out["figure1"] == found.left_out["figure3"]
    assert "table predictions" in found.left_out["figure3"]
    assert found.left_out["figure2c"] == "the results know no model"
    assert found.left_out["curves"] == "the results hold no epochs"
    assert {"figure2a.svg", "figure2b.svg", "podium.svg"} <= set(found.files)


@pytest.mark.timeout(60)
def test_one_loss_one_dataset_one_repeat_is_no_error():
    found = make_figures(arranged(small(1, 1, 1, 1)), formats=["png"])
    assert {"figure1.png", "figure2a.png", "figure2b.png", "figure3.png"} <= set(found.files)
    assert not any(name.startswith("figure3_") for name in found.files)
    reason = "Nothing can be said: there is only one loss."
    for name in ("blob_plot", "significance_map", "intervals", "stacked_ranks", "tau_violins"):
        assert found.left_out[name] == reason
    assert found.left_out["line_plot"] == "there is only one loss"
    assert found.left_out["podium_plot"].endswith("and there is 1")


def test_all_trials_diverged_is_no_error(data):
    trials = data.trials.assign(status="diverged", dice=None, iou=None, recall=None, precision=None)
    names = ["figure2a", "figure2b", "podium", "significance_map", "blob_plot", "podium_plot",
             "ranking_heatmap", "line_plot"]  # fmt: skip
    lost = dataclasses.replace(data, trials=trials)
    found = make_figures(arranged(lost), names=names, formats=["svg"])
    assert "figure2b.svg" in found.files
    assert re.findall(r"<!-- [123]=? -->", found.files["figure2b.svg"].decode()) == []


def test_a_user_metric_comes_first():
    data = small(2, 1, 3, 1)
    trials = data.trials.assign(f2=1 - data.trials["dice"])
    sweep = arranged(dataclasses.replace(data, trials=trials, metric="f2"))
    found = make_figures(sweep, names=["figure2a", "figure2b"], formats=[])
    bars = pd.read_csv(io.BytesIO(found.files["figure2a.csv"]))
    assert list(dict.fromkeys(bars["metric"])) == ["f2", "dice", "iou", "precision", "recall"]
    heat = pd.read_csv(io.BytesIO(found.files["figure2b.csv"]))
    means = trials.groupby(["dataset", "loss"])["f2"].mean()
    assert len(heat) == len(means)
    for dataset, loss, f2 in zip(heat["dataset"], heat["loss"], heat["f2"], strict=True):
        assert f2 == pytest.approx(means.loc[(dataset, loss)])


def test_whiskers_span_the_repeats_that_are_complete(data):
    sweep = arranged(data)
    (bar,) = [bar for bar in loss_means(sweep, "dice") if bar.loss == "iou"]
    trials = data.trials[data.trials["loss"] == "iou"]
    means = trials.groupby("repeat")["dice"].mean()
    assert bar.low == pytest.approx(means.min())
    assert bar.high == pytest.approx(means.max())
    assert bar.mean == pytest.approx(trials["dice"].mean())


def test_whiskers_stay_where_a_trial_is_missing():
    """A: 0.8 and 0.9, B: 0.4 in repeat 0 alone. The mean is (0.85 + 0.4) / 2 = 0.625.

    Repeat 0 has both: 0.6. Repeat 1 has A alone, 0.05 above the mean of A: 0.675.
    """
    rows = [("A", 0, 0.8), ("A", 1, 0.9), ("B", 0, 0.4)]
    table = pd.DataFrame(rows, columns=["dataset", "repeat", "dice"]).assign(loss="iou")
    grid = {"datasets": ["A", "B"], "losses": ["iou"], "repeats": 2}
    sweep = arranged(Tables(trials=table, grid=grid))
    (bar,) = loss_means(sweep, "dice")
    assert (bar.mean, bar.low, bar.high) == pytest.approx((0.625, 0.6, 0.675))
    with drawing_style():
        drawn = bars_figure(sweep)
    assert drawn.caption.endswith("Provisional: 3 of 4 trials are finished.")
    assert "over the combinations that each has" in drawn.caption
    assert "Provisional: 3 of 4" in drawn.texts["tex"]


def test_captions_can_be_left_out(data):
    sweep = arranged(data)
    names = ["figure2a", "figure2b"]
    with_them, without = (
        make_figures(sweep, names=names, formats=["svg"], captions=captions).files
        for captions in (True, False)
    )
    for name in (name for name in without if name.endswith(".svg")):
        heights = [
            float(re.findall(rb'height="([0-9.]+)pt"', files[name])[0])
            for files in (with_them, without)
        ]
        assert heights[0] > heights[1], name
    assert b"Whiskers" in with_them["figure2a.svg"]
    assert b"Whiskers" not in without["figure2a.svg"]


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ([0.2, 0.9], 0.0),  # differences show from 0
        ([0.7685, 0.7940], 0.76),
        ([0.7900, 0.7910], 0.789),
        ([0.0, 0.0], 0.0),
        ([0.9, 0.9], 0.0),  # nothing to tell apart
        ([-0.2, 0.3], -0.2),
    ],
)
def test_an_axis_begins_at_0_or_well_below_every_bar(values, start):
    assert axis_start(values) == pytest.approx(start)


def test_only_figure_files_are_stale(tmp_path):
    for name in ("figure2b.png", "figure2b.md", "figure3_a.png", "figure33.png", "mine.png",
                 "curves.txt", "heat_by_model.svg"):  # fmt: skip
        (tmp_path / name).write_text("")
    stale = {path.name for path in stale_figures(tmp_path, {"figure2b.png"})}
    assert stale == {"figure2b.md", "figure3_a.png", "heat_by_model.svg"}
    assert [path.name for path in stale_figures(tmp_path, (), ["figure3"], ["png"])] == [
        "figure3_a.png"
    ]
    assert stale_figures(tmp_path / "absent", ()) == []


def test_file_names_are_plain_and_distinct():
    assert file_stem("figure3", "a b/c", ()) == "figure3_a-b-c"
    assert file_stem("figure3", "A-B", ("figure3_a-b",)) == "figure3_A-B-2"
    assert file_stem("figure3", "손실", ()) == "figure3_dataset"


def test_tables_escape_names():
    texts = table_texts(["Loss", "Dice"], [["a_b & $c$", "0.5"]], "50 % | all")
    assert r"a\_b \& \$c\$ & 0.5 \\" in texts["tex"]
    assert r"\caption{50 \% \textbar{} all}" in texts["tex"]
    assert r"\begin{tabular}{lr}" in texts["tex"]
    assert r"| a\_b \& $c$ | 0.5 |" in texts["md"]
    assert csv_text(["a", "b"], [("x,y", None), ("z", 0.1 + 0.2)]) == (
        'a,b\n"x,y",\nz,0.30000000000000004\n'
    )


def test_data_of_the_pictures_are_the_numbers_behind_them(data):
    """The small sweep has 2 datasets, 3 models and 3 losses."""
    sweep = arranged(data)
    names = ["blob_plot", "significance_map", "ranking_heatmap", "podium_plot", "tau_violins"]
    files = make_figures(sweep, names=names, formats=[]).files
    tables = {name: pd.read_csv(io.BytesIO(files[f"{name}.csv"])) for name in names}
    blobs = tables["blob_plot"].groupby(["axis", "loss"])["fraction"].sum()
    assert list(blobs) == pytest.approx([1.0] * 9)
    counts = tables["ranking_heatmap"].groupby(["axis", "loss"])["num_blocks"].sum()
    assert counts.to_dict() == {
        (axis, loss): number
        for axis, number in (("dataset", 2), ("model", 3))
        for loss in sweep.losses
    }
    means = tables["podium_plot"]
    for podium in sweep.ranking.podiums:
        for name, block in podium.blocks.items():
            own = means[(means["axis"] == podium.axis) & (means["block"] == name)]
            assert dict(zip(own["loss"], own["dice"], strict=True)) == pytest.approx(block.means)
            assert dict(zip(own["loss"], own["place"], strict=True)) == block.places
    pairs = tables["significance_map"]
    assert len(pairs) == 3
    assert (pairs["low_all_pairs"] <= pairs["low"]).all()
    assert set(pairs["estimand"]) == {"other"}
    assert tables["tau_violins"]["median"].between(-1, 1).all()


def test_stacked_bars_of_a_loss_add_up_to_one(data):
    sweep = arranged(data)
    with drawing_style():
        _, *charts = stacked_figure(sweep, compute_statistics(sweep)).figure.axes
    assert charts[0].get_ylabel() == "fraction"
    for chart in charts:
        bars = [patch for patch in chart.patches if isinstance(patch, Rectangle)]
        assert sum(bar.get_height() for bar in bars) == pytest.approx(1.0)


def test_captions_and_refusals_with_nineteen_losses():
    rng = np.random.default_rng(0)
    rows = [(d, m, f"l{n}", rng.random()) for d in "wv" for m in "st" for n in range(19)]
    trials = pd.DataFrame(rows, columns=["dataset", "model", "loss", "dice"])
    sweep = arranged(Tables(trials=trials))
    drawn = make_figures(sweep, names=["podium_plot"], formats=[])
    assert drawn.left_out["podium_plot"].endswith("2 to 12 losses, and there are 19")
    with drawing_style():
        narrow = significance_figure(sweep, compute_statistics(sweep))
    assert "In the cells" not in narrow.caption
    assert "Green" in narrow.caption
    assert "Green" not in narrow.texts["md"]


@pytest.mark.parametrize(
    ("sizes", "here", "new"),
    [
        ((2, 2, 3, 2), "Here: the same probabilities with new repeats", True),
        ((2, 2, 3, 1), None, True),
        ((1, 1, 3, 2), "Here: probability to be 1st, or among the first three, with new", False),
    ],
)
def test_the_caption_of_intervals_explains_only_shown_columns(sizes, here, new):
    sweep = arranged(small(*sizes))
    with drawing_style():
        caption = intervals_figure(sweep, compute_statistics(sweep).certainty).caption
    assert ("New: probability to be 1st" in caption) == new
    assert here in caption if here else "Here:" not in caption
