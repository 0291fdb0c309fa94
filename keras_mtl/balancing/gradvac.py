"""GradVac: gradients are brought to the angles that tasks usually have."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._scaling import lengths
from keras_mtl.balancing.pcgrad import random_order


def gradvac_weights(gramian: Any, order: Any, usual: Any, *, beta: float) -> tuple[Any, Any]:
    """The sum of the adjusted gradients in terms of the gradients, and the new usual cosines.

    Args:
        gramian: `(K, K)`.
        order: `(K, K)` integers; row i is the order in which gradient i meets all others.
        usual: `(K, K)`, the moving mean of the cosine of each pair.
        beta: How fast it moves.

    Returns:
        `(K,)` and `(K, K)`.
    """
    k = gramian.shape[0]
    eye = ops.eye(k)
    norms = lengths(gramian)
    there = ops.cast(ops.diagonal(gramian) > 0, "float32")
    mixed = eye
    for step in range(k):
        met = ops.take(eye, order[:, step], axis=0) * (1.0 - eye)
        along = ops.matmul(mixed, gramian)
        own = ops.sqrt(ops.maximum(ops.sum(along * mixed, axis=1), 0.0))
        other = ops.sum(norms * met, axis=1)
        real = ops.sum(met * there, axis=1) * there
        size = ops.where(own * other > 0, own * other, 1.0)
        cosine = ops.clip(ops.sum(along * met, axis=1) / size, -1.0, 1.0)
        goal = ops.sum(usual * met, axis=1)
        sine, goal_sine = (
            ops.sqrt(ops.maximum(1.0 - ops.square(c), 1e-12)) for c in (cosine, goal)
        )
        push = (
            own
            * (goal * sine - cosine * goal_sine)
            / (ops.where(other > 0, other, 1.0) * goal_sine)
        )
        push = ops.where(cosine < goal, push, 0.0) * real
        mixed = mixed + ops.expand_dims(push, 1) * met
        moved = ops.expand_dims(beta * real * (cosine - goal), 1) * met
        usual = usual + moved
    return ops.sum(mixed, axis=0), usual


@keras.saving.register_keras_serializable("keras_mtl")
class GradVac(GramianBalancer):
    """Raises each pair's cosine to its moving mean where it falls below.

    With a mean of 0, as at the first step, this is PCGrad; the weights are 1 without adjustment.

    Wang, Tsvetkov, Firat and Cao, "Gradient Vaccine: Investigating and Improving Multi-task
    Optimization in Massively Multilingual Models", ICLR 2021, arXiv:2010.05874.

    Args:
        beta: How fast the mean cosine moves; the paper uses 0.01.
        seed: An integer makes the orders repeatable.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `beta` is not between 0 and 1.
    """

    def __init__(
        self,
        beta: float = 0.01,
        seed: int | None = None,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        if not 0 <= beta <= 1:
            raise ValueError(f"`beta` is {beta!r}; expected a number from 0 to 1.")
        self.beta = float(beta)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def make_state(self, k: int) -> None:
        self.usual = self.add_weight((k, k), "zeros", "float32", trainable=False, name="usual")

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        order = random_order(gramian.shape[0], self.generator)
        weights, usual = gradvac_weights(gramian, order, self.usual.value, beta=self.beta)
        pairs = present * ops.expand_dims(present, 1)
        self.usual.assign(ops.where(pairs > 0, usual, self.usual))
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}
