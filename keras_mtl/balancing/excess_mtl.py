"""ExcessMTL: tasks count by how far they are from the best they could do."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._following_balancer import Followed, FollowingBalancer


def exponentiated(weights: Any, excess: Any, present: Any, *, rate: float) -> Any:
    """`w exp(rate e)`, scaled so that the tasks present sum to what they did, `(K,)`."""
    there = ops.where(present > 0, rate * excess, -1e30)
    raised = weights * ops.exp(ops.where(present > 0, there - ops.max(there), 0.0))
    before, after = ops.sum(weights * present), ops.sum(raised * present)
    return ops.where(present > 0, raised * before / ops.where(after > 0, after, 1.0), weights)


@keras.saving.register_keras_serializable("keras_mtl")
class ExcessMTL(FollowingBalancer):
    """Weighs tasks by their excess risk, so that label noise, which none can unlearn, counts for none.

    The excess of a task is about `g^T H^(-1) g`, with the root of the summed squared gradients for
    the Hessian's diagonal, and is taken relative to its first value. The weights rise exponentially
    with it and sum to K. It keeps the sums, `K P` numbers for P shared parameters.

    He, Zhou, Zhang, Zhao, Deng and Zhao, "Robust Multi-Task Learning with Excess Risks", ICML 2024,
    arXiv:2402.02009.

    Args:
        rate: The step size of the weights; 0.01 in the authors' code.

    Raises:
        ValueError: If the rate is not positive.
    """

    lengths_only = True

    def __init__(self, rate: float = 0.01, **kwargs: Any):
        super().__init__(**kwargs)
        if not rate > 0:
            raise ValueError(f"`rate` is {rate!r}; expected a positive number.")
        self.rate = float(rate)

    def make_state(self, k: int) -> None:
        self.shares = self.vector("shares", "ones")
        self.first = self.vector("first")

    def follow(self, gradients: Any, kept: Any, norms: Any, losses: Any) -> Followed:
        summed = kept + ops.square(gradients)
        # The square of what is measured is g^2 over the root of the sum.
        measured = gradients * ops.rsqrt(ops.sqrt(summed + 1e-7))
        return Followed(measured, gradients, summed)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        excess = ops.diagonal(gramian)
        known = self.first > 0
        self.first.assign(ops.where(ops.logical_or(known, present == 0), self.first, excess))
        relative = ops.where(known, excess / ops.where(known, self.first, 1.0), 0.0)
        # At a first value there is nothing to compare with.
        compared = present * ops.cast(known, "float32")
        weights = exponentiated(self.shares.value, relative, compared, rate=self.rate)
        self.shares.assign(weights)
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
