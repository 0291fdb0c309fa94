"""IMTL-G: a step whose projections onto all gradients are equal."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._scaling import cosines, lengths, solve


def imtl_g_weights(gramian: Any, present: Any) -> Any:
    """`G w = t |g|` with weights that sum to 1 over the tasks present, `(K,)`; 0 for a zero gradient."""
    norms = lengths(gramian)
    there = present * ops.cast(ops.diagonal(gramian) > 0, "float32")
    alike = cosines(gramian) + 1e-6 * ops.eye(gramian.shape[0])
    shortest = ops.min(ops.where(there > 0, norms, 1e30))
    raw = there * solve(alike, ops.ones_like(norms)) * ops.where(there > 0, shortest / norms, 0.0)
    total = ops.sum(raw)
    # Where the equation has no solution of a finite sum, all weigh the same.
    sound = ops.abs(total) > 1e-6 * ops.sum(ops.abs(raw))
    equal = present / ops.maximum(ops.sum(present), 1.0)
    return ops.where(sound, raw / ops.where(sound, total, 1.0), equal)


@keras.saving.register_keras_serializable("keras_mtl")
class IMTLG(GramianBalancer):
    """Weighs the gradients so that the step goes equally far along each of their directions.

    Blind to the scale of the losses. The weights sum to 1; some may be negative.

    Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021.

    Args:
        gradients: "parameters" or, as in the paper, "features".
    """

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return imtl_g_weights(gramian, present)
