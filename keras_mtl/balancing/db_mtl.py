"""DB-MTL: logarithms of losses, and their gradients brought to one length."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._following_balancer import Followed, FollowingBalancer, along
from keras_mtl.balancing._scaling import lengths


def db_mtl_weights(gramian: Any) -> Any:
    """`max_j |g_j| / |g_k|`, `(K,)`; 0 for a gradient that is zero."""
    there = ops.diagonal(gramian) > 0
    norms = lengths(gramian)
    return ops.where(there, ops.max(ops.where(there, norms, 0.0)) / norms, 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class DBMTL(FollowingBalancer):
    """Differentiates the logarithm of each loss and scales all gradients to the longest.

    The gradients are moving means over steps, for which it keeps `K P` numbers for P shared
    parameters. Losses must be positive; heads learn from the logarithms as well.

    Lin, Jiang, Ye, Zhang, Chen, Chen, Liu and Kwok, "Dual-Balancing for Multi-Task Learning", 2023,
    arXiv:2308.12029.

    Args:
        beta: How much of the mean stays at a step; 0 is the gradient itself.
        decay: The power of the step by which that falls.

    Raises:
        ValueError: If `beta` is not from 0 to below 1, or the decay negative.
    """

    needs_positive_losses = True
    lengths_only = True

    def __init__(self, beta: float = 0.9, decay: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 <= beta < 1 or not decay >= 0:
            raise ValueError(
                f"DBMTL came with `beta` {beta!r} and `decay` {decay!r}; expected a number from 0 to "
                "below 1, and one that is not negative."
            )
        self.beta = float(beta)
        self.decay = float(decay)

    def make_state(self, k: int) -> None:
        self.step = self.vector("step", "ones")

    def differentiated(self, losses: Sequence[Any], whole: Any, present: Any) -> Sequence[Any]:
        # The logarithm is of the loss over all replicas, of which each has a share.
        return [
            loss / (constant + 1e-8)
            for loss, constant in zip(losses, ops.unstack(whole, len(losses)), strict=True)
        ]

    def follow(self, gradients: Any, kept: Any, norms: Any, losses: Any) -> Followed:
        stays = along(self.beta / ops.power(self.step.value, self.decay), gradients)
        mean = gradients + stays * (kept - gradients)
        return Followed(mean, mean, mean)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        self.step.assign(self.step + present)
        there = ops.where(ops.expand_dims(present, 1) * present > 0, gramian, 0.0)
        return db_mtl_weights(there)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "decay": self.decay}
