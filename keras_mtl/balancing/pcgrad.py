"""PCGrad: each gradient loses what conflicts with the others."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer


def pcgrad_weights(gramian: Any, order: Any) -> Any:
    """The sum of the projected gradients in terms of the gradients, `(K,)`.

    Args:
        gramian: `(K, K)`.
        order: `(K, K)` integers; row i is the order in which gradient i meets all others.
    """
    k = gramian.shape[0]
    eye = ops.eye(k)
    squares = ops.diagonal(gramian)
    safe = ops.where(squares > 0, squares, ops.ones_like(squares))
    mixed = eye
    for step in range(k):
        met = ops.take(eye, order[:, step], axis=0)
        along = ops.sum(ops.matmul(mixed, gramian) * met, axis=1)
        drop = ops.minimum(along, 0.0) / ops.sum(safe * met, axis=1)
        # No gradient meets itself.
        mixed = mixed - ops.expand_dims(drop, 1) * met * (1.0 - eye)
    return ops.sum(mixed, axis=0)


def random_order(k: int, seed: Any) -> Any:
    """K random permutations of K, `(K, K)`."""
    return ops.argsort(keras.random.uniform((k, k), seed=seed), axis=1)


@keras.saving.register_keras_serializable("keras_mtl")
class PCGrad(GramianBalancer):
    """Projects each gradient onto the normal plane of every other that it conflicts with.

    Each meets the others in a random order; the projections are summed, so that without conflicts
    this is equal weighting (weights of 1).

    Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, arXiv:2001.06782.

    Args:
        seed: An integer makes the orders repeatable.
        gradients: "parameters" or "features".
    """

    def __init__(self, seed: int | None = None, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return pcgrad_weights(gramian, random_order(gramian.shape[0], self.generator))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
