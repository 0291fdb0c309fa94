"""IMTL-L: losses scaled to be alike, by scales that are learnt."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


def imtl_l_terms(losses: Any, log_scales: Any) -> Any:
    """`exp(s_k) L_k - s_k` for each task, `(K,)`."""
    return ops.exp(log_scales) * losses - log_scales


@keras.saving.register_keras_serializable("keras_mtl")
class IMTLL(LossBalancer):
    """Learns a scale for each loss, by the model's own optimizer, that brings it to 1.

    As `Uncertainty`, but without a distribution behind it and blind to the losses' scale: at the
    optimum of s_k the scaled loss is 1 for every task.

    Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021.
    """

    needs_positive_losses = True

    def make_state(self, k: int) -> None:
        self.log_scales = self.vector("log_scales", trainable=True)

    def objective(self, losses: Any, present: Any) -> Any:
        return ops.sum(ops.where(present, imtl_l_terms(losses, self.log_scales), 0.0))
