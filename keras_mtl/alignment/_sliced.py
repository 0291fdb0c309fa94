"""Sliced Wasserstein: rows projected onto lines, where transport is the matching of sorted numbers."""

from typing import Any

import keras
from keras import ops

from keras_mtl.alignment._sample import Sample, sample, where_comparable


def random_directions(dimensions: int, count: int, generator: keras.random.SeedGenerator) -> Any:
    """Unit vectors drawn uniformly from the sphere, `(dimensions, count)`."""
    drawn = keras.random.normal((dimensions, count), dtype="float32", seed=generator)
    return drawn / ops.sqrt(ops.sum(ops.square(drawn), axis=0) + 1e-30)


def sliced_wasserstein(
    x: Any,
    y: Any,
    x_weights: Any = None,
    y_weights: Any = None,
    *,
    directions: Any,
    power: int = 2,
    points: int = 128,
) -> Any:
    """The mean over directions of the transport cost between the projections, `W_p^p`, `()`.

    On a line `W_p^p = int_0^1 |F_x^-1(u) - F_y^-1(u)|^p du`, F^-1 being the quantiles of a sample. They
    are read off at the middles of `points` equal steps of u, which serves samples of different sizes
    and is exact where n and m both divide `points`. It is 0 where a side has fewer than two rows.

    Bonneel, Rabin, Peyre and Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", Journal
    of Mathematical Imaging and Vision 51, 2015; between domains, Lee et al., "Sliced Wasserstein
    Discrepancy for Unsupervised Domain Adaptation", CVPR 2019, arXiv:1903.04064.

    Args:
        x: `(n, d)`.
        y: `(m, d)`.
        x_weights: `(n,)`, 1 for rows that take part and 0 for others; all do by default.
        y_weights: `(m,)`, likewise.
        directions: `(d, L)`, unit vectors.
        power: p, 1 or 2.
        points: How many quantiles are compared.
    """
    if power not in (1, 2):
        raise ValueError(f"`power` of sliced_wasserstein is {power!r}; expected 1 or 2.")
    one, other = sample(x, x_weights), sample(y, y_weights)
    gaps = _quantiles(one, directions, points) - _quantiles(other, directions, points)
    cost = ops.mean(ops.abs(gaps) if power == 1 else ops.square(gaps), axis=(-2, -1))
    return where_comparable(cost, one, other)


def _quantiles(of: Sample, directions: Any, points: int) -> Any:
    """Of each projection, `(..., points, L)`."""
    projected = ops.matmul(of.rows, directions)
    # Rows that take no part are sorted behind all others, and never read while there are others.
    behind = ops.stop_gradient(ops.max(projected)) + 1.0
    there = ops.expand_dims(of.weights, -1) > 0
    in_order = ops.sort(ops.where(there, projected, behind), axis=-2)
    # floor(u n) in whole numbers, at the middles u of the steps.
    middles = 2 * ops.arange(points, dtype="int32") + 1
    places = middles * ops.expand_dims(ops.cast(of.count, "int32"), -1) // (2 * points)
    lines = ops.zeros(projected.shape[-1:], "int32")
    return ops.take_along_axis(in_order, ops.expand_dims(places, -1) + lines, axis=-2)
