"""Quadratic programs over weights that must not be negative: exact, in a bounded loop."""

from typing import Any

from keras import ops

# Keeps gradients that are parallel from making a system singular, in units of a unit diagonal.
_RIDGE = 1e-6


def nonnegative(matrix: Any, targets: Any) -> Any:
    """`argmin_{u >= 0} u^T Q u / 2 - b^T u` for each `b`, by block principal pivoting.

    Guesses which entries are above 0, solves for these, exchanges all that came out on the wrong
    side, and one at a time where that does not help; a few solves of K x K in all.

    Kim and Park, "Fast Nonnegative Matrix Factorization: An Active-Set-Like Method and
    Comparisons", SIAM Journal on Scientific Computing 33(6), 2011.

    Args:
        matrix: Q, `(K, K)`, positive semidefinite with ones on its diagonal.
        targets: The b, `(M, K)`.

    Returns:
        `(M, K)`.
    """
    k = matrix.shape[0]
    eye = ops.eye(k)
    matrix = matrix + _RIDGE * eye
    scale = ops.max(ops.abs(targets), axis=1, keepdims=True)
    targets = targets / ops.where(scale > 0, scale, 1.0)
    index = ops.arange(k)

    def solved(passive: Any) -> Any:
        both = ops.logical_and(passive[:, :, None], passive[:, None, :])
        systems = ops.where(both, matrix, eye * (1.0 - ops.cast(passive, "float32"))[:, :, None])
        wanted = ops.where(passive, targets, 0.0)
        return ops.solve(systems, wanted[:, :, None])[:, :, 0]

    def wrong_side(passive: Any, x: Any) -> Any:
        slope = ops.matmul(x, matrix) - targets
        size = 1.0 + ops.max(ops.abs(x), axis=1, keepdims=True)
        return ops.where(passive, x < -1e-6 * size, slope < -2e-6 * size)

    def body(step: Any, passive: Any, wrong: Any, best: Any, grace: Any) -> Any:
        count = ops.sum(ops.cast(wrong, "int32"), axis=1)
        better = count < best
        best = ops.minimum(best, count)
        grace = ops.where(better, 3, grace - 1)
        last = ops.max(ops.where(wrong, index, -1), axis=1, keepdims=True)
        swapped = ops.where((grace > 0)[:, None], wrong, ops.logical_and(wrong, index == last))
        passive = ops.logical_xor(passive, swapped)
        return step + 1, passive, wrong_side(passive, solved(passive)), best, grace

    passive = targets > 0
    m = targets.shape[0]
    state = (
        ops.zeros((), "int32"),
        passive,
        wrong_side(passive, solved(passive)),
        ops.full((m,), k + 1, dtype="int32"),
        ops.full((m,), 3, dtype="int32"),
    )
    _, passive, *_ = ops.while_loop(
        lambda step, passive, wrong, best, grace: ops.any(wrong),
        body,
        state,
        maximum_iterations=4 * k + 8,
    )
    return ops.maximum(solved(passive), 0.0) * scale
