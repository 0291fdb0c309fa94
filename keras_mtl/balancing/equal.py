"""Equal weights: the plain sum of the losses after alpha."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


@keras.saving.register_keras_serializable("keras_mtl")
class Equal(LossBalancer):
    """Every task weighs 1: the joint loss is the sum of the losses after alpha.

    The baseline that every other balancer has to beat; Kurin et al., "In Defense of the Unitary
    Scalarization for Deep Multi-Task Learning", NeurIPS 2022.
    """

    def task_weights(self, losses: Any) -> Any:
        return ops.ones_like(losses)
