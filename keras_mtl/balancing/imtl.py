"""IMTL: losses scaled alike, and a step that goes equally far along all of their gradients."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._replicas import replicas
from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing.imtl_g import imtl_g_weights


@keras.saving.register_keras_serializable("keras_mtl")
class IMTL(GramianBalancer):
    """IMTL-L on the losses, whose scales heads learn with too, and IMTL-G on their gradients.

    What a task has to itself is trained by the loss times its learnt scale; what is shared, by weights
    that sum to 1 of the gradients of the scaled losses.

    Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021.

    Args:
        gradients: "parameters" or, as in the paper, "features".
        every: How often the gradients are balanced, in steps.
    """

    needs_positive_losses = True

    def make_state(self, k: int) -> None:
        self.log_scales = self.vector("log_scales", trainable=True)

    def differentiated(self, losses: Sequence[Any], whole: Any, present: Any) -> Sequence[Any]:
        # Each replica has its share of the loss, and so of the term that keeps the scale up.
        scales = ops.unstack(self.log_scales.value, len(losses))
        there = ops.unstack(ops.cast(present, "float32"), len(losses))
        return [
            ops.exp(s) * loss - t * s / replicas()
            for loss, s, t in zip(losses, scales, there, strict=True)
        ]

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return imtl_g_weights(gramian, present)
