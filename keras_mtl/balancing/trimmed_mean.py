"""Trimmed mean: each entry's extremes are left out."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gradient_balancer import GradientBalancer


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
    shape = (k, *[1] * (len(gradients.shape) - 1))
    there = ops.reshape(present, shape)
    # Absent tasks go to the far end and are not counted.
    ordered = ops.sort(ops.where(there, gradients, float("inf")), axis=0)
    count = ops.sum(ops.cast(present, "int32"))
    dropped = ops.minimum(trim, ops.maximum(count - 1, 0) // 2)
    index = ops.reshape(ops.arange(k, dtype="int32"), shape)
    kept = ops.logical_and(index >= dropped, index < count - dropped)
    total = ops.sum(ops.where(kept, ordered, ops.zeros_like(ordered)), axis=0)
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
