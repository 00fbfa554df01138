"""Outlines of masks: as points, and as paths of an SVG drawing."""

from __future__ import annotations

import numpy as np

MAX_PATH_CHARACTERS = 40_000
"""The outline of a very noisy mask is drawn coarser than this, or the page would be megabytes."""

Point = tuple[float, float]


def outlines(mask: np.ndarray) -> list[list[Point]]:
    """Returns closed outlines of a mask, each a list of (x, y) in pixels.

    Points lie in the middle of pixel borders, so that stairs become slopes; straight runs keep
    only their ends. An enclosed area outside the mask has its own outline.

    Args:
        mask: Boolean, shape (H, W).
    """
    following = _borders(mask)
    lines: list[list[Point]] = []
    for start in sorted(following):
        while following[start]:
            line = [start]
            current = following[start].pop()
            # As many borders enter a corner as leave it, so every walk comes back.
            while current != start:
                line.append(current)
                current = following[current].pop()
            lines.append(_slopes(line))
    return lines


def _borders(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Returns the pixel borders as directed steps from corner to corner, the mask on the right."""
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    inside = padded[1:-1, 1:-1]
    steps = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above: along the top, to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, begin, end in steps:
        ys, xs = np.nonzero(inside & ~neighbour)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            following.setdefault((x + begin[0], y + begin[1]), []).append((x + end[0], y + end[1]))
    return following


def _slopes(corners: list[tuple[int, int]]) -> list[Point]:
    """Joins the middles of neighbouring borders and drops points inside straight runs."""
    middles = [
        ((x + next_x) / 2, (y + next_y) / 2)
        for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    kept: list[Point] = []
    for index, (x, y) in enumerate(middles):
        before = middles[index - 1]
        after = middles[(index + 1) % len(middles)]
        turn = (x - before[0]) * (after[1] - y) - (y - before[1]) * (after[0] - x)
        if turn:
            kept.append((x, y))
    return kept


def svg_path(lines: list[list[Point]]) -> str:
    """Returns the outlines as the data of one SVG path."""
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in line) + "Z" for line in lines if line)


def outline_path(mask: np.ndarray, limit: int = MAX_PATH_CHARACTERS) -> str:
    """Returns the outline of a mask as SVG path data; coarser if it would be longer than that."""
    step = 1
    while True:
        lines = outlines(mask[::step, ::step])
        scaled = [[(x * step, y * step) for x, y in line] for line in lines]
        path = svg_path(scaled)
        if len(path) <= limit:
            return path
        step *= 2
