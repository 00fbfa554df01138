"""Example predictions as a figure: image, truth, and what each loss made of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

from orchestrator.report.data import Sweep
from orchestrator.report.examples import Example, Seen
from orchestrator.report.outlines import outlines
from orchestrator.report.palette import INK, MUTED, PREDICTION_COLOUR, TRUTH_COLOUR

_TILE = 1.25


def examples_figure(sweep: Sweep, examples: Sequence[Example]) -> Figure:
    """Draws one row an example; the outline of the truth lies under that of the prediction."""
    losses = [loss for loss in sweep.losses if any(_seen(example, loss) for example in examples)]
    columns = len(losses) + 2
    figure = Figure(
        figsize=(_TILE * columns + 1.2, (_TILE + 0.2) * len(examples) + 0.7),
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.02),
    )
    for row, example in enumerate(examples):
        tiles = [
            figure.add_subplot(len(examples), columns, row * columns + column + 1)
            for column in range(columns)
        ]
        _draw_row(tiles, sweep, example, losses, first=row == 0)
    figure.supxlabel(
        "Outlines: truth blue; prediction (sigmoid over 0.5) orange, its inside tinted. "
        "Under each tile: its Dice.",
        fontsize=8, color=MUTED,
    )  # fmt: skip
    return figure


def _seen(example: Example, loss: str) -> Seen | None:
    return next((seen for seen in example.seen if seen.loss == loss), None)


def _draw_row(
    tiles: Sequence[Axes], sweep: Sweep, example: Example, losses: Sequence[str], *, first: bool
) -> None:
    for tile in tiles:
        tile.set_xticks([])
        tile.set_yticks([])
        tile.spines[:].set_visible(False)
    dataset = sweep.title("dataset", example.dataset)
    model = sweep.title("model", example.model)
    name = textwrap.fill(dataset, 20, max_lines=2, placeholder="…")
    tiles[0].set_ylabel(f"{name}\n{model}", fontsize=7, color=INK)
    tiles[0].imshow(example.pixels, interpolation="nearest")
    tiles[1].imshow(example.truth, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for tile, loss in zip(tiles[2:], losses, strict=True):
        seen = _seen(example, loss)
        if seen is None:
            tile.set_axis_off()
            continue
        tile.imshow(example.pixels, interpolation="nearest")
        tile.imshow(_tint(seen.mask), interpolation="nearest")
        _draw_outline(tile, example.truth, TRUTH_COLOUR)
        _draw_outline(tile, seen.mask, PREDICTION_COLOUR)
        tile.set_xlabel(f"{seen.dice:.3f}", fontsize=8, labelpad=2, color=INK)
    if first:
        for tile, name in zip(tiles, ("image", "truth"), strict=False):
            tile.set_title(name, fontsize=8.5, color=MUTED)
        for tile, loss in zip(tiles[2:], losses, strict=True):
            tile.set_title(sweep.title("loss", loss), fontsize=8.5, fontweight="bold")


def _tint(mask: np.ndarray) -> np.ndarray:
    """Returns the prediction's colour, transparent outside of the mask, (H, W, 4)."""
    tint = np.zeros((*mask.shape, 4))
    tint[mask] = to_rgba(PREDICTION_COLOUR, alpha=0.2)
    return tint


def _draw_outline(tile: Axes, mask: np.ndarray, colour: str) -> None:
    for line in outlines(mask):
        # Corners of pixel (0, 0) lie at (-0.5, -0.5) in an image.
        closed = np.array([*line, line[0]]) - 0.5
        tile.plot(
            closed[:, 0], closed[:, 1], color=colour, linewidth=1.1,
            path_effects=[withStroke(linewidth=2.0, foreground="#00000099")],
        )  # fmt: skip
