"""Draws every figure of a report as PNG and SVG, the same bytes for the same store."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from orchestrator.report.content import Content
from orchestrator.report.figures_curves import curves_figure
from orchestrator.report.figures_examples import examples_figure
from orchestrator.report.figures_heat import heat_figure
from orchestrator.report.figures_podium import podium_figure
from orchestrator.report.palette import INK, MUTED

FIGURE_NAMES = ("podium", "heat_by_dataset", "heat_by_model", "learning_curves", "predictions")
_DOTS_PER_INCH = 170
_FALLBACK_FONTS = (
    "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo",
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Arial Unicode MS",
)  # fmt: skip
_SETTINGS: dict[Any, Any] = {
    # Element ids of an SVG file are hashes of this salt: without it they are random.
    "svg.hashsalt": "podium",
    "svg.fonttype": "path",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#C9C6BE",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.parse_math": False,  # a label with two dollar signs is a label
}


def draw_figures(content: Content) -> Mapping[str, bytes]:
    """Returns {file name: bytes} of every figure there is something to draw for."""
    sweep = content.sweep
    files: dict[str, bytes] = {}
    with mpl.rc_context(_SETTINGS | {"font.family": _fonts()}), warnings.catch_warnings():
        # A letter no font here has becomes a box, which the reader sees and a warning repeats.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        files |= _files("podium", podium_figure(sweep))
        for table in content.heat_tables:
            files |= _files(f"heat_by_{table.axis}", heat_figure(sweep, table))
        if content.panels:
            files |= _files("learning_curves", curves_figure(sweep, content.panels))
        if content.examples:
            files |= _files("predictions", examples_figure(sweep, content.examples))
    return files


def _fonts() -> list[str]:
    """Returns matplotlib's own font and, for letters it lacks, what this machine has."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]


def _files(name: str, figure: Figure) -> dict[str, bytes]:
    # No dates and no program versions inside, so that equal figures are equal files.
    return {
        f"{name}.png": _bytes(figure, "png", {"Software": None}),
        f"{name}.svg": _bytes(figure, "svg", {"Date": None, "Creator": None}),
    }


def _bytes(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format=kind,
        dpi=_DOTS_PER_INCH,
        metadata=metadata,
        bbox_inches="tight",
        pad_inches=0.15,
        facecolor="white",
    )
    return buffer.getvalue()
