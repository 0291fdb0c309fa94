"""Wasserstein: how far the rows of one domain must move to lie as those of another."""

from functools import partial
from typing import Any

import keras

from keras_mtl.alignment._pairs import DomainAlignment, mean_over_pairs
from keras_mtl.alignment._sinkhorn import check_sinkhorn, sinkhorn_divergence
from keras_mtl.alignment._sliced import random_directions, sliced_wasserstein

_ESTIMATES = ("sliced", "sinkhorn")


@keras.saving.register_keras_serializable("keras_mtl")
class Wasserstein(DomainAlignment):
    """Moves the domains onto each other by the shortest way: the squared Wasserstein distance W_2^2.

    "sliced" is its mean over random lines, drawn anew at every step (`sliced_wasserstein`; about 1/d of
    that in d dimensions); "sinkhorn" the distance itself, smoothed by a little entropy
    (`sinkhorn_divergence`). Unlike MMD's, its pull does not fade where domains lie far apart.

    Bonneel et al., Journal of Mathematical Imaging and Vision 51, 2015; Genevay, Peyre and Cuturi,
    "Learning Generative Models with Sinkhorn Divergences", AISTATS 2018, arXiv:1706.00292.

    Args:
        domains: How many domains there are.
        estimate: "sliced" or "sinkhorn".
        projections: How many lines are drawn for "sliced".
        epsilon: The weight of the entropy for "sinkhorn", in units of the mean squared distance.
        iterations: Of "sinkhorn".
        seed: An integer makes the draws repeatable.
        **kwargs: `weight`, `domain`, and what a Keras layer takes.

    Raises:
        ValueError: If an argument is not one of these, or not positive.
    """

    def __init__(
        self,
        domains: int,
        estimate: str = "sliced",
        projections: int = 64,
        epsilon: float = 0.1,
        iterations: int = 50,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(domains, **kwargs)
        check_sinkhorn("alignment.Wasserstein", epsilon, iterations)
        if estimate not in _ESTIMATES:
            raise ValueError(
                f"`estimate` of alignment.Wasserstein is {estimate!r}; expected one of "
                f"{list(_ESTIMATES)}."
            )
        if projections < 1:
            raise ValueError(
                f"`projections` of alignment.Wasserstein is {projections!r}; expected 1 or more."
            )
        self.estimate = estimate
        self.projections = int(projections)
        self.epsilon = float(epsilon)
        self.iterations = int(iterations)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def penalty(self, features: Any, domains: Any) -> Any:
        if self.estimate == "sliced":
            lines = random_directions(features.shape[-1], self.projections, self.generator)
            distance = partial(sliced_wasserstein, directions=lines)
        else:
            distance = partial(
                sinkhorn_divergence, epsilon=self.epsilon, iterations=self.iterations
            )
        return mean_over_pairs(distance, features, domains, self.domains)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "estimate": self.estimate,
            "projections": self.projections,
            "epsilon": self.epsilon,
            "iterations": self.iterations,
            "seed": self.seed,
        }
