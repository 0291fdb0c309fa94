"""Gramians brought to a scale at which float32 can solve with them."""

from typing import Any

from keras import ops


def lengths(gramian: Any) -> Any:
    """The norm of each gradient, `(K,)`; 1 for one that is zero."""
    squares = ops.diagonal(gramian)
    return ops.sqrt(ops.where(squares > 0, squares, ops.ones_like(squares)))


def cosines(gramian: Any) -> Any:
    """The cosines between the gradients, `(K, K)`; 1 on the diagonal, 0 beside a zero gradient."""
    norms = lengths(gramian)
    scaled = gramian / norms / ops.expand_dims(norms, 1)
    return ops.where(ops.eye(gramian.shape[0], dtype="bool"), 1.0, ops.clip(scaled, -1.0, 1.0))


def unit_trace(gramian: Any) -> Any:
    """The Gramian over its trace; zero stays zero."""
    trace = ops.sum(ops.diagonal(gramian))
    return gramian / ops.where(trace > 0, trace, ops.ones_like(trace))


def matvec(matrix: Any, vector: Any) -> Any:
    """`matrix @ vector`, `(K,)`."""
    return ops.matmul(matrix, ops.expand_dims(vector, 1))[:, 0]


def diagonal_matrix(values: Any) -> Any:
    """`(K, K)` with `values`, `(K,)`, on the diagonal and zeros beside it.

    `ops.diag` of keras 3.12 branches on the size, and XLA then knows no shape.
    """
    return ops.where(ops.eye(values.shape[0], dtype="bool"), values, 0.0)


def solve(matrix: Any, vector: Any) -> Any:
    """`x` with `matrix @ x = vector`, `(K,)`."""
    return ops.solve(matrix, ops.expand_dims(vector, 1))[:, 0]
