"""Uncertainty weighting: each task's noise is learnt and its loss divided by it."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


def uncertainty_terms(losses: Any, log_variances: Any) -> Any:
    """`exp(-s_k) L_k + s_k / 2` for each task, `(K,)`, with s_k = log sigma_k^2."""
    return ops.exp(-log_variances) * losses + 0.5 * log_variances


@keras.saving.register_keras_serializable("keras_mtl")
class Uncertainty(LossBalancer):
    """Weights each task by its learnt homoscedastic uncertainty.

    Minimises sum_k L_k / sigma_k^2 + log sigma_k with s_k = log sigma_k^2 trained by the model's
    own optimizer, the classification form of the paper; at the optimum of s_k a task's weighted
    loss is 1/2. A task that is absent from a batch moves neither the model nor its s_k.

    Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
    Geometry and Semantics", CVPR 2018, arXiv:1705.07115.

    Args:
        initial: Where every s_k starts; 0 is a weight of 1.
    """

    needs_positive_losses = True

    def __init__(self, initial: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = float(initial)

    def make_state(self, k: int) -> None:
        start = keras.initializers.Constant(self.initial)
        self.log_variances = self.vector("log_variances", start, trainable=True)

    def task_weights(self, losses: Any) -> Any:
        return ops.exp(-self.log_variances)

    def objective(self, losses: Any, present: Any) -> Any:
        terms = uncertainty_terms(losses, self.log_variances)
        return ops.sum(ops.where(present, terms, ops.zeros_like(terms)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial}
