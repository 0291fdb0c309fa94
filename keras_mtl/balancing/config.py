"""ConFIG: a step at equal angles to all gradients."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._scaling import cosines, lengths, matvec, solve


def config_weights(gramian: Any, present: Any) -> Any:
    """`|g|^-1 C^+ 1`, times the sum of the gradients' projections onto that direction, `(K,)`."""
    norms = lengths(gramian)
    alike = cosines(gramian) + 1e-6 * ops.eye(gramian.shape[0])
    direction = present * solve(alike, ops.ones_like(norms)) / norms * ops.min(norms)
    onto = matvec(gramian, direction)
    square = ops.sum(direction * onto)
    length = ops.sum(present * onto) / ops.where(square > 0, square, 1.0)
    return ops.where(square > 0, length, 0.0) * direction


@keras.saving.register_keras_serializable("keras_mtl")
class ConFIG(GramianBalancer):
    """Steps in the direction that has the same positive cosine with every gradient.

    Its length is the sum of the gradients' projections onto it, so that a step grows with agreement;
    for gradients that are all the same, the weights sum to K.

    Liu, Chu and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed Neural
    Networks", ICLR 2025, arXiv:2408.11104.

    Args:
        gradients: "parameters" or "features".
    """

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return config_weights(gramian, present)
