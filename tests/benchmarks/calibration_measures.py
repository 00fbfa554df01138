"""What `calibration.py` counts in simulated sweeps, and the tables of the kept designs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.places import points_of

Row = dict[str, Any]

SAME = 1e-12
"""True means that differ by less are equal."""
INTERVALS = {
    "coverage": "coverage", "worst_pair_coverage": "worst pair", "width": "width / ideal",
    "all_pairs_coverage": "all pairs at once",
    "all_equal_rejected": "equal losses rejected", "best_in_group": "best in its group",
}  # fmt: skip
PROBABILITIES = {
    "p_first": "1st, new sweep", "p_podium": "top 3, new sweep", "truly best": "truly best",
    "p_first_again": "1st, new repeats", "p_podium_again": "top 3, new repeats",
    "points_interval": "interval of points", "set of truly best": "set of truly best",
}  # fmt: skip


@dataclass(kw_only=True)
class Intervals:
    """What happened to the intervals and tests of the sweeps of one design."""

    refused: int = 0
    equal: bool = True
    pairs: list[list[tuple[float, ...]]] = field(default_factory=list)
    rejected: list[bool] = field(default_factory=list)
    found: list[float] = field(default_factory=list)
    in_group: list[bool] = field(default_factory=list)
    group_sizes: list[int] = field(default_factory=list)

    def add(self, answer: Certainty, losses: Sequence[str], truth_L: np.ndarray) -> None:
        """Adds one sweep; of equally good losses, the last one counts as the best."""
        if answer.refusal:
            self.refused += 1
            return
        true = dict(zip(losses, truth_L.tolist(), strict=True))
        best, found = losses[int(np.flatnonzero(truth_L >= truth_L.max() - SAME)[-1])], []
        rows: dict[tuple[str, str], tuple[float, ...]] = {}
        for pair in answer.pairs:
            assert pair.interval
            assert pair.simultaneous
            assert pair.p_tukey is not None
            difference = true[pair.first] - true[pair.second]
            inside = [
                np.nan if one is None else one.low <= difference <= one.high
                for one in (pair.interval, pair.simultaneous, pair.corrected)
            ]
            half_width = (pair.interval.high - pair.interval.low) / 2
            names = min(pair.first, pair.second), max(pair.first, pair.second)
            rows[names] = (*inside, half_width, pair.difference - difference)
            if best in names:
                found.append(pair.p_tukey <= answer.alpha and pair.first == best)
        self.pairs.append([rows[names] for names in sorted(rows)])
        self.found.append(float(np.mean(found)))
        self.in_group.append(best in answer.group)
        self.group_sizes.append(len(answer.group))
        assert answer.p_all_equal is not None
        self.rejected.append(answer.p_all_equal <= answer.alpha)
        self.equal = bool(np.ptp(truth_L) < SAME)

    def row(self) -> Row:
        """Returns the summary; `width` is the median over that of a known normal distribution."""
        if not self.pairs:
            return {"refused": self.refused}
        inside_SP, joint_SP, corrected_SP, widths_SP, errors_SP = np.moveaxis(
            np.array(self.pairs, dtype=float), 2, 0
        )
        coverage, error = mean_and_error(inside_SP.mean(axis=1))
        row = {
            "refused": self.refused,
            "coverage": coverage,
            "coverage_se": error,
            "worst_pair_coverage": inside_SP.mean(axis=0).min(),
            "all_pairs_coverage": joint_SP.all(axis=1).mean(),
            "width": np.median(widths_SP) / (1.96 * np.sqrt(np.square(errors_SP).mean())),
            "best_found": np.mean(self.found),
            "best_in_group": np.mean(self.in_group),
            "group_size": np.mean(self.group_sizes),
        }
        row["all_equal_rejected" if self.equal else "difference_found"] = np.mean(self.rejected)
        if not np.isnan(corrected_SP).all():
            row["corrected_coverage"] = corrected_SP.mean()
        return row


@dataclass(kw_only=True)
class Said:
    """Probabilities of one kind and what became true."""

    leader: list[tuple[float, float]] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    def add(self, said: Iterable[float], true: Iterable[float]) -> None:
        """Adds a sweep, the leader first."""
        pairs = list(zip(said, true, strict=True))
        self.leader.append(pairs[0])
        self.said += [one for one, _ in pairs]
        self.true += [one for _, one in pairs]

    def row(self) -> Row:
        """Returns the leader's mean probability, its frequency, and the mean gap of ten bins."""
        said_S, true_S = np.array(self.leader, dtype=float).T
        gaps_N = np.array(self.said) - np.array(self.true)
        bins_N = np.minimum((np.array(self.said) * 10).astype(int), 9)
        gap = np.abs(np.bincount(bins_N, gaps_N)).sum() / len(gaps_N)
        error = mean_and_error(said_S - true_S)[1]
        return {"said": said_S.mean(), "true": true_S.mean(), "se": error, "gap_of_bins": gap}


