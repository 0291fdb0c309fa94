"""MoCo: gradients averaged over steps before they are balanced."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._following_balancer import Followed, FollowingBalancer, along
from keras_mtl.balancing._scaling import matvec
from keras_mtl.balancing._simplex import onto_simplex, put_back, shared_out


@keras.saving.register_keras_serializable("keras_mtl")
class MoCo(FollowingBalancer):
    """Tracks each task's gradient by a moving mean, and moves the weights towards MGDA's of the means.

    That takes out the bias which MGDA's weights have on single batches. As in the authors' code a
    gradient enters at the length of its loss, and both rates fall with the square root of the step.
    It keeps the K gradients, `K P` numbers for P shared parameters. The weights sum to 1.

    Fernando, Shen, Liu, Chaudhury, Murugesan and Chen, "Mitigating Gradient Bias in Multi-objective
    Learning: A Provably Convergent Approach", ICLR 2023, arXiv:2210.12624.

    Args:
        beta: The first rate of the means.
        gamma: The first rate of the weights.
        rho: How strongly the weights are drawn together.

    Raises:
        ValueError: If `beta` is not from 0 to 1, or another is negative.
    """

    needs_positive_losses = True

    def __init__(self, beta: float = 0.5, gamma: float = 0.1, rho: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 < beta <= 1 or not gamma >= 0 or not rho >= 0:
            raise ValueError(
                f"MoCo came with `beta` {beta!r}, `gamma` {gamma!r} and `rho` {rho!r}; expected a "
                "number from above 0 to 1, and two that are not negative."
            )
        self.beta = float(beta)
        self.gamma = float(gamma)
        self.rho = float(rho)

    def make_state(self, k: int) -> None:
        start = keras.initializers.Constant(1.0 / k)
        self.shares = self.vector("shares", start)
        self.step = self.vector("step", "ones")

    def follow(self, gradients: Any, kept: Any, norms: Any, losses: Any) -> Followed:
        aim = gradients * along(losses / (norms + 1e-8), gradients)
        rate = along(self.beta * ops.rsqrt(self.step.value), gradients)
        mean = kept + rate * (aim - kept)
        return Followed(mean, mean, mean)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        shares, total = shared_out(self.shares.value, present)
        slopes = matvec(gramian, shares) + self.rho * shares
        rate = self.gamma * ops.rsqrt(self.step.value)
        shares = onto_simplex(shares - rate * slopes, present)
        self.shares.assign(put_back(self.shares, shares, total, present))
        self.step.assign(self.step + present)
        return shares

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": self.beta,
            "gamma": self.gamma,
            "rho": self.rho,
        }
