"""Random loss weighting: new random weights at every step."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer

_DISTRIBUTIONS = ("normal", "dirichlet")


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
        distribution: "normal", or "dirichlet" for weights that are uniform on the simplex.
        seed: An integer makes the draws repeatable.

    Raises:
        ValueError: If the distribution is neither.
    """

    def __init__(self, distribution: str = "normal", seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(
                f"`distribution` is {distribution!r}; expected one of {list(_DISTRIBUTIONS)}."
            )
        self.distribution = distribution
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def task_weights(self, losses: Any) -> Any:
        if self.distribution == "normal":
            return rlw_weights(keras.random.normal(losses.shape, seed=self.generator))
        # A flat Dirichlet is K exponentials over their sum: the softmax of their logarithms.
        uniform = keras.random.uniform(losses.shape, 1e-7, 1.0, seed=self.generator)
        return rlw_weights(ops.log(-ops.log(uniform)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "distribution": self.distribution, "seed": self.seed}
