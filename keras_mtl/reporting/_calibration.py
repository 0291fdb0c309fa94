"""How far chances that a model tells are from how often it comes true."""

import dataclasses
from typing import Any

import numpy as np

BINS = 15


@dataclasses.dataclass(frozen=True)
class Reliability:
    """What was said and what came, by bin of what was said.

    Attributes:
        edges: `(bins + 1,)`, of chances.
        counts: `(bins,)`, how often a chance fell in the bin.
        said: `(bins,)`, the mean chance there; NaN where there was none.
        came: `(bins,)`, the share that came true; NaN where there was none.
    """

    edges: np.ndarray
    counts: np.ndarray
    said: np.ndarray
    came: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of |said - came| over all that was said."""
        filled = self.counts > 0
        gaps = np.abs(self.said[filled] - self.came[filled])
        return float(np.sum(gaps * self.counts[filled]) / np.sum(self.counts))

    @property
    def surplus(self) -> float:
        """What was said minus what came, on average: above 0 where a model is too sure."""
        filled = self.counts > 0
        gaps = self.said[filled] - self.came[filled]
        return float(np.sum(gaps * self.counts[filled]) / np.sum(self.counts))


def reliability(chances: Any, came: Any, bins: int = BINS) -> Reliability:
    """Sorts chances into bins of one width and compares each with what came.

    ECE = sum_b n_b / n |said_b - came_b|: Guo, Pleiss, Sun and Weinberger, "On Calibration of
    Modern Neural Networks", ICML 2017, arXiv:1706.04599.

    Args:
        chances: `(n,)` from 0 to 1.
        came: `(n,)`, whether it came true.
        bins: How many.

    Raises:
        ValueError: If there is nothing, or shapes differ.

    >>> found = reliability([0.9, 0.8, 0.3], [True, False, False], bins=2)
    >>> round(found.error, 3)  # 2/3 |0.85 - 0.5| + 1/3 |0.3 - 0|
    0.333
    """
    chances, came = np.asarray(chances, "float64").ravel(), np.asarray(came, bool).ravel()
    if chances.size == 0 or chances.shape != came.shape:
        raise ValueError(
            f"`chances` has the shape {chances.shape} and `came` {came.shape}; expected one of each "
            "row, and at least one row."
        )
    edges = np.linspace(0.0, 1.0, bins + 1)
    # Bins are (low, high], as in the paper; the first holds 0, too.
    place = np.clip(np.searchsorted(edges, chances, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.where(counts > 0, counts, np.nan)
    said = np.bincount(place, chances, minlength=bins) / filled
    return Reliability(edges, counts, said, np.bincount(place, came, minlength=bins) / filled)
