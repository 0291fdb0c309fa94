"""Weights on the simplex of the tasks that are present."""

from typing import Any

from keras import ops


def onto_simplex(values: Any, present: Any) -> Any:
    """The nearest weights that are not negative and sum to 1, `(K,)`; 0 for absent tasks.

    The threshold t of `max(v - t, 0)` is the largest of those that the values themselves suggest,
    which needs no sorting.

    Args:
        values: `(K,)`.
        present: `(K,)`, 1 for a task that is present, else 0.
    """
    at_least = ops.cast(values >= ops.expand_dims(values, 1), "float32") * present
    count = ops.maximum(ops.sum(at_least, axis=1), 1.0)
    suggested = (ops.sum(at_least * values, axis=1) - 1.0) / count
    threshold = ops.max(ops.where(present > 0, suggested, -1e30))
    return ops.where(present > 0, ops.maximum(values - threshold, 0.0), 0.0)


def shared_out(weights: Any, present: Any) -> tuple[Any, Any]:
    """The weights of the tasks that are present, scaled to sum to 1, `(K,)`, and what they sum to."""
    total = ops.sum(weights * present)
    equal = present / ops.maximum(ops.sum(present), 1.0)
    return ops.where(total > 0, present * weights / ops.where(total > 0, total, 1.0), equal), total


def put_back(weights: Any, shares: Any, total: Any, present: Any) -> Any:
    """`weights` with new shares of `total` for the tasks that are present, `(K,)`."""
    return ops.where(present > 0, shares * total, weights)
