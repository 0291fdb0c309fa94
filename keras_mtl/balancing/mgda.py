"""MGDA: the shortest vector in the convex hull of the gradients."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._quadratic import nonnegative
from keras_mtl.balancing._scaling import cosines, lengths

_NORMALISATIONS = ("none", "l2", "loss", "loss+")


def mgda_weights(gramian: Any) -> Any:
    """`argmin_w w^T G w` over the simplex, `(K,)`; sums to 1.

    Solved as u / sum(u) with `u = argmin_{u >= 0} u^T G u / 2 - sum(u)`.
    """
    norms = lengths(gramian)
    # The shortest gradient as the unit, so that nothing overflows.
    unit = ops.min(norms)
    u = nonnegative(cosines(gramian), ops.expand_dims(unit / norms, 0))[0] * (unit / norms)
    # A gradient that is zero is itself the shortest vector.
    zero = ops.cast(ops.diagonal(gramian) <= 0, "float32")
    u = ops.where(ops.sum(zero) > 0, zero, u)
    return u / ops.maximum(ops.sum(u), 1e-30)


@keras.saving.register_keras_serializable("keras_mtl")
class MGDA(GramianBalancer):
    """Steps along the shortest convex combination of the gradients, which harms no task.

    The weights sum to 1, so a step is about 1/K of that with equal weights. With
    `gradients="features"` this is MGDA-UB of the second paper.

    Desideri, "Multiple-Gradient Descent Algorithm (MGDA) for Multiobjective Optimization", Comptes
    Rendus Mathematique 350, 2012; Sener and Koltun, "Multi-Task Learning as Multi-Objective
    Optimization", NeurIPS 2018, arXiv:1810.04650.

    Args:
        normalisation: What each gradient is divided by where the weights are found: "none", "l2"
            (its norm), "loss" (its loss) or "loss+" (both).
        gradients: "parameters" or "features".

    Raises:
        ValueError: If the normalisation is none of these.
    """

    stand_in = "mean"

    def __init__(self, normalisation: str = "none", gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if normalisation not in _NORMALISATIONS:
            raise ValueError(
                f"`normalisation` is {normalisation!r}; expected one of {list(_NORMALISATIONS)}."
            )
        self.normalisation = normalisation

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        size = ops.ones_like(losses)
        if self.normalisation in ("loss", "loss+"):
            size = size * ops.maximum(losses, 1e-12)
        if self.normalisation in ("l2", "loss+"):
            size = size * lengths(gramian)
        return mgda_weights(gramian / size / ops.expand_dims(size, 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalisation": self.normalisation}
