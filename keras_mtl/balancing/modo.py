"""MoDo: weights moved by products of gradients of independent samples."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._scaling import matvec
from keras_mtl.balancing._simplex import onto_simplex, put_back, shared_out
from keras_mtl.balancing._split_balancer import SplitBalancer


@keras.saving.register_keras_serializable("keras_mtl")
class MoDo(SplitBalancer):
    """Moves the weights one step towards MGDA's, without the bias of one batch's Gramian.

    Two parts of the batch give the inner products, the third the step. The weights sum to 1.

    Chen, Fernando, Ying and Chen, "Three-Way Trade-Off in Multi-Objective Learning: Optimization,
    Generalization and Conflict-Avoidance", NeurIPS 2023, arXiv:2305.20057.

    Args:
        gamma: The rate of the weights; 0.001 in the authors' code.
        rho: How strongly the weights are drawn together; 0.1 there.

    Raises:
        ValueError: If a number is negative.
    """

    parts = 3
    compared = ((0, 1),)
    stepped = (2,)

    def __init__(self, gamma: float = 1e-3, rho: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        if not gamma >= 0 or not rho >= 0:
            raise ValueError(
                f"MoDo came with `gamma` {gamma!r} and `rho` {rho!r}; expected numbers that are not "
                "negative."
            )
        self.gamma = float(gamma)
        self.rho = float(rho)

    def make_state(self, k: int) -> None:
        self.shares = self.vector("shares", keras.initializers.Constant(1.0 / k))

    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        shares, total = shared_out(self.shares.value, present)
        slopes = matvec(products[0, :, 1, :], shares) + self.rho * shares
        shares = onto_simplex(shares - self.gamma * slopes, present)
        self.shares.assign(put_back(self.shares, shares, total, present))
        none = ops.zeros_like(shares)
        return ops.stack([none, none, shares])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "rho": self.rho}
