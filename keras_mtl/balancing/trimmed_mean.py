"""Trimmed mean: each entry's extremes are left out."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gradient_balancer import GradientBalancer
from keras_mtl.balancing._sorting import in_order


def trimmed_mean(gradients: Any, present: Any, *, trim: int) -> Any:
    """The mean of what is left when the `trim` largest and smallest are dropped at each entry.

    Args:
        gradients: `(K, ...)`.
        present: `(K,)` booleans; only these are sorted. As many are dropped as leave one at least.
        trim: How many are dropped at either end.

    Returns:
        `(...)`.
    """
    k = gradients.shape[0]
    there = ops.reshape(present, (k, *[1] * (len(gradients.shape) - 1)))
    # Absent tasks go to the far end and are not counted.
    rows = in_order(ops.unstack(ops.where(there, gradients, float("inf")), k))
    count = ops.sum(ops.cast(present, "int32"))
    dropped = ops.minimum(trim, ops.maximum(count - 1, 0) // 2)
    total = ops.zeros_like(rows[0])
    for i, row in enumerate(rows):
        kept = ops.logical_and(i >= dropped, i < count - dropped)
        total = total + ops.where(kept, row, 0.0)
    return total / ops.cast(ops.maximum(count - 2 * dropped, 1), total.dtype)


@keras.saving.register_keras_serializable("keras_mtl")
class TrimmedMean(GradientBalancer):
    """At every entry drops the largest and the smallest gradients and takes the mean of the rest.

    With K = 2 nothing can be dropped, and it is the mean gradient.

    Yin, Chen, Kannan and Bartlett, "Byzantine-Robust Distributed Learning: Towards Optimal
    Statistical Rates", ICML 2018, arXiv:1803.01498.

    Args:
        trim: How many are dropped at either end.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `trim` is negative.
    """

    def __init__(self, trim: int = 1, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if trim < 0:
            raise ValueError(f"`trim` is {trim!r}; expected an integer that is not negative.")
        self.trim = int(trim)

    def combine(self, gradients: Any, present: Any) -> Any:
        return trimmed_mean(gradients, present, trim=self.trim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trim": self.trim}
