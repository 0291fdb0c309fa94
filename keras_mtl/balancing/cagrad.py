"""CAGrad: the worst-off task gains most within a ball around the mean gradient."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._quadratic import nonnegative
from keras_mtl.balancing._scaling import cosines, lengths, matvec, unit_trace


def cagrad_weights(gramian: Any, *, c: float, iterations: int = 15) -> Any:
    """`1/K + u`, where `d = g_0 + J^T u` has the largest `min_k <g_k, d>` with `|d - g_0| = c |g_0|`.

    For a given value v of that minimum, u >= 0 is the shortest `J^T u` that reaches it, a quadratic
    program; its length is convex and increasing in v, so that Newton's method, begun at or above the
    solution, comes down to the v of length `c |g_0|`.
    """
    k = gramian.shape[0]
    mean = ops.full((k,), 1.0 / k)
    scaled = unit_trace(gramian)
    norms, there = lengths(scaled), ops.diagonal(scaled) > 0
    alike = cosines(scaled)
    to_mean = matvec(scaled, mean)
    square = ops.maximum(ops.sum(mean * to_mean), 0.0)
    radius = c * ops.sqrt(square)

    def reached(value: Any) -> tuple[Any, Any]:
        # A gradient that is zero gains nothing from any step, and asks for none.
        wanted = ops.where(there, (value - to_mean) / norms, -1.0)
        u = nonnegative(alike, ops.expand_dims(wanted, 0))[0]
        return u / norms, ops.sqrt(ops.maximum(ops.sum(u * wanted), 0.0))

    def body(value: Any, u: Any, length: Any) -> tuple[Any, Any, Any]:
        slope = ops.sum(ops.where(there, u, 0.0)) / ops.maximum(length, 1e-20)
        value = value - (length - radius) / ops.maximum(slope, 1e-20)
        return value, *reached(value)

    start = (1.0 + c) * square
    _, u, length = ops.while_loop(
        lambda value, u, length: length > radius * (1.0 + 1e-5),
        body,
        (start, *reached(start)),
        maximum_iterations=iterations,
    )
    return mean + u * ops.where(length > 0, radius / ops.maximum(length, 1e-20), 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class CAGrad(GramianBalancer):
    """Steps where the least improved task improves most, no further than c |g_0| from the mean g_0.

    At c = 0 it is the mean gradient; for c >= 1 no task is harmed. The step is not divided by
    1 + c^2 as in some code, so the weights sum to more than 1.

    Liu, Liu, Jin, Stone and Liu, "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS
    2021, arXiv:2110.14048.

    Args:
        c: The radius of the ball over the length of the mean gradient; the paper uses 0.4 and 0.5.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `c` is negative.
    """

    stand_in = "mean"

    def __init__(self, c: float = 0.5, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if not c >= 0:
            raise ValueError(f"`c` is {c!r}; expected a number that is not negative.")
        self.c = float(c)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return cagrad_weights(gramian, c=self.c)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "c": self.c}
