"""What figures 1 and 3 show: exact masks where kept, grey levels of older results, counts."""

import dataclasses
import io

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.figures.images import predictions_figure
from orchestrator.report.figures.style import add_caption, drawing_style
from orchestrator.report.predictions import dataset_sizes, examples, examples_like
from orchestrator.titles import Titles
from tests.unit.orchestrator.report.factory import arranged, make_data
from workers.evaluation import keep_prediction


def kept(data, logits):
    """Replaces every prediction by one of these raw outputs, as a trial keeps it."""
    size = logits.shape
    mask = np.zeros(size, np.uint8)
    mask[:4] = 1
    record = vars(keep_prediction("a", np.zeros((*size, 3), np.uint8), mask, logits))
    table = data.predictions.drop(columns=[name for name in record if name != "image"],
                                  errors="ignore")  # fmt: skip
    return table.assign(**{name: [record[name]] * len(table) for name in record if name != "image"})


def test_binarised_images_are_those_of_the_exact_raw_output():
    data = make_data(1, 1, 2, 1, num_epochs=1, image_size=8)
    logits = np.tile(np.array([-0.4, 0.4], np.float32), (8, 4))
    logits[0, 0] = 600  # makes grey levels 2.4 apart
    object.__setattr__(data, "predictions", kept(data, logits))
    sweep = arranged(data)
    (example,) = examples(sweep)
    panels = examples_like(sweep, example)
    assert next(panel.image for panel in panels) == example.image
    assert sorted(panel.image for panel in panels) == ["0007.png", "0031.png"]
    masks = panels[0].masks["iou"]
    assert np.array_equal(masks["half"].lesion, logits > 0)
    assert np.array_equal(masks["mean"].lesion, logits > logits.mean())
    assert masks["mean"].threshold == logits.mean(dtype=float)
    # 33 pixels over 0, 17 of them in the 32 true ones.
    assert masks["half"].dice == 2 * 17 / (33 + 32)
    for kinds in example.masks.values():  # the page shows what the figure shows
        for kind, mask in kinds.items():
            assert np.array_equal(mask.lesion, masks[kind].lesion)
            assert mask.dice == masks[kind].dice
    with drawing_style():
        table = pd.read_csv(io.StringIO(predictions_figure(sweep, panels, "figure3").texts["csv"]))
    assert len(table) == 2 * 2 * 2  # images, losses, binarisations
    half = table[table["binarisation"].str.startswith("sigmoid")]
    assert (half[["predicted_pixels", "common_pixels"]] == [33, 17]).all(axis=None)
    assert (half["dice"] == 2 * 17 / (33 + 32)).all()


def more_losses(data, number):
    """Adds worse losses until there are so many."""
    frames = {}
    for name in ("trials", "epochs", "predictions"):
        table = getattr(data, name)
        copies = [
            table.assign(
                loss=table["loss"] + f"-{copy}" * bool(copy), trial_id=table["trial_id"] + f"{copy}"
            )
            for copy in range(-(-number // table["loss"].nunique()))
        ]
        frames[name] = pd.concat(copies, ignore_index=True).drop(columns="spec", errors="ignore")
    return dataclasses.replace(data, **frames, grid=None)


def test_long_names_are_complete():
    name = "tuned on the validation images of every dataset with alpha 0.25 and gamma 2 " * 2
    data = make_data(2, 1, 3, 1, num_epochs=1, image_size=8)
    titles = Titles(losses={"iou": name}, datasets={"synthetic-skin": name}, models={"unet": name})
    sweep = arranged(dataclasses.replace(data, titles=titles))
    panels = [examples_like(sweep, example)[0] for example in examples(sweep)]
    with drawing_style():
        (page,) = predictions_figure(sweep, panels, "figure3").figure.axes
    shown = ["".join(text.get_text().split()) for text in page.texts]
    assert sum("".join(name.split()) in text for text in shown) == 3  # a loss and two panels
    assert not any("…" in text for text in shown)


def test_a_page_has_six_datasets_and_counts_the_rest():
    def caption(num_datasets, num_losses):
        data = make_data(num_datasets, 1, min(num_losses, 10), 1, num_epochs=1, image_size=8)
        sweep = arranged(more_losses(data, num_losses))
        panels = [examples_like(sweep, example)[0] for example in examples(sweep)]
        with drawing_style():
            drawn = predictions_figure(sweep, panels, "figure3")
            add_caption(drawn)
        assert drawn.figure.get_size_inches()[1] <= 9.6
        return drawn.caption

    assert caption(6, 4).endswith("raw output over its mean.")
    assert caption(6, 10).endswith("raw output over its mean.")
    assert caption(8, 4).endswith("2 more in separate figures and data files.")
    assert "The last 40 losses of the podium do not fit on this page" in caption(1, 100)


def test_older_results_are_binarised_from_their_grey_levels():
    data = make_data(1, 1, 2, 1, num_epochs=1, image_size=16)
    sweep = arranged(data)
    (example,) = examples(sweep)
    (panel, _) = examples_like(sweep, example)
    rows = data.predictions
    row = rows[(rows["loss"] == "iou") & (rows["image"] == panel.image)].iloc[0]
    grey = np.asarray(Image.open(io.BytesIO(row["logits_png"])), float)
    logits = row["logit_min"] + (row["logit_max"] - row["logit_min"]) * grey / 255
    assert np.array_equal(panel.masks["iou"]["half"].lesion, logits > 0)
    assert np.array_equal(panel.masks["iou"]["mean"].lesion, logits > logits.mean())


def test_counts_are_those_of_the_trials():
    data = make_data(2, 1, 2, 2, num_epochs=1, image_size=8)
    data.trials.loc[data.trials["repeat"] == 1, "num_test_images"] = 22
    sweep = arranged(data)
    counts = dataset_sizes(sweep, "synthetic-skin")
    assert counts is not None
    assert (counts.total, counts.train, counts.val, counts.test) == (
        (100, 102), (60, 60), (20, 20), (20, 22),
    )  # fmt: skip
    assert dataset_sizes(sweep, "unknown") is None
