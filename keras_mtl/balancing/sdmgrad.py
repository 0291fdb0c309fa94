"""SDMGrad: MGDA's weights, drawn to a direction, from independent samples."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._scaling import matvec
from keras_mtl.balancing._simplex import onto_simplex, put_back, shared_out
from keras_mtl.balancing._split_balancer import SplitBalancer

_MOMENTUM = 0.5


def sdmgrad_shares(
    products: Any, shares: Any, present: Any, *, pull: float, rate: float, iterations: int
) -> Any:
    """`argmin_w |J^T (w + pull / K)|^2` over the simplex, by projected steps with momentum, `(K,)`.

    Args:
        products: `(K, K)`, inner products of the gradients of two samples.
        shares: `(K,)`, where to begin.
        present: `(K,)`, 1 for a task that is present, else 0.
        pull: How strongly the step is drawn to the mean gradient.
        rate: Of the steps, on products in units of the mean length of a gradient squared.
        iterations: How many.
    """
    count = ops.maximum(ops.sum(present), 1.0)
    roots = ops.sqrt(ops.maximum(ops.diagonal(products), 0.0))
    products = products / (ops.square(ops.sum(roots) / count) + 1e-8)
    mean = present / count

    def body(step: Any, w: Any, velocity: Any) -> tuple[Any, Any, Any]:
        velocity = _MOMENTUM * velocity + matvec(products, w + pull * mean)
        return step + 1, onto_simplex(w - rate * velocity, present), velocity

    state = (ops.zeros((), "int32"), shares, ops.zeros_like(shares))
    return ops.while_loop(lambda step, w, v: step < iterations, body, state)[1]


@keras.saving.register_keras_serializable("keras_mtl")
class SDMGrad(SplitBalancer):
    """Steps along MGDA's direction regularised towards the mean gradient, without its bias.

    Two parts of the batch give the inner products, the third the step. The weights sum to 1.

    Xiao, Ban and Ji, "Direction-oriented Multi-objective Learning: Simple and Provable Stochastic
    Algorithms", NeurIPS 2023, arXiv:2305.18409.

    Args:
        pull: The paper's lambda: how strongly the step is drawn to the mean gradient.
        rate: Of the inner steps.
        iterations: The inner steps at each step.

    Raises:
        ValueError: If a number is out of range.
    """

    parts = 3
    compared = ((0, 1),)
    stepped = (2,)

    def __init__(self, pull: float = 0.3, rate: float = 10.0, iterations: int = 20, **kwargs: Any):
        super().__init__(**kwargs)
        if not pull >= 0 or not rate > 0 or iterations < 1:
            raise ValueError(
                f"SDMGrad came with `pull` {pull!r}, `rate` {rate!r} and `iterations` {iterations!r}; "
                "expected a number that is not negative, a positive one, and a positive integer."
            )
        self.pull = float(pull)
        self.rate = float(rate)
        self.iterations = int(iterations)

    def make_state(self, k: int) -> None:
        self.shares = self.vector("shares", keras.initializers.Constant(1.0 / k))

    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        shares, total = shared_out(self.shares.value, present)
        shares = sdmgrad_shares(
            products[0, :, 1, :],
            shares,
            present,
            pull=self.pull,
            rate=self.rate,
            iterations=self.iterations,
        )
        self.shares.assign(put_back(self.shares, shares, total, present))
        mean = present / ops.maximum(ops.sum(present), 1.0)
        none = ops.zeros_like(shares)
        return ops.stack([none, none, (shares + self.pull * mean) / (1.0 + self.pull)])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pull": self.pull,
            "rate": self.rate,
            "iterations": self.iterations,
        }
