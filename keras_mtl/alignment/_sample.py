"""A batch of features and which of its rows take part: shapes stay as they are, so that XLA compiles.

A weight says of a row whether it takes part, `(n,)`. Weights with an axis in front, `(P, n)`, are those
of P comparisons on the same rows, whose distances are found at once, `(P,)`. Below, "..." is that axis.
"""

from typing import Any, NamedTuple

from keras import ops


class Sample(NamedTuple):
    """The rows of one side of a comparison.

    Attributes:
        rows: `(n, d)` in float32.
        weights: `(..., n)`, 1 where a row takes part and 0 where it does not.
        count: How many take part, `(...)` in float32.
    """

    rows: Any
    weights: Any
    count: Any


def sample(rows: Any, weights: Any = None) -> Sample:
    """`rows` in float32, all of which take part where no weights are given."""
    rows = ops.cast(rows, "float32")
    weights = ops.ones_like(rows[:, 0]) if weights is None else ops.cast(weights, "float32")
    return Sample(rows, weights, ops.sum(weights, axis=-1))


def shares(of: Sample) -> Any:
    """The weights over their sum, `(..., n)`; 0 where none takes part."""
    return of.weights / ops.expand_dims(ops.maximum(of.count, 1.0), -1)


def mean(of: Sample) -> Any:
    """The mean row, `(..., d)`; 0 where none takes part."""
    return ops.matmul(shares(of), of.rows)


def deviations(of: Sample, centre: Any) -> Any:
    """The rows less `centre`, `(..., n, d)`; 0 for those that take no part."""
    return (of.rows - ops.expand_dims(centre, -2)) * ops.expand_dims(of.weights, -1)


def first_rows(of: Sample) -> Any:
    """The rows that take part before all others, both in the order of the batch, `(..., n, d)`."""
    length = ops.shape(of.rows)[0]
    place = ops.arange(length, dtype="int32")
    order = ops.argsort(ops.where(of.weights > 0, place, place + length), axis=-1)
    return ops.take(of.rows, order, axis=0)


def where_comparable(value: Any, x: Sample, y: Sample) -> Any:
    """`value` where both sides have two rows or more, else 0; it must be finite in either case."""
    both = ops.logical_and(x.count >= 2, y.count >= 2)
    return ops.where(both, value, ops.zeros_like(value))
