"""GLS: the geometric mean of the losses."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


def geometric_mean(losses: Any, present: Any) -> Any:
    """`(prod_k L_k)^(1/n)` over the n tasks present, `()`; 0 if there is none."""
    there = ops.cast(present, "float32")
    count = ops.sum(there)
    logs = ops.where(present, ops.log(ops.maximum(losses, 1e-20)), 0.0)
    mean = ops.exp(ops.sum(logs) / ops.maximum(count, 1.0))
    return ops.where(count > 0, mean, 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class GLS(LossBalancer):
    """Minimises the geometric mean of the losses, which no loss's scale can tilt.

    A task's weight is the mean over K times its loss. The losses must not be negative.

    Chennupati, Sistu, Yogamani and Rawashdeh, "MultiNet++: Multi-Stream Feature Aggregation and
    Geometric Loss Strategy for Multi-Task Learning", CVPR Workshops 2019, arXiv:1904.08492.
    """

    needs_positive_losses = True

    def objective(self, losses: Any, present: Any) -> Any:
        return geometric_mean(losses, present)
