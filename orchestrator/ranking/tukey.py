"""The studentised range of Tukey's test, for many pairs at once."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gammaln, ndtr
from scipy.stats import chi2, t

TAIL = 1e-15
"""Probability of the chi distribution that is cut off at either end."""
NUM_POINTS = 300
MAX_STEPS = 30
WIDEST = 40.0
"""A range of standard normals is below this, up to the precision of a float."""


@cache
def studentized_range(num_losses: int) -> StudentizedRange:
    """Returns the distribution of the range of that many means; it is tabulated once."""
    return StudentizedRange(num_losses)


class StudentizedRange:
    """P(Q > q) for the range of `num_losses` means over an independent standard error.

    The survival function of scipy takes 30 ms for each value; this one tabulates the range of
    normals once and integrates over the error by the trapezoidal rule, to 8 digits or more.

    Args:
        num_losses: Means that the range is taken over, at least 2.
    """

    def __init__(self, num_losses: int) -> None:
        self._num_losses = num_losses
        widths = np.concatenate([np.linspace(0, 12, 600), np.linspace(12.5, WIDEST, 56)])
        z = np.linspace(-8.5, 8.5, 341)
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
        # The largest of the normals is at z, and all others lie less than the width below it.
        within = np.clip(ndtr(z) - ndtr(z - widths[:, None]), 0, 1) ** (num_losses - 1)
        all_below = ndtr(z) ** (num_losses - 1)
        self._exceeds = CubicSpline(
            widths, num_losses * ((all_below - within) * density).sum(axis=1)
        )

    def sf(self, q: np.ndarray, df: np.ndarray) -> np.ndarray:
        """Returns P(Q > q), with `df` degrees of freedom of the error; both have one shape."""
        low, high = np.log(chi2.ppf(TAIL, df) / df) / 2, np.log(chi2.isf(TAIL, df) / df) / 2
        log_s = np.linspace(low, high, NUM_POINTS, axis=-1)
        own = df[..., None]
        log_density = (
            (np.log(2) + own / 2 * np.log(own / 2) - gammaln(own / 2))
            + own * log_s
            - own / 2 * np.exp(2 * log_s)
        )
        weight = np.exp(log_density) * ((high - low) / (NUM_POINTS - 1))[..., None]
        widths = np.minimum(q[..., None] * np.exp(log_s), WIDEST)
        return np.asarray(np.clip((self._exceeds(widths) * weight).sum(axis=-1), 0, 1))

    def isf(self, alpha: float, df: np.ndarray) -> np.ndarray:
        """Returns the q with P(Q > q) = `alpha` for each entry of `df` (secant steps)."""
        # Bonferroni's limit for all pairs is above it, and not by much.
        pairs = self._num_losses * (self._num_losses - 1)
        steps = [np.log(np.sqrt(2) * t.isf(alpha / pairs, df))]
        steps.append(steps[0] - 0.05)
        over = [np.log(self.sf(np.exp(log_q), df) / alpha) for log_q in steps]
        for _ in range(MAX_STEPS):
            slope = np.where(over[-1] == over[-2], 1, over[-1] - over[-2])
            steps.append(steps[-1] - over[-1] * (steps[-1] - steps[-2]) / slope)
            if (np.abs(steps[-1] - steps[-2]) < 1e-10).all():
                break
            over.append(np.log(self.sf(np.exp(steps[-1]), df) / alpha))
        return np.asarray(np.exp(steps[-1]))
