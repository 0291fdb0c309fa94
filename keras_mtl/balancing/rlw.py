"""Random loss weighting: new random weights at every step."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


def rlw_weights(draws: Any) -> Any:
    """Weights that sum to K from K draws: `K softmax(draws)`, `(K,)`."""
    shares = ops.exp(draws - ops.max(draws))
    return shares / ops.sum(shares) * draws.shape[0]


@keras.saving.register_keras_serializable("keras_mtl")
class RLW(LossBalancer):
    """Draws the tasks' weights anew at every step: K times the softmax of K standard normals.

    A strong and honest baseline: a balancer that does not beat it has found nothing. The paper's
    weights sum to 1; these sum to K, so that the learning rate means what it means with equal
    weights.

    Lin, Ye, Zhang and Tsang, "Reasonable Effectiveness of Random Weighting: A Litmus Test for
    Multi-Task Learning", TMLR 2022, arXiv:2111.10603.

    Args:
        seed: An integer makes the draws repeatable.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def task_weights(self, losses: Any) -> Any:
        return rlw_weights(keras.random.normal(losses.shape, seed=self.generator))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
