"""Gaussian kernels of several widths, in units of the distances that the rows themselves have."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_mtl.alignment._sample import Sample, deviations

BANDWIDTHS = ("mean", "median")


def squared_distances(x: Any, y: Any) -> Any:
    """`|x_i - y_j|^2`, `(n, m)`, of all rows."""
    # Of rows about their middle, so that little is lost where large numbers cancel.
    middle = ops.stop_gradient(0.5 * (ops.mean(x, axis=0) + ops.mean(y, axis=0)))
    x, y = x - middle, y - middle
    squares = ops.expand_dims(ops.sum(ops.square(x), axis=1), 1) + ops.sum(ops.square(y), axis=1)
    return ops.maximum(squares - 2.0 * ops.matmul(x, ops.transpose(y)), 0.0)


def gaussian(squares: Any, unit: Any, factors: Sequence[float]) -> Any:
    """The mean over the factors of `exp(-squares / (factor * unit))`, in the shape of the quotient."""
    squares = squares / unit
    return sum(ops.exp(-squares / float(f)) for f in factors) / float(len(factors))


def unit_of(x: Sample, y: Sample, bandwidth: str) -> Any:
    """The mean or median of the squared distances between any two rows of both sides, `(...)`.

    It is positive, and a constant for the backward pass.
    """
    count = x.count + y.count
    total = ops.matmul(x.weights, x.rows) + ops.matmul(y.weights, y.rows)
    middle = total / ops.expand_dims(ops.maximum(count, 1.0), -1)
    scatter = sum(ops.sum(ops.square(deviations(s, middle)), axis=(-2, -1)) for s in (x, y))
    # Each pair counted once, the mean squared distance is twice the unbiased total variance.
    found = 2.0 * scatter / ops.maximum(count - 1.0, 1.0)
    if bandwidth == "median":
        found = _median(x, y)
    # Rows that are all alike still differ by the rounding of their size.
    rounding = 1e-10 * ops.sum(ops.square(middle), axis=-1) + 1e-12
    return ops.stop_gradient(ops.maximum(found, rounding))


def _median(x: Sample, y: Sample) -> Any:
    found, counted = [], []
    for one, other in ((x, x), (y, y), (x, y)):
        between = ops.expand_dims(one.weights, -1) * ops.expand_dims(other.weights, -2)
        # Of two rows of one side there is one pair, and none of a row and itself.
        between = ops.triu(between, 1) if one is other else between
        squares = squared_distances(one.rows, other.rows)
        found.append(ops.reshape(squares + ops.zeros_like(between), (*between.shape[:-2], -1)))
        counted.append(ops.reshape(between, (*between.shape[:-2], -1)))
    squares, there = ops.concatenate(found, axis=-1), ops.concatenate(counted, axis=-1)
    # Pairs that do not count stand last: where none does, the number is not used.
    in_order = ops.sort(ops.where(there > 0, squares, ops.max(squares)), axis=-1)
    pairs = ops.expand_dims(ops.cast(ops.sum(there, axis=-1), "int32"), -1)
    both = ops.concatenate([ops.maximum(pairs - 1, 0) // 2, pairs // 2], axis=-1)
    return ops.mean(ops.take_along_axis(in_order, both, axis=-1), axis=-1)
