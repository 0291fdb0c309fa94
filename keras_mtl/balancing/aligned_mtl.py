"""Aligned-MTL: the gradients made orthogonal and equally long."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._preference import shares_of
from keras_mtl.balancing._preference_balancer import PreferenceBalancer
from keras_mtl.balancing._scaling import matvec, unit_trace

_SCALES = ("min", "median", "rmse")


def aligned_mtl_weights(gramian: Any, preference: Any, *, scale: str, count: Any) -> Any:
    """`sqrt(s) G^(-1/2) p`, `(K,)`, with s an eigenvalue of G.

    Args:
        gramian: `(K, K)`.
        preference: `(K,)`.
        scale: Which eigenvalue: the least of those that are not zero, their median, or their mean.
        count: How many eigenvalues are of tasks that are present; the others are the largest.
    """
    k = gramian.shape[0]
    values, vectors = ops.eigh(unit_trace(gramian))
    index = ops.cast(ops.arange(k), "float32")
    kept = ops.logical_and(values > 1.2e-7 * k * ops.max(values), index < count)
    safe = ops.where(kept, values, 1.0)
    if scale == "min":
        s = ops.min(ops.where(kept, values, 1e30))
    elif scale == "median":
        rank = ops.sum(ops.cast(kept, "float32"))
        middle = count - rank + ops.floor((rank - 1.0) / 2.0)
        s = ops.sum(ops.where(index == middle, values, 0.0))
    else:
        s = ops.sum(ops.where(kept, values, 0.0)) / ops.maximum(
            ops.sum(ops.cast(kept, "float32")), 1.0
        )
    root = ops.where(kept, ops.rsqrt(safe), 0.0)
    inner = matvec(ops.transpose(vectors), preference) * root
    return ops.where(ops.any(kept), ops.sqrt(s), 0.0) * matvec(vectors, inner)


@keras.saving.register_keras_serializable("keras_mtl")
class AlignedMTL(PreferenceBalancer):
    """Aligns the principal components of the gradients, so that no task dominates or conflicts.

    The mean of the aligned gradients: with orthogonal gradients of one length the weights are 1/K.

    Senushkin et al., "Independent Component Alignment for Multi-Task Learning", CVPR 2023,
    arXiv:2305.19000.

    Args:
        scale: How long the aligned gradients are: "min", as in the paper, "median" or "rmse", by the
            square roots of the Gramian's eigenvalues.
        preference: How much each task counts, by name; 1 where a task is not named.
        gradients: "parameters" or "features".

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If the scale is none of these, a number is negative, or, when it meets the model,
            a task is unknown.
    """

    def __init__(
        self,
        scale: str = "min",
        preference: Mapping[str, float] | None = None,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(preference, gradients, **kwargs)
        if scale not in _SCALES:
            raise ValueError(f"`scale` is {scale!r}; expected one of {list(_SCALES)}.")
        self.scale = scale

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        count = ops.sum(present)
        preference = shares_of(self.wanted, present)
        return aligned_mtl_weights(gramian, preference, scale=self.scale, count=count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
