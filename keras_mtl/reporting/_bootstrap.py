"""How sure a metric of a task is: the interval that resampled rows give."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from keras_mtl.reporting._content import Range
from keras_mtl.reporting._judged import Judged
from keras_mtl.reporting._weighted_metrics import weighted_metrics

RESAMPLES = 1000
FEWER = 100
LEVEL = 0.95
_CELLS = 2_000_000
_DRAWN = 100_000_000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A metric, and where 95 % of its resampled values lie.

    Attributes:
        value: On the rows as they are.
        range: The interval; None where too few resamples have a value.
        resamples: How many there were.
    """

    value: float
    range: Range | None
    resamples: int


def intervals(judged: Judged, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """The percentile bootstrap interval of each metric of a task, rows drawn with replacement.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. A metric that is not
    a sum over rows or an area, such as one of a task of your own, is resampled 100 times only, and
    any of more than 100,000 rows fewer times, though never fewer than 200.

    Args:
        judged: Labels and answers.
        resamples: How many.
        seed: Of the draws.
    """
    n = len(judged.rows)
    if n < 2:
        return {m: Interval(v, None, 0) for m, v in judged.scores.items()}
    resamples = min(resamples, max(_DRAWN // n, 2 * FEWER))
    # One that is not defined on all rows needs no resamples.
    defined = {m: v for m, v in judged.scores.items() if np.isfinite(v)}
    fast = weighted_metrics(judged)
    whole = fast(np.ones((1, n)))
    trusted = [
        m
        for m, value in defined.items()
        if m in whole and np.isclose(whole[m][0], value, rtol=1e-6, atol=1e-9)
    ]
    found: dict[str, list[np.ndarray]] = {m: [] for m in defined}
    if trusted:
        for drawn in draws(n, resamples, seed):
            weights = np.stack([np.bincount(rows, minlength=n) for rows in drawn]).astype("float64")
            values = fast(weights)
            for metric in trusted:
                found[metric].append(values[metric])
    if len(trusted) < len(defined):
        for drawn in draws(n, min(FEWER, resamples), seed):
            for rows in drawn:
                values = judged.task.score(judged.labels[rows], judged.answers[rows])
                for metric in set(defined) - set(trusted):
                    found[metric].append(np.array([values[metric]]))
    return {
        m: _interval(v, np.concatenate(found[m])) if m in found else Interval(v, None, 0)
        for m, v in judged.scores.items()
    }


def draws(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Rows drawn with replacement, `(r, rows)` at a time, `resamples` in all."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // rows)
    for begin in range(0, resamples, step):
        yield rng.integers(0, rows, (min(step, resamples - begin), rows))


def _interval(value: float, values: np.ndarray) -> Interval:
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return Interval(value, None, len(values))
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(known, [tail, 100 - tail])
    return Interval(value, Range(float(low), float(high)), len(values))