def mean_and_error(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Returns the mean and its standard error."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()), float(array.std() / np.sqrt(len(array)))


def podium_points(cells_DML: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the points (L,) of the podiums by dataset, by model, and both."""
    listed = range(cells_DML.shape[2])
    by_dataset, by_model = (
        points_of(cells_DML.mean(axis=axis), ties="split", listed=listed).sum(axis=0)
        for axis in (1, 0)
    )
    return {"dataset": by_dataset, "model": by_model, "both": by_dataset + by_model}


def steps(points_L: np.ndarray, num: int) -> np.ndarray:
    """Returns the fraction of one of the first `num` places that each loss has, (L,)."""
    points_L = np.round(points_L, 9)
    better_L = (points_L[None, :] > points_L[:, None]).sum(axis=1)
    equal_L = (points_L[None, :] == points_L[:, None]).sum(axis=1)
    return np.asarray(np.clip(num - better_L, 0, equal_L) / equal_L * (points_L > 0))


def tables(rows: Sequence[Row]) -> str:
    """Returns all tables in Markdown, each under its title."""
    of = defaultdict(list)
    for row in rows:
        of[row["part"]].append(row)
    other = [row for row in of["intervals"] if row["about"] == "other"]
    rest = [row for row in of["intervals"] if row["about"] != "other"]
    parts = {
        "Other datasets and networks, by world": _spans(other, ("world",)),
        "Other datasets and networks, by shape": _spans(other, ("shape",)),
        "Other estimands": _spans(rest, ("about", "shape")),
        "Other images": _lines(of["images"]),
        "One loss better": _lines(of["power"]),
        "Refused designs": _lines(of["refused"]),
        "Probabilities of the leader of both: said - true (mean gap of bins)": _said(
            of["chances"], "both"
        ),
        "By dataset": _said(of["chances"], "dataset"),
        "By model": _said(of["chances"], "model"),
        "Null of points: fraction of sweeps with p <= 0.05": _lines(of["null"]),
        "Replaced methods": _lines(of["old"]),
    }
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in parts.items() if table)


def _spans(rows: Sequence[Row], keys: tuple[str, ...]) -> str:
    """Returns one line per key: lowest and highest value over its designs."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    lines = [
        [
            *names,
            str(len(some)),
            *(_span(some, key) for key in INTERVALS),
        ]
        for names, some in groups.items()
    ]
    return _markdown([*keys, "designs", *INTERVALS.values()], lines)


def _said(rows: Sequence[Row], axis: str) -> str:
    """Returns one line per design and one column per probability."""
    groups: defaultdict[tuple[str, ...], Row] = defaultdict(dict)
    for row in rows:
        what, _, own = row["probability"].partition(", ")
        if own in ("", axis):
            gap = "" if what in ("points_interval", "set of truly best") else row["gap_of_bins"]
            text = f"{row['said']:.2f} - {row['true']:.2f}"
            key = (row["shape"], row["worlds"], row["spread"], str(row["far"]))
            groups[key][what] = f"{text} ({gap:.3f})" if gap != "" else text
    lines = [
        [*key, *(found.get(what, "") for what in PROBABILITIES)] for key, found in groups.items()
    ]
    return _markdown(["shape", "worlds", "spread", "far", *PROBABILITIES.values()], lines)


def _lines(rows: Sequence[Row]) -> str:
    """Returns each design as one line."""
    heads = list(dict.fromkeys(key for row in rows for key in row if key not in ("part", "seed")))
    return _markdown(heads, [[_text(row.get(key, "")) for key in heads] for row in rows])


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    body = [f"| {' | '.join(line)} |" for line in lines]
    head = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    return "\n".join([*head, *body]) if body else ""


def _span(rows: Sequence[Row], key: str) -> str:
    values = [row[key] for row in rows if key in row]
    if not values:
        return ""
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
