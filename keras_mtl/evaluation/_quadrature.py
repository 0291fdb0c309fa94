"""Integrals of gradients along a way, with closer places where the answer turns."""

import itertools
from collections.abc import Sequence

import numpy as np

from keras_mtl._input_gradients import Walk, Way

# Without a number of steps: stretches at first, places in each, and how often one may be halved.
_STRETCHES, _PLACES, _HALVINGS = 4, 8, 5
# What a stretch may miss of the largest change from the ways' starts to their ends. Single precision
# knows no number better than the second.
_MISSED, _PRECISION = 0.002, 1e-6


def integrate(
    walk: Walk, way: Way, steps: int | None
) -> tuple[dict[str, list[np.ndarray]], dict[str, np.ndarray]]:
    """`(end - start) integral_0^1 dF / dx da` of all that moves, and `F(end) - F(start)`, by task.

    On any stretch of the way these must add up to how much F changes there. Where they do not, the
    stretch is halved.

    Args:
        walk: The gradients.
        way: What moves.
        steps: Places of one Gauss-Legendre rule for the whole way; None for stretches that are
            halved where it takes that.
    """
    moves = [
        # A number that is not known stays so, and adds nothing.
        np.nan_to_num(end.astype("float64") - start)
        for start, end in (*way.numbers.values(), *way.vectors.values())
    ]
    known = {place: walk.targets(place) for place in (0.0, 1.0)}
    changes = {task: known[1.0][task] - start for task, start in known[0.0].items()}
    largest = {
        task: _MISSED * np.abs(change).max() + _PRECISION * np.abs(known[1.0][task]).max()
        for task, change in changes.items()
    }
    total = {task: [np.zeros(move.shape) for move in moves] for task in changes}
    edges = np.linspace(0, 1, 1 + (1 if steps else _STRETCHES)).tolist()
    waiting = [(a, b, 0) for a, b in itertools.pairwise(edges)]
    while waiting:
        a, b, halved = waiting.pop()
        slopes = walk.integrals(_nodes(a, b, steps or _PLACES))
        told = {t: [m * g for m, g in zip(moves, x, strict=True)] for t, x in slopes.items()}
        if not steps and halved < _HALVINGS:
            for place in (a, b):
                known[place] = known.get(place) or walk.targets(place)
            misses = {
                t: np.abs(_by_row(x, len(changes[t])) - (known[b][t] - known[a][t])).max()
                for t, x in told.items()
            }
            if any(misses[t] > largest[t] for t in misses):
                middle = (a + b) / 2
                waiting += [(a, middle, halved + 1), (middle, b, halved + 1)]
                continue
        for task, parts in told.items():
            total[task] = [one + more for one, more in zip(total[task], parts, strict=True)]
    return total, changes


def _nodes(a: float, b: float, count: int) -> list[tuple[float, float]]:
    places, weights = np.polynomial.legendre.leggauss(count)
    half = (b - a) / 2
    return [(a + half * (p + 1), half * w) for p, w in zip(places, weights, strict=True)]


def _by_row(parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
    return np.sum([part.reshape(rows, -1).sum(axis=1) for part in parts], axis=0)
