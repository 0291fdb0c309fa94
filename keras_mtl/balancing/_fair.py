"""The weights of alpha-fairness, of which bargaining is the case alpha = 1."""

from typing import Any

from keras import ops

from keras_mtl.balancing._scaling import cosines, diagonal_matrix, lengths, matvec, solve

_RIDGE = 1e-6


def fair_weights(gramian: Any, *, alpha: float, iterations: int = 60) -> Any:
    """The positive solution of `G w = w^(-1/alpha)`, `(K,)`, by Newton's method.

    It is the minimum of `w^T G w / 2` plus a barrier, strictly convex, so that steps damped by the
    Newton decrement lead there from anywhere.

    Args:
        gramian: `(K, K)`; a zero gradient gets the weight 0.
        alpha: Of the fairness; positive.
        iterations: The most Newton steps.
    """
    k = gramian.shape[0]
    power = 1.0 / alpha
    there = ops.diagonal(gramian) > 0
    norms = lengths(gramian)
    alike = cosines(gramian) + _RIDGE * ops.eye(k)
    # In v = w |g| the matrix has ones on its diagonal; in units of the longest, nothing overflows.
    unit = ops.max(ops.where(there, norms, 0.0))
    unit = ops.where(unit > 0, unit, 1.0)
    force = ops.power(norms / unit, power - 1.0)

    def body(v: Any, decrement: Any) -> tuple[Any, Any]:
        pull = force * ops.power(v, -power)
        slope = matvec(alike, v) - pull
        step = solve(alike + diagonal_matrix(power * pull / v), slope)
        decrement = ops.sqrt(ops.maximum(ops.sum(slope * step), 0.0))
        # Relative to the barrier, whose own size the decrement has.
        relative = decrement / ops.sqrt(ops.maximum(ops.sum(pull * v), 1e-30))
        damped = step / (1.0 + ops.where(relative > 0.1, relative * k**0.5, 0.0))
        return ops.maximum(v - damped, 0.1 * v), relative

    start = ops.power(force, alpha / (1.0 + alpha))
    v, _ = ops.while_loop(
        lambda v, decrement: decrement > 1e-6,
        body,
        (start, ops.ones((), "float32")),
        maximum_iterations=iterations,
    )
    # With G = n C n and w = s v / n the equation is C v = s^-(1+p) n^(p-1) v^-p.
    scale = ops.power(unit, (power - 1.0) / (power + 1.0))
    return ops.where(there, v / norms * scale, 0.0)
